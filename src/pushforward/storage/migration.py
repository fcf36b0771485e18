"""Migration of saved models: configurations and tensor names of earlier formats are converted to the present format.

A model of any earlier format can always be loaded. A change of the layout of `config.json`, of an architecture's
options or of the name of a parameter or buffer raises `FORMAT` by one. It also adds a step to `_STEPS`, or entries to
`_RENAMED_TENSORS` or `_ADDED_TENSORS`, for the format before. The configuration is read from a file and not validated
yet: a step does not change a value of an unexpected form, and validation rejects it afterwards.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

FORMAT = 3

Config = dict[str, Any]


def migrate(raw: Config) -> Config:
    """The content of a `config.json` of format 1 to `FORMAT`, in the present format; ``raw`` does not change."""
    for step in _STEPS[raw["format"] - 1 :]:
        raw = step(raw)
    return {**raw, "format": FORMAT}


def present_name(tensor: str, saved_format: int) -> str:
    """The present name of a tensor in the weights of a model that was saved in ``saved_format``."""
    for renamed in _RENAMED_TENSORS[saved_format - 1 :]:
        for pattern, replacement in renamed.items():
            tensor = re.sub(pattern, replacement, tensor)
    return tensor


def is_later(tensor: str, saved_format: int) -> bool:
    """Whether a tensor of the present format is absent from ``saved_format``: its module then uses a default."""
    return any(re.match(pattern, tensor) for added in _ADDED_TENSORS[saved_format - 1 :] for pattern in added)


def options_of_format_1(name: str, event_shape: tuple[int, ...], options: Config) -> Config:
    """Options of format 1 for the architecture ``name``, converted to its present options for ``event_shape``.

    In format 1 an architecture had one set of options for vectors and images together. Those for the other kind of
    event were saved at their defaults.
    """
    unused = (_ONLY_FOR_IMAGES if len(event_shape) == 1 else _ONLY_FOR_VECTORS).get(name, ())
    return {option: value for option, value in options.items() if option not in unused}


def _from_1_to_2(raw: Config) -> Config:
    match raw.get("flow"):
        case {"name": str(name), "event_shape": [*shape], "options": dict(options), **others} if _is_shape(shape):
            options = options_of_format_1(name, tuple(shape), options)
            raw = {**raw, "flow": {"name": name, "event_shape": shape, "options": options, **others}}
    match raw.get("data"):
        case dict(data):
            raw = {**raw, "data": _data_of_format_1(data)}
    return raw


def _data_of_format_1(data: Config) -> Config:
    """The data configuration of format 1, with the options of reading moved into a separate object."""
    options = {name: data[name] for name in _READING_OPTIONS_OF_FORMAT_1 if name in data}
    facts = {name: value for name, value in data.items() if name not in options}
    return {**facts, "preparation": {**options, "columns": data.get("columns"), "context": data.get("context_columns")}}


def _is_shape(sizes: list[Any]) -> bool:
    return all(type(size) is int for size in sizes)


_READING_OPTIONS_OF_FORMAT_1 = ("labels", "bits", "resize", "crop", "grey", "limit", "test")

# The options of format 1 that applied to one kind of event only, in the architectures for both kinds.
_NET = ("hidden", "activation", "dropout", "partition")
_ONLY_FOR_VECTORS = {
    "real_nvp": ("transforms", "linear", *_NET),
    "glow": _NET,
    "nsf": _NET,
    "flowpp": ("transforms", "hidden", "activation", "partition"),
    "vflow": _NET,
    "cif": _NET,
    "anf": ("hidden", "activation"),
    "iresnet": ("hidden",),
    "residual_flow": ("hidden",),
}
_ONLY_FOR_IMAGES = {
    "real_nvp": ("channels", "blocks", "scales", "net_norm"),
    "glow": ("channels", "scales", "memory_saving"),
    "nsf": ("channels", "scales", "memory_saving", "blocks", "net_norm"),
    "flowpp": ("channels", "blocks", "heads"),
    "vflow": ("channels", "scales", "memory_saving"),
    "cif": ("channels", "scales"),
    "anf": ("channels", "scales"),
    "iresnet": ("channels", "scales"),
    "residual_flow": ("channels", "scales"),
    "ffjord": ("scales",),
}

# Entry i converts a configuration of format i + 1 to format i + 2.
_STEPS: tuple[Callable[[Config], Config], ...] = (_from_1_to_2, dict)

# Entry i: pattern -> replacement (both as in `re.sub`), for the tensors that format i + 2 renamed.
_RENAMED_TENSORS: tuple[dict[str, str], ...] = (
    # The flow of variational dequantisation and its features became a conditional density.
    {r"\.noise_flow\.": ".density.transform.", r"(\.transforms\.\d+)\.features\.": r"\1.density.features."},
    {},
)

# Entry i: patterns of the tensors that format i + 2 added.
_ADDED_TENSORS: tuple[tuple[str, ...], ...] = (
    (),
    # Earlier formats did not standardise contexts.
    (r"context_scale\.",),
)
