"""Shifts and scales."""

from __future__ import annotations

from collections.abc import Callable

import torch

from entry import Entry, map_entry
from pushforward.maps import (
    Additive,
    Affine,
    LogScale,
    Map,
    Scale,
    ShiftedScale,
    SigmoidScale,
    SoftClampScale,
    TanhScale,
)


def entries() -> list[Entry]:
    makes: dict[str, Callable[[torch.dtype], Map]] = {"additive": lambda dtype: Additive()}
    scales: dict[str, type[LogScale]] = {"tanh": TanhScale, "sigmoid": SigmoidScale, "soft-clamp": SoftClampScale}
    for name, scale in scales.items():
        makes[f"scale, {name}"] = lambda dtype, scale=scale: Scale(scale())
        makes[f"affine, {name}"] = lambda dtype, scale=scale: Affine(scale())
        makes[f"shifted scale, {name}"] = lambda dtype, scale=scale: ShiftedScale(scale())
    return [map_entry(name, make, smooth=True, golden=True) for name, make in makes.items()]
