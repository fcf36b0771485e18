"""The architectures: the modules of `pushforward.flows.architectures`, and how one is built by name."""

from __future__ import annotations

import pkgutil
from importlib import import_module
from typing import Any

from torch import nn

from pushforward.errors import OptionError
from pushforward.events import Shape
from pushforward.flow import Flow
from pushforward.flow_config import FlowConfig
from pushforward.flows import architectures
from pushforward.flows.options import Architecture, validated

_ARCHITECTURES: dict[str, Architecture] = {}
for _module in pkgutil.iter_modules(architectures.__path__):
    _found = import_module(f"{architectures.__name__}.{_module.name}").ARCHITECTURE
    _ARCHITECTURES[_found.name] = _found


def names() -> tuple[str, ...]:
    """The names that `build` knows."""
    return tuple(_ARCHITECTURES)


def describe(name: str) -> Architecture:
    """What the architecture of that name is, when to choose it, and which options it has."""
    if name not in _ARCHITECTURES:
        raise OptionError(f"flow {name!r} is not known; expected one of {', '.join(_ARCHITECTURES)}")
    return _ARCHITECTURES[name]


def build(name: str, event_shape: Shape, context_dim: int = 0, classes: int = 0, **options: Any) -> Flow:
    """Build a flow by name, at its start: ``flow.config`` holds what was built.

    event_shape: ``(D,)`` for vectors, ``(C, H, W)`` for images. context_dim: length of a context vector, 0 for none.
    classes: number of labels; the flow then takes integer labels (B,) as its context, through an embedding of its own
    of width ``context_dim`` (16 if that is 0). Weights are drawn from torch's global generator: seed it for a
    repeatable start. Raises OptionError, ShapeError.

    >>> import torch
    >>> flow = build("real_nvp", event_shape=(2,))
    >>> flow.log_prob(torch.zeros(3, 2)).shape
    torch.Size([3])
    """
    architecture = describe(name)
    event_shape = tuple(int(size) for size in event_shape)
    if any(size < 1 for size in event_shape) or context_dim < 0 or classes < 0:
        raise OptionError(
            f"sizes must be positive, got event_shape {event_shape}, context_dim {context_dim}, classes {classes}"
        )
    if classes and not context_dim:
        context_dim = 16
    chosen = validated(architecture, options)
    flow = architecture.build(event_shape, context_dim, chosen)
    flow.context_shape = (context_dim,) if context_dim else None
    flow.embedding = nn.Embedding(classes, context_dim) if classes else None
    flow.config = FlowConfig(name, event_shape, context_dim, classes, chosen.model_dump(mode="json"))
    return flow
