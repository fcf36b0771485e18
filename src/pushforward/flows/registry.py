"""The registry of architectures, and how a flow is built by name."""

from __future__ import annotations

import math
import operator
import pkgutil
from collections.abc import Iterable, Sequence
from importlib import import_module
from types import ModuleType
from typing import Any

from torch import nn

from pushforward.bases import Base, build_base
from pushforward.error_messages import did_you_mean
from pushforward.errors import OptionError, ShapeError
from pushforward.events import Shape
from pushforward.flow import Flow, FlowConfig
from pushforward.flows import architectures
from pushforward.flows.data_layers import DataOptions, data_layers
from pushforward.flows.options import Architecture, Kind, Options
from pushforward.transforms.base import Chain

# Larger events are refused: a saved model of them could not be distinguished from one made to exhaust the memory.
MOST_COORDINATES = 1 << 22
_EMBEDDING_WIDTH = 16


def discover(package: ModuleType) -> dict[str, Architecture]:
    """The architectures in the modules of a package by name: each module has one, ``ARCHITECTURE``, with the module's
    name."""
    architectures_by_name = {}
    for module in pkgutil.iter_modules(package.__path__):
        architecture = import_module(f"{package.__name__}.{module.name}").ARCHITECTURE
        if architecture.name != module.name:
            raise OptionError(f"{package.__name__}.{module.name} holds an architecture named {architecture.name!r}")
        architectures_by_name[module.name] = architecture
    return architectures_by_name


_ARCHITECTURES = discover(architectures)


def register(architecture: Architecture) -> None:
    """Add an architecture to the registry: `build`, ``fit``, ``save`` and ``load`` know its name in this process.

    A model of it can be loaded only where it is registered. Raises OptionError for a name that is taken.

    >>> from pushforward.flows import Architecture, FlowOptions, Recipe, Steps, register
    >>> from pushforward.transforms import DenseLinear
    >>> class Options(FlowOptions):
    ...     transforms: int = 1
    >>> def steps(event_shape, context_dim, options):
    ...     return Steps([DenseLinear(event_shape) for _ in range(options.transforms)], options.base)
    >>> register(Architecture("linear", "a matrix", "For Gaussian data.", "mine", vectors=Recipe(Options, steps)))
    >>> build("linear", 3, transforms=2).config.options["transforms"]
    2
    """
    if architecture.name in _ARCHITECTURES:
        raise OptionError(f"flow {architecture.name!r} is registered already; choose another name")
    if not architecture.recipes:
        raise OptionError(f"architecture {architecture.name!r} has neither a recipe for vectors nor one for images")
    _ARCHITECTURES[architecture.name] = architecture


def names(kind: Kind | None = None) -> tuple[str, ...]:
    """The names that `build` knows; kind: only those for such events, ``vectors`` or ``images``.

    >>> from pushforward import flows
    >>> "nsf" in flows.names("vectors"), "maf" in flows.names("images")
    (True, False)
    """
    return tuple(name for name, each in _ARCHITECTURES.items() if kind is None or kind in each.recipes)


def describe(name: str) -> Architecture:
    """The architecture of that name: its summary, when to choose it, and its recipes with their options.

    >>> from pushforward import flows
    >>> flows.describe("maf").source
    'Papamakarios, Pavlakou & Murray, 2017'
    """
    if name not in _ARCHITECTURES:
        hint = did_you_mean(name, names()) or f"expected one of {', '.join(names())}."
        raise OptionError(
            f"flow {name!r} is not known; {hint} "
            "One of your own is known after pushforward.flows.register, on the command line with --import FILE"
        )
    return _ARCHITECTURES[name]


def build(
    name: str,
    event_shape: int | Sequence[int],
    *,
    context_dim: int = 0,
    classes: int = 0,
    options: Options | None = None,
    **more: Any,
) -> Flow:
    """Build an untrained flow by name; ``flow.config`` has its architecture and options.

    event_shape: ``(D,)`` or ``D`` for vectors, ``(C, H, W)`` for images. context_dim: length of a context vector, 0 for
    none. classes: number of labels; the flow then takes integer labels (B,) as its context, through its own embedding
    of width ``context_dim`` (16 if that is 0). The options are keywords (``bins=8``), or an object of the
    architecture's schema. Weights are drawn from torch's global generator: seed it for a repeatable start. Raises
    OptionError, ShapeError.

    >>> import torch
    >>> flow = build("real_nvp", event_shape=(2,), hidden=(64, 64))
    >>> flow.log_prob(torch.zeros(3, 2)).shape
    torch.Size([3])
    """
    architecture, shape = describe(name), _shape(event_shape)
    if any(size < 1 for size in shape) or context_dim < 0 or classes < 0:
        raise OptionError(
            f"sizes must be positive, got event_shape {shape}, context_dim {context_dim}, classes {classes}"
        )
    if math.prod(shape) > MOST_COORDINATES:
        raise OptionError(f"events of at most {MOST_COORDINATES:,} numbers are modelled, got event_shape {shape}")
    context_dim = context_dim or (_EMBEDDING_WIDTH if classes else 0)
    chosen = _chosen(architecture, shape, options, more)
    layers = data_layers(shape, context_dim, chosen) if isinstance(chosen, DataOptions) else []
    made = architecture.recipe(shape).steps(shape, context_dim, chosen)
    chain = Chain([*layers, *made.transforms])
    base = made.base if isinstance(made.base, Base) else build_base(made.base, chain.latent_shape, context_dim)
    embedding = nn.Embedding(classes, context_dim) if classes else None
    config = FlowConfig(name, shape, context_dim, classes, chosen.model_dump(mode="json"))
    context_shape = (context_dim,) if context_dim else None
    return Flow(base, chain, context_shape, embedding=embedding, config=config, objective=made.objective)


def _shape(event_shape: int | Sequence[int]) -> Shape:
    sizes = event_shape if isinstance(event_shape, Iterable) else (event_shape,)
    try:
        return tuple(operator.index(size) for size in sizes)
    except TypeError:
        raise ShapeError(f"event_shape of whole numbers expected, got {event_shape!r}") from None


def _chosen(architecture: Architecture, event_shape: Shape, options: Options | None, more: dict[str, Any]) -> Options:
    """The options as an object of the schema for such events."""
    if options is None:
        return architecture.validated(event_shape, more)
    schema = architecture.recipe(event_shape).options
    if more:
        raise OptionError(f"options as keywords or as one object expected, got both: {', '.join(more)} and an object")
    if type(options) is not schema:
        raise OptionError(
            f"{architecture.name} takes a {schema.__name__} for events {event_shape}, got a {type(options).__name__}"
        )
    return options
