"""The effect of a numerical error on the use of a model: in nats, or in standard deviations of the data or the base."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from pushforward.evaluation.verdict import State
from pushforward.precision import in_float64

# Sizes up to which an error is without effect, and up to which it asks for care.
NATS = (0.01, 0.1)
DEVIATIONS = (0.01, 0.1)
# A typical error has to be smaller than the largest one of many rows.
TYPICAL = 0.1


def consequence(size: float, limits: tuple[float, float]) -> State:
    """The state of a model with an error of ``size``; not a number counts as infinite."""
    harmless, tolerable = limits
    if math.isnan(size) or size > tolerable:
        return State.REFUSE
    return State.CARE if size > harmless else State.GOOD


def consequence_of_many(worst: float, typical: float, limits: tuple[float, float]) -> State:
    """The state of a model whose errors at many rows are at most ``worst``, and typically ``typical``."""
    return consequence(max(worst, typical / TYPICAL), limits)


def deviations(got: Tensor, wanted: Tensor) -> Tensor:
    """``|got - wanted|`` in units of the data, the largest over each row: ``(B,)`` in float64. NaN counts as inf.

    The unit of a value is the robust standard deviation of its column over the rows or, if that is larger, its distance
    from their median: no float of a far value is more precise. Without two different rows, the unit is 1.
    """
    got, wanted = in_float64(got).flatten(1), in_float64(wanted).flatten(1)
    low, median, high = torch.quantile(wanted, torch.tensor([0.16, 0.5, 0.84]).to(wanted), 0)
    spread = (high - low) / 2
    unit = torch.maximum(spread, (wanted - median).abs())
    # Columns of mostly one value, such as the border of images, are in the unit of the widest column.
    widest = unit.amax()
    unit = torch.where(unit > 0, unit, torch.where(widest > 0, widest, torch.ones_like(unit)))
    error = (got - wanted).abs() / unit
    return torch.where(got == wanted, 0.0, torch.where(error.isnan(), torch.inf, error)).amax(1)
