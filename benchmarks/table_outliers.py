"""Outliers in labelled sets: the AUROC of FlowOutlierDetector next to detectors of scikit-learn and PyOD.

    export PUSHFORWARD_DATA=DATA
    python benchmarks/table_outliers.py --seeds 0,1,2 --out runs/table_outliers.jsonl      # everything, an hour
    python benchmarks/table_outliers.py --tables thyroid --models lof,flow --seconds 10    # two cells
    python benchmarks/table_outliers.py --markdown --out runs/table_outliers.jsonl         # the finished cells

One JSON line for each finished cell (table, model, seed, seconds); cells that have theirs are skipped. A detector is
fitted without labels to 70 % of the rows, outliers among them, and ranks the others; each seed is another division,
with outliers in proportion. The sets are those of ADBench. The detectors of other libraries get standardised columns.
"flow" is the default score, "density" its log-density alone, "typicality" another answer of the same fit; "trimmed" is
the log-density after a second fit without the tenth of the rows that scores lowest. AUROC: the probability
that an outlier ranks above another row; 0.5 is chance. AP: average precision.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from cell_program import Cell, Figure, data_folder, numbers, parser_of, run_or_print, stopwatch
from sklearn.ensemble import IsolationForest
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import train_test_split
from sklearn.neighbors import LocalOutlierFactor
from sklearn.preprocessing import StandardScaler

Array = np.ndarray
# Rows for fitting (N, D), rows to rank (M, D), the seed and the seconds; the outlyingness of each of the latter (M,).
Detector = Callable[[Array, Array, int, float], Array]
SETS = (
    "annthyroid",
    "breastw",
    "cardio",
    "glass",
    "Ionosphere",
    "mammography",
    "optdigits",
    "pendigits",
    "Pima",
    "shuttle",
    "thyroid",
    "yeast",
)
FIGURES = (
    Figure("auroc", "AUROC"),
    Figure("precision", "Average precision"),
    Figure("took", "Seconds of fit and ranking", more_is_better=False, digits=1),
)
_COMPONENTS = (1, 2, 4, 8, 16)


def flow(train: Array, test: Array, seed: int, seconds: float) -> Array:
    """`pushforward.estimators.FlowOutlierDetector`: log-density and extreme values."""
    return -np.asarray(_fitted(train, seed, seconds).score_samples(test), dtype=float)


def density(train: Array, test: Array, seed: int, seconds: float) -> Array:
    """The log-density alone."""
    return -np.asarray(_fitted(train, seed, seconds).density_.score_samples(test), dtype=float)


def typicality(train: Array, test: Array, seed: int, seconds: float) -> Array:
    """`FlowOutlierDetector.typicality`, by which rows of the highest density are outliers too."""
    return -_fitted(train, seed, seconds).typicality(test)


def trimmed(train: Array, test: Array, seed: int, seconds: float) -> Array:
    """The log-density after a second fit, to the nine tenths of the rows that have the highest in the first."""
    scores = _fitted(train, seed, seconds).density_.score_samples(train)
    return density(train[scores >= np.quantile(scores, 0.1)], test, seed, seconds)


# The cells of a table and seed that rest on the same fit follow each other.
_FITS: dict[tuple[int, int, float], Any] = {}


def _fitted(train: Array, seed: int, seconds: float) -> Any:
    from pushforward.estimators import FlowOutlierDetector

    key = (hash(train.tobytes()), seed, seconds)
    if key not in _FITS:
        _FITS.clear()
        _FITS[key] = FlowOutlierDetector(max_seconds=seconds, random_state=seed).fit(train)
    return _FITS[key]


def isolation_forest(train: Array, test: Array, seed: int, seconds: float) -> Array:
    """scikit-learn's IsolationForest."""
    return -IsolationForest(random_state=seed).fit(train).score_samples(test)


def local_factor(train: Array, test: Array, seed: int, seconds: float) -> Array:
    """scikit-learn's LocalOutlierFactor."""
    return -LocalOutlierFactor(novelty=True).fit(train).score_samples(test)


def neighbours(train: Array, test: Array, seed: int, seconds: float) -> Array:
    """PyOD's KNN, the distance to the fifth neighbour."""
    from pyod.models.knn import KNN

    return np.asarray(KNN().fit(train).decision_function(test))


def tails(train: Array, test: Array, seed: int, seconds: float) -> Array:
    """PyOD's ECOD, the tail probabilities of the columns."""
    from pyod.models.ecod import ECOD

    return np.asarray(ECOD().fit(train).decision_function(test))


def mixture(train: Array, test: Array, seed: int, seconds: float) -> Array:
    """scikit-learn's mixture of Gaussians, with components by BIC."""
    fitted = [
        GaussianMixture(components, reg_covar=1e-4, random_state=seed).fit(train)
        for components in _COMPONENTS
        if components <= len(train) // 10
    ]
    return -min(fitted, key=lambda model: model.bic(train)).score_samples(test)


FLOW = "flow"
# Detectors that rest on a density of the library, and are fitted for so many seconds.
OURS: dict[str, Detector] = {FLOW: flow, "density": density, "typicality": typicality, "trimmed": trimmed}
DETECTORS: dict[str, Detector] = {
    **OURS,
    "iforest": isolation_forest,
    "lof": local_factor,
    "knn": neighbours,
    "ecod": tails,
    "gmm": mixture,
}


def do(cell: Cell) -> Mapping[str, Any]:
    """Fit the detector of a cell and compare its ranks with the labels."""
    content = np.load(data_folder() / "adbench" / f"{cell['table']}.npz")
    rows, labels = content["X"].astype(float), content["y"].astype(int)
    train, test, _, truth = train_test_split(rows, labels, test_size=0.3, random_state=cell["seed"], stratify=labels)
    if cell["model"] not in OURS:
        scaler = StandardScaler().fit(train)
        train, test = scaler.transform(train), scaler.transform(test)
    with stopwatch() as took:
        outlying = DETECTORS[cell["model"]](train, test, cell["seed"], cell["seconds"])
    # Rows of density zero are the most outlying ones.
    outlying = np.nan_to_num(outlying, nan=np.finfo(float).max)
    return {
        "auroc": float(roc_auc_score(truth, outlying)),
        "precision": float(average_precision_score(truth, outlying)),
        "rows": len(train),
        "test_rows": len(test),
        "outliers": int(truth.sum()),
        "took": took(),
    }


def parse_arguments(given: list[str] | None = None) -> argparse.Namespace:
    """The command line; ``given`` stands in for the program's own."""
    parser = parser_of(__doc__, SETS, tuple(DETECTORS), "runs/table_outliers.jsonl")
    parser.add_argument(
        "--seconds", type=numbers, default=[30.0], help="times of a fit of FlowOutlierDetector, with commas; default 30"
    )
    return parser.parse_args(given)


def main() -> int:
    return run_or_print(parse_arguments(), FIGURES, do, timed=OURS)


if __name__ == "__main__":
    sys.exit(main())
