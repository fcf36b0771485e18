"""Bases: samples follow the density, generators are respected, and what cannot be is refused."""

import math
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch
from scipy.stats import kstest
from torch.distributions import Normal

from pushforward import storage
from pushforward.bases import (
    BASES,
    Base,
    ConditionalNormal,
    DiagonalNormal,
    GaussianMixture,
    ProductBase,
    RealBase,
    StandardLogistic,
    StandardNormal,
    StudentT,
    TorchBase,
    UniformBox,
    UniformCircle,
    VonMises,
    build_base,
    circle,
    is_registered,
)
from pushforward.domain import CIRCLE
from pushforward.errors import ContextError, NumericsError, OptionError, ShapeError
from pushforward.flow import Flow
from pushforward.flows import build
from pushforward.transforms import Identity


def _seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize(
    "base",
    [
        StudentT((1,), df=1.5),
        StudentT((1,), df=40.0),
        VonMises((1,), concentration=1e-6),
        VonMises((1,), concentration=0.7),
        VonMises((1,), concentration=5e3),
        UniformCircle((1,)),
        DiagonalNormal((1,)),
    ],
    ids=["t 1.5", "t 40", "von Mises 1e-6", "von Mises 0.7", "von Mises 5e3", "circle", "normal"],
)
@torch.no_grad()
def test_samples_follow_the_distribution_function(base: Base) -> None:
    z = base.sample(20_000, generator=_seeded(), dtype=torch.float64)
    assert kstest(base.double().cumulative(z)[:, 0].numpy(), "uniform").pvalue > 0.01


@torch.no_grad()
def test_samples_of_a_gaussian_mixture_have_its_moments() -> None:
    torch.manual_seed(1)
    base = GaussianMixture((2,), 3).double()
    base.below.entries.normal_(generator=_seeded(1))
    base.raw_scale.normal_(0, 0.5, generator=_seeded(2))
    base.logits.copy_(torch.tensor([0.5, 0.0, -1.0]))
    z = base.sample(200_000, generator=_seeded(), dtype=torch.float64).numpy()
    weights = base.logits.softmax(0).numpy()
    factors = base._factors()[0].numpy()
    covariances = [np.linalg.inv(factor.T @ factor) for factor in factors]
    means = base.means.numpy()
    mean = weights @ means
    second = sum(w * (c + np.outer(m, m)) for w, c, m in zip(weights, covariances, means, strict=True))
    deviation = np.sqrt(np.diag(second))
    np.testing.assert_allclose(z.mean(0), mean, atol=4 * float(deviation.max()) / math.sqrt(len(z)))
    np.testing.assert_allclose(z.T @ z / len(z), second, rtol=0.05, atol=0.05)


def test_samples_depend_on_the_generator_alone() -> None:
    bases: list[Base] = [
        DiagonalNormal((2,)),
        GaussianMixture((2,), 3),
        StudentT((2,)),
        VonMises((2,)),
        UniformCircle((2,)),
        ProductBase([VonMises((1,)), StudentT((1,))]),
    ]
    for base in bases:
        state = torch.random.get_rng_state()
        first, second = base.sample(5, generator=_seeded(3)), base.sample(5, generator=_seeded(3))
        assert torch.equal(first, second)
        assert not torch.equal(first, base.sample(5, generator=_seeded(4)))
        assert torch.equal(torch.random.get_rng_state(), state)


def test_log_prob_far_outside_has_a_finite_gradient() -> None:
    for base in (GaussianMixture((2,), 3), StudentT((2,))):
        z = torch.tensor([[1e30, -1e30], [0.5, 0.2]], requires_grad=True)
        value = base.log_prob(z)
        assert not value.isnan().any()
        torch.where(value.isfinite(), value, 0.0).sum().backward()
        assert z.grad is None or z.grad.isfinite().all()
        assert all(p.grad is None or p.grad.isfinite().all() for p in base.parameters())


def test_gradients_reach_the_parameters_through_samples() -> None:
    for base, names in (
        (DiagonalNormal((2,)), {"mean", "raw_scale"}),
        (StudentT((2,)), {"location", "raw_scale", "raw_freedom"}),
        (GaussianMixture((2,), 2), {"means", "raw_scale", "below.entries"}),
        (VonMises((2,)), {"location"}),
    ):
        base.sample(50, generator=_seeded()).square().sum().backward()
        assert {name for name, p in base.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0} == names


def test_temperature_draws_to_the_centre() -> None:
    torch.manual_seed(0)
    base = GaussianMixture((2,), 2)
    hot, cold = (base.sample(300, temperature=t, generator=_seeded()) for t in (1.0, 1e-6))
    assert torch.cdist(cold, base.means).amin(1).max() < 5e-3
    assert torch.cdist(hot, base.means).amin(1).max() > 0.5
    with pytest.raises(OptionError, match=r"ProductBase has no temperature; expected 1.0, got 0.5"):
        ProductBase([StandardNormal((1,)), UniformCircle((1,))]).sample(2, temperature=0.5)


def test_angles_of_any_concentration_are_drawn() -> None:
    base = VonMises((5,))
    with torch.no_grad():
        base.raw_concentration.copy_(torch.tensor([-1e3, math.nan, 1e16, 1e30, 1.0]))
        z = base.sample(4000, generator=_seeded(), dtype=torch.float64)
    assert torch.equal(z.isnan().all(0), torch.tensor([False, True, False, False, False]))
    assert torch.equal(z.isnan().any(0), z.isnan().all(0))
    assert kstest(z[:, 0].numpy(), "uniform", (-math.pi, 2 * math.pi)).pvalue > 0.01
    assert kstest(z[:, 2].numpy(), "norm", (0, 1e-8)).pvalue > 0.01
    assert 0 < z[:, 3].abs().max() < 1e-14


