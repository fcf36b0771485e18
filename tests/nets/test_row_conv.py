"""Masked convolutions: the order, the way back row by row, where they start, and what they refuse."""

from typing import Any, get_args

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Normal

from entries.macow import masked_conv
from pushforward.errors import OptionError, ShapeError
from pushforward.maps import Affine, DeepSigmoidal, DistributionCDF, SoftClampScale
from pushforward.nets import ResidualConvNet, RowConvNet
from pushforward.nets.row_conv import Side
from pushforward.transforms import Autoregressive

_SIDES = get_args(Side)
_SHAPE = (2, 4, 3)


def _random(layer: Autoregressive) -> Autoregressive:
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.copy_(0.4 * torch.randn(parameter.shape, generator=generator))
    return layer.double()


def _images(n: int = 3, seed: int = 1) -> Tensor:
    return torch.randn(n, *_SHAPE, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def _rank(side: Side) -> Tensor:
    """When each coordinate's row (or column) is reached, ``(C * H * W,)``."""
    _, height, width = _SHAPE
    rows, columns = torch.arange(height)[:, None].expand(height, width), torch.arange(width).expand(height, width)
    rank = {"top": rows, "bottom": height - 1 - rows, "left": columns, "right": width - 1 - columns}[side]
    return rank.expand(_SHAPE).flatten()


@pytest.mark.parametrize("direction", ["to_latent", "to_data"])
@pytest.mark.parametrize("side", _SIDES)
def test_the_jacobian_is_triangular_in_rows_and_diagonal_within_one(side: Side, direction: str) -> None:
    layer = _random(masked_conv(_SHAPE, (2, 3), side))

    def flat(x: Tensor) -> Tensor:
        out: Tensor = getattr(layer, direction)(x.reshape(1, *_SHAPE))[0].flatten()
        return out

    jacobian = torch.autograd.functional.jacobian(flat, _images(1).flatten())
    rank, own = _rank(side), torch.eye(len(jacobian), dtype=torch.bool)
    earlier = rank[None] < rank[:, None]
    assert (jacobian[~(earlier | own)] == 0).all()
    assert (jacobian[own] > 0).all()
    distance = rank[:, None] - rank[None]
    reach = 2 if direction == "to_latent" else int(rank.max())
    assert (jacobian[(distance > reach)] == 0).all()
    for back in range(1, reach + 1):
        assert (jacobian[distance == back] != 0).any()


@pytest.mark.parametrize("side", _SIDES)
def test_the_way_back_computes_each_row_once(side: Side) -> None:
    layer, seen = masked_conv(_SHAPE, (2, 3), side), []

    def note(module: nn.Module, args: tuple[Any, ...], out: Tensor) -> None:
        seen.append((args[0].shape[2], out.shape[2]))

    layer.net.first.register_forward_hook(note)
    layer.to_data(_images(3).float())
    rows = 4 if side in ("top", "bottom") else 3
    assert seen == [(2, 1)] * rows, "one row a call, from the two before it"
    seen.clear()
    layer.to_latent(_images(3).float())
    assert seen == [(rows + 1, rows)]


@pytest.mark.parametrize("side", _SIDES)
def test_a_masked_convolution_starts_at_the_identity(side: Side) -> None:
    layer, x = masked_conv(_SHAPE, (2, 3), side).double(), _images()
    for direction in (layer.to_latent, layer.to_data):
        value, log_term = direction(x)
        assert torch.equal(value, x)
        assert torch.equal(log_term, torch.zeros(3, dtype=torch.float64))


@pytest.mark.parametrize("rows", [1, 2, 5])
def test_kernels_higher_than_the_image_and_images_of_one_row_are_as_good(rows: int) -> None:
    for shape in ((2, 1, 4), (2, 3, 1)):
        layer = _random(masked_conv(shape, (rows, 5), "bottom"))
        x = torch.randn(3, *shape, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
        z, log_term = layer.to_latent(x)
        back, back_term = layer.to_data(z)
        torch.testing.assert_close(back, x, atol=1e-12, rtol=0)
        torch.testing.assert_close(back_term, -log_term, atol=1e-12, rtol=0)


@pytest.mark.parametrize("side", _SIDES)
def test_the_way_back_holds_after_training(side: Side) -> None:
    torch.manual_seed(0)
    layer = masked_conv(_SHAPE, (2, 3), side)
    x = _images(256).float()
    # Rows that repeat the one before, twice as large, whichever side one comes from.
    x = x + 2 * x.roll(1, 2) + 2 * x.roll(1, 3)
    optimiser = torch.optim.Adam(layer.parameters(), 1e-2)
    losses = []
    for _ in range(60):
        z, log_term = layer.to_latent(x)
        loss = (0.5 * z.square().flatten(1).sum(1) - log_term).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0] - 5
    layer, x = layer.double(), x.double()
    z, log_term = layer.to_latent(x)
    back, back_term = layer.to_data(z)
    torch.testing.assert_close(back, x, atol=1e-11, rtol=1e-11)
    torch.testing.assert_close(back_term, -log_term, atol=1e-11, rtol=1e-11)
    samples, _ = layer.to_data(_images(64, 3))
    torch.testing.assert_close(layer.to_latent(samples)[0], _images(64, 3), atol=1e-10, rtol=1e-10)


def test_any_map_will_do() -> None:
    map = DeepSigmoidal(3)
    layer = _random(Autoregressive(map, RowConvNet(_SHAPE, map.n_params, 4, (2, 3), "left")))
    x = _images()
    z, log_term = layer.to_latent(x)
    back, back_term = layer.to_data(z)
    torch.testing.assert_close(back, x, atol=1e-9, rtol=1e-9)
    torch.testing.assert_close(back_term, -log_term, atol=1e-9, rtol=1e-9)


def test_every_row_depends_on_the_context_the_first_one_too() -> None:
    layer = _random(masked_conv(_SHAPE, (2, 3), "top", context=2))
    x = _images(1)

    def flat(context: Tensor) -> Tensor:
        return layer.to_latent(x, context)[0].flatten()

    jacobian = torch.autograd.functional.jacobian(flat, torch.ones(1, 2, dtype=torch.float64))
    assert (jacobian != 0).all()


@pytest.mark.parametrize("direction", ["to_latent", "to_data"])
def test_under_autocast_nothing_is_rounded(direction: str) -> None:
    layer, x = _random(masked_conv(_SHAPE, (2, 3), "right")).float(), _images().float()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value, log_term = getattr(layer, direction)(x)
    wanted, wanted_term = getattr(layer, direction)(x)
    assert torch.equal(value, wanted)
    assert torch.equal(log_term, wanted_term)


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ShapeError, match=r"needs events \(C, H, W\), got \(4,\)"):
        RowConvNet((4,), 2)
    with pytest.raises(OptionError, match=r"side 'middle' is not known; expected one of top, bottom, left, right"):
        RowConvNet(_SHAPE, 2, side="middle")  # type: ignore[arg-type]
    with pytest.raises(OptionError, match="is a StagedNet, ResidualConvNet is not; use"):
        Autoregressive(Affine(SoftClampScale()), ResidualConvNet(2, 4))  # type: ignore[arg-type]
    laws = DistributionCDF(Normal(torch.zeros(3), torch.ones(3)))
    with pytest.raises(OptionError, match=r"an Autoregressive needs a map that is the same .* shape \(3,\)"):
        Autoregressive(laws, RowConvNet(_SHAPE, 2))
    with pytest.raises(OptionError, match=r"one or more rows and an odd width expected, got \(2, 4\)"):
        RowConvNet(_SHAPE, 2, 4, (2, 4))
    with pytest.raises(OptionError, match=r"one or more rows and an odd width expected, got \(0, 3\)"):
        RowConvNet(_SHAPE, 2, 4, (0, 3))
