"""Planar, radial and Sylvester flows, and the map that two of them bend with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from entry import Entry, Reason, flow_entry, map_entry, transform_entry
from pushforward.maps import Bend
from pushforward.transforms import FixedOrder, HouseholderColumns, Planar, QRColumns, Radial, Sylvester
from pushforward.transforms.orthonormal import OrthonormalColumns


def entries() -> list[Entry]:
    # Compiling takes longest of all: once the root of a planar step, and once those of a Sylvester step.
    compiled: dict[str, Any] = {"skips": {"i": Reason.COMPILED_ALREADY}}

    def sylvester(variant: str, frame: Callable[[], OrthonormalColumns]) -> Entry:
        more = {"smooth": True, "golden": True, **compiled}
        return transform_entry(f"sylvester, {variant}", (3,), lambda: Sylvester(frame()), **more)

    def small(flow: str, name: str, features: int, context: int = 0, **options: Any) -> Entry:
        options = {"transforms": 2, "hidden": (8,), **options}
        return flow_entry(flow, name, (features,), context, more=compiled, **options)

    return [
        map_entry("bend", lambda d: Bend(), smooth=True, golden=True, **compiled),
        transform_entry("planar", (3,), lambda: Planar(3), smooth=True, golden=True),
        transform_entry("radial", (3,), lambda: Radial(3), smooth=True, golden=True),
        sylvester("orthogonal", lambda: QRColumns(3, 2)),
        sylvester("householder", lambda: HouseholderColumns(3, 2)),
        sylvester("triangular", lambda: FixedOrder(3, reverse=True)),
        transform_entry(
            "sylvester, context", (2,), lambda: Sylvester(QRColumns(2, 2), 2, (8,)), context=(2,), smooth=True
        ),
        small("planar", "2 features", 2, transforms=6),
        small("planar", "1 feature", 1),
        small("planar", "3 features, to_data, context", 3, 2, direction="to_data"),
        small("planar", "64 features", 64),
        small("radial", "2 features", 2, transforms=8),
        small("radial", "1 feature", 1),
        small("radial", "3 features, to_data, context", 3, 2, direction="to_data"),
        small("radial", "64 features", 64),
        small("sylvester", "2 features", 2, transforms=4),
        small("sylvester", "1 feature", 1),
        small("sylvester", "3 features, to_data, context", 3, 2, direction="to_data", variant="householder", columns=2),
        small("sylvester", "64 features", 64, columns=4, transforms=1),
    ]