def test_angles_that_are_never_accepted_raise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(circle, "_MOST_ROUNDS", 0)
    with pytest.raises(NumericsError, match="no von Mises angle was accepted in 0 rounds for 6 of 6 coordinates"):
        VonMises((2,)).sample(3)


def test_angles_outside_the_circle_have_no_density() -> None:
    for base in (UniformCircle((1,)), VonMises((1,))):
        ends = torch.tensor([[-math.pi], [math.pi], [3.3], [-1e30], [math.nan]])
        value = base.log_prob(ends)
        assert value[:2].isfinite().all()
        assert (value[2:4] == -math.inf).all()
        assert value[4].isnan()
        assert base.support == CIRCLE


def test_a_product_scores_and_arranges_its_blocks() -> None:
    base = ProductBase([StandardNormal((2,)), UniformBox((1,), 0.0, 2.0)], indices=[(2, 0), (1,)])
    z = torch.tensor([[0.3, 1.5, -0.2], [0.0, 2.5, 0.0]])
    normal = StandardNormal((2,)).log_prob(z[:, [2, 0]])
    torch.testing.assert_close(base.log_prob(z), torch.stack([normal[0] - math.log(2), torch.tensor(-math.inf)]))
    assert str(base.support) == "the real line (at 0, 2) x interval (0, 2) (at 1)"
    assert (base.sample(100)[:, 1] >= 0).all()


def test_bases_are_built_by_name() -> None:
    for name in (
        "normal",
        "logistic",
        "uniform",
        "learned-normal",
        "mixture",
        "student-t",
        "uniform-circle",
        "von-mises",
    ):
        base = build_base(name, (3,))
        assert is_registered(base)
        assert base.log_prob(torch.full((2, 3), 0.3)).shape == (2,)
    conditional = build_base("conditional-normal", (3,), context_dim=2)
    assert conditional.log_prob(torch.zeros(2, 3), torch.zeros(2, 2)).shape == (2,)
    assert build_base("mixture", (3,), components=5).get_parameter("logits").shape == (5,)
    with pytest.raises(OptionError, match="needs a flow with a context"):
        build_base("conditional-normal", (3,))
    with pytest.raises(OptionError, match=r"base 'cauchy' is not known; expected one of normal, logistic"):
        build_base("cauchy", (3,))
    assert is_registered(ProductBase([UniformCircle((1,)), StandardNormal((1,))]))
    assert not is_registered(ProductBase([TorchBase(Normal(torch.zeros(1), torch.ones(1)))]))


@pytest.mark.parametrize("base", get_args(RealBase))
@pytest.mark.parametrize("flow", ["real_nvp", "maf"])
def test_flows_are_built_on_a_base_by_name(flow: str, base: str, tmp_path: Path) -> None:
    made = build(flow, (3,), context_dim=2, transforms=2, hidden=(4,), base=base).eval()
    assert type(made.base) is BASES[base]
    x, context = torch.randn(5, 3), torch.randn(5, 2)
    storage.save(made, tmp_path / "model")
    assert torch.equal(storage.load(tmp_path / "model").log_prob(x, context), made.log_prob(x, context))
    assert made.sample(4, context).shape == (4, 5, 3)


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(OptionError, match="needs a flow with a context; give context_dim or classes"):
        build("real_nvp", (2,), base="conditional-normal")
    with pytest.raises(OptionError, match="for events of at most 1,024 numbers, got 3,072"):
        build("real_nvp", (3, 32, 32), channels=2, blocks=0, base="mixture")
    with pytest.raises(ContextError, match="ConditionalNormal needs a context, got none"):
        ConditionalNormal((2,), 3).log_prob(torch.zeros(1, 2))
    with pytest.raises(OptionError, match="context_dim of at least 1, got 0"):
        ConditionalNormal((2,), 0)
    with pytest.raises(OptionError, match="0 < minimum < df"):
        StudentT((2,), df=1.0)
    with pytest.raises(OptionError, match="concentration must be above 0"):
        VonMises((2,), concentration=0.0)
    with pytest.raises(OptionError, match="components of a mixture must be at least 1"):
        GaussianMixture((2,), 0)
    with pytest.raises(ShapeError, match=r"base 0 of a product must have events \(D,\)"):
        ProductBase([StandardNormal(())])
    with pytest.raises(OptionError, match="part of its mass would be lost"):
        Flow(UniformCircle((2,)), Identity((2,)))


@pytest.mark.parametrize("base", [StandardNormal((2,)), StandardLogistic((2,)), UniformBox((2,), -1.0, 3.0)])
def test_quantiles_invert_the_distribution_function(base: Base) -> None:
    levels = torch.tensor([[0.01, 0.3], [0.5, 0.999]], dtype=torch.float64)
    quantiles = base.quantiles(levels)
    assert quantiles is not None
    torch.testing.assert_close(base.cumulative(quantiles), levels)
    assert StudentT((2,)).quantiles(levels) is None


def test_latents_are_mixed_on_the_real_line() -> None:
    box, z = UniformBox((2,), -1.0, 3.0), torch.tensor([[-0.9, 2.0], [0.0, 2.9]], dtype=torch.float64)
    y = box.to_unbounded(z)
    torch.testing.assert_close(box.from_unbounded(y), z)
    torch.testing.assert_close(y, torch.special.ndtri((z + 1) / 4))
    assert torch.equal(StandardNormal((2,)).to_unbounded(z), z)
    with pytest.raises(OptionError, match="cannot be mixed"):
        UniformCircle((2,)).to_unbounded(z)
