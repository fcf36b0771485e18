"""Quantiles of mixtures of Gaussians against a bracketing solver, a closed form, and their tails."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.optimize import brentq
from scipy.special import ndtri_exp
from scipy.stats import norm

from pushforward.estimators.models.mixture_head import MixtureHead


def heads(rows: int, components: int, spread: float, log_scale: float, seed: int = 0) -> MixtureHead:
    rng = np.random.default_rng(seed)
    log_weights = torch.from_numpy(2 * rng.normal(size=(rows, components))).log_softmax(-1)
    means, log_scales = rng.normal(size=(2, rows, components))
    return MixtureHead(log_weights, torch.from_numpy(spread * means), torch.from_numpy(log_scale + log_scales))


def bracketed(head: MixtureHead, level: float) -> float:
    """The quantile of one mixture, by scipy."""
    weights, means, scales = (part.numpy() for part in (head.log_weights.exp(), head.means, head.log_scales.exp()))
    low, high = (means - 40 * scales).min(), (means + 40 * scales).max()
    return float(brentq(lambda x: (weights * norm.cdf(x, means, scales)).sum() - level, low, high, xtol=1e-13))


@pytest.mark.parametrize(("spread", "log_scale"), [(1.0, -1.0), (3.0, -5.0), (100.0, -2.0)])
def test_quantiles_are_those_of_a_bracketing_solver(spread: float, log_scale: float) -> None:
    head = heads(20, 6, spread, log_scale)
    levels = np.random.default_rng(1).uniform(0.01, 0.99, 20)
    found = head.quantile(torch.from_numpy(np.log(levels)), torch.from_numpy(np.log1p(-levels)))
    for row, level in enumerate(levels):
        expected = bracketed(MixtureHead(*(part[row] for part in head)), level)
        assert float(found[row]) == pytest.approx(expected, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("log_level", [-1e-12, -1.0, -50.0, -700.0])
def test_far_tails_are_those_of_the_closed_form(log_level: float) -> None:
    head = MixtureHead(*(torch.tensor([[part]], dtype=torch.float64) for part in (0.0, 3.0, math.log(0.5))))
    small, large = (torch.tensor([each], dtype=torch.float64) for each in (log_level, math.log(-math.expm1(log_level))))
    distance = 0.5 * ndtri_exp(log_level)
    assert float(head.quantile(small, large)) == pytest.approx(3 + distance, rel=1e-9)
    assert float(head.quantile(large, small)) == pytest.approx(3 - distance, rel=1e-9)


def test_levels_of_zero_and_one_are_the_ends_and_stay_finite() -> None:
    head = heads(5, 3, 2.0, 0.0)
    lowest = head.quantile(torch.full((5,), -torch.inf).double(), torch.zeros(5).double())
    highest = head.quantile(torch.zeros(5).double(), torch.full((5,), -torch.inf).double())
    assert lowest.isfinite().all()
    assert highest.isfinite().all()
    assert (head.log_tails(lowest)[0] < -300).all()
    assert (head.log_tails(highest)[1] < -300).all()
