"""Linear layers: where they start, what they reach, and what they refuse."""

from collections.abc import Callable
from functools import partial

import pytest
import torch

from pushforward.errors import OptionError
from pushforward.transforms import DenseLinear, Householder, LULinear
from pushforward.transforms.linear import Linear
from pushforward.transforms.reflections import householder

_MAKES: dict[str, Callable[..., Linear]] = {
    "lu": LULinear,
    "dense": partial(DenseLinear, start="identity"),
    "householder": Householder,
}


@pytest.mark.parametrize("features", [1, 2, 17])
@pytest.mark.parametrize("name", _MAKES)
def test_a_layer_starts_at_the_identity(name: str, features: int) -> None:
    layer = _MAKES[name](features)
    x = torch.randn(4, features)
    for direction in (layer.to_latent, layer.to_data):
        value, log_term = direction(x)
        assert torch.equal(value, x)
        assert torch.equal(log_term, torch.zeros(4))


@pytest.mark.parametrize("features", [1, 2, 17, 100])
@pytest.mark.parametrize("name", ["lu", "dense", "householder"])
def test_an_orthogonal_start_keeps_lengths_and_volume(name: str, features: int) -> None:
    torch.manual_seed(3)
    layer = _MAKES[name](features, start="orthogonal").double()
    weight = layer.weight()
    torch.testing.assert_close(weight @ weight.T, torch.eye(features).double(), atol=1e-5, rtol=0)
    assert abs(float(layer.log_det().detach())) <= 1e-4
    if features > 1:
        assert (weight - torch.eye(features)).abs().max() > 0.1


def test_principal_axes_become_the_coordinates_once() -> None:
    generator = torch.Generator().manual_seed(0)
    mixing = torch.randn(4, 4, generator=generator, dtype=torch.float64)
    x = torch.randn(500, 4, generator=generator, dtype=torch.float64) @ mixing + 3
    layer = Householder(4, "pca").double()
    layer.initialise(x)
    z, _ = layer.to_latent(x)
    covariance = torch.cov(z.T)
    torch.testing.assert_close(covariance, covariance.diagonal().diag(), atol=1e-10, rtol=0)
    assert (covariance.diagonal().diff() < 0).all()
    weight = layer.weight()
    layer.initialise(torch.randn_like(x))
    assert torch.equal(layer.weight(), weight)
    again = Householder(4, "pca").double()
    again.load_state_dict(layer.state_dict())
    again.initialise(torch.randn_like(x))
    assert torch.equal(again.weight(), weight)


def test_principal_axes_of_too_few_rows_are_not_taken() -> None:
    layer = Householder(4, "pca")
    weight = layer.weight()
    layer.initialise(torch.randn(7, 4))
    assert torch.equal(layer.weight(), weight)


def test_a_permutation_start_reorders_at_random_and_learns_on() -> None:
    torch.manual_seed(0)
    layer = LULinear(9, start="permutation")
    x = torch.randn(3, 9)
    z, log_term = layer.to_latent(x)
    assert not torch.equal(z, x)
    assert torch.equal(z.sort(1).values, x.sort(1).values)
    assert torch.equal(log_term, torch.zeros(3))
    assert layer.state_problem() is None
    layer.signs[0] = 2.0
    assert layer.state_problem() == "has signs other than 1 and -1"
    layer.order.fill_(0)
    assert layer.state_problem() == "does not hold each coordinate once"


def test_householder_products_are_orthogonal_whatever_the_numbers() -> None:
    generator = torch.Generator().manual_seed(0)
    for scale in (1e-8, 1.0, 1e4):
        product = householder(scale * torch.randn(20, 20, generator=generator, dtype=torch.float64))
        torch.testing.assert_close(product @ product.T, torch.eye(20).double(), atol=1e-12, rtol=0)
        assert float(torch.linalg.det(product)) == pytest.approx(1.0)


