"""What each option of an architecture is tried with: an event's shape, the other options and a change."""

from typing import Any

from pushforward.events import Shape
from pushforward.flows import describe, names
from pushforward.flows.parts.greedy import GreedyOptions

# Flows that are fitted step by step: without nets, without parameters.
GREEDY = [name for name in names("vectors") if issubclass(describe(name).recipes["vectors"].options, GreedyOptions)]


def options_of(name: str, event_shape: Shape = (3,), **wanted: Any) -> dict[str, Any]:
    """Those of the wanted options that the architecture has for such events."""
    known = describe(name).recipe(event_shape).options.model_fields
    return {option: value for option, value in wanted.items() if option in known}


VECTOR: dict[str, Any] = {"transforms": 3, "hidden": (8,)}
IMAGE: dict[str, Any] = {"channels": 4, "blocks": 1, "scales": 2}
_GLOW: dict[str, Any] = {"transforms": 2, "channels": 4}
_NSF: dict[str, Any] = {**_GLOW, "bins": 4, "blocks": 1, "net_norm": "none"}
PIXELS: dict[str, Any] = {"channels": 4, "blocks": 1, "heads": 2, "components": 2}

EFFECTS: list[tuple[str, tuple[int, ...], dict[str, Any], dict[str, Any]]] = [
    ("real_nvp", (6,), VECTOR, {"partition": "half"}),
    ("real_nvp", (6,), {**VECTOR, "partition": "half"}, {"partition": "odd-even"}),
    ("real_nvp", (3,), VECTOR, {"dropout": 0.5}),
    ("real_nvp", (3,), VECTOR, {"norm": "batch"}),
    ("real_nvp", (3,), VECTOR, {"norm": "activation"}),
    ("real_nvp", (3,), {**VECTOR, "norm": "batch"}, {"norm": "lagged-batch"}),
    ("real_nvp", (3,), VECTOR, {"log_scale": "sigmoid"}),
    ("real_nvp", (3,), VECTOR, {"log_scale": "soft-clamp"}),
    ("real_nvp", (3,), VECTOR, {"penalty": 0.1}),
    ("real_nvp", (3,), {**VECTOR, "levels": 9}, {"levels": 10}),
    ("real_nvp", (1, 4, 4), IMAGE, {"channels": 5}),
    ("real_nvp", (1, 4, 4), IMAGE, {"blocks": 0}),
    ("real_nvp", (1, 4, 4), IMAGE, {"scales": 1}),
    ("real_nvp", (1, 4, 4), IMAGE, {"net_norm": "instance"}),
    ("real_nvp", (1, 4, 4), IMAGE, {"net_norm": "none"}),
    ("real_nvp", (1, 4, 4), IMAGE, {"norm": "none"}),
    ("real_nvp", (1, 4, 4), IMAGE, {"norm": "activation"}),
    ("real_nvp", (1, 4, 4), IMAGE, {"norm": "lagged-batch"}),
    ("real_nvp", (1, 4, 4), IMAGE, {"log_scale": "sigmoid"}),
    ("real_nvp", (1, 4, 4), IMAGE, {"base": "logistic"}),
    ("real_nvp", (1, 4, 4), IMAGE, {"levels": 9}),
    *(
        (name, (1, 4, 4), options, change)
        for name, options in (("glow", _GLOW), ("nsf", _NSF), ("vflow", _GLOW))
        for change in ({"channels": 5}, {"scales": 2}, {"memory_saving": True}, {"transforms": 3}, {"linear": "none"})
    ),
    ("nsf", (1, 4, 4), _NSF, {"blocks": 0}),
    ("nsf", (1, 4, 4), _NSF, {"net_norm": "instance"}),
    ("glow", (1, 4, 4), _GLOW, {"log_scale": "sigmoid"}),
    ("glow", (1, 4, 4), _GLOW, {"limit": 0.1}),
    *(
        ("flowpp", (1, 4, 4), PIXELS, change)
        for change in ({"channels": 6}, {"blocks": 2}, {"heads": 1}, {"components": 3}, {"dropout": 0.5})
    ),
    ("flowpp", (2, 4, 4), PIXELS, {"linear": "reverse"}),
    ("nice", (3,), VECTOR, {"activation": "elu"}),
    ("nice", (3,), VECTOR, {"dropout": 0.5}),
    ("nice", (3,), VECTOR, {"base": "normal"}),
]

