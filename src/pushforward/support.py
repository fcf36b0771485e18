"""The support of a density: values outside of it, its ends for torch distributions, and angles on the circle."""

from __future__ import annotations

import math
from typing import Any, TypeAlias

import torch
from torch import Tensor
from torch.distributions import Distribution, constraints

from pushforward.domain import CIRCLE
from pushforward.errors import OptionError

End: TypeAlias = "float | Tensor | None"


def zero_outside(inside: Tensor, log_value: Tensor, x: Tensor) -> Tensor:
    """``log_value`` where ``inside``; elsewhere the log of a density of zero, or NaN where ``x`` is one.

    A NaN is propagated from ``x``, so that a constant ``log_value`` too has a gradient in ``x``, which is 0.
    """
    outside = torch.where(x.isnan(), x, -math.inf).to(log_value)
    return torch.where(inside, log_value, outside)


def ends(distribution: Distribution, wanted: str) -> tuple[End, End]:
    """The lower and the upper end of the interval that a continuous distribution lies on; None for one at infinity.

    wanted: the beginning of the OptionError that is raised for anything else.
    """
    support: Any = distribution.support
    while isinstance(support, (constraints.independent, constraints.MixtureSameFamilyConstraint)):
        support = support.base_constraint
    if support is constraints.real or support is constraints.real_vector:
        return None, None
    low, high = getattr(support, "lower_bound", None), getattr(support, "upper_bound", None)
    if getattr(support, "is_discrete", False) or (low is None and high is None):
        raise OptionError(f"{wanted}; {type(distribution).__name__} lies on {support}")
    return low, high


def wrap_angle(angle: Tensor) -> Tensor:
    """An angle wrapped to [-pi, pi]; angles within it are not changed."""
    inside = (angle >= CIRCLE.low) & (angle <= CIRCLE.high)
    return torch.where(inside, angle, torch.remainder(angle + math.pi, 2 * math.pi) - math.pi)
