"""Steps in continuous time, with the trace exact and by probes, and the flows that they make."""

from __future__ import annotations

from typing import Any

from entry import LABELS, Entry, Reason, flow_entry, transform_entry
from pushforward.nets import ConcatSquashConvNet, ConcatSquashMLP
from pushforward.transforms import Continuous

_IMAGE = (1, 2, 2)


def entries() -> list[Entry]:
    # The solver's tolerance, 1e-5, is of a step; errors of steps add up and grow on the way, up to a hundredfold.
    solved: dict[str, Any] = {"differences": True, "tolerance": 1e-3, "inverse_tolerance": 1e-3}
    # Gradients of the small ones speak for these.
    large: dict[str, Any] = {**solved, "skips": {"d": Reason.TOO_LARGE, "p": Reason.TOO_LARGE}}
    small: dict[str, Any] = {"hidden": (8,), "activation": "tanh", "training_tolerance": 1e-2, "more": solved}
    matched: dict[str, Any] = {"hidden": (8,), "activation": "tanh", "more": solved}
    loose: dict[str, Any] = {"tolerance": 1e-2, "inverse_tolerance": 1e-2}
    image: dict[str, Any] = {"hidden": (4,), "activation": "tanh", "tolerance": 1e-4, "more": {**large, **loose}}

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
        flow_entry("ffjord", "64 features", (64,), tolerance=1e-6, **{**small, "more": large}),
        flow_entry("ffjord", "image, labels", (1, 4, 4), 0, LABELS, training_tolerance=1e-2, **image),
        flow_entry("flow_matching", "2 features", (2,), coupling="optimal", **matched),
        flow_entry("flow_matching", "3 features, context", (3,), 2, path="variance-preserving", **matched),
        flow_entry("flow_matching", "image, labels", (1, 4, 4), 0, LABELS, **image),
    ]