_COUPLINGS: list[dict[str, Any]] = [{"partition": "half"}, {"partition": "odd-even"}, {"dropout": 0.5}]
_SCALES: list[dict[str, Any]] = [{"log_scale": "tanh"}, {"log_scale": "sigmoid"}]
# What each flow on vectors has beyond the options that all of them have.
_OWN: dict[str, list[dict[str, Any]]] = {
    "glow": [*_COUPLINGS, *_SCALES],
    "maf": _SCALES,
    "iaf": _SCALES,
    "nsf": [{"bins": 3}, {"bound": 2.0}, *_COUPLINGS],
    "cubic_nsf": [{"bins": 3}, {"bound": 2.0}, *_COUPLINGS],
    "nsf_ar": [{"bins": 3}, {"bound": 2.0}],
    "naf": [{"components": 3}],
    "umnn": [{"integrand": (9,)}, {"embedding": 3}, {"nodes": 5}],
    "sos": [{"polynomials": 2}, {"degree": 2}, {"bound": 2.0}],
    "bernstein": [{"degree": 4}, {"bound": 2.0}],
    "bnaf": [],
    "flowpp": [{"components": 3}, *_COUPLINGS],
    "vflow": [{"extra": 2}, {"posterior": 1}, {"map": "spline"}, *_COUPLINGS],
    "cif": [{"index": 2}, {"inner_steps": 2}, {"inner": "nsf"}, {"inner": "maf"}, {"inner": "nsf_ar"}, *_COUPLINGS],
}
for _name in ("nice", "real_nvp", *_OWN):
    EFFECTS += [
        (_name, (6,), VECTOR, change)
        for change in ({"transforms": 4}, {"hidden": (9,)}, {"standardise": False}, {"levels": 9})
    ]
    EFFECTS += [
        (_name, (6,), {**VECTOR, "levels": 9}, change) for change in ({"alpha": 0.1}, {"dequantisation": "variational"})
    ]
for _name in ("real_nvp", *_OWN):
    EFFECTS += [(_name, (6,), VECTOR, {"activation": "tanh"})] if _name != "bnaf" else []
    EFFECTS += [(_name, (6,), VECTOR, {"base": "logistic"})]
    EFFECTS += [(_name, (6,), VECTOR, {"base": base}) for base in ("learned-normal", "mixture", "student-t")]
    for _linear in ("lu", "dense", "permutation", "reverse"):
        EFFECTS += [(_name, (6,), {**VECTOR, "linear": "none"}, {"linear": _linear})]
for _name, _changes in _OWN.items():
    EFFECTS += [(_name, (6,), VECTOR, change) for change in _changes]
# Those whose nets see the context only.
_AMORTISED: dict[str, list[dict[str, Any]]] = {
    "planar": [],
    "radial": [],
    "sylvester": [{"variant": "householder"}, {"variant": "triangular"}, {"columns": 2}],
}
for _name, _changes in _AMORTISED.items():
    EFFECTS += [
        (_name, (4,), {**VECTOR, "context_dim": 2}, change)
        for change in (
            *_changes,
            {"transforms": 4},
            {"hidden": (9,)},
            {"activation": "tanh"},
            {"direction": "to_data"},
            {"standardise": False},
            {"levels": 9},
            {"base": "logistic"},
            {"linear": "lu"},
        )
    ]
    EFFECTS += [
        (_name, (4,), {**VECTOR, "levels": 9}, change) for change in ({"alpha": 0.1}, {"dequantisation": "variational"})
    ]
# Without a context there is no net in it, and options of the nets have no effect.
_WITH_CONTEXT = {**VECTOR, "components": 3, "context_dim": 2}
EFFECTS += [
    ("gaussianization", (4,), _WITH_CONTEXT, change)
    for change in (
        {"transforms": 4},
        {"components": 4},
        {"rotation": "random"},
        {"hidden": (9,)},
        {"activation": "tanh"},
        {"standardise": False},
        {"levels": 9},
        *({"base": base} for base in ("logistic", "learned-normal", "mixture", "student-t")),
    )
]
EFFECTS += [
    ("gaussianization", (4,), {**_WITH_CONTEXT, "levels": 9}, change)
    for change in ({"alpha": 0.1}, {"dequantisation": "variational"})
]
_PERIODIC = {**VECTOR, "circular": (0, 2), "low": -1.0, "high": 10.0}
EFFECTS += [
    ("circular_nsf", (4,), _PERIODIC, change)
    for change in (
        {"circular": (0, 1)},
        {"low": (-1.0, -2.0)},
        {"high": (10.0, 11.0)},
        {"standardise": False},
        {"transforms": 4},
        {"hidden": (9,)},
        {"activation": "tanh"},
        {"dropout": 0.5},
        {"bins": 3},
        {"bound": 2.0},
    )
]
_BLOCKS: dict[str, Any] = {**VECTOR, "coefficient": 0.7}
for _name in ("iresnet", "residual_flow"):
    _other = "lipswish" if _name == "iresnet" else "elu"
    EFFECTS += [
        (_name, (4,), _BLOCKS, change)
        for change in (
            {"transforms": 4},
            {"hidden": (9,)},
            {"activation": _other},
            {"coefficient": 0.8},
            {"iterations": 2},
            {"log_det": "truncated"},
            {"log_det": "roulette"},
            {"standardise": False},
            {"base": "logistic"},
            {"levels": 9},
        )
    ]
    EFFECTS += [
        (_name, (4,), {**_BLOCKS, "log_det": "truncated"}, {"terms": 3}),
        (_name, (4,), {**_BLOCKS, "log_det": "roulette"}, {"exact_terms": 9}),
        (_name, (4,), {**_BLOCKS, "levels": 9}, {"alpha": 0.1}),
        (_name, (4,), {**_BLOCKS, "levels": 9}, {"dequantisation": "variational"}),
        (_name, (1, 4, 4), _GLOW, {"channels": 5}),
        (_name, (1, 4, 4), _GLOW, {"scales": 2}),
    ]
