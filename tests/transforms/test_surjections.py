"""Surjections against integrals and closed forms: laws of samples, exact values, ties, zeros, and refusals."""

import math

import pytest
import torch
from scipy.stats import kstest
from torch import Tensor
from torch.distributions import HalfNormal
from torch.nn import functional as F

from pushforward.bases import Base, StandardNormal
from pushforward.bases.base import Source
from pushforward.errors import OptionError, ShapeError
from pushforward.flow import Flow
from pushforward.nets import MLP
from pushforward.noise import NoiseValue
from pushforward.transforms import (
    Abs,
    Argmax,
    ConditionalFlow,
    HalfLine,
    Identity,
    Log,
    MaxPool2d,
    Slice,
    Sort,
    Standardise,
    StochasticPermutation,
)
from pushforward.transforms.base import Chain
from pushforward.transforms.sort import ORDERED, ordered_to_real
from registry import BY_NAME
from subjects import Subject, subject
from surjective import jacobian_of_latent_and_noise


class OrderStatistics(Base):
    """Two standard normal numbers in their order: the density ``2 phi(z1) phi(z2)`` where ``z1 < z2``."""

    event_shape = (2,)
    support = ORDERED

    def log_prob(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        value = StandardNormal((2,)).log_prob(z) + math.log(2)
        return torch.where(z[:, 0] <= z[:, 1], value, -math.inf)

    def _draw(self, n: int, context: Tensor | None, temperature: float, source: Source) -> Tensor:
        return source.normal(n, 2).sort(1).values


def _made(name: str) -> Subject:
    return subject(BY_NAME[f"transform: {name}"])


def _grid(reach: float, count: int, features: int) -> tuple[Tensor, float]:
    """Midpoints of cells of a square, or of an interval, and the volume of a cell."""
    axis = (torch.arange(count, dtype=torch.float64) + 0.5) * (2 * reach / count) - reach
    return torch.cartesian_prod(*[axis] * features).reshape(-1, features), (2 * reach / count) ** features


def _round_trip(made: Subject, n: int) -> tuple[Tensor, Tensor]:
    """Samples of a flow, and what they become on the way to their latents and back."""
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        x = made.flow.sample(n, generator=generator)
        return x, made.flow.decode(made.flow.encode(x), generator=generator)


def test_samples_of_an_absolute_value_have_the_distribution_of_its_density() -> None:
    made = _made("absolute value, learned sign")
    points, cell = _grid(60, 600_000, 1)
    with torch.no_grad():
        cdf = (made.flow.log_prob(points).exp() * cell).cumsum(0)
    assert float(cdf[-1]) == pytest.approx(1, abs=1e-3)
    for x in _round_trip(made, 4000):
        index = ((x[:, 0] + 60) / cell).long().clamp(0, len(points) - 1)
        assert kstest(cdf[index].numpy(), "uniform").pvalue > 0.01
    # Both sides of 0 are there, and not as likely as each other.
    assert abs(float(cdf[len(points) // 2]) - 0.5) > 0.01


@pytest.mark.parametrize("name", ["slice", "sort", "stochastic permutation"])
def test_data_come_back_in_law(name: str) -> None:
    made = _made(name)
    points, cell = _grid(14, 560, 2)
    with torch.no_grad():
        if name == "stochastic permutation":
            orders = [torch.tensor([order]).expand(len(points), 2) for order in ([0.1, 0.9], [0.9, 0.1])]
            density = (
                torch.stack([made.flow.log_prob(points, None, noise=_only_first(made, o)) for o in orders])
                .exp()
                .mean(0)
            )
        else:
            density = made.flow.log_prob(points).exp()
    assert float(density.sum() * cell) == pytest.approx(1, abs=2e-3)
    questions = [lambda x: x[:, 0].tanh(), lambda x: x[:, 1].tanh(), lambda x: (x[:, 0] * x[:, 1]).tanh()]
    questions += [lambda x: (x[:, 0] > x[:, 1]).double(), lambda x: (x[:, 0] - 2 * x[:, 1]).cos()]
    for x in _round_trip(made, 4000):
        for question in questions:
            found, wanted = question(x), float((question(points) * density).sum() * cell)
            assert abs(float(found.mean()) - wanted) <= 4.5 * float(found.std()) / math.sqrt(len(x)) + 2e-3


def _only_first(made: Subject, noise: Tensor) -> NoiseValue:
    assert isinstance(made.transform, Chain)
    return (noise.double(), *(None,) * (len(made.transform) - 1))


@pytest.mark.parametrize("name", ["max pool", "max pool, bijection", "slice"])
def test_the_way_back_has_the_jacobian_of_latent_and_noise(name: str) -> None:
    # x is a smooth function of the latent and of the normal noise, as many numbers as there are in x: its density is
    # theirs over the Jacobian, and over the number of places that the uniform noise chooses from.
    made = _made(name)
    z, back, context = made.latents(5), made.noise(5, back=True), made.embedded(5)
    log_places = math.log(4) if name.startswith("max pool") else 0.0
    _, log_term = made.transform.to_data(z, context, back)
    for row in range(5):
        found, log_noise = jacobian_of_latent_and_noise(made.transform, z[row], back, row)
        wanted = float(found) - log_noise + log_places
        assert float(log_term[row].detach()) == pytest.approx(wanted, abs=1e-9)


def test_sorting_order_statistics_gives_back_independent_numbers() -> None:
    flow = Flow(OrderStatistics(), Sort((2,))).double()
    x = torch.randn(50, 2, dtype=torch.float64)
    torch.testing.assert_close(flow.log_prob(x), StandardNormal((2,)).log_prob(x), atol=1e-12, rtol=0)
    orders = flow.sample(4000, generator=torch.Generator().manual_seed(0)).diff(dim=1)[:, 0] > 0
    assert abs(float(orders.double().mean()) - 0.5) < 4 * 0.5 / math.sqrt(4000)


def test_a_random_order_is_exact_where_what_follows_does_not_mind_it() -> None:
    flow, x = Flow(StandardNormal((3,)), StochasticPermutation((3,))).double(), torch.randn(9, 3, dtype=torch.float64)
    for seed in range(3):
        torch.testing.assert_close(flow.likelihood(x, seed=seed).value, flow.base.log_prob(x), atol=1e-12, rtol=0)
    assert flow.kind == "bound"


@pytest.mark.parametrize("binary", [False, True])
def test_categories_of_independent_numbers_have_their_known_probabilities(binary: bool) -> None:
    transform = Argmax((), 3, binary=binary)
    flow, x = Flow(StandardNormal(transform.latent_shape), transform).double(), torch.arange(3, dtype=torch.float64)
    # Of two signs, four equally likely pairs, the first category has two.
    wanted = torch.tensor([0.5, 0.25, 0.25] if binary else [1 / 3] * 3, dtype=torch.float64).log()
    found = flow.likelihood(x, samples=20_000)
    assert found.standard_error is not None
    assert (found.value - wanted).abs().max() < 4 * found.standard_error.max()
    assert found.standard_error.max() < 0.02
    assert (flow.likelihood(x.expand(200, 3).T.reshape(-1)).value.reshape(3, 200).mean(1) < wanted).all()
    drawn = flow.sample(4000, generator=torch.Generator().manual_seed(0))
    fractions = torch.stack([(drawn == i).double().mean() for i in range(3)])
    assert (fractions - wanted.exp()).abs().max() < 4 * 0.5 / math.sqrt(4000)
    for value in (-1.0, 3.0, 0.5):
        assert flow.log_prob(torch.tensor([value]).double()) == -math.inf
    assert flow.log_prob(torch.tensor([math.nan]).double()).isnan()


def test_close_to_a_boundary_categories_survive_rounding() -> None:
    transform = Argmax((1,), 4)
    # Noise that takes every other number to within rounding of the largest.
    far = torch.full((4, 4), 9.0)
    far[torch.arange(4), torch.arange(4)] = torch.tensor([-9.0, 9.0, 0.0, 3.0])
    x = torch.arange(4.0)[:, None]
    z, log_term = transform.to_latent(x, None, (far, None))
    assert torch.equal(transform.to_data(z)[0], x)
    assert log_term.isfinite().all()


def test_zeros_and_their_signs_are_harmless_to_an_absolute_value() -> None:
    flow = Flow(HalfNormal(torch.ones(2, dtype=torch.float64)), Abs((2,))).double()
    x = torch.tensor([[0.0, -0.0], [-0.0, 0.0], [1e-300, -1e-300]], dtype=torch.float64, requires_grad=True)
    value = flow.log_prob(x)
    torch.testing.assert_close(value, torch.full_like(value, -math.log(2 * math.pi)), atol=1e-12, rtol=0)
    value.sum().backward()  # type: ignore[no-untyped-call]
    assert x.grad is not None
    assert x.grad.isfinite().all()
    # A density on the logarithm vanishes at 0, and says so.
    log = Flow(StandardNormal((1,)), Chain([Abs((1,), MLP(1, 1, (4,))), Log((1,))])).double()
    assert log.log_prob(torch.zeros(1, 1, dtype=torch.float64)) == -math.inf


def test_ties_are_harmless_to_pooling_and_have_no_density_between_ordered_steps() -> None:
    flow = Flow(StandardNormal((1, 1, 1)), MaxPool2d((1, 2, 2))).double()
    ties = [[0.5, 0.5, 0.5, 0.5], [1.0, 1.0, 0.0, -1.0], [0.0, 1.0, 0.0, 1.0], [0.0, -0.0, 0.0, 0.0]]
    x = torch.tensor(ties, dtype=torch.float64).reshape(4, 1, 2, 2).requires_grad_(True)
    value = flow.log_prob(x)
    near = flow.log_prob(x.detach() + 1e-9 * torch.arange(4).reshape(1, 1, 2, 2))
    torch.testing.assert_close(value, near, atol=1e-7, rtol=0)
    value.sum().backward()  # type: ignore[no-untyped-call]
    assert x.grad is not None
    assert x.grad.isfinite().all()
    ordered = Flow(StandardNormal((3,)), Chain([Sort((3,)), ordered_to_real(3)])).double()
    assert ordered.log_prob(torch.tensor([[1.0, 1.0, 2.0], [0.0, -0.0, 0.0]]).double()).tolist() == [-math.inf] * 2
    assert ordered.log_prob(torch.tensor([[1.0, math.nan, 2.0]]).double()).isnan()


def test_pooling_is_torchs_and_the_largest_comes_back_anywhere() -> None:
    pool, x = MaxPool2d((3, 4, 6)).double(), torch.randn(7, 3, 4, 6, dtype=torch.float64)
    z, _ = pool.to_latent(x)
    assert torch.equal(z, F.max_pool2d(x, 2))
    flow = Flow(StandardNormal((1, 1, 1)), MaxPool2d((1, 2, 2))).double()
    drawn = flow.sample(4000, generator=torch.Generator().manual_seed(0))
    fractions = torch.bincount(drawn.flatten(1).argmax(1), minlength=4) / 4000
    assert (fractions - 0.25).abs().max() < 4 * math.sqrt(0.25 * 0.75 / 4000)


def test_a_half_normal_and_an_exponential_integrate_to_one() -> None:
    step = 1e-3
    values = ((torch.arange(40_000, dtype=torch.float64) + 0.5) * step)[:, None]
    for law in ("half-normal", "exponential"):
        rest = HalfLine((1,), law, MLP(1, 1, (4,))).double()  # type: ignore[arg-type]
        torch.nn.init.constant_(rest.net.last.bias, 0.7)  # type: ignore[union-attr, arg-type]
        density = rest.log_prob(values, values[:1].expand_as(values)).exp().detach()
        assert float(density.sum() * step) == pytest.approx(1, abs=1e-5)
        assert rest.log_prob(-values[:1], values[:1]) == -math.inf


def test_domains_that_do_not_fit_are_refused() -> None:
    for first in (Abs((2,)), Sort((2,))):
        with pytest.raises(OptionError, match=r"Standardise\) takes the real line, of which .* reaches only"):
            Chain([first, Standardise((2,))])
        with pytest.raises(OptionError, match="part of its mass would be lost"):
            Flow(StandardNormal((2,)), first)
    rest = ConditionalFlow(Identity((1, 2, 2)))
    with pytest.raises(OptionError, match=r"keeps interval .* and drops the real line: different domains need vectors"):
        Slice((2, 2, 2), 1, rest, domain=Abs((1,)).codomain)
    with pytest.raises(OptionError, match="must lie on positive numbers, it lies on the real line"):
        MaxPool2d((1, 2, 2), ConditionalFlow(Identity((3, 1, 1))))
    with pytest.raises(OptionError, match="a ConditionalFlow takes a bijection to the real line, Sort is not one"):
        ConditionalFlow(Sort((2,)))


def test_shapes_that_cannot_be_are_refused() -> None:
    with pytest.raises(ShapeError, match="an even height and width, got 3 x 4; pad or crop before"):
        MaxPool2d((1, 3, 4))
    with pytest.raises(ShapeError, match=r"MaxPool2d needs events \(C, H, W\), got \(4,\)"):
        MaxPool2d((4,))
    with pytest.raises(ShapeError, match=r"Sort takes vectors, event_shape \(D,\), got \(1, 2, 2\)"):
        Sort((1, 2, 2))
    with pytest.raises(ShapeError, match=r"keeps some entries of axis 1 and drops some, got kept=2 of \(2,\)"):
        Slice((2,), 2, HalfLine((1,)))
    with pytest.raises(ShapeError, match=r"rest of a Slice must be of events \(1,\), it is of \(2,\)"):
        Slice((2,), 1, HalfLine((2,)))
    with pytest.raises(OptionError, match="categories must be at least 2, got 1"):
        Argmax((2,), 1)
    with pytest.raises(ShapeError, match=r"the posterior must have events \(6,\), got \(3,\)"):
        Argmax((2,), 3, ConditionalFlow(Identity((3,))))


def test_noise_that_is_missing_is_asked_for() -> None:
    x = torch.zeros(1, 2)
    for transform in (Abs((2,)), Sort((2,)), Slice((3,), 2, HalfLine((1,))), StochasticPermutation((2,))):
        with pytest.raises(OptionError, match=f"{type(transform).__name__} needs its noise"):
            transform.to_data(x)
    with pytest.raises(OptionError, match="MaxPool2d needs its noise"):
        MaxPool2d((1, 2, 2)).to_data(torch.zeros(1, 1, 1, 1))
    with pytest.raises(OptionError, match="Argmax needs its noise"):
        Argmax((2,), 3).to_latent(x)
