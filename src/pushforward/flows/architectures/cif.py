"""Continuously indexed flow: every step is one of infinitely many bijections, chosen by an index that is drawn.

Source: Cornish, Caterini, Deligiannidis & Doucet, "Relaxing bijectivity constraints with continuously indexed
normalising flows", 2020.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Literal

from pydantic import Field
from torch import nn

from pushforward.bases import build_base
from pushforward.events import Shape
from pushforward.flow import Flow
from pushforward.flows.data_layers import data_layers
from pushforward.flows.options import Architecture, refuse_unused
from pushforward.flows.parts.conditional import drawn_given
from pushforward.flows.parts.scales import FOR_VECTORS, StepsOptions, refuse_other_events, squeezed_flow
from pushforward.flows.parts.vectors import (
    SplineOptions,
    autoregressive,
    bendable,
    couplings,
    linear_layers,
    refuse_mixing,
)
from pushforward.maps import Affine, Map, RationalQuadraticSpline, SoftClampScale
from pushforward.nets import ActNormConvNet
from pushforward.transforms import ActNorm, Channelwise, ContinuouslyIndexed, Coupling
from pushforward.transforms.base import Chain, Transform
from pushforward.transforms.conditional import conditional_gaussian

_LIMIT = 2.0  # of a log-scale of an affine map
_SPLINES = ("nsf", "nsf_ar")
_ORDERED = ("maf", "nsf_ar")


class CIFOptions(SplineOptions, StepsOptions):
    """Options of `cif`."""

    transforms: Annotated[int, Field(ge=1, description="steps with an index each; images: of every scale")] = 5
    inner: Annotated[
        Literal["real_nvp", "nsf", "maf", "nsf_ar"],
        Field(description="whose steps are indexed: couplings or, for vectors, autoregressive, affine or splines"),
    ] = "real_nvp"
    inner_steps: Annotated[
        int | None,
        Field(
            ge=1,
            description="couplings or autoregressive steps with the same index; None: 3 couplings for vectors, else 1",
        ),
    ] = None
    index: Annotated[
        int | None,
        Field(
            ge=1, description="numbers of an index; None: vectors, as many as coordinates, 8 at most; images, 1 each"
        ),
    ] = None


def build(event_shape: Shape, context_dim: int, options: CIFOptions) -> Flow:
    """Continuously indexed flow for events ``(D,)`` or ``(C, H, W)``."""
    refuse_other_events(event_shape, options, FOR_VECTORS, ("channels", "scales"))
    image = len(event_shape) != 1
    if image or options.inner in _ORDERED:
        why = f"inner={options.inner!r} has no use for it" if not image else "it is for vectors"
        refuse_unused(options, ("partition", "dropout"), why)
    if image and options.inner in _ORDERED:
        refuse_unused(options, ("inner",), "autoregressive steps are for vectors; real_nvp and nsf are for images too")
    if options.inner not in _SPLINES:
        refuse_unused(options, ("bins", "bound"), f"it is for splines, and inner is {options.inner!r}")
    if image:
        return squeezed_flow(event_shape, context_dim, options, _image_steps(context_dim, options))
    refuse_mixing(event_shape, options, ("linear",))
    layers = data_layers(event_shape, context_dim, options)
    # A coupling alone changes half of the coordinates, and an index costs as much as three.
    many = options.inner_steps or (1 if options.inner in _ORDERED else 3)
    inner = _vector_steps(event_shape, context_dim, options)
    for i in range(options.transforms):
        layers += [ActNorm(event_shape), *linear_layers(event_shape, options.linear, "orthogonal")]
        layers.append(_indexed([inner(many * i + j) for j in range(many)], context_dim, options))
    return Flow(build_base(options.base, event_shape, context_dim), Chain(layers))


def _map(options: CIFOptions) -> Map:
    if options.inner in _SPLINES:
        return RationalQuadraticSpline(options.bins, options.bound)
    return Affine(SoftClampScale(_LIMIT))


def _vector_steps(event_shape: Shape, context_dim: int, options: CIFOptions) -> Callable[[int], Transform]:
    if options.inner in _ORDERED:
        return lambda i: autoregressive(event_shape, context_dim, bendable(_map(options), event_shape), options)
    return couplings(event_shape, context_dim, lambda: bendable(_map(options), event_shape), options)


def _image_steps(context_dim: int, options: CIFOptions) -> Callable[[Shape], list[Transform]]:
    def steps(event_shape: Shape) -> list[Transform]:
        found: list[Transform] = []
        many = options.inner_steps or 1
        for i in range(options.transforms):
            first = 0 if options.linear != "none" else many * i
            inner = [coupling(event_shape, (first + j) % 2 == 0) for j in range(many)]
            found += [ActNorm(event_shape), *linear_layers(event_shape, options.linear, "orthogonal")]
            found.append(_indexed(inner, context_dim, options))
        return found

    def coupling(event_shape: Shape, keep_first: bool) -> Transform:
        partition, map = Channelwise(event_shape, keep_first=keep_first), _map(options)
        outputs = map.n_params * partition.changed_shape[0]
        net: nn.Module = ActNormConvNet(partition.kept_shape[0], outputs, options.channels, context_dim)
        return Coupling(partition, map, net)

    return steps


def _indexed(steps: list[Transform], context_dim: int, options: CIFOptions) -> ContinuouslyIndexed:
    inner = steps[0] if len(steps) == 1 else Chain(steps)
    shape = inner.latent_shape
    index = (options.index or (min(shape[0], 8) if len(shape) == 1 else 1), *shape[1:])
    if len(shape) == 1:
        # Where no index has an effect none is worth knowing, and the gradients of all that it goes through are 0.
        by_index = conditional_gaussian(shape, index[0], context_dim, zero=False)
    else:
        by_index = drawn_given(shape, index, context_dim)
    return ContinuouslyIndexed(
        inner, by_index, drawn_given(index, shape, context_dim), drawn_given(index, shape, context_dim)
    )


ARCHITECTURE = Architecture(
    name="cif",
    options=CIFOptions,
    build=build,
    summary="each step one of infinitely many bijections, chosen by a drawn index; the likelihood is a bound",
    when="To compare with the paper: in equal time its couplings alone were as good here; score with many samples.",
    source="Cornish, Caterini, Deligiannidis & Doucet, 2020",
)
