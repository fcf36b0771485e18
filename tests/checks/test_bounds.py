"""Check m: what is called a bound lies below the exact value, tightens, and is exact where the theory says so.

And what is called an estimate has the exact value as its mean, but for the bias that its name admits.
"""

import itertools
import math

import pytest
import torch
from torch import Tensor

from checking import over
from pushforward.bases import UniformBox
from pushforward.diagnostics.estimates import excess
from pushforward.diagnostics.integration import continuous_part, integrate
from pushforward.diagnostics.noise_quadrature import integrated_over_noise
from pushforward.flow import Flow
from pushforward.noise import has_role
from pushforward.transforms import Dequantise
from pushforward.transforms.dequantisation import dequantisation
from pushforward.transforms.stochastic_log_det import exactly
from registry import Entry
from subjects import Subject, estimates, subject

_CELL = 60
_POINTS = 2**13  # of the noise, in the mean that is the exact value


def bounds(entry: Entry) -> bool:
    return not estimates(entry)


def exact_log_probability(made: Subject, x: Tensor, points: int = _POINTS) -> Tensor:
    """The log of the probability, or of the density, that the bound is one of: ``(B,)``, for one context.

    Of integers that are dequantised the integral over the cell of each event, by midpoints, of the density before that:
    the noise that the flow itself draws plays no part. Otherwise the mean of the weights over the noise, by quadrature:
    that these have the right size is for the integral over all data to say.
    """
    first, density = dequantisation(made.transform), continuous_part(made.flow)
    if first is None or has_role(density.transform.noise_to_latent, "draw"):
        return integrated_over_noise(made.flow, x, made.context(1), points)
    size, shape = made.entry.size, made.entry.event_shape
    ends = (torch.arange(_CELL, dtype=made.dtype) + 0.5) / _CELL
    grid = torch.cartesian_prod(*[ends] * size).reshape(-1, *shape)
    with torch.no_grad():
        values = [density.log_prob((row + grid) / first.levels, made.context(1)).logsumexp(0) for row in x]
    return torch.stack(values) - math.log(len(grid)) - size * math.log(first.levels)


def _all_events(made: Subject) -> Tensor:
    levels = int(made.transform.domain.high) + 1
    events = list(itertools.product(range(levels), repeat=made.entry.size))
    return torch.tensor(events, dtype=made.dtype).reshape(-1, *made.entry.event_shape)


def _events(made: Subject) -> Tensor:
    return _all_events(made)[::3] if made.transform.domain.kind == "integers" else made.data(8)


def _mean_bound(made: Subject, x: Tensor, samples: int, seeds: int) -> tuple[Tensor, Tensor]:
    """Mean and standard error, for each row, of the bound with that many samples over fresh noise."""
    values = made.flow.likelihood(_repeated(x, seeds), made.context(1), samples=samples).value.reshape(seeds, len(x))
    return values.mean(0), values.std(0) / math.sqrt(seeds)


def _repeated(x: Tensor, times: int) -> Tensor:
    """All rows so many times over: every copy gets noise of its own."""
    return x.repeat(times, *[1] * (x.ndim - 1))


@over("m", bounds)
def test_bound_lies_below_the_exact_value_and_tightens(entry: Entry) -> None:
    made = subject(entry)
    x = _events(made)
    exact = exact_log_probability(made, x)
    gaps = []
    for samples, seeds in ((1, 400), (10, 80), (100, 20)):
        value, error = _mean_bound(made, x, samples, seeds)
        assert (value <= exact + 4 * error + 1e-3).all()
        gaps.append(float((exact - value).mean()))
        if samples == 1:
            assert gaps[0] > 4 * error.norm() / len(x), "the gap of one draw is strict where the density varies"
    assert gaps[1] < 0.5 * gaps[0]
    assert gaps[2] < 0.2 * gaps[0]


