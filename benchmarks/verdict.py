"""The calibration of the verdict on a fit: how often right models and planted faults are called good.

    python benchmarks/verdict.py --rows 2000 --repetitions 100

Each repetition draws training rows, half as many held-out rows and 4,000 samples of a model, and asks for the verdict.
Right models are the distributions that the held-out rows come from; each other model has one fault. All densities are
closed formulas, and the rival is a Gaussian mixture that is fitted to the training rows. Prints a table: the number of
verdicts of each kind, and the measures that spoke most often.
"""

from __future__ import annotations

import argparse
import math
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from scipy.special import logsumexp, ndtr
from sklearn.mixture import GaussianMixture
from sklearn.neighbors import KernelDensity

from pushforward.data.toys import log_density
from pushforward.data.toys import sample as sample_toy
from pushforward.evaluation.fit_quality import FitEvidence, FitQuality, assess_fit
from pushforward.evaluation.verdict import State

Array = NDArray[np.float64]
Rng = np.random.Generator

SAMPLES = 4000


@dataclass(frozen=True)
class Model:
    """A density in closed form: sampler and log-density given contexts, and its Rosenblatt transform where it has one.

    Without a context, the contexts are arrays with no columns.
    """

    sample: Callable[[Array, Rng], Array]
    log_density: Callable[[Array, Array], Array]
    latents: Callable[[Array, Array], Array] | None = None


@dataclass(frozen=True)
class Scenario:
    """A truth, from which all rows come, and a model of it, which may depend on the training rows."""

    name: str
    truth: Model
    model: Callable[[Array, Rng], Model]
    right: bool = False
    # From the context of a row to the one that the model is given.
    context: Callable[[Array], Array] | None = None


def gaussian(mean: Array, covariance: Array) -> Model:
    """A Gaussian; its latents are the distribution functions of its whitened coordinates."""
    factor = np.linalg.cholesky(covariance)

    def whiten(x: Array) -> Array:
        return np.linalg.solve(factor, (x - mean).T).T

    return Model(
        lambda c, rng: mean + rng.normal(size=(len(c), len(mean))) @ factor.T,
        lambda x, c: stats.norm.logpdf(whiten(x)).sum(1) - np.log(np.diag(factor)).sum(),
        lambda x, c: ndtr(whiten(x)),
    )


def mixture(weights: Array, parts: list[Model]) -> Model:
    """A mixture of unconditional models."""

    def sample(c: Array, rng: Rng) -> Array:
        drawn = np.stack([part.sample(c, rng) for part in parts])
        return drawn[rng.choice(len(parts), len(c), p=weights), np.arange(len(c))]

    def log_density(x: Array, c: Array) -> Array:
        return np.asarray(logsumexp([np.log(w) + p.log_density(x, c) for w, p in zip(weights, parts, strict=True)], 0))

    return Model(sample, log_density)


def independent(*columns: Any) -> Model:
    """Independent columns with distributions of scipy."""
    return Model(
        lambda c, rng: np.stack([column.rvs(len(c), random_state=rng) for column in columns], 1),
        lambda x, c: np.sum([column.logpdf(x[:, i]) for i, column in enumerate(columns)], 0),
        lambda x, c: np.stack([column.cdf(x[:, i]) for i, column in enumerate(columns)], 1),
    )


def moons() -> Model:
    """Two moons, a toy with a closed density."""
    return Model(
        lambda c, rng: sample_toy("two-moons", len(c), int(rng.integers(2**31))),
        lambda x, c: log_density("two-moons", x),
    )


def counts() -> Model:
    """Columns with many equal values: counts and a label."""
    return Model(
        lambda c, rng: np.stack([rng.poisson(1.0, len(c)), rng.integers(0, 3, len(c))], 1).astype(float),
        lambda x, c: stats.poisson.logpmf(x[:, 0], 1.0) - np.log(3),
    )


