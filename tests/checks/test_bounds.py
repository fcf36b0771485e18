"""Check m: what is called a bound lies below the exact value, tightens, and is exact where the theory says so.

And what is called an estimate has the exact value as its mean, but for the bias that its name admits.
"""

import itertools
import math

import pytest
import torch

from checking import over
from pushforward.bases import UniformBox
from pushforward.diagnostics.estimates import excess
from pushforward.diagnostics.integration import continuous_part
from pushforward.flow import Flow
from pushforward.transforms import Dequantize
from pushforward.transforms.dequantisation import dequantisation
from pushforward.transforms.estimated import exactly
from registry import Entry
from subjects import Subject, estimates, subject

_CELL = 60


def bounds(entry: Entry) -> bool:
    return not estimates(entry)


def exact_log_probability(made: Subject, x: torch.Tensor) -> torch.Tensor:
    """The log of the density's integral over the cell of each event of integers, by midpoints: ``(B,)``.

    Of the density before dequantisation: the noise that the flow itself draws plays no part.
    """
    first, density = dequantisation(made.transform), continuous_part(made.flow)
    assert first is not None
    size, shape = made.entry.size, made.entry.event_shape
    ends = (torch.arange(_CELL, dtype=made.dtype) + 0.5) / _CELL
    grid = torch.cartesian_prod(*[ends] * size).reshape(-1, *shape)
    with torch.no_grad():
        values = [density.log_prob((row + grid) / first.levels).logsumexp(0) for row in x]
    return torch.stack(values) - math.log(len(grid)) - size * math.log(first.levels)


def _all_events(made: Subject) -> torch.Tensor:
    levels = int(made.transform.domain.high) + 1
    events = list(itertools.product(range(levels), repeat=made.entry.size))
    return torch.tensor(events, dtype=made.dtype).reshape(-1, *made.entry.event_shape)


def _mean_bound(made: Subject, x: torch.Tensor, samples: int, seeds: int = 400) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and standard error, for each row, of the bound with that many samples over fresh noise."""
    values = torch.stack([made.flow.likelihood(x, samples=samples, seed=seed).value for seed in range(seeds)])
    return values.mean(0), values.std(0) / math.sqrt(seeds)


@over("m", bounds)
def test_bound_lies_below_the_exact_value_and_tightens(entry: Entry) -> None:
    made = subject(entry)
    x = _all_events(made)[::3]
    exact = exact_log_probability(made, x)
    one, error_one = _mean_bound(made, x, 1)
    many, error_many = _mean_bound(made, x, 16, seeds=50)
    assert (one <= exact + 4 * error_one).all()
    assert (many <= exact + 4 * error_many).all()
    gap, error = (exact - one).mean(), error_one.norm() / len(x)
    assert gap > 4 * error, "the gap of one draw is strict where the density varies"
    assert (exact - many).mean() < 0.3 * (exact - one).mean()


@torch.no_grad()
def _inside(made: Subject, n: int) -> torch.Tensor:
    """Whether each of ``n`` samples (seed 0) came from a point within the range of the levels: ``(n,)``."""
    y = continuous_part(made.flow).sample(n, generator=torch.Generator().manual_seed(0))
    return ((y >= 0) & (y <= 1)).flatten(1).all(1)


@over("m", bounds)
def test_value_of_a_sampled_path_lies_above_the_exact_value_on_average(entry: Entry) -> None:
    made, n = subject(entry), 6000
    with torch.no_grad():
        x, value = made.flow.sample_and_log_prob(n, generator=torch.Generator().manual_seed(0))
    events = _all_events(made)
    index = (x[:, None] == events[None]).flatten(2).all(2).double().argmax(1)
    gap = value - exact_log_probability(made, events)[index]
    # A sample from beyond the ends is clamped to a level whose cell does not hold the point that it came from.
    gap = gap[_inside(made, n)]
    assert len(gap) > n / 4
    assert gap.mean() > 4 * gap.std() / math.sqrt(len(gap))


@over("m", bounds)
def test_probabilities_of_all_events_sum_to_the_mass_inside_the_range(entry: Entry) -> None:
    made = subject(entry)
    total = float(exact_log_probability(made, _all_events(made)).exp().sum())
    inside = _inside(made, 40_000).double()
    assert abs(total - float(inside.mean())) <= 4 * float(inside.std()) / math.sqrt(len(inside)) + 1e-3


@pytest.mark.parametrize("levels", [2, 17, 256])
def test_bound_is_exact_where_the_density_is_flat(levels: int) -> None:
    flow = Flow(UniformBox((3,)), Dequantize((3,), levels))
    x = torch.randint(0, levels, (20, 3)).float()
    for seed in range(3):
        value = flow.likelihood(x, seed=seed).value
        torch.testing.assert_close(value, torch.full((20,), -3 * math.log(levels)))


@over("m", estimates)
def test_estimate_has_the_exact_value_as_its_mean_and_its_standard_error_as_its_spread(entry: Entry) -> None:
    made, n, seeds = subject(entry), 4, 100
    x, context = made.data(n), made.context(n)
    found = [made.flow.likelihood(x, context, samples=1, probes=4, seed=seed) for seed in range(seeds)]
    with exactly(made.flow):
        # The same draws, so that of an estimate of a bound only what the probes add is compared.
        exact = torch.stack([made.flow.likelihood(x, context, samples=1, seed=seed).value for seed in range(seeds)])
    gap = torch.stack([one.value for one in found]) - exact
    assert excess(gap, torch.zeros_like(gap[0]), entry.bias + entry.tolerance).max() <= 0
    assert found[0].kind == "estimate"
    if found[0].standard_error is not None:
        said = torch.stack([one.standard_error.square() for one in found if one.standard_error is not None]).mean(0)
        assert (gap.var(0).sum() / said.sum().clamp(min=1e-30)).sqrt() <= 1.5


@over("m", estimates)
def test_an_estimate_says_how_it_comes_about_and_whether_it_is_biased(entry: Entry) -> None:
    words = subject(entry).flow.kind_in_words
    assert words.startswith("estimate")
    assert ("biased" in words.replace("unbiased", "")) == (entry.bias > 0)
    assert ("tolerance" in words) == (entry.tolerance > 0)
    assert "unbiased" in words or entry.bias > 0 or entry.tolerance > 0
