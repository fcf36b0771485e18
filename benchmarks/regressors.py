"""Regressors that predict a distribution: FlowRegressor and those of other libraries, behind one contract.

Each is fitted to the rows for fitting and gives, for other rows, the log-density of the target where it has one, and
quantiles at any levels. All of them see the same columns; those that stop early hold out one row in ten themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
from scipy.stats import norm
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

Array = np.ndarray


class Predicted(Protocol):
    """Distributions of the target, one for each row."""

    def log_density(self, y: Array) -> Array | None:
        """``(N,)`` nats, or None for a model that has no density."""

    def quantiles(self, levels: Sequence[float]) -> Array:
        """``(N, levels)``."""


class Gaussians:
    """Normal distributions."""

    def __init__(self, mean: Array, deviation: Array) -> None:
        self.mean, self.deviation = np.asarray(mean, float), np.maximum(np.asarray(deviation, float), 1e-12)

    def log_density(self, y: Array) -> Array:
        return np.asarray(norm.logpdf(y, self.mean, self.deviation))

    def quantiles(self, levels: Sequence[float]) -> Array:
        return self.mean[:, None] + self.deviation[:, None] * norm.ppf(levels)


class Quantiles:
    """Quantiles at the levels that were asked for, in order, without a density."""

    def __init__(self, values: Array, levels: Sequence[float]) -> None:
        self.values, self.levels = np.sort(values, 1), tuple(levels)

    def log_density(self, y: Array) -> None:
        return None

    def quantiles(self, levels: Sequence[float]) -> Array:
        assert tuple(levels) == self.levels, "these quantiles were fitted for other levels"
        return self.values


class FlowPredictions:
    """The predictions of a fitted FlowRegressor."""

    def __init__(self, model, x: Array) -> None:  # type: ignore[no-untyped-def]
        self.model, self.x = model, x

    def log_density(self, y: Array) -> Array:
        return np.asarray(self.model.log_density(self.x, y), dtype=float)

    def quantiles(self, levels: Sequence[float]) -> Array:
        return np.asarray(self.model.predict_quantiles(self.x, list(levels)), dtype=float).reshape(len(self.x), -1)


def flow(x: Array, y: Array, levels: Sequence[float], seconds: float, seed: int) -> Callable[[Array], Predicted]:
    """`pushforward.estimators.FlowRegressor`."""
    from pushforward.estimators import FlowRegressor

    model = FlowRegressor(max_seconds=seconds, random_state=seed).fit(x, y)
    return lambda other: FlowPredictions(model, other)


def linear(x: Array, y: Array, levels: Sequence[float], seconds: float, seed: int) -> Callable[[Array], Predicted]:
    """Ridge regression with Gaussian residuals of one width."""
    model = make_pipeline(StandardScaler(), RidgeCV(np.logspace(-4, 3, 15))).fit(x, y)
    deviation = float(np.std(y - model.predict(x), ddof=min(x.shape[1] + 1, len(x) - 1)))
    return lambda other: Gaussians(model.predict(other), np.full(len(other), deviation))


def ngboost(x: Array, y: Array, levels: Sequence[float], seconds: float, seed: int) -> Callable[[Array], Predicted]:
    """NGBoost with its default normal distribution and up to 500 steps, stopped early."""
    from ngboost import NGBRegressor

    train, validation = _held_out(len(x), seed)
    model = NGBRegressor(random_state=seed, verbose=False)
    model.fit(x[train], y[train], X_val=x[validation], Y_val=y[validation], early_stopping_rounds=50)

    def predict(other: Array) -> Predicted:
        parameters = model.pred_dist(other, max_iter=model.best_val_loss_itr).params
        return Gaussians(parameters["loc"], parameters["scale"])

    return predict


def catboost(x: Array, y: Array, levels: Sequence[float], seconds: float, seed: int) -> Callable[[Array], Predicted]:
    """CatBoost with the loss RMSEWithUncertainty, a normal distribution, up to 1,000 steps, stopped early."""
    from catboost import CatBoostRegressor

    train, validation = _held_out(len(x), seed)
    model = CatBoostRegressor(
        loss_function="RMSEWithUncertainty", random_seed=seed, verbose=False, thread_count=1, allow_writing_files=False
    )
    model.fit(x[train], y[train], eval_set=(x[validation], y[validation]), early_stopping_rounds=50)

    def predict(other: Array) -> Predicted:
        mean, variance = model.predict(other).T
        return Gaussians(mean, np.sqrt(variance))

    return predict


def lightgbm(x: Array, y: Array, levels: Sequence[float], seconds: float, seed: int) -> Callable[[Array], Predicted]:
    """LightGBM with one model for each level, up to 1,000 steps, stopped early, and quantiles in order."""
    import lightgbm as gbm

    train, validation = (gbm.Dataset(x[part], y[part]) for part in _held_out(len(x), seed))
    models = []
    for level in levels:
        options = {"objective": "quantile", "alpha": level, "seed": seed, "num_threads": 1, "verbosity": -1}
        stop = gbm.early_stopping(20, verbose=False)
        models.append(gbm.train(options, train, 1000, valid_sets=[validation], callbacks=[stop]))
    return lambda other: Quantiles(np.column_stack([model.predict(other) for model in models]), levels)


def _held_out(rows: int, seed: int) -> tuple[Array, Array]:
    train, validation = train_test_split(np.arange(rows), test_size=0.1, random_state=seed)
    return train, validation


REGRESSORS: dict[str, Callable[[Array, Array, Sequence[float], float, int], Callable[[Array], Predicted]]] = {
    "flow": flow,
    "linear": linear,
    "ngboost": ngboost,
    "catboost": catboost,
    "lightgbm": lightgbm,
}
