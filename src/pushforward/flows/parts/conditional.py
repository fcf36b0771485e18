"""Conditional densities of a few values given the data, for flows that add noise to the event."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from pushforward.events import Shape
from pushforward.maps import Affine, SoftClampScale
from pushforward.nets import MLP, ResidualConvNet
from pushforward.transforms import Chain, Checkerboard, ConditionalFlow, Coupling, Elementwise, Transform
from pushforward.transforms.conditional import conditional_gaussian
from pushforward.transforms.partition import VectorPartition, half


def conditional_density(
    event_shape: Shape,
    given_shape: Shape,
    context_dim: int,
    hidden: Sequence[int] = (64, 64),
    channels: int = 16,
    couplings: int = 0,
) -> ConditionalFlow:
    """A density of real values given others and a context, which starts at the standard normal.

    A net computes means and log-scales from the given values and the context. couplings: how many precede this
    diagonal Gaussian, so that the values may be correlated; a single value has none. Both shapes are of vectors, with
    nets of widths ``hidden``, or of images of one size, with convolutional nets of ``channels``.
    """
    if len(event_shape) == 1:
        (size,), given = event_shape, given_shape[0] + context_dim
        last = conditional_gaussian(event_shape, given_shape[0], context_dim, hidden).transform
        steps: list[Transform] = []
        partition: VectorPartition | Checkerboard = half(size)
        for _ in range(couplings if size > 1 else 0):
            map = Affine(SoftClampScale())
            steps.append(Coupling(partition, map, MLP(*partition.net_sizes(map), hidden, given, "silu")))
            partition = partition.complement()
        return ConditionalFlow(Chain([*steps, last]))
    given, steps, partition = given_shape[0] + context_dim, [], Checkerboard(event_shape)
    for _ in range(couplings if event_shape[1:] != (1, 1) else 0):
        map = Affine(SoftClampScale())
        net = ResidualConvNet(
            event_shape[0] + given, map.n_params * event_shape[0], channels, 1, "none", mask=partition.mask
        )
        steps.append(Coupling(partition, map, _BesideKept(net)))
        partition = partition.complement()
    map = Affine(SoftClampScale())
    net = ResidualConvNet(given, map.n_params * event_shape[0], channels, 1, "none")
    steps.append(Elementwise(map, event_shape, nn.Sequential(net, nn.Flatten())))
    return ConditionalFlow(Chain(steps), _GivenImage())


class _GivenImage(nn.Module):
    """The given image, with the context's numbers as channels that are constant over the pixels."""

    def forward(self, given: Tensor, context: Tensor | None = None) -> Tensor:
        if context is None:
            return given
        everywhere = context.flatten(1)[:, :, None, None].expand(-1, -1, *given.shape[2:])
        return torch.cat([given, everywhere], 1)


class _BesideKept(nn.Module):
    """A net of a coupling's kept part and an image of the same size, concatenated."""

    def __init__(self, net: ResidualConvNet) -> None:
        super().__init__()
        self.net = net

    def forward(self, kept: Tensor, given: Tensor) -> Tensor:
        out: Tensor = self.net(torch.cat([kept, given], 1))
        return out
