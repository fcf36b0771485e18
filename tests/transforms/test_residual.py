"""Residual blocks: inverses with a certificate, gradients through them, series that are unbiased or say otherwise."""

import math

import pytest
import torch
from torch import Tensor

from pushforward.diagnostics.estimates import estimated_log_terms, excess
from pushforward.diagnostics.inversion import data_round_trip
from pushforward.domain import REAL
from pushforward.errors import NumericsError, OptionError
from pushforward.flows import build
from pushforward.nets import contractive_conv_net, contractive_mlp
from pushforward.nets.lipschitz import Contraction
from pushforward.transforms import ExactLogDet, LogDet, Residual, RouletteLogDet, TruncatedLogDet, exactly
from pushforward.transforms.fixed_point import solve, tolerance
from pushforward.transforms.power_series import geometric, power_series
from subjects import structured

_DOUBLE = torch.float64


def _random(shape: tuple[int, ...], seed: int = 0, dtype: torch.dtype = _DOUBLE) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def _block(log_det: LogDet, features: int = 4, coefficient: float = 0.98) -> Residual:
    """A block that contracts almost as much as its bound allows: its Jacobian is about -0.8 on the diagonal."""
    torch.manual_seed(0)
    block = _perturbed(
        Residual((features,), contractive_mlp(features, (16,), 0, "lipswish", coefficient), log_det), 0.3
    )
    first, last = block.net.layers
    with torch.no_grad():
        first.bias.add_(2.0)  # type: ignore[operator]
        for layer, sign in ((first, 3.0), (last, -3.0)):
            layer.weight.add_(sign * torch.eye(*layer.weight.shape))  # type: ignore[operator, arg-type, misc]
    return block


def _perturbed(block: Residual, scale: float = 2.0) -> Residual:
    with torch.no_grad():
        for parameter in block.parameters():
            parameter.add_(scale * torch.randn_like(parameter))
    return block.double().eval()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("shape", [(2,), (12,), (1, 8, 8)], ids=str)
