"""MaCow: masked convolutions from four sides between Glow's layers, in a fine-grained multi-scale arrangement.

Source: Ma, Kong, Zhang & Hovy, "MaCow: Masked convolutional generative flow", 2019, and the authors' code, whose
scales are sigmoids below 1; those here start at 1 and lie on either side of it.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from pushforward.errors import OptionError
from pushforward.events import Shape
from pushforward.flows.options import Architecture, Recipe, Steps
from pushforward.flows.parts.fields import MemorySaving, Transforms
from pushforward.flows.parts.scales import ConvOptions, squeezed_scales
from pushforward.maps import Affine, SoftClampScale
from pushforward.nets import ActNormConvNet, RowConvNet
from pushforward.nets.row_conv import Side
from pushforward.transforms import (
    ActNorm,
    Autoregressive,
    Chain,
    Channelwise,
    Coupling,
    LULinear,
    Reversible,
    Transform,
)

_Size = Annotated[int, Field(ge=1)]

# Limit of every log-scale. A step has five or more: together they reach as far as one coupling with the usual 5. With
# 5 for each, two scales of random weights could not be inverted in float64, and densities of `digits` were no higher.
_LIMIT = 1.0


class MaCowOptions(ConvOptions):
    """Options of `macow`."""

    transforms: Annotated[
        Transforms, Field(description="steps, each with a coupling, before channels are factored out")
    ] = 2
    units: Annotated[int, Field(ge=1, description="masked convolutions from each of the four sides per step")] = 1
    kernel: Annotated[
        tuple[_Size, _Size],
        Field(description="size of a masked convolution: number of preceding rows, and an odd width"),
    ] = (2, 5)
    masked_channels: Annotated[int, Field(ge=1, description="channels of the masked convolutional nets")] = 32
    portions: Annotated[
        int, Field(ge=1, description="number of steps in which a scale factors out half of its channels")
    ] = 2
    memory_saving: MemorySaving = False


def steps(event_shape: Shape, context_dim: int, options: MaCowOptions) -> Steps:
    """Masked convolutions and couplings, in scales that factor out their channels in portions."""
    if options.kernel[1] % 2 == 0:
        raise OptionError(f"option kernel: an odd width expected, got {options.kernel}")

    def make_steps(shape: Shape) -> list[Transform]:
        return [layer for _ in range(options.transforms) for layer in _step(shape, context_dim, options)]

    join = Reversible if options.memory_saving else Chain
    scales = squeezed_scales(event_shape, context_dim, options.scales, make_steps, options.portions, join)
    return Steps([scales], options.base)


def _step(shape: Shape, context_dim: int, options: MaCowOptions) -> list[Transform]:
    """Activation normalisation, 1 x 1 convolution, masked convolutions from all sides, affine coupling of channels."""
    layers: list[Transform] = [ActNorm(shape), LULinear(shape, "orthogonal")]
    for _ in range(options.units):
        layers += [ActNorm(shape), *_masked(shape, ("top", "bottom"), context_dim, options)]
        layers += [ActNorm(shape), *_masked(shape, ("left", "right"), context_dim, options)]
    partition, map = Channelwise(shape), _map()
    net = ActNormConvNet(*partition.net_sizes(map), options.channels, context_dim)
    return [*layers, Coupling(partition, map, net)]


def _masked(shape: Shape, sides: tuple[Side, Side], context_dim: int, options: MaCowOptions) -> list[Transform]:
    """Masked convolutions from opposite sides; none where there is a single row."""
    rows, width = shape[1:] if "top" in sides else shape[:0:-1]
    if rows == 1:
        return []
    # No larger than the image: the rest of the kernel would only cover the padding.
    kernel = (min(options.kernel[0], rows - 1), min(options.kernel[1], 2 * width - 1))
    transforms: list[Transform] = []
    for side in sides:
        map = _map()
        net = RowConvNet(shape, map.n_params, options.masked_channels, kernel, side, context_dim)
        transforms.append(Autoregressive(map, net))
    return transforms


def _map() -> Affine:
    return Affine(SoftClampScale(_LIMIT))


ARCHITECTURE = Architecture(
    name="macow",
    summary="masked convolutions from four sides, and affine couplings, for images",
    when="For images when density matters more than the speed of sampling, which proceeds row by row.",
    source="Ma, Kong, Zhang & Hovy, 2019",
    images=Recipe(MaCowOptions, steps),
)
