"""Importance sampling from a flow: against closed forms, and honest where there is none."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from pushforward import flows
from pushforward.bases import StandardNormal
from pushforward.errors import ContextError, OptionError, ShapeError
from pushforward.flow import Flow
from pushforward.inference import importance
from pushforward.inference.importance_sampling import weigh
from pushforward.transforms import Identity

NORMAL = Flow(StandardNormal((2,)), Identity((2,))).double()
SHIFT, SCALE = 0.3, 0.8


def narrower(x: Tensor) -> Tensor:
    """A normal density, times e^3, that the standard normal covers."""
    return 3.0 - ((x - SHIFT) / SCALE).square().sum(1) / 2 - math.log(2 * math.pi) - 2 * math.log(SCALE)


def test_figures_are_those_of_the_closed_form() -> None:
    found = importance(NORMAL, narrower, samples=50_000)
    divergence = 2 * (math.log(SCALE) + (1 + SHIFT**2) / (2 * SCALE**2) - 0.5)
    assert abs(found.log_normaliser - 3.0) < 4 * found.standard_error
    assert abs(found.elbo - (3.0 - divergence)) < 4 * found.elbo_standard_error
    # E_q[w^2] / E_q[w]^2 = integral of p^2 / q, for each coordinate a Gaussian integral.
    precision = 2 / SCALE**2 - 1
    square = math.exp(2 * SHIFT**2 / SCALE**4 / precision - SHIFT**2 / SCALE**2) / (SCALE**2 * math.sqrt(precision))
    assert float(found.effective) == pytest.approx(1 / square**2, rel=0.02)
    assert float(found.standard_error) == pytest.approx(math.sqrt((square**2 - 1) / 50_000), rel=0.1)
    assert found.elbo < found.log_normaliser
    assert (found.samples, found.outside, found.undefined) == (50_000, 0, 0)


def test_the_same_seed_gives_the_same_figures_and_another_does_not() -> None:
    first, again, other = (importance(NORMAL, narrower, samples=1000, seed=seed) for seed in (1, 1, 2))
    assert first == again
    assert first.elbo != other.elbo


def test_figures_come_a_row_of_context() -> None:
    flow = flows.build("real_nvp", (2,), context_dim=1, transforms=1).double()
    context = torch.tensor([[0.0], [1.0], [5.0]], dtype=torch.float64)

    def target(x: Tensor, context: Tensor) -> Tensor:
        return context[:, 0] - x.square().sum(1) / 2

    found = importance(flow, target, samples=30_000, context=context)
    torch.testing.assert_close(found.log_normaliser, context[:, 0] + math.log(2 * math.pi))
    torch.testing.assert_close(found.effective, torch.ones(3, dtype=torch.float64))
    with pytest.raises(ContextError, match="for the target rows none was given"):
        importance(flow, target)


def test_weights_are_summed_up_as_their_formulas_say() -> None:
    log_w = np.random.default_rng(0).normal(size=(50, 2)) + 300
    found, w = weigh(torch.from_numpy(log_w)), np.exp(log_w - 300)
    np.testing.assert_allclose(found.elbo, log_w.mean(0))
    np.testing.assert_allclose(found.elbo_standard_error, log_w.std(0, ddof=1) / np.sqrt(50))
    np.testing.assert_allclose(found.log_normaliser, 300 + np.log(w.mean(0)))
    np.testing.assert_allclose(found.standard_error, w.std(0, ddof=1) / w.mean(0) / np.sqrt(50))
    np.testing.assert_allclose(found.effective, w.sum(0) ** 2 / (50 * (w**2).sum(0)))


def test_what_lies_outside_counts_with_weight_zero_and_what_is_undefined_spoils_its_row_alone() -> None:
    log_w = torch.zeros(4, 3, dtype=torch.float64)
    log_w[0, 0], log_w[1, 1], log_w[2, 1], log_w[:, 2] = -math.inf, math.nan, math.inf, -math.inf
    found = weigh(log_w)
    assert (found.outside, found.undefined) == (5, 2)
    assert found.log_normaliser.tolist()[0] == pytest.approx(math.log(3 / 4))
    assert found.effective.tolist()[0] == pytest.approx(3 / 4)
    assert found.elbo.tolist()[0] == -math.inf
    assert all(figure[1].isnan() for figure in (found.elbo, found.log_normaliser, found.standard_error))
    assert found.effective[1].isnan()
    assert (found.log_normaliser[2], found.effective[2]) == (-math.inf, 0.0)
    assert found.standard_error[2].isnan()


def test_a_mode_without_samples_is_missing_and_the_effective_sample_size_does_not_tell() -> None:
    """What the documentation warns of."""

    def two_modes(x: Tensor) -> Tensor:
        return torch.logaddexp(-x.square().sum(1) / 2, -(x - 100).square().sum(1) / 2)

    found = importance(NORMAL, two_modes, samples=1000)
    assert found.effective > 0.999
    assert float(found.log_normaliser) == pytest.approx(math.log(2 * math.pi))


def test_what_is_no_log_density_is_refused_with_a_sentence() -> None:
    with pytest.raises(ShapeError, match=r"shape \(7,\) for x of shape \(7, 2\), got shape \(7, 1\)"):
        importance(NORMAL, lambda x: x[:, :1], samples=7)
    with pytest.raises(OptionError, match="must return a tensor with one value a row, got float"):
        importance(NORMAL, lambda x: 0.0)  # type: ignore[arg-type,return-value]
    with pytest.raises(OptionError, match="at least 2 samples, got 1"):
        importance(NORMAL, narrower, samples=1)
    with pytest.raises(OptionError, match="of kind bound"):
        importance(flows.build("real_nvp", (2,), levels=4), narrower)
