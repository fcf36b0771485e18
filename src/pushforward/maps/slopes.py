"""Positive slopes from the unconstrained outputs of a net."""

from __future__ import annotations

import math

from torch import Tensor
from torch.nn import functional as F

# Slopes stay above this, so that a map is strictly increasing and its linear tails grow without limit.
LEAST_SLOPE = 1e-3
# torch's softplus is linear beyond its threshold; the default of 20 is 2e-9 off there.
_LINEAR_ABOVE = 50.0


def positive_slope(raw: Tensor, minimum: float = LEAST_SLOPE) -> Tensor:
    """The slope ``minimum + softplus(raw + c)``, with the constant ``c`` such that ``raw`` 0 gives slope 1."""
    return minimum + F.softplus(raw + math.log(math.expm1(1 - minimum)), threshold=_LINEAR_ABOVE)
