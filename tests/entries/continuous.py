"""Steps in continuous time, with the trace exact and by probes, and the flows that they make."""

from __future__ import annotations

from typing import Any

from entry import LABELS, Entry, flow_entry, transform_entry
from pushforward.nets import ConcatSquashConvNet, ConcatSquashMLP
from pushforward.transforms import Continuous

_IMAGE = (1, 2, 2)


def entries() -> list[Entry]:
    # Their derivatives follow a solve backwards, with an error of the solver's.
    solved: dict[str, Any] = {"differences": True, "tolerance": 1e-4, "inverse_tolerance": 1e-4}
    small: dict[str, Any] = {"hidden": (8,), "activation": "tanh", "training_tolerance": 1e-2, "more": solved}
    matched: dict[str, Any] = {"hidden": (8,), "activation": "tanh", "more": solved}

    def net(context: int = 0) -> ConcatSquashMLP:
        return ConcatSquashMLP(3, (8,), context, "tanh")

    return [
        transform_entry("continuous, exact", (3,), lambda: Continuous(net()), golden=True, **solved),
        transform_entry(
            "continuous, probe, context", (3,), lambda: Continuous(net(2), "hutchinson"), context=(2,), **solved
        ),
        transform_entry(
            "continuous, image",
            _IMAGE,
            lambda: Continuous(ConcatSquashConvNet(_IMAGE, (4,)), "hutchinson", adjoint=False),
            **solved,
        ),
        flow_entry("ffjord", "2 features", (2,), **{**small, "hidden": (16, 16)}),
        flow_entry("ffjord", "1 feature, context", (1,), 2, **small),
        flow_entry("ffjord", "2 features, levels, probe", (2,), levels=4, trace="hutchinson", **small),
        flow_entry("ffjord", "64 features", (64,), **small),
        flow_entry("ffjord", "image 1 x 4 x 4, labels", (1, 4, 4), 0, LABELS, scales=2, **{**small, "hidden": (4,)}),
        flow_entry("flow_matching", "2 features", (2,), coupling="optimal", **matched),
        flow_entry("flow_matching", "3 features, context", (3,), 2, path="variance-preserving", **matched),
        flow_entry("flow_matching", "image 1 x 4 x 4, labels", (1, 4, 4), 0, LABELS, **{**matched, "hidden": (4,)}),
    ]