for _name, _splines in (("vflow", {"map": "spline"}), ("cif", {"inner": "nsf"})):
    EFFECTS += [(_name, (4,), {**VECTOR, **_splines}, change) for change in ({"bins": 3}, {"bound": 2.0})]
EFFECTS += [
    ("anf", (3,), VECTOR, change)
    for change in (
        {"transforms": 4},
        {"extra": 2},
        {"hidden": (9,)},
        {"activation": "tanh"},
        {"standardise": False},
        {"base": "logistic"},
        {"levels": 9},
    )
]
EFFECTS += [
    ("anf", (3,), {**VECTOR, "levels": 9}, {"alpha": 0.1}),
    ("anf", (3,), {**VECTOR, "levels": 9}, {"dequantisation": "variational"}),
    ("anf", (1, 4, 4), {"channels": 4}, {"channels": 5}),
    ("anf", (1, 8, 8), {"channels": 4}, {"scales": 2}),
    ("cif", (1, 8, 8), _GLOW, {"channels": 5}),
    ("cif", (1, 8, 8), _GLOW, {"scales": 2}),
    ("cif", (1, 8, 8), _GLOW, {"inner_steps": 2}),
]
_MACOW = {"transforms": 1, "channels": 4, "masked_channels": 4, "scales": 1}
EFFECTS += [
    ("macow", (1, 8, 8), _MACOW, change)
    for change in (
        {"transforms": 2},
        {"units": 2},
        {"kernel": (1, 3)},
        {"masked_channels": 5},
        {"channels": 5},
        {"scales": 2},
        {"memory_saving": True},
        {"standardise": False},
        {"base": "logistic"},
        {"levels": 9},
    )
]
EFFECTS += [
    ("macow", (1, 8, 8), {**_MACOW, "scales": 2}, {"portions": 1}),
    ("macow", (1, 8, 8), {**_MACOW, "levels": 9}, {"alpha": 0.1}),
    ("macow", (1, 8, 8), {**_MACOW, "levels": 9}, {"dequantisation": "variational"}),
]
_POOLED = {"transforms": 1, "channels": 4, "scales": 2}
EFFECTS += [
    ("survae_maxpool", (1, 8, 8), _POOLED, change)
    for change in (
        {"transforms": 2},
        {"channels": 5},
        {"scales": 3},
        {"linear": "none"},
        {"map": "spline"},
        {"rest": "exponential"},
        {"given_maximum": False},
        {"memory_saving": True},
        {"standardise": False},
        {"base": "logistic"},
        {"levels": 9},
    )
]
EFFECTS += [
    ("survae_maxpool", (1, 8, 8), {**_POOLED, "map": "spline"}, {"bins": 3}),
    ("survae_maxpool", (1, 8, 8), {**_POOLED, "map": "spline"}, {"bound": 2.0}),
    ("survae_maxpool", (1, 8, 8), {**_POOLED, "levels": 9}, {"alpha": 0.1}),
    ("survae_maxpool", (1, 8, 8), {**_POOLED, "levels": 9}, {"dequantisation": "variational"}),
]
_SOLVED: dict[str, Any] = {"hidden": (8,)}
_CONTINUOUS: tuple[dict[str, Any], ...] = (
    {"hidden": (9,)},
    {"activation": "tanh"},
    {"trace": "hutchinson"},
    {"tolerance": 1e-3},
    {"standardise": False},
    {"levels": 9},
)
EFFECTS += [(name, (3,), _SOLVED, change) for name in ("ffjord", "flow_matching") for change in _CONTINUOUS]
EFFECTS += [
    ("ffjord", (3,), _SOLVED, change)
    for change in (
        {"transforms": 2},
        {"base": "logistic"},
        {"training_tolerance": 1e-2},
        {"kinetic": 0.5},
        {"jacobian": 0.5},
        {"adjoint": False},
    )
]
EFFECTS += [
    *((name, (3,), {**_SOLVED, "levels": 9}, {"alpha": 0.1}) for name in ("ffjord", "flow_matching")),
    ("ffjord", (3,), {**_SOLVED, "levels": 9}, {"dequantisation": "variational"}),
    ("ffjord", (1, 8, 8), {"hidden": (4,)}, {"scales": 2}),
    ("flow_matching", (3,), _SOLVED, {"path": "variance-preserving"}),
    ("flow_matching", (3,), _SOLVED, {"coupling": "optimal"}),
]