def test_a_diagonal_stays_bounded_for_any_parameters() -> None:
    layer = LULinear(4, limit=2.0).double()
    with torch.no_grad():
        layer.packed.copy_(torch.diag(torch.tensor([1e9, -1e9, 50.0, -50.0])))
    x = torch.randn(6, 4, dtype=torch.float64)
    z, log_term = layer.to_latent(x)
    assert z.abs().max() <= x.abs().max() * torch.tensor(2.0).exp() * (1 + 1e-9)
    assert log_term.abs().max() <= 8
    torch.testing.assert_close(layer.to_data(z)[0], x)


@pytest.mark.parametrize("name", _MAKES)
def test_a_batch_innermost_in_memory_is_as_good(name: str) -> None:
    layer = _MAKES[name](5)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    x = torch.randn(5, 8).T
    for direction in (layer.to_latent, layer.to_data):
        torch.testing.assert_close(direction(x)[0], direction(x.contiguous())[0])


@pytest.mark.parametrize("name", _MAKES)
def test_under_autocast_the_matrix_is_not_rounded(name: str) -> None:
    layer = _MAKES[name](5)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    x = torch.randn(8, 5)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        z, _ = layer.to_latent(x)
        back, _ = layer.to_data(z)
    assert z.dtype == torch.float32
    assert torch.equal(z, layer.to_latent(x)[0])
    torch.testing.assert_close(back, x)


@pytest.mark.parametrize("name", _MAKES)
def test_an_image_is_a_vector_of_channels_at_every_pixel(name: str) -> None:
    torch.manual_seed(0)
    layer, vectors = _MAKES[name]((3, 4, 5)).double(), _MAKES[name](3).double()
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    vectors.load_state_dict(layer.state_dict())
    x = torch.randn(2, 3, 4, 5, dtype=torch.float64)
    for direction in ("to_latent", "to_data"):
        wanted, term = getattr(vectors, direction)(x.movedim(1, -1).reshape(-1, 3))
        for given in (x, x.contiguous(memory_format=torch.channels_last)):
            value, log_term = getattr(layer, direction)(given)
            torch.testing.assert_close(value.movedim(1, -1).reshape(-1, 3), wanted)
            torch.testing.assert_close(log_term, term.reshape(2, 20).sum(1))
            assert value.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("rank", [0, 1, 2])
def test_a_dense_matrix_without_an_inverse_gets_one(rank: int) -> None:
    layer = DenseLinear(3, bias=False).double()
    factors = torch.randn(2, 3, rank, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    with torch.no_grad():
        layer.matrix.copy_(factors[0] @ factors[1].T)
    x = torch.randn(5, 3, dtype=torch.float64)
    z, log_term = layer.to_latent(x)
    back, _ = layer.to_data(z)
    torch.testing.assert_close(back, x, atol=1e-9, rtol=1e-9)
    # Each of the missing pivots counts for exp(-10), and the others are those of the matrix.
    assert (log_term <= 10 * (rank - 3) + 5).all()
    log_term.sum().backward()
    assert layer.matrix.grad is not None
    assert layer.matrix.grad.isfinite().all()
    with torch.no_grad():
        layer.matrix.add_(1e-6 * layer.matrix.grad)
    assert (layer.to_latent(x)[1] > log_term).all()


def test_a_dense_matrix_with_an_inverse_is_itself() -> None:
    layer = DenseLinear(6, bias=False).double()
    torch.testing.assert_close(layer.weight(), layer.matrix, atol=0, rtol=1e-15)
    torch.testing.assert_close(layer.log_det(), torch.linalg.slogdet(layer.matrix).logabsdet)


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(OptionError, match=r"features of a linear layer must be at least 1, got 0"):
        LULinear(0)
    with pytest.raises(OptionError, match=r"start 'permutation' .* expected one of identity, orthogonal"):
        Householder(3, "permutation")  # type: ignore[arg-type]
    with pytest.raises(OptionError, match=r"limit of a log-scale must be above 0"):
        LULinear(3, limit=0.0)