def regression() -> Model:
    """Two columns whose mean and scale depend on a context of three values."""

    def moments(c: Array) -> tuple[Array, Array]:
        mean = np.stack([np.sin(c[:, 0]), 0.5 * c[:, 1] + 0.2 * c[:, 2]], 1)
        return mean, np.stack([0.3 + 0.1 * np.abs(c[:, 2]), np.full(len(c), 0.7)], 1)

    def log_density(x: Array, c: Array) -> Array:
        mean, scale = moments(c)
        return stats.norm.logpdf(x, mean, scale).sum(1)

    def sample(c: Array, rng: Rng) -> Array:
        mean, scale = moments(c)
        return mean + scale * rng.normal(size=mean.shape)

    def latents(x: Array, c: Array) -> Array:
        mean, scale = moments(c)
        return ndtr((x - mean) / scale)

    return Model(sample, log_density, latents)


class LightTails:
    """Student's t with 3 degrees of freedom up to 3 units from the centre, and Gaussian tails of the same mass."""

    body, edge = stats.t(3), 3.0
    scale = math.sqrt(2 / math.pi) * body.sf(edge) / body.pdf(edge)

    def rvs(self, size: int, random_state: Rng) -> Array:
        x = self.body.rvs(size, random_state=random_state)
        tail = np.sign(x) * (self.edge + self.scale * np.abs(random_state.normal(size=size)))
        return np.where(np.abs(x) <= self.edge, x, tail)

    def logpdf(self, x: Array) -> Array:
        beyond = np.maximum(np.abs(x) - self.edge, 0) / self.scale
        return np.where(beyond > 0, self.body.logpdf(self.edge) - 0.5 * beyond**2, self.body.logpdf(x))

    def cdf(self, x: Array) -> Array:
        beyond = np.maximum(np.abs(x) - self.edge, 0) / self.scale
        outer = np.where(beyond > 0, 2 * self.body.sf(self.edge) * ndtr(-beyond), self.body.sf(np.abs(x)))
        return np.where(x < 0, outer, 1 - outer)


def memorised(train: Array, width: float = 0.02) -> Model:
    """A narrow kernel at every training row: a memorised training set."""
    scale = width * train.std(0)

    def sample(c: Array, rng: Rng) -> Array:
        return train[rng.integers(len(train), size=len(c))] + scale * rng.normal(size=(len(c), train.shape[1]))

    kernels = KernelDensity(bandwidth=width, rtol=1e-4).fit(train / train.std(0))

    def log_density(x: Array, c: Array) -> Array:
        return np.asarray(kernels.score_samples(x / train.std(0)) - np.log(train.std(0)).sum())

    return Model(sample, log_density)


def fitted_mixture(train: Array, rng: Rng, components: int = 10) -> Model:
    """A Gaussian mixture that is fitted to the training rows."""
    fit = GaussianMixture(components, random_state=int(rng.integers(2**31)), reg_covar=1e-4, max_iter=50).fit(train)
    parts = [gaussian(m, c) for m, c in zip(fit.means_, fit.covariances_, strict=True)]
    return mixture(fit.weights_, parts)


def _scenarios() -> Iterator[Scenario]:
    spread = 0.5 * np.eye(5) + 0.5
    far = mixture(
        np.array([0.98, 0.02]), [gaussian(np.zeros(2), np.eye(2)), gaussian(np.full(2, 4.0), 0.1 * np.eye(2))]
    )
    heavy = independent(stats.t(3), stats.norm(), stats.t(3))
    right = {
        "right: Gaussian, 5 columns": gaussian(np.zeros(5), spread),
        "right: two moons": moons(),
        "right: three modes, 10 columns": mixture(
            np.array([0.5, 0.3, 0.2]), [gaussian(np.full(10, m), np.eye(10)) for m in (-1.0, 0.0, 3.0)]
        ),
        "right: a mode of 2 %": far,
        "right: Student's t": heavy,
        "right: counts": counts(),
        "right: with a context": regression(),
    }
    for name, model in right.items():
        yield Scenario(name, model, lambda train, rng, model=model: model, True)
    own = "right: rows drawn from a fitted mixture"
    yield Scenario(own, moons(), lambda train, rng: fitted_mixture(train, rng), True)
    yield Scenario("a Gaussian on moons", moons(), lambda train, rng: gaussian(train.mean(0), np.cov(train.T)))
    yield Scenario("a mode of 2 % dropped", far, lambda train, rng: gaussian(np.zeros(2), np.eye(2)))
    light = LightTails()
    yield Scenario("tails too light", heavy, lambda train, rng: independent(light, stats.norm(), light))
    yield Scenario("a memorised training set", moons(), lambda train, rng: memorised(train))
    half = Scenario(
        "a quarter of the mass memorised",
        moons(),
        lambda train, rng: mixture(np.array([0.25, 0.75]), [memorised(train, width=0.01), moons()]),
    )
    yield half
    for name, unit in (("metres for kilometres", 1000.0), ("inches for centimetres", 2.54)):
        yield Scenario(
            f"wrong unit in the context: {name}",
            regression(),
            lambda train, rng: regression(),
            context=lambda c, unit=unit: np.stack([c[:, 0], c[:, 1] * unit, c[:, 2]], 1),
        )


