import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kstest, kstwobign
from torch.distributions import Laplace, MultivariateNormal

from pushforward import flows
from pushforward.bases import StandardLogistic, StandardNormal, TorchBase, UniformBox
from pushforward.errors import OptionError
from pushforward.evaluation.calibration import (
    coverage,
    kolmogorov,
    kolmogorov_band,
    latent_fit,
    latent_pit,
    marginal_pit,
    region_coverage,
    uniformity,
)
from pushforward.evaluation.scores import score
from pushforward.flow import Flow
from pushforward.rows import Rows
from pushforward.transforms import Identity

BASES = [
    StandardNormal((3,)),
    StandardLogistic((3,)),
    UniformBox((3,), -1.0, 2.0),
    TorchBase(Laplace(torch.zeros(3, dtype=torch.float64), torch.ones(3, dtype=torch.float64))),
]


def name(base: object) -> str:
    return type(base).__name__


def rows(x: np.ndarray, context: np.ndarray | None = None) -> Rows:
    return Rows(torch.as_tensor(x), None if context is None else torch.as_tensor(context))


def true_latents(base, n: int = 3000) -> np.ndarray:
    return base.sample(n, generator=torch.Generator().manual_seed(5), dtype=torch.float64).numpy()


@pytest.mark.parametrize("base", BASES, ids=name)
def test_latents_of_the_base_itself_fit_it(base):
    fit = latent_fit(base, true_latents(base), seed=0)
    assert (fit.distances < kolmogorov_band(3000) * 1.2).all()
    assert fit.norm_distance < kolmogorov_band(3000) * 1.2
    inner = slice(10, 90)
    np.testing.assert_allclose(fit.observed[:, inner], fit.expected[:, inner], atol=0.15)
    np.testing.assert_allclose(fit.norm_observed[inner], fit.norm_expected[inner], rtol=0.25)


@pytest.mark.parametrize("base", BASES, ids=name)
@pytest.mark.parametrize("change", [lambda z: z * 1.3, lambda z: z + 0.3, lambda z: np.repeat(z[:, :1], 3, 1)])
def test_latents_of_another_law_do_not(base, change):
    fit = latent_fit(base, change(true_latents(base)), seed=0)
    band = kolmogorov_band(3000)
    # Equal coordinates each have the right law: only the norm shows that they are not independent.
    assert (fit.distances > 1.2 * band).any() or fit.norm_distance > 1.2 * band


def test_a_normal_law_is_not_taken_for_a_logistic_one():
    z = true_latents(BASES[1])
    assert (
        latent_fit(BASES[1], z, 0).distances.max() < kolmogorov_band(3000) < latent_fit(BASES[0], z, 0).distances.min()
    )


def test_latents_that_are_not_finite_are_counted_and_left_out():
    z = true_latents(BASES[0], 50)
    z[3, 1], z[7, 0] = np.nan, np.inf
    fit = latent_fit(BASES[0], z, 0)
    assert (fit.rows, fit.dropped) == (48, 2)
    assert latent_fit(BASES[0], np.full((4, 3), np.nan), 0) is None


def test_at_most_the_asked_number_of_coordinates_is_shown():
    fit = latent_fit(StandardNormal((500,)), np.random.default_rng(0).normal(size=(40, 500)), 0, most=64)
    assert len(fit.observed) == 64
    assert fit.shown[0] == 0
    assert fit.shown[-1] == 499
    assert len(fit.distances) == 500


def test_one_column_in_a_hundred_lies_beyond_the_band():
    assert kolmogorov_band(100) == pytest.approx(kstwobign.isf(0.01) / 10, rel=5e-3)


def test_kolmogorov_distance_is_scipys():
    values = np.random.default_rng(0).random(57) ** 1.3
    assert kolmogorov(values) == pytest.approx(kstest(values, "uniform").statistic, abs=1e-12)


@pytest.fixture(scope="module")
def known() -> tuple[Flow, np.ndarray]:
    """A flow that is exactly a correlated Gaussian, and 3,000 rows of it."""
    law = MultivariateNormal(torch.tensor([1.0, -2.0]), torch.tensor([[2.0, 0.9], [0.9, 1.0]]))
    flow = Flow(law, Identity((2,)))
    return flow, flow.sample(3000, generator=torch.Generator().manual_seed(3)).double().numpy()


def test_pit_of_the_true_margins_is_uniform(known):
    flow, x = known
    pits = marginal_pit(flow, rows(x), seed=0)
    assert pits.shape == x.shape
    assert all(kolmogorov(pits[:, i]) < 1.2 * kolmogorov_band(3000) for i in range(2))


def test_pit_sees_a_shift_and_a_wrong_spread(known):
    flow, x = known
    for wrong in (x + 0.3, (x - x.mean(0)) * 1.3 + x.mean(0)):
        pits = marginal_pit(flow, rows(wrong), seed=0)
        assert max(kolmogorov(pits[:, i]) for i in range(2)) > 1.5 * kolmogorov_band(3000)


