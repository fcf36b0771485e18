"""Presets: published models with their training, read from run files."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any

from pushforward.error_messages import did_you_mean
from pushforward.errors import OptionError


@dataclass(frozen=True)
class Preset:
    """A published model: its architecture with options, its training, and the preparation of its data.

    options: for `flows.build`, without ``levels``, which depends on the data. training: for `TrainingOptions`, without
    a limit. preparation: for `data.load`.
    """

    name: str
    flow: str
    options: dict[str, Any] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)
    preparation: dict[str, Any] = field(default_factory=dict)


def names() -> tuple[str, ...]:
    """The names of all presets.

    >>> from pushforward import presets
    >>> "real_nvp-cifar10" in presets.names()
    True
    """
    found = (entry.name for entry in files(__package__).iterdir())
    return tuple(sorted(name.removesuffix(".toml") for name in found if name.endswith(".toml")))


def load(name: str) -> Preset:
    """The preset with the given name; raises OptionError for an unknown name.

    >>> from pushforward import flows
    >>> preset = load("real_nvp-cifar10")
    >>> preset.options["channels"], preset.training["batch_size"]
    (64, 64)
    >>> small = preset.options | {"channels": 2, "blocks": 1}
    >>> flow = flows.build(preset.flow, (3, 32, 32), levels=256, **small)
    """
    values = run_values(name)
    flow, options, training = (values.pop(key) for key in ("flow", "option", "training"))
    return Preset(name, flow, options, training, values)


def run_values(name: str) -> dict[str, Any]:
    """The preset with the given name, as the values of a run file."""
    if name not in names():
        hint = did_you_mean(name, names()) or f"expected one of {', '.join(names())}"
        raise OptionError(f"preset {name!r} is not known; {hint}")
    return tomllib.loads(files(__package__).joinpath(f"{name}.toml").read_text(encoding="utf-8"))