@torch.no_grad()
def _inside(made: Subject, n: int) -> Tensor:
    """Whether each of ``n`` samples (seed 0) came from a point within the range of the levels: ``(n,)``."""
    if dequantisation(made.transform) is None:
        return torch.ones(n, dtype=torch.bool)
    y = continuous_part(made.flow).sample(n, made.context(1), generator=torch.Generator().manual_seed(0))
    return ((y >= 0) & (y <= 1)).flatten(1).all(1)


@over("m", bounds)
def test_value_of_a_sampled_path_lies_above_the_exact_value_on_average(entry: Entry) -> None:
    made = subject(entry)
    integers = made.transform.domain.kind == "integers"
    n = 6000 if integers else 1000
    with torch.no_grad():
        x, value = made.flow.sample_and_log_prob(n, made.context(1), generator=torch.Generator().manual_seed(0))
    x, value = x.reshape(n, *entry.event_shape), value.reshape(n)
    if integers:
        events = _all_events(made)
        index = (x[:, None] == events[None]).flatten(2).all(2).double().argmax(1)
        gap = value - exact_log_probability(made, events)[index]
    else:
        gap = value - exact_log_probability(made, x, points=2**9)
    # A sample from beyond the ends is clamped to a level whose cell does not hold the point that it came from.
    gap = gap[_inside(made, n)]
    assert len(gap) > n / 4
    assert gap.mean() > 4 * gap.std() / math.sqrt(len(gap))


@over("m", bounds)
def test_probabilities_of_all_events_sum_to_the_mass_inside_the_range(entry: Entry) -> None:
    made = subject(entry)
    if made.transform.domain.kind != "integers":
        # By points that are not the flow's own samples: a weight of the wrong size would show.
        integral = integrate(made.flow, made.context(1), samples=60_000)
        assert integral.error <= 0.02
        assert abs(integral.value - 1) <= 4 * integral.error
        return
    total = float(exact_log_probability(made, _all_events(made)).exp().sum())
    inside = _inside(made, 40_000).double()
    assert abs(total - float(inside.mean())) <= 4 * float(inside.std()) / math.sqrt(len(inside)) + 1e-3


@pytest.mark.parametrize("levels", [2, 17, 256])
def test_bound_is_exact_where_the_density_is_flat(levels: int) -> None:
    flow = Flow(UniformBox((3,)), Dequantise((3,), levels))
    x = torch.randint(0, levels, (20, 3)).float()
    for seed in range(3):
        value = flow.likelihood(x, seed=seed).value
        torch.testing.assert_close(value, torch.full((20,), -3 * math.log(levels)))


@over("m", estimates)
def test_estimate_has_the_exact_value_as_its_mean_and_its_standard_error_as_its_spread(entry: Entry) -> None:
    made, n, seeds = subject(entry), 4, 100
    context = made.context(n)
    x, context = _repeated(made.data(n), seeds), None if context is None else _repeated(context, seeds)
    estimate = made.flow.likelihood(x, context, samples=1, probes=4)
    with exactly(made.flow):
        # The same draws, so that of an estimate of a bound only what the probes add is compared.
        exact = made.flow.likelihood(x, context, samples=1).value
    gap = (estimate.value - exact).reshape(seeds, n)
    assert excess(gap, torch.zeros_like(gap[0]), entry.bias + entry.tolerance).max() <= 0
    assert estimate.kind == "estimate"
    if estimate.standard_error is not None:
        variance = estimate.standard_error.square().reshape(seeds, n).mean(0)
        assert (gap.var(0).sum() / variance.sum().clamp(min=1e-30)).sqrt() <= 1.5


@over("m", estimates)
def test_an_estimate_says_how_it_comes_about_and_whether_it_is_biased(entry: Entry) -> None:
    words = subject(entry).flow.kind_in_words
    assert words.startswith("estimate")
    assert ("biased" in words.replace("unbiased", "")) == (entry.bias > 0)
    assert ("tolerance" in words) == (entry.tolerance > 0)
    assert "unbiased" in words or entry.bias > 0 or entry.tolerance > 0