def test_pit_of_a_conditional_flow_uses_each_rows_own_context():
    torch.manual_seed(0)
    flow = flows.build("real_nvp", (2,), context_dim=1, hidden=(8,)).eval()
    with torch.no_grad():
        for parameter in flow.parameters():
            parameter.normal_(std=0.8)
    context = np.random.default_rng(0).normal(size=(400, 1)).astype(np.float32) * 2
    x = flow.sample(1, torch.as_tensor(context), generator=torch.Generator().manual_seed(1))[0].detach().numpy()
    right = marginal_pit(flow, rows(x, context), seed=2)
    assert all(kolmogorov(right[:, i]) < 1.2 * kolmogorov_band(400) for i in range(2))
    wrong = marginal_pit(flow, rows(x, np.roll(context, 1, 0) + 3), seed=2)
    assert max(kolmogorov(wrong[:, i]) for i in range(2)) > 1.5 * kolmogorov_band(400)


def test_coverage_of_the_true_density_is_its_level(known):
    flow, x = known
    part = rows(x)
    covered = coverage(flow, part, log_densities=score(flow, part, 0).nats)
    assert covered == coverage(flow, part)
    for p, fraction in zip((0.5, 0.8, 0.95), covered, strict=True):
        assert abs(fraction - p) < 4 * math.sqrt(p * (1 - p) * (1 / 3000 + 1 / 4000))


def test_coverage_sees_a_density_that_is_too_narrow(known):
    flow, x = known
    assert coverage(flow, rows((x - x.mean(0)) * 1.5 + x.mean(0)))[0] < 0.4


def test_coverage_of_a_uniform_density_is_its_level():
    box = Flow(UniformBox((2,), -1.0, 3.0), Identity((2,)))
    x = torch.rand(100, 2, generator=torch.Generator().manual_seed(0)) * 4 - 1
    assert coverage(box, Rows(x)) == pytest.approx((0.5, 0.8, 0.95), abs=1e-12)
    outside = torch.cat([x, torch.full((100, 2), 5.0)])
    assert coverage(box, Rows(outside)) == pytest.approx((0.25, 0.4, 0.475), abs=1e-12)


def test_coverage_is_claimed_neither_for_a_bound_nor_given_a_context():
    flow = flows.build("nice", (2,), levels=4).eval()
    assert coverage(flow, Rows(torch.zeros(5, 2, dtype=torch.uint8))) is None
    conditional = flows.build("nice", (2,), context_dim=1).eval()
    assert coverage(conditional, Rows(torch.zeros(5, 2), torch.zeros(5, 1))) is None


def test_coverage_is_not_claimed_where_a_density_is_not_a_number(known):
    flow, x = known
    assert coverage(flow, rows(x[:3]), log_densities=np.array([0.0, math.nan, 1.0])) is None


def covered_by_counting(values: list[float], draws: list[float], level: float) -> Fraction:
    """For every value, all places that it can take among equal draws, each equally likely."""
    total, cut = Fraction(0), (1 - Fraction(level)) * (len(draws) + 1)
    for value in values:
        if value == -math.inf:
            continue
        lower, equal = sum(d < value for d in draws), sum(d == value for d in draws)
        places = range(lower, lower + equal + 1)
        total += sum(min(max(place + 1 - cut, Fraction(0)), Fraction(1)) for place in places) / len(places)
    return total / len(values)


LOG_DENSITIES = st.one_of(st.sampled_from([-2.0, 0.0, 1.5]), st.floats(-1e300, 1e300), st.just(math.inf))


@given(
    values=st.lists(st.one_of(LOG_DENSITIES, st.just(-math.inf)), min_size=1, max_size=12),
    draws=st.lists(LOG_DENSITIES, min_size=1, max_size=12),
    level=st.sampled_from([0.5, 0.8, 0.95, 0.01, 0.999]),
)
def test_coverage_of_regions_agrees_with_counting(values, draws, level):
    (covered,) = region_coverage(np.array(values), np.array(draws), (level,))
    assert covered == pytest.approx(float(covered_by_counting(values, draws, level)), abs=1e-9)


@given(count=st.integers(1, 50), draws=st.integers(1, 50), value=st.floats(-1e3, 1e3), level=st.floats(0.01, 0.99))
def test_a_constant_density_covers_every_level(count, draws, value, level):
    (covered,) = region_coverage(np.full(count, value), np.full(draws, value), (level,))
    assert covered == pytest.approx(level, abs=1e-9)


@given(
    pool=st.lists(st.one_of(st.sampled_from([0.0, 1.0, 2.0]), st.floats(-50, 50)), min_size=2, max_size=9),
    level=st.sampled_from([0.5, 0.8, 0.95]),
)
def test_coverage_is_unbiased_whatever_the_ties(pool, level):
    # Each value in turn is the row and the others are the draws: of exchangeable values a level covers its fraction.
    inside = [
        region_coverage(np.array([value]), np.array(pool[:i] + pool[i + 1 :]), (level,))[0]
        for i, value in enumerate(pool)
    ]
    assert np.mean(inside) == pytest.approx(level, abs=1e-9)


def test_pit_of_latents_is_uniform_where_the_flow_is_the_truth(known):
    gaussian = Flow(StandardNormal((2,)), Identity((2,)))
    x = torch.randn(20_000, 2, generator=torch.Generator().manual_seed(0))
    assert float(latent_pit(gaussian, x).mean()) == pytest.approx(0.5, abs=0.01)
    assert uniformity(latent_pit(gaussian, x)[:, 0]) > 0.01
    with pytest.raises(OptionError, match="no cumulative distribution function"):
        latent_pit(known[0], x)
