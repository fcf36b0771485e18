"""What the parameters of maps must be: checks of options, and slopes from unconstrained numbers."""

from __future__ import annotations

import math

from torch import Tensor
from torch.nn import functional as F

from pushforward.errors import OptionError

# Slopes stay above this, so that a map is strictly increasing and its linear tails grow without limit.
LEAST_SLOPE = 1e-3
# softplus(raw + _UNIT) is 1 - LEAST_SLOPE at raw = 0.
_UNIT = math.log(math.expm1(1 - LEAST_SLOPE))


def slope_of(raw: Tensor) -> Tensor:
    """``softplus(raw + const) + LEAST_SLOPE``, with the constant such that 0 gives 1."""
    return F.softplus(raw + _UNIT) + LEAST_SLOPE


def at_least_one(count: int, name: str) -> int:
    """``count`` where it is a positive number; raises OptionError naming the option where it is not."""
    if count < 1:
        raise OptionError(f"{name} must be at least 1, got {count}")
    return count


def above_zero(value: float, name: str) -> float:
    """``value`` where it is a finite number above 0; raises OptionError naming the option where it is not."""
    if not (value > 0 and math.isfinite(value)):
        raise OptionError(f"{name} must be a finite number above 0, got {value}")
    return float(value)


def between_zero_and_one(value: float, name: str) -> float:
    """``value`` where it lies between 0 and 1; raises OptionError naming the option where it does not."""
    if not 0 < value < 1:
        raise OptionError(f"{name} must lie between 0 and 1, got {value}")
    return float(value)


def check_bins(bins: int, minima: dict[str, float]) -> None:
    """Raise OptionError unless ``bins`` >= 2 and each minimum is above 0 and leaves room for ``bins`` of its size."""
    if bins < 2:
        raise OptionError(f"a spline needs at least 2 bins, got {bins}")
    for name, minimum in minima.items():
        if not 0 < minimum * bins < 1:
            raise OptionError(
                f"{name} must be above 0 and below 1 / bins = {1 / bins:g} (a part of the interval), got {minimum}"
            )
