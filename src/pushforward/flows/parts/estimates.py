"""When a Jacobian's determinant or trace is computed exactly, and when it is estimated."""

from __future__ import annotations

import math

from pushforward.events import Shape

_MOST_COLUMNS = 8


def exact_by_default(event_shape: Shape) -> bool:
    """Whether a Jacobian has so few columns that computing it takes about as long as an estimate does."""
    return math.prod(event_shape) <= _MOST_COLUMNS
