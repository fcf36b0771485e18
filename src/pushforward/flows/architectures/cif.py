"""Continuously indexed flow: every step is one of infinitely many bijections, selected by a random index.

Source: Cornish, Caterini, Deligiannidis & Doucet, "Relaxing bijectivity constraints with continuously indexed
normalising flows", 2020.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Literal

from pydantic import Field

from pushforward.events import Shape
from pushforward.flows.options import Architecture, Options, Recipe, Steps, refuse_unused
from pushforward.flows.parts.autoregressive import autoregressive
from pushforward.flows.parts.conditional import conditional_density
from pushforward.flows.parts.couplings import CouplingOptions, couplings
from pushforward.flows.parts.fields import Bins, Bound, LinearBefore, Transforms
from pushforward.flows.parts.maps import affine_or_spline, bendable
from pushforward.flows.parts.mixing import refuse_mixing
from pushforward.flows.parts.scales import ConvCouplingOptions, act_norm_nets, coupling_steps, squeezed_scales
from pushforward.flows.parts.steps import MakeStep, normalised
from pushforward.maps import Map
from pushforward.maps.affine import STACKED_LIMIT
from pushforward.transforms import Chain, ConditionalFlow, ContinuouslyIndexed, Transform
from pushforward.transforms.conditional import conditional_gaussian

_SPLINES = ("nsf", "nsf_ar")
_ORDERED = ("maf", "nsf_ar")


class CIFVectorOptions(CouplingOptions):
    """Options of `cif` on vectors."""

    transforms: Annotated[Transforms, Field(description="steps, each with its own index")] = 5
    linear: LinearBefore = "lu"
    inner: Annotated[
        Literal["real_nvp", "nsf", "maf", "nsf_ar"],
        Field(description="flow with indexed steps: couplings or autoregressive, affine or splines"),
    ] = "real_nvp"
    inner_steps: Annotated[
        int | None,
        Field(ge=1, description="steps that share an index; None: 3 couplings, or 1 autoregressive step"),
    ] = None
    index: Annotated[int | None, Field(ge=1, description="dimension of the index u; None: min(D, 8)")] = None
    bins: Bins = 8
    bound: Bound = 3.0


class CIFImageOptions(ConvCouplingOptions):
    """Options of `cif` on images."""

    transforms: Annotated[Transforms, Field(description="steps of every scale, each with its own index")] = 5
    inner: Annotated[
        Literal["real_nvp", "nsf"], Field(description="flow with indexed couplings: affine or splines")
    ] = "real_nvp"
    inner_steps: Annotated[int | None, Field(ge=1, description="couplings that share an index; None: 1")] = None
    index: Annotated[int | None, Field(ge=1, description="channels of the index u; None: 1")] = None
    bins: Bins = 8
    bound: Bound = 3.0


def vector_steps(event_shape: Shape, context_dim: int, options: CIFVectorOptions) -> Steps:
    """Couplings or autoregressive steps, in groups with an index each."""
    if options.inner in _ORDERED:
        refuse_unused(options, ("partition", "dropout"), f"inner={options.inner!r} has no use for it")
    refuse_mixing(event_shape, options, ("linear",))
    make_map = _maps(options, options.inner, options.bins, options.bound)
    inner = _inner_steps(event_shape, context_dim, options, lambda: bendable(make_map(), event_shape))
    # A single coupling changes half of the coordinates, and an index costs as much as three couplings.
    group = options.inner_steps or (1 if options.inner in _ORDERED else 3)
    index = (options.index or min(event_shape[0], 8),)

    def step(i: int) -> Transform:
        steps = [inner(group * i + j) for j in range(group)]
        # An index without effect at the start would give zero gradients to all nets that it passes through.
        by_index = conditional_gaussian(event_shape, index[0], context_dim, zero=False)
        return _indexed(steps[0] if group == 1 else Chain(steps), by_index, index, context_dim)

    return Steps(normalised(event_shape, options, step), options.base)


def image_steps(event_shape: Shape, context_dim: int, options: CIFImageOptions) -> Steps:
    """Couplings of channels with an index each, in squeezed scales."""

    def indexed(inner: Transform) -> Transform:
        index = (options.index or 1, *inner.latent_shape[1:])
        return _indexed(inner, conditional_density(inner.latent_shape, index, context_dim), index, context_dim)

    make_map = _maps(options, options.inner, options.bins, options.bound)
    nets = act_norm_nets(options, context_dim)
    steps = coupling_steps(options, make_map, nets, options.inner_steps or 1, indexed)
    return Steps([squeezed_scales(event_shape, context_dim, options.scales, steps)], options.base)


def _maps(options: Options, inner: str, bins: int, bound: float) -> Callable[[], Map]:
    reason = f"it is for splines, and inner is {inner!r}"
    return affine_or_spline(options, inner in _SPLINES, bins, bound, STACKED_LIMIT, reason)


def _inner_steps(
    event_shape: Shape, context_dim: int, options: CIFVectorOptions, make_map: Callable[[], Map]
) -> MakeStep:
    if options.inner in _ORDERED:
        return lambda i: autoregressive(event_shape, context_dim, options, make_map())
    return couplings(event_shape, context_dim, options, make_map)


def _indexed(inner: Transform, by_index: ConditionalFlow, index: Shape, context_dim: int) -> ContinuouslyIndexed:
    shape = inner.latent_shape
    prior, posterior = (conditional_density(index, shape, context_dim) for _ in range(2))
    return ContinuouslyIndexed(inner, by_index, prior, posterior)


ARCHITECTURE = Architecture(
    name="cif",
    summary="steps of infinitely many bijections, selected by a random index; the likelihood is a bound",
    when="To compare with the paper: couplings without the index fit as well in equal time; score with many samples.",
    source="Cornish, Caterini, Deligiannidis & Doucet, 2020",
    vectors=Recipe(CIFVectorOptions, vector_steps),
    images=Recipe(CIFImageOptions, image_steps),
)
