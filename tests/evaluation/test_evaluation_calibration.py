import math

import numpy as np
import pytest
import torch
from scipy.stats import kstest
from torch.distributions import Laplace, MultivariateNormal

from pushforward import flows
from pushforward.bases import StandardLogistic, StandardNormal, TorchBase, UniformBox
from pushforward.evaluation.calibration import coverage, kolmogorov, kolmogorov_band, latent_fit, marginal_pit
from pushforward.evaluation.scores import Part, score
from pushforward.flow import Flow
from pushforward.transforms import Identity

BASES = [
    StandardNormal((3,)),
    StandardLogistic((3,)),
    UniformBox((3,), -1.0, 2.0),
    TorchBase(Laplace(torch.zeros(3, dtype=torch.float64), torch.ones(3, dtype=torch.float64))),
]


def name(base: object) -> str:
    return type(base).__name__


def true_latents(base, n: int = 3000) -> np.ndarray:
    return base.sample(n, generator=torch.Generator().manual_seed(5), dtype=torch.float64).numpy()


@pytest.mark.parametrize("base", BASES, ids=name)
def test_latents_of_the_base_itself_fit_it(base):
    fit = latent_fit(base, true_latents(base), seed=0)
    assert (fit.distances < kolmogorov_band(3000) * 1.2).all()
    assert fit.norm_distance < kolmogorov_band(3000) * 1.2
    inner = slice(10, 90)
    expected = np.broadcast_to(fit.expected, fit.found.shape)
    np.testing.assert_allclose(fit.found[:, inner], expected[:, inner], atol=0.15)
    np.testing.assert_allclose(fit.norm_found[inner], fit.norm_expected[inner], rtol=0.25)


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
    assert len(fit.found) == 64
    assert fit.shown[0] == 0
    assert fit.shown[-1] == 499
    assert len(fit.distances) == 500


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
    pits = marginal_pit(flow, Part(x, None), seed=0)
    assert pits.shape == x.shape
    assert all(kolmogorov(pits[:, i]) < 1.2 * kolmogorov_band(3000) for i in range(2))


def test_pit_sees_a_shift_and_a_wrong_spread(known):
    flow, x = known
    for wrong in (x + 0.3, (x - x.mean(0)) * 1.3 + x.mean(0)):
        pits = marginal_pit(flow, Part(wrong, None), seed=0)
        assert max(kolmogorov(pits[:, i]) for i in range(2)) > 1.5 * kolmogorov_band(3000)


def test_pit_of_a_conditional_flow_uses_each_rows_own_context():
    torch.manual_seed(0)
    flow = flows.build("real_nvp", (2,), context_dim=1, hidden=(8,)).eval()
    with torch.no_grad():
        for parameter in flow.parameters():
            parameter.normal_(std=0.8)
    context = np.random.default_rng(0).normal(size=(400, 1)).astype(np.float32) * 2
    x = flow.sample(1, torch.as_tensor(context), generator=torch.Generator().manual_seed(1))[0].detach().numpy()
    right = marginal_pit(flow, Part(x, context), seed=2)
    assert all(kolmogorov(right[:, i]) < 1.2 * kolmogorov_band(400) for i in range(2))
    wrong = marginal_pit(flow, Part(x, np.roll(context, 1, 0) + 3), seed=2)
    assert max(kolmogorov(wrong[:, i]) for i in range(2)) > 1.5 * kolmogorov_band(400)


def test_coverage_of_the_true_density_is_its_level(known):
    flow, x = known
    part = Part(x, None)
    covered = coverage(flow, part, score(flow, part, 0).nats, seed=0)
    for level, share in covered.items():
        p = float(level)
        assert abs(share - p) < 4 * math.sqrt(p * (1 - p) * (1 / 3000 + 1 / 4000))


def test_coverage_sees_a_density_that_is_too_narrow(known):
    flow, x = known
    part = Part((x - x.mean(0)) * 1.5 + x.mean(0), None)
    assert coverage(flow, part, score(flow, part, 0).nats, seed=0)["0.5"] < 0.4


def test_coverage_is_not_claimed_for_a_bound():
    flow = flows.build("nice", (2,), levels=4).eval()
    part = Part(np.zeros((5, 2), np.uint8), None)
    assert coverage(flow, part, score(flow, part, 0).nats, 0) is None
