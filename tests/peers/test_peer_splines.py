"""Our spline and a whole spline coupling flow against zuko and nflows, with the same raw parameters and weights."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from pushforward.bases import StandardNormal
from pushforward.flow import Flow
from pushforward.maps import RationalQuadraticSpline
from pushforward.nets import MLP
from pushforward.transforms import Coupling, VectorPartition
from pushforward.transforms.base import Chain

_BINS, _BOUND = 6, 2.5
# What nflows adds nothing to: its raw slope is this much above ours, where 0 is a slope of 1.
_OFFSET = math.log(math.expm1(1 - 1e-3))


def _case(size: float) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(2)
    x = torch.linspace(-1.3 * _BOUND, 1.3 * _BOUND, 300, dtype=torch.float64).reshape(100, 3)
    raw = size * torch.randn(100, 3, 3 * _BINS - 1, generator=generator, dtype=torch.float64)
    return x, *raw.split([_BINS, _BINS, _BINS - 1], -1)  # type: ignore[return-value]


def _ours(map: RationalQuadraticSpline, x: Tensor, *raw: Tensor, back: bool = False) -> tuple[Tensor, Tensor]:
    params = torch.cat(raw, -1).movedim(-1, 0)
    return map.inverse(x, params) if back else map(x, params)


@pytest.mark.parametrize("size", [0.3, 2.0])
@pytest.mark.parametrize("back", [False, True])
def test_spline_is_that_of_nflows(size: float, back: bool) -> None:
    peer = pytest.importorskip("nflows.transforms.splines.rational_quadratic")
    x, widths, heights, slopes = _case(size)
    theirs = peer.unconstrained_rational_quadratic_spline(
        x, widths, heights, slopes + _OFFSET, inverse=back, tails="linear", tail_bound=_BOUND
    )
    ours = _ours(RationalQuadraticSpline(_BINS, _BOUND), x, widths, heights, slopes, back=back)
    for got, wanted in zip(ours, theirs, strict=True):
        torch.testing.assert_close(got, wanted, atol=1e-6, rtol=0)


@pytest.mark.parametrize("size", [0.3, 2.0])
@pytest.mark.parametrize("back", [False, True])
def test_spline_is_that_of_zuko(size: float, back: bool) -> None:
    peer = pytest.importorskip("zuko.transforms")
    x, widths, heights, slopes = _case(size)
    spline = peer.MonotonicRQSTransform(widths, heights, slopes, bound=_BOUND)
    # The same knots: zuko squashes raw numbers, has no least size, and takes the exponential as a slope.
    squashed = [raw / (1 + abs(2 * raw / math.log(1e-3))) for raw in (widths, heights)]
    steepness = (slopes / (1 + abs(slopes / math.log(1e-3)))).exp()
    least = 1e-9
    raw_slopes = torch.log(torch.expm1(steepness - least)) - math.log(math.expm1(1 - least))
    map = RationalQuadraticSpline(_BINS, _BOUND, min_width=least, min_height=least, min_slope=least)
    theirs = (spline.inv if back else spline).call_and_ladj(x)
    for got, wanted in zip(_ours(map, x, *squashed, raw_slopes, back=back), theirs, strict=True):
        torch.testing.assert_close(got, wanted, atol=1e-6, rtol=0)


class _PeerNet(torch.nn.Module):
    """An MLP of ours as the net of an nflows coupling: features outermost, slopes with their offset."""

    def __init__(self, net: MLP, features: int) -> None:
        super().__init__()
        self.net, self.features = net, features

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        raw = self.net(x).reshape(len(x), 3 * _BINS - 1, self.features).transpose(1, 2).clone()
        raw[..., 2 * _BINS :] += _OFFSET
        return raw.reshape(len(x), -1)


@pytest.mark.filterwarnings("ignore:Inputs to the softmax are not scaled down")
def test_spline_coupling_flow_is_that_of_nflows() -> None:
    peer = pytest.importorskip("nflows")
    from nflows.distributions.normal import StandardNormal as PeerNormal
    from nflows.flows.base import Flow as PeerFlow
    from nflows.transforms import CompositeTransform, PiecewiseRationalQuadraticCouplingTransform

    assert peer is not None
    torch.manual_seed(0)
    features, ours, theirs = 5, [], []
    for step in range(4):
        changed = range(step % 2, features, 2)
        count = len(changed)
        partition = VectorPartition(features, changed)
        map = RationalQuadraticSpline(_BINS, _BOUND)
        net = MLP(features - count, map.n_params * count, (16, 16))
        for parameter in net.parameters():
            torch.nn.init.normal_(parameter, std=0.4)
        ours.append(Coupling(partition, map, net))
        mask = [int(i in changed) for i in range(features)]
        theirs.append(
            PiecewiseRationalQuadraticCouplingTransform(
                mask, lambda *_, net=net, n=count: _PeerNet(net, n), _BINS, tails="linear", tail_bound=_BOUND
            )
        )
    flow = Flow(StandardNormal((features,)), Chain(ours)).double()
    peer_flow = PeerFlow(CompositeTransform(theirs), PeerNormal([features])).double()
    x = 1.5 * torch.randn(200, features, dtype=torch.float64)
    with torch.no_grad():
        value = flow.log_prob(x)
        torch.testing.assert_close(value, peer_flow.log_prob(x), atol=1e-6, rtol=0)
        z, _ = flow.transform.to_latent(x)
        torch.testing.assert_close(z, peer_flow.transform_to_noise(x), atol=1e-6, rtol=0)
    assert value.std() > 0.5, "weights at which every spline is close to the identity would show nothing"
