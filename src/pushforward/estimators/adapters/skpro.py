"""`FlowProbaRegressor`: the regressor behind skpro's interface. Importing this module needs skpro."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas
from skpro.distributions.base import BaseDistribution
from skpro.regression.base import BaseProbaRegressor

from pushforward.array_types import Array
from pushforward.estimators.predictions import PredictedNumbers
from pushforward.estimators.regressor import FlowRegressor


class FlowProbaRegressor(BaseProbaRegressor):  # type: ignore[misc]
    """skpro's probabilistic regressor; parameters are those of `FlowRegressor`.

    regressor_: the fitted `FlowRegressor`.

    >>> import numpy as np, pandas
    >>> from pushforward.estimators.adapters.skpro import FlowProbaRegressor
    >>> X = pandas.DataFrame({"x": np.random.default_rng(0).normal(size=200)})
    >>> y = pandas.DataFrame({"y": 2 * X["x"] + np.random.default_rng(1).normal(size=200)})
    >>> FlowProbaRegressor(max_steps=5).fit(X, y).predict_proba(X[:3]).cdf(y[:3]).shape
    (3, 1)
    """

    _tags = {  # noqa: RUF012
        "capability:multioutput": True,
        "capability:missing": True,
        "X_inner_mtype": "pd_DataFrame_Table",
        "y_inner_mtype": "pd_DataFrame_Table",
    }

    def __init__(
        self,
        *,
        max_seconds: float | None = None,
        max_steps: int | None = None,
        kinds: Mapping[str, str] | None = None,
        held_out: float | None = None,
        random_state: Any = 0,
        verbose: int = 0,
    ) -> None:
        self.max_seconds = max_seconds
        self.max_steps = max_steps
        self.kinds = kinds
        self.held_out = held_out
        self.random_state = random_state
        self.verbose = verbose
        super().__init__()

    def _fit(self, X: Any, y: Any, C: Any = None) -> FlowProbaRegressor:
        self._targets = y.columns
        self.regressor_ = FlowRegressor(**self.get_params(deep=False)).fit(_named(X), _named(y))
        return self

    def _predict(self, X: Any) -> Any:
        return pandas.DataFrame(self.regressor_.predict(_named(X)), index=X.index, columns=self._targets)

    def _predict_proba(self, X: Any) -> PredictedDistribution:
        predicted = self.regressor_.predict_distribution(_named(X))
        each = [predicted] if isinstance(predicted, PredictedNumbers) else predicted
        return PredictedDistribution(each, index=X.index, columns=self._targets)

    @classmethod
    def get_test_params(cls, parameter_set: str = "default") -> list[dict[str, Any]]:
        """Parameters for skpro's own tests."""
        return [{"max_steps": 5}, {"max_steps": 5, "random_state": 1, "held_out": 0.0, "kinds": {}, "verbose": 0}]


def _named(frame: Any) -> Any:
    """The DataFrame with names of columns in text."""
    return frame.set_axis(frame.columns.astype(str), axis=1)


class PredictedDistribution(BaseDistribution):  # type: ignore[misc]
    """skpro's array of distributions, one for each row and target. predicted: for each target, those of all rows."""

    _tags = {  # noqa: RUF012
        "capabilities:approx": ["pdfnorm"],
        "capabilities:exact": ["mean", "var", "energy", "pdf", "log_pdf", "cdf", "ppf"],
        "distr:measuretype": "mixed",
        "distr:paramtype": "nonparametric",
        "broadcast_init": "off",
    }

    def __init__(self, predicted: list[PredictedNumbers], index: Any = None, columns: Any = None) -> None:
        self.predicted = predicted
        super().__init__(index=index, columns=columns)

    def _iloc(self, rowidx: Any = None, colidx: Any = None) -> PredictedDistribution:
        rows = np.arange(len(self.index)) if rowidx is None else np.atleast_1d(np.asarray(rowidx))
        columns = np.arange(len(self.columns)) if colidx is None else np.atleast_1d(np.asarray(colidx))
        chosen = [self.predicted[column].take(rows) for column in columns]
        return PredictedDistribution(chosen, index=self.index[rows], columns=self.columns[columns])

    def _iat(self, rowidx: Any = None, colidx: Any = None) -> PredictedDistribution:
        return self._iloc(np.atleast_1d(rowidx), np.atleast_1d(colidx))

    def _mean(self) -> Array:
        return np.stack([each.mean() for each in self.predicted], 1)

    def _var(self) -> Array:
        return np.stack([each.var() for each in self.predicted], 1)

    def _log_pdf(self, x: Array) -> Array:
        return np.stack([each.log_pdf(x[:, i]) for i, each in enumerate(self.predicted)], 1)

    def _pdf(self, x: Array) -> Array:
        return np.asarray(np.exp(self._log_pdf(x)))

    def _cdf(self, x: Array) -> Array:
        return np.stack([each.cdf(x[:, i]) for i, each in enumerate(self.predicted)], 1)

    def _ppf(self, p: Array) -> Array:
        return np.stack([each.ppf(p[:, i, None])[:, 0] for i, each in enumerate(self.predicted)], 1)

    def _energy_self(self) -> Array:
        return np.asarray(sum(each.energy() for each in self.predicted))[:, None]

    def _energy_x(self, x: Array) -> Array:
        return np.asarray(sum(each.energy(x[:, i]) for i, each in enumerate(self.predicted)))[:, None]
