"""Options of architectures, each with a flow on which a change of it must have an effect.

An option is tried once for the schema that declares it first, and besides where another recipe has its own code for it.
An architecture with a file of entries of its own keeps its list there, as ``EFFECTS``.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import registry
from pushforward.events import Shape
from pushforward.flows import Options, describe, names
from pushforward.flows.parts.greedy import GreedyOptions

# An architecture, the shape of events, the options of the flow, and the change.
Effect: TypeAlias = tuple[str, Shape, dict[str, Any], dict[str, Any]]

# Flows that are fitted step by step: without nets, without parameters. Their options are tried by test_greedy.py.
GREEDY = [name for name in names("vectors") if issubclass(describe(name).recipes["vectors"].options, GreedyOptions)]


def options_of(name: str, event_shape: Shape = (3,), **wanted: Any) -> dict[str, Any]:
    """Those of the wanted options that the architecture has for such events."""
    known = describe(name).recipe(event_shape).options.model_fields
    return {option: value for option, value in wanted.items() if option in known}


def owner(schema: type[Options], option: str) -> type:
    """The schema that declares the option first; those that inherit may give it another default or description."""
    return [cls for cls in schema.__mro__ if option in vars(cls).get("__annotations__", {})][-1]


def _tried(name: str, shape: Shape, options: dict[str, Any], *changes: dict[str, Any]) -> list[Effect]:
    return [(name, shape, options, change) for change in changes]


VECTOR: dict[str, Any] = {"transforms": 3, "hidden": (8,)}
IMAGE: dict[str, Any] = {"channels": 4, "blocks": 1, "scales": 2}
PIXELS: dict[str, Any] = {"channels": 4, "blocks": 1, "heads": 2, "components": 2}
_GLOW: dict[str, Any] = {"transforms": 2, "channels": 4}
_NSF: dict[str, Any] = {**_GLOW, "bins": 4, "blocks": 1, "net_norm": "none"}
_LEVELS: dict[str, Any] = {**VECTOR, "levels": 9}
_UNMIXED: dict[str, Any] = {**VECTOR, "linear": "none"}
_LINEAR: tuple[dict[str, Any], ...] = tuple({"linear": name} for name in ("lu", "dense", "permutation", "reverse"))
_COUPLINGS: tuple[dict[str, Any], ...] = ({"partition": "half"}, {"partition": "odd-even"}, {"dropout": 0.5})
_NET: tuple[dict[str, Any], ...] = ({"hidden": (9,)}, {"activation": "tanh"})
_SPLINE: tuple[dict[str, Any], ...] = ({"bins": 3}, {"bound": 2.0})
_SCALES: tuple[dict[str, Any], ...] = ({"log_scale": "tanh"}, {"log_scale": "sigmoid"})

_DATA_AND_BASE = [
    *_tried("maf", (6,), VECTOR, {"levels": 9}, {"standardise": False}, {"bounds": {0: (-9, 9)}}),
    *_tried("maf", (6,), _LEVELS, {"levels": 10}, {"alpha": 0.1}, {"dequantisation": "variational"}),
    *_tried("nice", (1, 4, 4), {**VECTOR, "levels": 9}, {"dequantisation": "variational"}),
    *_tried("maf", (6,), VECTOR, *({"base": base} for base in ("logistic", "learned-normal", "mixture", "student-t"))),
    *_tried("maf", (6,), {**VECTOR, "context_dim": 2}, {"base": "conditional-normal"}),
    *_tried("real_nvp", (1, 4, 4), IMAGE, {"base": "logistic"}, {"levels": 9}),
]
_STEPS_ON_VECTORS = [
    *_tried("maf", (6,), VECTOR, {"transforms": 4}, *_NET, *_SCALES),
    *_tried("maf", (6,), _UNMIXED, *_LINEAR),
    *_tried("iaf", (6,), VECTOR, *_SCALES),
    *_tried("nsf_ar", (6,), VECTOR, *_SPLINE),
    *_tried("naf", (6,), VECTOR, {"components": 3}),
    *_tried("umnn", (6,), VECTOR, {"integrand": (9,)}, {"embedding": 3}, {"nodes": 5}),
    *_tried("sos", (6,), VECTOR, {"polynomials": 2}, {"degree": 2}, {"bound": 2.0}),
    *_tried("bernstein", (6,), VECTOR, {"degree": 4}, {"bound": 2.0}),
    *_tried("bnaf", (6,), VECTOR, {"hidden": (9,)}),
    *_tried("nsf", (6,), VECTOR, *_SPLINE, *_NET, *_COUPLINGS),
    *_tried("cubic_nsf", (6,), VECTOR, *_SPLINE),
    *_tried("flowpp", (6,), VECTOR, {"components": 3}),
    *_tried("glow", (6,), VECTOR, *_SCALES, {"limit": 0.1}, {"transforms": 4}),
    *_tried("glow", (6,), _UNMIXED, {"linear": "lu"}),
]
_ON_VECTORS = [
    *_tried("real_nvp", (6,), VECTOR, {"transforms": 4}, *_NET, *_COUPLINGS),
    *_tried("real_nvp", (6,), {**VECTOR, "partition": "half"}, {"partition": "odd-even"}),
    *_tried("real_nvp", (6,), _UNMIXED, {"linear": "lu"}),
    *_tried("real_nvp", (3,), VECTOR, {"norm": "batch"}, {"norm": "activation"}, {"penalty": 0.1}),
    *_tried("real_nvp", (3,), {**VECTOR, "norm": "batch"}, {"norm": "lagged-batch"}),
    *_tried("real_nvp", (3,), VECTOR, {"log_scale": "sigmoid"}, {"log_scale": "soft-clamp"}),
    *_tried("nice", (3,), VECTOR, {"transforms": 4}, *_NET, {"dropout": 0.5}, {"base": "normal"}),
    *_tried("vflow", (6,), VECTOR, {"extra": 2}, {"posterior": 1}, {"map": "spline"}, {"transforms": 4}),
    *_tried("vflow", (4,), {**VECTOR, "map": "spline"}, *_SPLINE),
    *_tried("cif", (6,), VECTOR, {"index": 2}, {"inner_steps": 2}, *({"inner": n} for n in ("nsf", "maf", "nsf_ar"))),
    *_tried("cif", (4,), {**VECTOR, "inner": "nsf"}, *_SPLINE),
    *_tried("anf", (3,), VECTOR, {"transforms": 4}, {"extra": 2}, *_NET),
]
# Those whose nets have the context only: without one, options of the nets have no effect.
_GIVEN: dict[str, Any] = {**VECTOR, "context_dim": 2}
_AMORTISED = [
    *(effect for name in ("planar", "radial", "sylvester") for effect in _tried(name, (4,), _GIVEN, *_NET)),
    *_tried("planar", (4,), _GIVEN, {"direction": "to_data"}),
    *_tried("sylvester", (4,), _GIVEN, {"variant": "householder"}, {"variant": "triangular"}, {"columns": 2}),
    *_tried("gaussianization", (4,), {**_GIVEN, "components": 3}, {"transforms": 4}, {"components": 4}, *_NET),
    *_tried("gaussianization", (4,), {**_GIVEN, "components": 3}, {"rotation": "random"}),
]
_PERIODIC: dict[str, Any] = {**VECTOR, "circular": (0, 2), "low": -1.0, "high": 10.0}
_CIRCULAR = [
    *_tried("circular_nsf", (4,), _PERIODIC, {"circular": (0, 1)}, {"low": (-1.0, -2.0)}, {"high": (10.0, 11.0)}),
    *_tried("circular_nsf", (4,), _PERIODIC, {"standardise": False}, {"transforms": 4}, *_NET, {"dropout": 0.5}),
    *_tried("circular_nsf", (4,), _PERIODIC, *_SPLINE, {"bounds": {1: (-9, 9)}}),
    *_tried("circular_nsf", (4,), {**_PERIODIC, "low": -0.2, "high": 0.2}, {"wrap": True}),
]
_BLOCKS: dict[str, Any] = {**VECTOR, "coefficient": 0.7}
_RESIDUAL = [
    *_tried("iresnet", (4,), _BLOCKS, {"transforms": 4}, {"hidden": (9,)}, {"activation": "lipswish"}),
    *_tried("iresnet", (4,), _BLOCKS, {"coefficient": 0.8}, {"iterations": 2}),
    *_tried("iresnet", (4,), _BLOCKS, {"log_det": "truncated"}, {"log_det": "roulette"}),
    *_tried("iresnet", (4,), {**_BLOCKS, "log_det": "truncated"}, {"terms": 3}),
    *_tried("iresnet", (4,), {**_BLOCKS, "log_det": "roulette"}, {"exact_terms": 9}),
    *_tried("iresnet", (1, 4, 4), _GLOW, {"channels": 5}, {"scales": 2}),
]
_SOLVED: dict[str, Any] = {"hidden": (8,)}
_CONTINUOUS = [
    *_tried("ffjord", (3,), _SOLVED, *_NET, {"trace": "hutchinson"}, {"tolerance": 1e-3}),
    *_tried("ffjord", (3,), _SOLVED, {"transforms": 2}, {"base": "logistic"}, {"training_tolerance": 1e-2}),
    *_tried("ffjord", (3,), _SOLVED, {"kinetic": 0.5}, {"jacobian": 0.5}, {"adjoint": False}),
    *_tried("ffjord", (1, 8, 8), {"hidden": (4,)}, {"scales": 2}),
    *_tried("flow_matching", (3,), _SOLVED, {"path": "variance-preserving"}, {"coupling": "optimal"}),
]
_POOLED: dict[str, Any] = {"transforms": 1, "channels": 4, "scales": 2}
_MACOW: dict[str, Any] = {"transforms": 1, "channels": 4, "masked_channels": 4, "scales": 1}
_ON_IMAGES = [
    *_tried("real_nvp", (1, 4, 4), IMAGE, {"channels": 5}, {"blocks": 0}, {"scales": 1}, {"published": True}),
    *_tried("real_nvp", (1, 4, 4), IMAGE, {"memory_saving": True}),
    *_tried("real_nvp", (1, 4, 4), IMAGE, {"net_norm": "instance"}, {"net_norm": "none"}, {"log_scale": "sigmoid"}),
    *_tried("real_nvp", (1, 4, 4), IMAGE, *({"norm": norm} for norm in ("none", "activation", "lagged-batch"))),
    *_tried("glow", (1, 4, 4), _GLOW, {"channels": 5}, {"scales": 2}, {"transforms": 3}, {"linear": "none"}),
    *_tried("glow", (1, 4, 4), _GLOW, {"log_scale": "sigmoid"}, {"limit": 0.1}, {"memory_saving": True}),
    *_tried("nsf", (1, 4, 4), _NSF, {"blocks": 0}, {"net_norm": "instance"}, {"memory_saving": True}, *_SPLINE),
    *_tried("flowpp", (1, 4, 4), PIXELS, {"channels": 6}, {"blocks": 2}, {"heads": 1}, {"components": 3}),
    *_tried("flowpp", (1, 4, 4), PIXELS, {"dropout": 0.5}),
    *_tried("flowpp", (2, 4, 4), PIXELS, {"linear": "reverse"}),
    *_tried("vflow", (1, 4, 4), _GLOW, {"extra": 2}, {"posterior": 1}, {"map": "spline"}, {"memory_saving": True}),
    *_tried("vflow", (1, 4, 4), {**_GLOW, "map": "spline"}, *_SPLINE),
    *_tried("cif", (1, 8, 8), _GLOW, {"inner": "nsf"}, {"inner_steps": 2}, {"index": 2}),
    *_tried("cif", (1, 8, 8), {**_GLOW, "inner": "nsf"}, *_SPLINE),
    *_tried("anf", (1, 8, 8), {"channels": 4}, {"channels": 5}, {"scales": 2}, {"extra": 2}),
    *_tried("macow", (1, 8, 8), _MACOW, {"transforms": 2}, {"units": 2}, {"kernel": (1, 3)}, {"masked_channels": 5}),
    *_tried("macow", (1, 8, 8), _MACOW, {"memory_saving": True}),
    *_tried("macow", (1, 8, 8), {**_MACOW, "scales": 2}, {"portions": 1}),
    *_tried("survae_maxpool", (1, 8, 8), _POOLED, {"scales": 3}, {"rest": "exponential"}, {"given_maximum": False}),
    *_tried("survae_maxpool", (1, 8, 8), _POOLED, {"map": "spline"}, {"memory_saving": True}),
    *_tried("survae_maxpool", (1, 8, 8), {**_POOLED, "map": "spline"}, *_SPLINE),
]

EFFECTS: list[Effect] = [
    *_DATA_AND_BASE,
    *_STEPS_ON_VECTORS,
    *_ON_VECTORS,
    *_AMORTISED,
    *_CIRCULAR,
    *_RESIDUAL,
    *_CONTINUOUS,
    *_ON_IMAGES,
    *(effect for family in registry.FAMILIES for effect in vars(family).get("EFFECTS", ())),
]
