"""Checks of numeric options, which return a value in range or raise an OptionError that names the option."""

from __future__ import annotations

import math

from pushforward.errors import OptionError


def at_least_one(count: int, name: str) -> int:
    """``count``, at least 1; raises OptionError naming the option otherwise."""
    if count < 1:
        raise OptionError(f"{name} must be at least 1, got {count}")
    return count


def above_zero(value: float, name: str) -> float:
    """``value``, finite and above 0; raises OptionError naming the option otherwise."""
    if not (value > 0 and math.isfinite(value)):
        raise OptionError(f"{name} must be a finite number above 0, got {value}")
    return float(value)


def between_zero_and_one(value: float, name: str) -> float:
    """``value``, between 0 and 1; raises OptionError naming the option otherwise."""
    if not 0 < value < 1:
        raise OptionError(f"{name} must lie between 0 and 1, got {value}")
    return float(value)
