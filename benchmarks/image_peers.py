"""Flows on images with the same layers in several libraries, as training steps to time.

Three flows without factored-out parts: Real NVP (checkerboard couplings, a squeeze, channel-wise couplings), couplings
of channels alone, and Glow's steps. FrEIA has no checkerboards, and the matrix of its step is a fixed rotation. The
couplings have Real NVP's residual nets or Glow's three convolutions; those of the peers are plain layers of torch.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

FLOWS = ("Real NVP", "channel couplings", "Glow")
SHAPES = {"1x28x28": (1, 28, 28), "3x32x32": (3, 32, 32)}


@dataclass(frozen=True)
class Size:
    """Flows of ``couplings`` steps; the channels and residual blocks of their nets; images in a batch."""

    couplings: int = 6
    channels: int = 32
    blocks: int = 2
    glow_channels: int = 64
    batch: int = 32


@dataclass(frozen=True)
class Subject:
    """A flow of a library in training mode, and one step of its training."""

    model: nn.Module
    step: Callable[[], None]

    @property
    def parameters(self) -> int:
        return sum(p.numel() for p in self.model.parameters() if p.requires_grad)


# A function of the flow's name, the shape of the images and the size of the flow; None where the library has none.
Build = Callable[[str, tuple[int, int, int], Size], "tuple[nn.Module, Callable[[Tensor], Tensor]] | None"]


class PlainResidualNet(nn.Module):
    """The layers of our `ResidualConvNet`, without weight normalisation."""

    def __init__(self, inputs: int, outputs: int, channels: int, blocks: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(inputs)
        self.first = nn.Conv2d(2 * inputs, channels, 3, padding=1)
        self.blocks = nn.ModuleList(_branch(channels) for _ in range(blocks))
        self.skips = nn.ModuleList(nn.Conv2d(channels, channels, 1) for _ in range(blocks + 1))
        self.last = nn.Sequential(nn.BatchNorm2d(channels), nn.ReLU(), _zero(nn.Conv2d(channels, outputs, 1)))

    def forward(self, h: Tensor) -> Tensor:
        h = self.norm(h)
        h = self.first(torch.cat([h, -h], 1).relu())
        total = self.skips[0](h)
        for block, skip in zip(self.blocks, list(self.skips)[1:], strict=True):
            h = h + block(h)
            total = total + skip(h)
        out: Tensor = self.last(total)
        return out


def _branch(channels: int) -> nn.Module:
    layers: list[nn.Module] = []
    for _ in range(2):
        layers += [nn.BatchNorm2d(channels), nn.ReLU(), nn.Conv2d(channels, channels, 3, padding=1)]
    return nn.Sequential(*layers)


def _zero(layer: nn.Conv2d) -> nn.Conv2d:
    nn.init.zeros_(layer.weight)
    assert layer.bias is not None
    nn.init.zeros_(layer.bias)
    return layer


def _glow_net(inputs: int, outputs: int, channels: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(inputs, channels, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(channels, channels, 1),
        nn.ReLU(),
        _zero(nn.Conv2d(channels, outputs, 3, padding=1)),
    )


def ours(flow: str, shape: tuple[int, int, int], size: Size) -> tuple[nn.Module, Callable[[Tensor], Tensor]]:
    """The flows here."""
    from pushforward import Chain, Flow
    from pushforward.bases import StandardNormal
    from pushforward.maps import Affine, SoftClampScale, TanhScale
    from pushforward.nets import ActNormConvNet, ResidualConvNet
    from pushforward.transforms import ActNorm, Channelwise, Checkerboard, Coupling, LULinear, Squeeze

    def residual(partition: Checkerboard | Channelwise) -> Coupling:
        map, mask = Affine(TanhScale()), partition.mask if isinstance(partition, Checkerboard) else None
        sizes = partition.net_sizes(map)
        return Coupling(partition, map, ResidualConvNet(*sizes, size.channels, size.blocks, mask=mask))

    squeeze = Squeeze(shape)
    half = [Channelwise(squeeze.latent_shape, keep_first=i % 2 == 0) for i in range(size.couplings)]
    steps: list[Any] = [squeeze]
    if flow == "Glow":
        for partition in half:
            map = Affine(SoftClampScale())
            net = ActNormConvNet(*partition.net_sizes(map), size.glow_channels)
            event = partition.event_shape
            steps += [ActNorm(event), LULinear(event, "orthogonal", bias=False), Coupling(partition, map, net)]
    elif flow == "Real NVP":
        steps = [residual(Checkerboard(shape, i % 2)) for i in range(size.couplings // 2)]
        steps += [squeeze, *(residual(partition) for partition in half[len(steps) :])]
    else:
        steps += [residual(partition) for partition in half]
    model = Flow(StandardNormal(squeeze.latent_shape), Chain(steps))
    model.initialise(torch.rand(size.batch, *shape))
    return model, model.log_prob


def normflows(flow: str, shape: tuple[int, int, int], size: Size) -> tuple[nn.Module, Callable[[Tensor], Tensor]]:
    """normflows' masked and channel-wise couplings and its Glow block. A masked coupling has two nets, so these are
    narrower."""
    import normflows as nf

    channels, height, width = shape
    squeezed = (4 * channels, height // 2, width // 2)
    modes = ["channel" if i % 2 == 0 else "channel_inv" for i in range(size.couplings)]

    def halves(mode: str) -> Any:
        net = PlainResidualNet(2 * channels, 4 * channels, size.channels, size.blocks)
        return nf.flows.AffineCouplingBlock(net, split_mode=mode)

    def masked(i: int) -> Any:
        rows, columns = torch.arange(height)[:, None], torch.arange(width)[None]
        mask = ((rows + columns) % 2 == i % 2).float().expand(shape).contiguous()
        narrow = round(size.channels / math.sqrt(2))
        nets = (PlainResidualNet(channels, channels, narrow, size.blocks) for _ in range(2))
        return nf.flows.MaskedAffineFlow(mask, *nets)

    # From the base to the data.
    if flow == "Glow":
        parts = [nf.flows.GlowBlock(squeezed[0], size.glow_channels, split_mode=mode) for mode in modes]
        parts.append(nf.flows.Squeeze())
    elif flow == "Real NVP":
        count = size.couplings // 2
        parts = [*map(halves, modes[count:]), nf.flows.Squeeze(), *map(masked, range(count))]
    else:
        parts = [*map(halves, modes), nf.flows.Squeeze()]
    model = nf.NormalizingFlow(nf.distributions.DiagGaussian(squeezed, trainable=False), parts)
    return model, model.log_prob


def freia(flow: str, shape: tuple[int, int, int], size: Size) -> tuple[nn.Module, Callable[[Tensor], Tensor]] | None:
    """FrEIA's one-sided coupling between random permutations of channels, and its block of a Glow step."""
    import FrEIA.framework as ff
    import FrEIA.modules as fm

    if flow == "Real NVP":
        return None
    model = ff.SequenceINN(*shape)
    model.append(fm.IRevNetDownsampling)
    for i in range(size.couplings):
        if flow == "Glow":
            net = partial(_glow_net, channels=size.glow_channels)
            model.append(fm.AllInOneBlock, subnet_constructor=net, permute_soft=True)
        else:
            residual = partial(PlainResidualNet, channels=size.channels, blocks=size.blocks)
            model.append(fm.PermuteRandom, seed=i)
            model.append(fm.AffineCouplingOneSided, subnet_constructor=residual)

    def log_prob(x: Tensor) -> Tensor:
        z, log_det = model(x)
        constant = 0.5 * math.log(2 * math.pi) * math.prod(shape)
        return log_det - 0.5 * z.square().flatten(1).sum(1) - constant

    return model, log_prob


LIBRARIES: dict[str, Build] = {"pushforward": ours, "normflows": normflows, "FrEIA": freia}


def subject(library: str, flow: str, shape: tuple[int, int, int], size: Size) -> Subject | None:
    """A flow of a library with Adam's fused steps on a batch of random images; None where the library has none."""
    torch.manual_seed(0)
    built = LIBRARIES[library](flow, shape, size)
    if built is None:
        return None
    model, log_prob = built
    batch = torch.rand(size.batch, *shape)
    optimiser = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=1e-4, fused=True)
    model.train()

    def step() -> None:
        optimiser.zero_grad()
        (-log_prob(batch).mean()).backward()
        optimiser.step()

    return Subject(model, step)
