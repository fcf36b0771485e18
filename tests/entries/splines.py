"""Splines on the real line, on an interval and on a circle."""

from __future__ import annotations

from typing import Any

import torch

from entry import Entry, map_entry
from pushforward.bases import Base, UniformBox, VonMises
from pushforward.domain import Domain
from pushforward.events import Shape
from pushforward.maps import (
    Affine,
    Composed,
    CubicSpline,
    RationalQuadraticSpline,
    SoftClampScale,
)

_BOX = Domain("real", -0.5, 2.0)


def _on_box(dtype: torch.dtype, shape: Shape) -> Base:
    return UniformBox(shape, _BOX.low, _BOX.high)


def _on_circle(dtype: torch.dtype, shape: Shape) -> Base:
    # Not uniform: under a uniform density a rotation has nothing to learn.
    return VonMises(shape)


def entries() -> list[Entry]:
    def rational(name: str, base: Any = None, **options: Any) -> Entry:
        more: dict[str, Any] = {} if base is None else {"base": base}
        make = lambda dtype: RationalQuadraticSpline(**{"bins": 4, **options})  # noqa: E731
        return map_entry(f"rational-quadratic spline, {name}", make, smooth=True, golden=True, **more)

    return [
        rational("linear tails"),
        rational("learned interval", bins=3, learned_interval=True),
        rational("box", _on_box, tails="box", domain=_BOX),
        rational("circular", _on_circle, tails="circular"),
        map_entry("cubic spline", lambda dtype: CubicSpline(4), smooth=True, golden=True),
        # Its parts have golden values, and it is compared with them in test_composed.py.
        map_entry(
            "affine, then spline",
            lambda dtype: Composed([Affine(SoftClampScale()), RationalQuadraticSpline(3)]),
            smooth=True,
        ),
    ]
