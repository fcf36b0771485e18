"""What an entry of the registry says of the thing to check, and the reasons for which a check may not apply."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from pushforward.bases import Base, StandardNormal
from pushforward.events import Shape
from pushforward.flows import build
from pushforward.maps import Map
from pushforward.transforms.base import Transform


class Reason(Enum):
    """The closed list of reasons for which a check does not apply to an entry."""

    BASE_ONLY = "a base has no transform"
    NO_PARAMETERS = "nothing to learn"
    NOT_A_BIJECTION = "not a bijection: the integral and golden values speak for its log term"
    TOO_LARGE = "more than 8 dimensions"
    COMPILE_SIZE = "compiled at 4 dimensions or fewer"
    EXACT = "exact, not a bound"
    BOUND_SIZE = "exact value by quadrature at 2 dimensions or fewer"
    NO_KNOWN_TRUTH = "not constructed to equal a known density"
    NO_GOLDEN_VALUE = "built of parts that have golden values"
    EAGER = "declares itself eager"
    COMPILED_ALREADY = "another entry compiles the same code"
    CLOSED_UNDER_CHAIN = "a chain keeps it, and every part and another entry of this architecture are checked"
    OWN_UNITS = "keeps the units of its data: no layer standardises them"
    FROM_TORCH = "torch's own distributions do not compile into one graph"


@dataclass(frozen=True)
class Entry:
    """One thing to check.

    architecture: the name by which a flow is built, None for what is assembled by hand. make: builds it, given the
    dtype that tensors outside modules should have. base: the density on the codomain with which a map or a
    transform is made a flow. context: the shape of one context, ``"labels"``, or None. rows: data to check on,
    ``(n, generator) -> (n, *event)`` in float64; None draws structured data in the domain. skips: checks that do
    not apply and why. differences: its backward is written by hand, so that Jacobians are taken by central
    differences. inverse_tolerance: what a numeric inverse promises in place of the bars of check a. tolerance: what
    a numeric log term promises, beside the bar of check b. bias: how far the mean of an estimated log term may lie
    from the exact one, because it is truncated. mixtures: finds the tensors whose first axis runs over the
    components of a mixture. smooth: a second order is promised. truth: draws from the density that the untrained
    entry is constructed to equal. golden: has golden values in tests/golden.
    """

    name: str
    kind: Literal["map", "transform", "base", "flow"]
    make: Callable[[torch.dtype], nn.Module]
    event_shape: Shape
    base: Callable[[torch.dtype, Shape], Base | Distribution] = lambda dtype, shape: StandardNormal(shape)
    context: Shape | Literal["labels"] | None = None
    rows: Callable[[int, torch.Generator], Tensor] | None = None
    skips: Mapping[str, Reason] = field(default_factory=dict)
    differences: bool = False
    inverse_tolerance: float | None = None
    tolerance: float = 0.0
    bias: float = 0.0
    mixtures: Callable[[nn.Module], list[Tensor]] | None = None
    smooth: bool = False
    truth: Callable[[int, int], Tensor] | None = None
    golden: bool = False
    architecture: str | None = None

    @property
    def size(self) -> int:
        """How many values one event has."""
        return math.prod(self.event_shape)

    def __str__(self) -> str:
        return self.name


LABELS = 3  # classes of the entries that are conditional on labels


def map_entry(name: str, make: Callable[[torch.dtype], Map], **more: Any) -> Entry:
    """A map, on two coordinates unless ``event_shape`` says otherwise."""
    return Entry(f"map: {name}", "map", make, more.pop("event_shape", (2,)), **more)


def transform_entry(name: str, event_shape: Shape, make: Callable[[], Transform], **more: Any) -> Entry:
    """A transform; ``make`` takes no dtype, its tensors are those of a module."""
    return Entry(f"transform: {name}", "transform", lambda dtype: make(), event_shape, **more)


def base_entry(name: str, event_shape: Shape, make: Callable[[torch.dtype], nn.Module], **more: Any) -> Entry:
    """A base."""
    return Entry(f"base: {name}", "base", make, event_shape, **more)


def flow_entry(
    flow: str,
    name: str,
    event_shape: Shape,
    context: int = 0,
    classes: int = 0,
    more: Mapping[str, Any] | None = None,
    **options: Any,
) -> Entry:
    """A flow built by name with ``options``; more: further fields of the entry."""
    seen: Shape | Literal["labels"] | None = "labels" if classes else (context,) if context else None
    return Entry(
        f"flow: {flow}, {name}",
        "flow",
        lambda dtype: build(flow, event_shape, context_dim=context, classes=classes, **options),
        event_shape,
        context=seen,
        architecture=flow,
        **(more or {}),
    )


def vector_entry(flow: str, name: str, features: int = 2, **options: Any) -> Entry:
    """A small flow on vectors."""
    return flow_entry(flow, name, (features,), **{"transforms": 4, "hidden": (16, 16), **options})
