"""The flows on vectors by name: unconditional, conditional, with one feature and with 64."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor, nn

from entry import LABELS, Entry, Reason, vector_entry
from pushforward.maps import DeepSigmoidal

# Small options of each flow; the nets are small for all.
_FLOWS: dict[str, dict[str, Any]] = {
    "maf": {},
    "iaf": {},
    "nsf": {"bins": 4},
    "nsf_ar": {"bins": 4},
    "cubic_nsf": {"bins": 4},
    "naf": {"components": 3},
    "umnn": {"integrand": (8,), "embedding": 3, "nodes": 17},
    "sos": {"polynomials": 2, "degree": 2},
    "bernstein": {"degree": 5},
    "bnaf": {"hidden": (6,)},
}


def _sigmoids(flow: nn.Module) -> list[Tensor]:
    """The sigmoids' parameters of every map, by component: of an unconditional flow's last layers, all are biases."""
    found = []
    for module in flow.modules():
        net, map = getattr(module, "net", None), getattr(module, "map", None)
        if isinstance(map, DeepSigmoidal):
            raw = net.last.bias.reshape(3, map.components, -1) + map.start.reshape(3, -1, 1)
            found.append(raw.movedim(1, 0).detach())
    return found


_MIXTURES: Mapping[str, Callable[[nn.Module], list[Tensor]]] = {"naf": _sigmoids}


def entries() -> list[Entry]:
    compiled = {"skips": {"i": Reason.COMPILED_ALREADY}}
    found = []
    for flow, small in _FLOWS.items():
        options: dict[str, Any] = {"transforms": 2, "hidden": (16, 16), **small}
        # Compiling takes long: a coupling and an autoregressive step are compiled, and one with a root by coordinate.
        skips = {} if flow in ("nsf", "maf", "naf") else compiled
        mixtures: dict[str, Any] = {"mixtures": _MIXTURES[flow]} if flow in _MIXTURES else {}
        found += [
            vector_entry(flow, "2 features", more=mixtures, **options),
            vector_entry(flow, "1 feature", 1, **options),
            vector_entry(flow, "3 features, context", 3, context=2, more=skips, **options),
            vector_entry(flow, "64 features", 64, **{**options, "transforms": 1}),
        ]
    return [
        *found,
        vector_entry("nsf_ar", "3 features, labels", 3, classes=LABELS, bins=4, transforms=2),
        vector_entry("nsf", "bounds", 3, bounds={0: (0, 1), 2: (-1, None)}, bins=4, transforms=2),
        vector_entry("nsf", "levels", levels=4, bins=4, transforms=2),
        vector_entry("nsf", "partition half", 3, partition="half", bins=4, transforms=2),
        *(
            vector_entry("maf", f"linear {linear}", 3, linear=linear, transforms=3)
            for linear in ("permutation", "reverse", "none")
        ),
        vector_entry("real_nvp", "linear lu", 3, linear="lu"),
    ]
