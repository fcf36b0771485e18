"""The fit of a mixture: components are split until validation rows gain no more."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch

from pushforward.mixtures.mixture import Expectation, Mixture, Strengths
from pushforward.mixtures.rows import MixtureRows
from pushforward.mixtures.single import single_components
from pushforward.mixtures.tables import Tables

# Fewest and most steps of expectation-maximisation after a split, and most steps after the last one.
_LEAST_STEPS, _STEPS, _LAST_STEPS = 5, 30, 200
# Mean gain of the training rows, in nats, below which steps end.
_SMALL_GAIN = 1e-4
# Rows for each component on which a mixture grows; the last steps take all rows.
_ROWS_PER_COMPONENT = 100
_LEAST_ROWS, _VALIDATION_ROWS = 2000, 1000
# Counts of components in a row that gain nothing on validation rows, after which no larger one is tried.
_PATIENCE = 2


@dataclass(frozen=True, eq=False)
class GrownMixture:
    """A fitted mixture, its mean log-likelihood on validation rows, and the strengths that these chose."""

    mixture: Mixture
    validation: float
    strengths: Strengths
    tried: tuple[tuple[int, float], ...] = ()


def grow(
    rows: MixtureRows,
    validation: MixtureRows,
    counts: Sequence[int],
    *,
    max_components: int = 100,
    seconds: float = math.inf,
    seed: int = 0,
    clock: Callable[[], float] = time.monotonic,
) -> GrownMixture:
    """The mixture whose number of components, and whose strengths, have the greatest validation likelihood.

    counts: the number of states of each discrete column. seconds: time on ``clock`` after which steps end.
    """
    end = clock() + seconds

    def over() -> bool:
        return clock() >= end

    generator = torch.Generator().manual_seed(seed)
    judges = _some(validation, _VALIDATION_ROWS, generator)
    best = _single(rows, judges, counts, over)
    tried = [(1, best.validation)]
    current, failures = best, 0
    while len(current.mixture) < max_components and failures < _PATIENCE and not over():
        count = min(2 * len(current.mixture), max_components)
        if count > max(1, len(rows) // 5):
            break
        part = _some(rows, max(_LEAST_ROWS, _ROWS_PER_COMPONENT * count), generator)
        split = replace(current, mixture=current.mixture.split(count, generator))
        current = _climb(split, part, judges, _STEPS, over)
        tried.append((count, current.validation))
        failures = 0 if current.validation > best.validation else failures + 1
        best = max(best, current, key=lambda grown: grown.validation)
    if len(best.mixture) > 1:
        last = _climb(best, rows, judges, _LAST_STEPS, over)
        best = max(best, last, key=lambda grown: grown.validation)
    return replace(best, tried=tuple(tried))


def single_by_leaving_one_out(rows: MixtureRows, counts: Sequence[int]) -> Mixture:
    """The single component whose shrinkage the rows prefer, each scored by a fit to the others: for few rows."""
    one = torch.ones(1, dtype=torch.float64)
    candidates = list(single_components(rows))
    # Strong shrinkages come last; the weakest of them may fail for some of the rows.
    totals = torch.zeros(len(candidates), dtype=torch.float64)
    places = torch.arange(len(rows))
    for i in range(len(rows) if len(rows) > 1 else 0):
        others, own = rows.take(places[places != i]), rows.take(places[i : i + 1])
        tables = Tables.single(others.states, counts, others.weights)
        scores = [Mixture(one, each, tables).log_prob(own) for each in single_components(others)]
        common = min(len(scores), len(candidates))
        totals[: len(candidates) - common] = -math.inf
        totals[-common:] += rows.weights[i] * torch.cat(scores[-common:])
    best = len(candidates) - 1 - int(totals.flip(0).argmax())
    return Mixture(one, candidates[best], Tables.single(rows.states, counts, rows.weights))


def _single(rows: MixtureRows, judges: MixtureRows, counts: Sequence[int], over: Callable[[], bool]) -> GrownMixture:
    """The single component that validation rows prefer."""
    tables = Tables.single(rows.states, counts, rows.weights)
    one = torch.ones(1, dtype=torch.float64)
    best: GrownMixture | None = None
    for gaussians in single_components(rows):
        mixture = Mixture(one, gaussians, tables)
        grown = GrownMixture(mixture, judges.mean(mixture.log_prob(judges)), Strengths())
        if gaussians.factors and not over():
            grown = _climb(grown, rows, judges, _STEPS, over)
        if best is None or grown.validation > best.validation:
            best = grown
    assert best is not None  # there is at least one start
    return best


def _climb(
    start: GrownMixture, rows: MixtureRows, judges: MixtureRows, steps: int, over: Callable[[], bool]
) -> GrownMixture:
    """Steps of expectation-maximisation until the rows gain little; validation chooses the strengths on the way."""
    mixture, strengths, previous = start.mixture, start.strengths, -math.inf
    best: GrownMixture | None = None
    for step in range(steps):
        statistics = mixture.expectation(rows)
        gain, previous = statistics.log_likelihood - previous, statistics.log_likelihood
        small = gain < _SMALL_GAIN * rows.total and step >= _LEAST_STEPS
        last = step == steps - 1 or small or over()
        if step % 10 == 9 or last:
            candidate = _strongest(mixture, statistics, strengths, judges)
            mixture, strengths = candidate.mixture, candidate.strengths
            if best is not None and candidate.validation <= best.validation:
                break
            best = candidate
            if last:
                break
        else:
            mixture = mixture.maximised(statistics, strengths)
    assert best is not None  # the last step has a candidate
    return best


def _strongest(mixture: Mixture, statistics: Expectation, near: Strengths, judges: MixtureRows) -> GrownMixture:
    """The next mixture with the strengths, near the given ones, that validation rows prefer."""

    def candidate(strengths: Strengths) -> GrownMixture:
        following = mixture.maximised(statistics, strengths)
        return GrownMixture(following, judges.mean(following.log_prob(judges)), strengths)

    best = candidate(near)
    names = ("covariance",) * (mixture.gaussians.means.shape[1] > 0) + ("table",) * bool(mixture.tables.columns)
    for name in names:
        for factor in (3.0, 1 / 3.0):
            while True:
                strength = getattr(best.strengths, name) * factor
                other = candidate(replace(best.strengths, **{name: strength}))
                if not (1e-8 <= strength <= 1e4 and other.validation > best.validation):
                    break
                best = other
    return best


def _some(rows: MixtureRows, most: int, generator: torch.Generator) -> MixtureRows:
    if len(rows) <= most:
        return rows
    return rows.take(torch.randperm(len(rows), generator=generator)[:most])
