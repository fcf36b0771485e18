"""The hard mark of the tables: a Gaussian mixture with full covariances and as many components as validation likes."""

from __future__ import annotations

import time
import warnings
from dataclasses import dataclass

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture

Array = np.ndarray

COMPONENTS = (1, 2, 5, 10, 20, 40, 80, 160, 320)
# What scikit-learn adds to every variance. The floor itself is in the rows: more here would be a second floor, which
# the other models do not have.
RIDGE = 1e-6
# EM steps between two looks at the clock.
_STEPS, _MOST_STEPS = 5, 200
# Counts of components in a row that validation likes less than an earlier one, after which no larger one is tried.
_WORSE = 2


@dataclass(frozen=True)
class Mixture:
    """The mixture that validation preferred: its mean log-likelihood there, and what was tried."""

    model: GaussianMixture
    validation: float
    steps: int
    tried: tuple[str, ...]

    @property
    def parameters(self) -> int:
        k, d = self.model.means_.shape
        return int(k * (d + d * (d + 1) // 2) + k - 1)


def fit_mixture(train: Array, validation: Array, seconds: float, seed: int) -> Mixture:
    """Mixtures of more and more components, until ``seconds`` are over or validation falls.

    The one that the clock stops in the middle of its EM steps is a density as good as any, and is judged like the rest.
    """
    end = time.process_time() + seconds
    best: Mixture | None = None
    tried: list[str] = []
    steps = worse = 0
    for components in COMPONENTS:
        over = best is not None and time.process_time() >= end
        if over or worse == _WORSE or components > max(1, len(train) // 10):
            break
        model, made = _expectation_maximisation(train, components, end, seed)
        value = float(model.score(validation))
        steps += made
        tried.append(f"{components}: {value:.3f}{'' if model.converged_ else ' (cut short)'}")
        if best is None or value > best.validation:
            best, worse = Mixture(model, value, steps, ()), 0
        else:
            worse += 1
    assert best is not None  # one component always fits
    return Mixture(best.model, best.validation, steps, tuple(tried))


def _expectation_maximisation(x: Array, components: int, end: float, seed: int) -> tuple[GaussianMixture, int]:
    model = GaussianMixture(components, reg_covar=RIDGE, random_state=seed, max_iter=_STEPS, warm_start=True)
    steps = 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        while True:
            model.fit(x)
            steps += model.n_iter_
            if model.converged_ or steps >= _MOST_STEPS or time.process_time() >= end:
                return model, steps