SCENARIOS = {scenario.name: scenario for scenario in _scenarios()}


def evidence_of(scenario: Scenario, rows: int, seed: int) -> FitEvidence:
    """The evidence of one repetition: ``rows`` training rows and half as many held-out rows."""
    rng = np.random.default_rng(seed)
    conditional = scenario.name.startswith("wrong unit") or "context" in scenario.name
    width = 3 if conditional else 0
    c_train, c_held = (rng.normal(size=(n, width)) for n in (rows, rows // 2))
    train = scenario.truth.sample(c_train, rng)
    model = scenario.model(train, rng)
    truth = model if scenario.right else scenario.truth
    held = truth.sample(c_held, rng)
    if scenario.context is not None:
        c_train, c_held = scenario.context(c_train), scenario.context(c_held)
    c_drawn = c_held if conditional else np.zeros((SAMPLES, 0))
    drawn = model.sample(c_drawn, rng)
    some = rng.permutation(rows)[:1000]
    latents = None if model.latents is None else model.latents(held, c_held)
    rival = fitted_mixture(np.concatenate([train, c_train], 1), rng, 5)
    of_rows = rival.log_density(np.concatenate([held, c_held], 1), held)
    if conditional:
        contexts = fitted_mixture(c_train, rng, 1)
        of_rows = of_rows - contexts.log_density(c_held, held)
    pit = None
    if conditional:
        draws = np.stack([model.sample(c_held, rng) for _ in range(200)])
        pit = ((draws < held).sum(0) + rng.random(held.shape)) / 201
    return FitEvidence(
        model.log_density(held, c_held),
        model.log_density(train[some], c_train[some]),
        model.log_density(drawn, c_drawn),
        train,
        held,
        drawn,
        context=c_held if conditional else None,
        train_context=c_train if conditional else None,
        pit=pit,
        latents=latents,
        rivals={} if conditional or "counts" in scenario.name else {"Gaussian mixture": of_rows},
    )


def judge(task: tuple[str, int, int]) -> tuple[str, FitQuality]:
    """The quality of the fit of one repetition."""
    name, rows, seed = task
    return name, assess_fit(evidence_of(SCENARIOS[name], rows, seed), seed)


def parse_arguments(words: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=2000, help="training rows; half as many are held out")
    parser.add_argument("--repetitions", type=int, default=100)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--only", default="", help="the scenarios whose name contains this")
    return parser.parse_args(words)


def main() -> None:
    given = parse_arguments()
    names = [name for name in SCENARIOS if given.only in name]
    tasks = [(name, given.rows, seed) for name in names for seed in range(given.repetitions)]
    started, states, spoke = time.perf_counter(), Counter[tuple[str, State]](), Counter[tuple[str, str]]()
    with ProcessPoolExecutor(given.processes) as pool:
        for name, quality in pool.map(judge, tasks, chunksize=5):
            states[name, quality.verdict.state] += 1
            for finding in quality.findings:
                spoke[name, finding.measure] += finding.state(quality.level) is not State.GOOD
    print(f"{given.rows:,} training rows, {given.rows // 2:,} held out, {given.repetitions} repetitions\n")
    print("| model | good | use with care | do not use | measures that spoke |\n|---|---:|---:|---:|---|")
    for name in names:
        counted = " | ".join(str(states[name, state]) for state in State)
        loudest = sorted(((n, m) for (own, m), n in spoke.items() if own == name and n), reverse=True)
        print(f"| {name} | {counted} | {', '.join(f'{m} {n}' for n, m in loudest[:5])} |")
    print(f"\n{time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    main()
