"""Questions to a FlowDensity with some columns given, against a known mixture; and the calibration of imputed values.

    python benchmarks/conditioning.py --seconds 30 --seeds 0,1,2         # known answers, three minutes
    export PUSHFORWARD_DATA=DATA
    python benchmarks/conditioning.py --impute california_housing,bike   # real tables: hidden cells against their draws

Known answers: 20,000 rows of a mixture of five Gaussians in four columns with a label. For random rows and random
subsets of the columns the program asks for the mean, three quantiles and the probability of an event of another column.
The mixture answers in closed form. Printed: the absolute error in units of the column's conditional deviation (of the
probability: as it is), and how much of it the estimate's own Monte Carlo error explains.

Imputed values: a fifth of the cells of held-out rows is hidden, and each is drawn 40 times given the rest of its row.
The rank of the hidden value among its draws is uniform for a calibrated model. Printed for each column: the
Kolmogorov-Smirnov distance of the ranks from uniform, and how many values lie in the central 90 % of their draws.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import numpy as np
import torch
from cell_program import counts
from scipy.special import logsumexp
from scipy.stats import kstest, norm

from pushforward.estimators import FlowDensity

Array = np.ndarray
COLUMNS = ("a", "b", "c", "d")
LEVELS = (0.1, 0.5, 0.9)
_ROWS, _QUESTIONS, _DRAWS = 20_000, 60, 4000


class KnownMixture:
    """Five Gaussians in four columns; each component has its own probabilities of three labels."""

    def __init__(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.weights = rng.dirichlet(np.full(5, 5.0))
        self.means = rng.normal(scale=2.0, size=(5, 4))
        factors = rng.normal(size=(5, 4, 4)) * 0.5
        self.covariances = factors @ factors.transpose(0, 2, 1) + 0.1 * np.eye(4)
        self.labels = rng.dirichlet(np.ones(3), size=5)

    def sample(self, count: int, rng: np.random.Generator) -> dict[str, Array]:
        k = rng.choice(5, size=count, p=self.weights)
        noise = np.einsum("nij,nj->ni", np.linalg.cholesky(self.covariances)[k], rng.normal(size=(count, 4)))
        label = (rng.random((count, 1)) > self.labels[k].cumsum(1)).sum(1)
        return dict(zip(COLUMNS, (self.means[k] + noise).T, strict=True)) | {"label": np.array(["u", "v", "w"])[label]}

    def given(self, row: dict[str, object], asked: str) -> tuple[Array, Array, Array]:
        """Weights, means and deviations of the column ``asked`` given the contents of ``row``."""
        seen = [COLUMNS.index(name) for name in row if name != "label"]
        log_weights = np.log(self.weights)
        if "label" in row:
            log_weights = log_weights + np.log(self.labels[:, "uvw".index(str(row["label"]))])
        j = COLUMNS.index(asked)
        means, variances = self.means[:, j].copy(), self.covariances[:, j, j].copy()
        x = np.array([row[COLUMNS[i]] for i in seen], dtype=float)
        for k in range(5 if seen else 0):
            covariance = self.covariances[k][np.ix_(seen, seen)]
            gain = np.linalg.solve(covariance, self.covariances[k][seen, j])
            gap = x - self.means[k, seen]
            log_weights[k] -= 0.5 * (gap @ np.linalg.solve(covariance, gap) + np.linalg.slogdet(covariance)[1])
            means[k] += gain @ gap
            variances[k] -= gain @ self.covariances[k][seen, j]
        return np.exp(log_weights - logsumexp(log_weights)), means, np.sqrt(variances)


def quantile(weights: Array, means: Array, deviations: Array, level: float) -> float:
    low, high = (means - 12 * deviations).min(), (means + 12 * deviations).max()
    for _ in range(80):
        middle = (low + high) / 2
        below = (weights * norm.cdf(middle, means, deviations)).sum() < level
        low, high = (middle, high) if below else (low, middle)
    return float(low)


def known_answers(seconds: float, seed: int) -> dict[str, Array]:
    """Errors of the answers to random questions, by kind of question; ``(Q,)`` each."""
    rng = np.random.default_rng(1000 + seed)
    truth = KnownMixture(seed)
    model = FlowDensity(max_seconds=seconds, random_state=seed).fit(truth.sample(_ROWS, rng))
    rows = truth.sample(_QUESTIONS, rng)
    errors: dict[str, list[float]] = {"mean": [], "quantile": [], "probability": [], "in Monte Carlo errors": []}
    for i in range(_QUESTIONS):
        asked = str(rng.choice(COLUMNS))
        others = [name for name in (*COLUMNS, "label") if name != asked]
        chosen = rng.choice(others, size=rng.integers(0, len(others) + 1), replace=False)
        row = {name: rows[name][i] if name == "label" else float(rows[name][i]) for name in chosen}
        weights, means, deviations = truth.given(row, asked)
        mean = float(weights @ means)
        deviation = float(np.sqrt(weights @ (deviations**2 + means**2) - mean**2))
        given = row or None
        drawn = model.sample(_DRAWS, given=given, random_state=i)[asked]
        errors["mean"].append(abs(float(np.mean(drawn)) - mean) / deviation)
        estimated = model.quantiles(asked, LEVELS, given=given, draws=_DRAWS, random_state=i)
        for level, value in zip(LEVELS, estimated, strict=True):
            errors["quantile"].append(abs(value - quantile(weights, means, deviations, level)) / deviation)
        threshold = quantile(weights, means, deviations, float(rng.uniform(0.1, 0.9)))
        exact = float(weights @ norm.sf(threshold, means, deviations))
        found = model.probability(f"{asked} > {threshold!r}", given=given, draws=_DRAWS, random_state=i)
        errors["probability"].append(abs(found.value - exact))
        errors["in Monte Carlo errors"].append(abs(found.value - exact) / found.error)
    return {name: np.array(values) for name, values in errors.items()}


def imputed(name: str, seconds: float, seed: int) -> list[str]:
    """Rows of a Markdown table: the calibration of the hidden numbers of each column."""
    from mixed_tables import divided

    table = divided(name, Path(os.environ.get("PUSHFORWARD_DATA", "data")), seed)
    model = FlowDensity(max_seconds=seconds, random_state=seed).fit(table.train)
    rng = np.random.default_rng(seed)
    numeric = [c for c in model.plan_.names if table.test[c].dtype.kind in "if"]
    test = table.test.iloc[:2000].reset_index(drop=True)
    hidden = {c: (rng.random(len(test)) < 0.2) & test[c].notna().to_numpy() for c in numeric}
    gaps = test.astype(dict.fromkeys(numeric, float))
    for c in numeric:
        gaps.loc[hidden[c], c] = np.nan
    filled = model.impute(gaps, draws=40, random_state=seed)
    lines = []
    for c in numeric:
        draws = np.stack([part[c].to_numpy(dtype=float)[hidden[c]] for part in filled])
        values = test[c].to_numpy(dtype=float)[hidden[c]]
        below, ties = (draws < values).sum(0), (draws == values).sum(0)
        ranks = (below + rng.random(len(values)) * (ties + 1)) / (len(draws) + 1)
        inside = float(((ranks > 0.05) & (ranks < 0.95)).mean())
        test_of_ranks = kstest(ranks, "uniform")
        lines.append(f"| {name} | {c} | {len(values)} | {test_of_ranks.statistic:.3f} | {100 * inside:.1f} % |")
    return lines


def parse_arguments(given: list[str] | None = None) -> argparse.Namespace:
    """The options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=30.0, help="time limit of each fit; default 30")
    parser.add_argument("--seeds", type=counts, default=[0], help="with commas; default 0")
    parser.add_argument("--impute", default="", help="tables with commas, instead of the known mixture")
    return parser.parse_args(given)


def main() -> None:
    arguments = parse_arguments()
    torch.set_num_threads(1)
    if arguments.impute:
        print("| table | column | hidden values | distance of ranks from uniform | in the central 90 % |")
        print("|---|---|---|---|---|")
        for name in arguments.impute.split(","):
            for seed in arguments.seeds:
                print("\n".join(imputed(name, arguments.seconds, seed)), flush=True)
        return
    found = [known_answers(arguments.seconds, seed) for seed in arguments.seeds]
    print("| answer | questions | median error | 90 % of errors below | largest |\n|---|---|---|---|---|")
    for kind in found[0]:
        values = np.concatenate([each[kind] for each in found])
        middle, most = np.quantile(values, [0.5, 0.9])
        print(f"| {kind} | {len(values)} | {middle:.3f} | {most:.3f} | {values.max():.3f} |")


if __name__ == "__main__":
    main()