def test_inverses_reach_their_stated_tolerance_after_training(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    options = {"channels": 8, "scales": 1} if len(shape) == 3 else {"hidden": (32, 32)}
    flow = build("residual_flow", shape, transforms=2, **options)
    x = structured(64, shape, REAL, torch.Generator().manual_seed(0)).float()
    x = x.sign() * 3 + 0.1 * x
    flow.initialise(x)
    optimiser = torch.optim.Adam(flow.parameters(), 2e-2)
    for _ in range(50):
        optimiser.zero_grad()
        (-flow.log_prob(x).mean()).backward()
        optimiser.step()
    flow = flow.to(dtype).eval()
    blocks = [m for m in flow.modules() if isinstance(m, Residual)]
    assert len(blocks) == 2
    for block in blocks:
        z = 3 * _random((16, *block.data_shape)).to(dtype)
        found = solve(block.net.at(None), z, block.net.lipschitz)
        # What it converged to in twice the precision, with the same weights.
        exact = z.double()
        wide = block.double().net.at(None)
        for _ in range(700):
            exact = exact - (exact + wide(exact) - z.double())
        block.to(dtype)
        error = (found.double() - exact).flatten(1).square().mean(1).sqrt() / (1 + exact.flatten(1).abs().amax(1))
        assert error.max() <= tolerance(dtype)
        assert exact.isfinite().all()
        assert (found - z).abs().max() > 0.1, "the block does nothing: nothing was tested"


def test_the_error_of_a_fixed_point_is_below_its_certificate() -> None:
    matrix = _random((5, 5))
    matrix = 0.97 * matrix / torch.linalg.matrix_norm(matrix, 2)
    z = _random((20, 5), 1)
    found = solve(lambda x: x @ matrix.T, z, 0.97)
    exact = torch.linalg.solve(torch.eye(5, dtype=_DOUBLE) + matrix, z.T).T
    error = (found - exact).square().mean(1).sqrt() / (1 + exact.abs().amax(1))
    assert error.max() <= tolerance(_DOUBLE)
    assert tolerance(torch.float32) < 1e-5
    assert tolerance(torch.float64) < 2e-12


def test_what_does_not_contract_is_refused_by_row() -> None:
    factor = torch.tensor([0.5, 1.5, -0.5, -1.2], dtype=_DOUBLE)[:, None]
    with pytest.raises(NumericsError, match=r"did not converge in 2 of 4 rows \(rows 1, 3\)"):
        solve(lambda x: factor * x, _random((4, 2)), 0.9)
    with pytest.raises(NumericsError, match=r"1 of 4 rows \(rows 2\)"):
        solve(lambda x: torch.where(torch.arange(4)[:, None] == 2, math.nan, 0.5 * x), _random((4, 2)), 0.9)


def test_values_that_are_not_finite_stay_in_their_row() -> None:
    z = _random((4, 3))
    clean = solve(lambda x: 0.5 * x.sin(), z, 0.5)
    bad = z.clone()
    bad[1], bad[2, 0] = math.nan, math.inf
    found = solve(lambda x: 0.5 * x.clamp(-9, 9).sin(), bad, 0.5)
    assert torch.equal(found[[0, 3]], clean[[0, 3]])
    assert found[1].isnan().all()
    assert found[2, 0] == math.inf


@pytest.mark.parametrize("name", ["input", "parameters", "context"])
def test_gradients_through_the_inverse_are_those_of_the_implicit_function(name: str) -> None:
    torch.manual_seed(0)
    block = _perturbed(Residual((3,), contractive_mlp(3, (8,), 2)), 1.0)
    z, context = _random((5, 3)).requires_grad_(), _random((5, 2), 1).requires_grad_()
    u = _random((5, 3), 2)
    wanted_by = {"input": [z], "context": [context], "parameters": list(block.parameters())}[name]
    x = block.to_data(z, context)[0]
    found = torch.autograd.grad((x * u).sum(), wanted_by)
    # (I + J)^-T u by a matrix, and then through g at the fixed point.
    fixed = x.detach().requires_grad_()
    jacobian = torch.stack([torch.autograd.grad(block.net(fixed, context)[:, i].sum(), fixed)[0] for i in range(3)], 1)
    w = torch.linalg.solve((torch.eye(3, dtype=_DOUBLE) + jacobian).transpose(1, 2), u)
    value = (w * z).sum() - (w * block.net(x.detach(), context)).sum()
    for got, want in zip(found, torch.autograd.grad(value, wanted_by), strict=True):
        torch.testing.assert_close(got, want, atol=1e-11, rtol=1e-9)


def test_tiny_gradients_keep_their_digits_and_second_order_is_refused() -> None:
    block = _block(ExactLogDet()).float()
    z = _random((5, 4)).float().requires_grad_()
    (small,) = torch.autograd.grad(1e-12 * block.to_data(z)[0].sum(), z)
    (large,) = torch.autograd.grad(block.to_data(z)[0].sum(), z)
    torch.testing.assert_close(1e12 * small, large)
    (first,) = torch.autograd.grad(block.to_data(z)[0].sum(), z, create_graph=True)
    torch.testing.assert_close(first, large)
    with pytest.raises(OptionError, match="first order only"):
        torch.autograd.grad(first.sum(), z)


def _linear(matrix: Tensor) -> Contraction:
    return lambda x, rows=None: x @ matrix.T


def _roulette_noise(n: int, features: int, dtype: torch.dtype = _DOUBLE) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(5)
    probe = 2 * torch.randint(0, 2, (n, features), generator=generator).to(dtype) - 1
    return probe, torch.rand(n, 2, generator=generator, dtype=dtype)


@pytest.mark.parametrize("survival", [0.3, 0.5, 0.9])
def test_rows_go_on_with_the_probability_that_they_are_weighted_by(survival: float) -> None:
    n = 400_000
    count = geometric(torch.rand(n, 2, generator=torch.Generator().manual_seed(0)), survival)
    for least in range(12):
        wanted = survival**least
        fraction = float((count >= least).double().mean())
        assert abs(fraction - wanted) <= 4 * math.sqrt(wanted * (1 - wanted) / n) + 1e-12


def test_counts_are_the_same_in_every_dtype_and_have_no_end_at_24() -> None:
    uniform = torch.rand(10_000, 2, generator=torch.Generator().manual_seed(0))
    assert torch.equal(geometric(uniform, 0.5), geometric(uniform.double(), 0.5))
    last = 1 - 2.0**-24
    ends = torch.tensor([[0.0, 0.0], [0.5, 0.0], [last, 0.0], [last, 0.5], [last, last]])
    assert geometric(ends, 0.5).tolist() == [0, 1, 24, 25, 48]


@pytest.mark.parametrize("training", [False, True])
def test_roulette_is_right_on_average_where_the_series_is_long(training: bool) -> None:
    # J = -0.6 I: after the first 3 terms 0.06 nats a coordinate are still missing.
    n, features = 100_000, 3
    how = RouletteLogDet(exact_terms=2, evaluation_terms=2)
    x = torch.zeros(n, features, dtype=_DOUBLE)
    g = _linear(-0.6 * torch.eye(features, dtype=_DOUBLE))
    with torch.no_grad():
        _, value = how.value(g, x, _roulette_noise(n, features), 0.6, training)
    wanted = torch.tensor(features * math.log(0.4), dtype=_DOUBLE)
    assert excess(value, wanted) <= 0
    assert abs(sum(0.6**k / k for k in range(1, 4)) + math.log(0.4)) > 0.05


def test_variance_of_roulette_is_finite_in_evaluation_where_it_would_not_be_in_training() -> None:
    # J = -0.94 I: with survival 0.5 the terms outgrow their probabilities.
    lipschitz, n = 0.94, 20_000
    how = RouletteLogDet()
    g = _linear(-lipschitz * torch.eye(2, dtype=_DOUBLE))
    x, noise = torch.zeros(n, 2, dtype=_DOUBLE), _roulette_noise(n, 2)
    with torch.no_grad():
        value = how.value(g, x, noise, lipschitz, False)[1]
        wild = how.value(g, x, noise, lipschitz, True)[1]
    assert value.std() < 0.5
    assert wild.std() > 2 * value.std()
    assert excess(value, torch.tensor(2 * math.log(1 - lipschitz), dtype=_DOUBLE)) <= 0


def test_mean_gradient_in_training_is_the_exact_one() -> None:
    block, n = _block(RouletteLogDet(), coefficient=0.8).train(), 4000
    block.net.requires_grad_(False)
    weight = block.net.layers[0].weight.requires_grad_()
    # Power iterations until the norms no longer change from call to call.
    for _ in range(200):
        block.net.at(None)
    x = _random((1, 4)).expand(n, 4).clone().requires_grad_()
    value = block.to_latent(x, None, _roulette_noise(n, 4))[1]
    (by_row,) = torch.autograd.grad(value.sum(), x, retain_graph=True)
    groups = torch.stack([torch.autograd.grad(part.mean(), weight, retain_graph=True)[0] for part in value.split(100)])
    one = x[:1].detach().requires_grad_()
    with exactly(block):
        exact = block.to_latent(one, None, None)[1].sum()
    wanted_x, wanted_w = torch.autograd.grad(exact, [one, weight])
    assert excess(by_row, wanted_x[0]).max() <= 0
    along = _random((4, weight.numel()), 3)
    assert excess(groups.flatten(1) @ along.T, along @ wanted_w.flatten()).max() <= 0


def test_the_gradient_is_not_that_of_the_value_for_one_probe() -> None:
    # Otherwise a test of the mean would say nothing of the Neumann series.
    block = _block(RouletteLogDet())
    x, noise = _random((3, 4)).requires_grad_(), _roulette_noise(3, 4)
    value = block.to_latent(x, None, noise)[1]
    (found,) = torch.autograd.grad(value.sum(), x)
    step = 1e-6 * torch.eye(4, dtype=_DOUBLE)
    with torch.no_grad():
        slopes = [
            (block.to_latent(x + s, None, noise)[1] - block.to_latent(x - s, None, noise)[1]) / 2e-6 for s in step
        ]
    assert (torch.stack(slopes, 1) - found).abs().max() > 1e-4


def test_memory_for_the_gradient_does_not_grow_with_the_number_of_terms() -> None:
    block = _block(ExactLogDet())

    def kept(terms: int) -> int:
        sizes = []

        def pack(tensor: Tensor) -> Tensor:
            sizes.append(tensor.numel())
            return tensor

        weights = torch.ones(terms + 1, 8, dtype=_DOUBLE)
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
            power_series(block.net.at(None), _random((8, 4)), _roulette_noise(8, 4)[0], weights, weights)
        return sum(sizes)

    assert kept(40) == kept(3)


@pytest.mark.parametrize("terms", [1, 2, 5])
def test_a_truncated_series_has_the_bias_of_what_is_left_out(terms: int) -> None:
    j, features = 0.8, 3
    g = _linear(j * torch.eye(features, dtype=_DOUBLE))
    x = torch.zeros(2, features, dtype=_DOUBLE)
    how = TruncatedLogDet(terms)
    value = how.value(g, x, _roulette_noise(2, features)[0], j, False)[1].detach()
    left_out = features * sum((-1) ** (k + 1) * j**k / k for k in range(terms + 1, 400))
    torch.testing.assert_close(value + left_out, torch.full((2,), features * math.log1p(j), dtype=_DOUBLE))
    assert str(how.estimator) == f"truncated after {terms} terms, biased"
    assert abs(left_out) <= features * sum(j**k / k for k in range(terms + 1, 400))


def test_the_bias_of_a_truncated_series_shows_and_roulette_has_none() -> None:
    x = _random((4, 4))
    for how, biased in ((TruncatedLogDet(2), True), (RouletteLogDet(evaluation_terms=2), False)):
        values, exact = estimated_log_terms(_block(how), x, probes=4000)
        assert bool(excess(values, exact).max() > 0) is biased


def test_exact_terms_on_request_and_no_longer_than_that() -> None:
    block, x, noise = _block(RouletteLogDet()), _random((5, 4)), _roulette_noise(5, 4)
    reference = Residual((4,), block.net, ExactLogDet()).eval()
    with exactly(block):
        torch.testing.assert_close(block.to_latent(x, None, noise), reference.to_latent(x))
        torch.testing.assert_close(block.to_data(x, None, noise), reference.to_data(x))
    assert not block.exact
    assert (block.to_latent(x, None, noise)[1] != reference.to_latent(x)[1]).all()


def test_missing_noise_and_impossible_options_are_refused() -> None:
    with pytest.raises(OptionError, match="RouletteLogDet needs its noise, the probe of its series"):
        _block(RouletteLogDet()).to_latent(_random((2, 4)))
    with pytest.raises(OptionError, match="TruncatedLogDet needs its noise, the probe of its series"):
        _block(TruncatedLogDet()).to_data(_random((2, 4)))
    with pytest.raises(OptionError, match="terms must be at least 1"):
        TruncatedLogDet(0)
    with pytest.raises(OptionError, match="survival must be above 0 and below 1"):
        RouletteLogDet(survival=1.0)
    with pytest.raises(OptionError, match="exact_terms must not be negative"):
        RouletteLogDet(-1)
    with pytest.raises(OptionError, match="at least one axis"):
        Residual((), contractive_mlp(1))


def test_a_row_does_not_depend_on_how_long_the_others_go_on() -> None:
    block, x = _block(RouletteLogDet()), _random((2, 4))
    probe = _roulette_noise(2, 4)[0]
    last = 1 - 2.0**-24
    short, long = (torch.tensor([[0.1, 0.0], [u, 0.0]], dtype=_DOUBLE) for u in (0.1, last))
    with torch.no_grad():
        first = [block.to_latent(x, None, (probe, u))[1] for u in (short, long)]
    assert torch.equal(first[0][0], first[1][0])
    assert first[0][1] != first[1][1]


def test_blocks_on_images_and_on_a_single_coordinate() -> None:
    torch.manual_seed(0)
    image = _perturbed(Residual((2, 3, 3), contractive_conv_net((2, 3, 3), 4), ExactLogDet()))
    x = _random((3, 2, 3, 3))
    jacobian = torch.func.vmap(torch.func.jacrev(lambda v: v + image.net.at()(v[None])[0]))(x).reshape(3, 18, 18)
    torch.testing.assert_close(image.to_latent(x)[1], torch.linalg.slogdet(jacobian)[1])
    assert data_round_trip(image, x).max() <= 1e-12
    single = _block(ExactLogDet(), 1)
    assert data_round_trip(single, _random((9, 1))).max() <= 1e-12
