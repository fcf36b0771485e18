"""MaCow: masked convolutions from four sides between Glow's layers, in a fine-grained multi-scale arrangement.

Source: Ma, Kong, Zhang & Hovy, "MaCow: Masked convolutional generative flow", 2019, and the authors' code, whose
scales are sigmoids below 1; those here start at 1 and lie on either side of it.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from pushforward.errors import OptionError, ShapeError
from pushforward.events import Shape
from pushforward.flow import Flow
from pushforward.flows.options import Architecture
from pushforward.flows.parts.scales import SqueezedOptions, squeezed_flow
from pushforward.maps import Affine, SoftClampScale
from pushforward.nets import ActNormConvNet, RowConvNet
from pushforward.transforms import ActNorm, Channelwise, Coupling, LULinear, MaskedConv
from pushforward.transforms.base import Transform
from pushforward.transforms.masked_conv import Side

_Size = Annotated[int, Field(ge=1)]

# What no log-scale exceeds. A step has five or more: together they reach as far as one coupling with the usual 5. With
# 5 for each, two scales of random weights could not be inverted in float64, and densities of `digits` were no higher.
_LIMIT = 1.0


class MaCowOptions(SqueezedOptions):
    """Options of `macow`."""

    transforms: Annotated[
        int, Field(ge=1, description="steps with a coupling each, before every portion of channels that leaves")
    ] = 2
    units: Annotated[int, Field(ge=1, description="masked convolutions from all four sides in a step")] = 1
    kernel: Annotated[
        tuple[_Size, _Size],
        Field(description="of a masked convolution: how many rows before each, and how wide, an odd number"),
    ] = (2, 5)
    masked_channels: Annotated[int, Field(ge=1, description="of the nets of masked convolutions")] = 32
    portions: Annotated[int, Field(ge=1, description="in how many pieces half of a scale's channels leave")] = 2


def build(event_shape: Shape, context_dim: int, options: MaCowOptions) -> Flow:
    """MaCow for images ``(C, H, W)`` of which at least one halving is even."""
    if len(event_shape) != 3:
        raise ShapeError(f"images, event_shape (channels, height, width), expected, got {tuple(event_shape)}")
    if options.kernel[1] % 2 == 0:
        raise OptionError(f"option kernel: an odd width expected, got {options.kernel}")

    def steps(shape: Shape) -> list[Transform]:
        return [layer for _ in range(options.transforms) for layer in _step(shape, context_dim, options)]

    return squeezed_flow(event_shape, context_dim, options, steps, options.portions)


def _step(shape: Shape, context_dim: int, options: MaCowOptions) -> list[Transform]:
    """Activation normalisation, 1 x 1 convolution, masked convolutions from all sides, affine coupling of channels."""
    layers: list[Transform] = [ActNorm(shape), LULinear(shape, "orthogonal")]
    for _ in range(options.units):
        layers += [ActNorm(shape), *_masked(shape, ("top", "bottom"), context_dim, options)]
        layers += [ActNorm(shape), *_masked(shape, ("left", "right"), context_dim, options)]
    partition, map = Channelwise(shape), _map()
    outputs = map.n_params * partition.changed_shape[0]
    net = ActNormConvNet(partition.kept_shape[0], outputs, options.channels, context_dim)
    return [*layers, Coupling(partition, map, net)]


def _masked(shape: Shape, sides: tuple[Side, Side], context_dim: int, options: MaCowOptions) -> list[Transform]:
    """Masked convolutions from opposite sides; none where there is one row only to go over."""
    channels, rows, width = shape if "top" in sides else (shape[0], shape[2], shape[1])
    if rows == 1:
        return []
    # No larger than the image: a part of the kernel would only ever see what lies beyond the border.
    kernel = (min(options.kernel[0], rows - 1), min(options.kernel[1], 2 * width - 1))
    found: list[Transform] = []
    for side in sides:
        map = _map()
        net = RowConvNet(channels, map.n_params * channels, options.masked_channels, kernel, context_dim)
        found.append(MaskedConv(shape, map, net, side))
    return found


def _map() -> Affine:
    return Affine(SoftClampScale(_LIMIT))


ARCHITECTURE = Architecture(
    name="macow",
    options=MaCowOptions,
    build=build,
    summary="masked convolutions from four sides, and affine couplings, for images",
    when="For images whose density counts more than the speed of sampling, which goes row by row.",
    source="Ma, Kong, Zhang & Hovy, 2019",
)
