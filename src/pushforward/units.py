"""Units of a log-likelihood: nats a row, or bits per dimension of integer data."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal, TypeAlias, TypeVar

from pushforward.array_types import Array

if TYPE_CHECKING:
    from pushforward.flow import Flow

Unit: TypeAlias = Literal["nats", "bits/dim"]
_Values = TypeVar("_Values", float, Array)


def unit_of(flow: Flow) -> Unit:
    """Bits/dim for a flow on integers, which have a reference measure in common; nats for every other flow."""
    return "bits/dim" if flow.transform.domain.kind == "integers" else "nats"


def in_unit(nats: _Values, unit: Unit, dimensions: int) -> _Values:
    """Log-likelihoods in nats converted to ``unit``; bits/dim are ``-nats / (D ln 2)``."""
    return -nats / (dimensions * math.log(2)) if unit == "bits/dim" else nats


def better(unit: Unit) -> Literal["lower", "higher"]:
    """Which of two values in ``unit`` is the better one."""
    return "lower" if unit == "bits/dim" else "higher"
