"""`FlowOutlierDetector`: rows of low density, and rows whose density is not typical."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
from sklearn.base import OutlierMixin
from sklearn.utils.validation import check_is_fitted

from pushforward.array_types import Array
from pushforward.errors import OptionError
from pushforward.estimators.density import FlowDensity
from pushforward.estimators.table_estimator import JointEstimator


class FlowOutlierDetector(OutlierMixin, JointEstimator):  # type: ignore[misc]
    """Outliers of a table: the rows with the lowest log-density.

    What a likelihood cannot tell: a density depends on the units, or on any other change of variables, so that no row
    is an outlier in every scale. In many columns a row of the highest density may be far from every typical row;
    `typicality` shows both ends. An anomaly in a dense region, such as a copied row, has no low density. And a model
    that was fitted to rows with many alike outliers calls these normal.

    contamination: the fraction of the training rows that `predict` calls outliers. Other parameters are those of
    `JointEstimator`.

    ``density_``: the fitted `FlowDensity`; its ``explain`` names the surprising columns of a row. ``offset_``: the
    log-density below which a row is an outlier.

    >>> import numpy as np
    >>> X = np.random.default_rng(0).normal(size=(200, 2))
    >>> model = FlowOutlierDetector(max_steps=20, contamination=0.05).fit(X)
    >>> model.predict(np.array([[0.0, 0.0], [6.0, -6.0]])).tolist()
    [1, -1]
    """

    def __init__(
        self,
        *,
        contamination: float = 0.1,
        max_seconds: float | None = None,
        max_steps: int | None = None,
        kinds: Mapping[str, str] | None = None,
        architectures: Sequence[str] = ("nsf_ar",),
        held_out: float | None = None,
        random_state: Any = 0,
        verbose: int = 0,
    ) -> None:
        super().__init__(
            max_seconds=max_seconds,
            max_steps=max_steps,
            kinds=kinds,
            architectures=architectures,
            held_out=held_out,
            random_state=random_state,
            verbose=verbose,
        )
        self.contamination = contamination

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Self:
        """Fit the density of ``X`` and the threshold. sample_weight: ``(N,)``, how often each row counts."""
        if not 0 < self.contamination <= 0.5:
            raise OptionError(f"contamination: a fraction above 0 and at most 0.5 expected, got {self.contamination}")
        self.density_ = FlowDensity.like(self, self.architectures).fit(X, sample_weight=sample_weight)
        self.density_.share_features(self)
        scores = self.density_.score_samples(X)
        weights = self.density_.weights(X, sample_weight)
        counts = np.ones(len(scores)) if weights is None else weights
        order = np.argsort(scores, kind="stable")
        self._scores, self._levels = scores[order], np.cumsum(counts[order]) / counts.sum()
        # The lowest score that is no outlier: a fraction ``contamination`` lies below.
        place = int(np.searchsorted(self._levels, self.contamination + 1e-12, side="right"))
        self.offset_ = float(self._scores[min(place, len(scores) - 1)])
        return self

    def score_samples(self, X: Any) -> Array:
        """``(N,)``: the log-density of each row; the lower, the more abnormal."""
        check_is_fitted(self)
        return self.density_.score_samples(X)

    def decision_function(self, X: Any) -> Array:
        """``(N,)``: the log-density minus the threshold; negative for outliers."""
        return np.asarray(self.score_samples(X) - self.offset_)

    def predict(self, X: Any) -> Array:
        """``(N,)``: -1 for outliers, 1 for other rows."""
        return np.where(self.decision_function(X) < 0, -1, 1)

    def typicality(self, X: Any) -> Array:
        """``(N,)``, between 0 and 1: twice the fraction of training rows whose log-density lies beyond that of the row.

        Near 0 where the density of a row is lower, or higher, than that of nearly all training rows.
        """
        scores = self.score_samples(X)
        levels = np.concatenate([[0.0], self._levels])
        at_most = levels[np.searchsorted(self._scores, scores, side="right")]
        at_least = 1 - levels[np.searchsorted(self._scores, scores, side="left")]
        return np.asarray(np.minimum(1.0, 2 * np.minimum(at_most, at_least)))
