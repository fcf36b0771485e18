"""`FlowDetector`: the outlier detector behind PyOD's interface. Importing this module needs PyOD."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

from pyod.models.base import BaseDetector
from sklearn.utils.validation import check_is_fitted

from pushforward.array_types import Array
from pushforward.estimators.outliers import FlowOutlierDetector


class FlowDetector(BaseDetector):  # type: ignore[misc]
    """PyOD's detector by minus the scores of rows; parameters are those of `FlowOutlierDetector`.

    detector_: the fitted `FlowOutlierDetector`. decision_scores_, labels_, threshold_: as in PyOD.

    >>> import numpy as np
    >>> X = np.random.default_rng(0).normal(size=(200, 2))
    >>> FlowDetector(max_steps=5, contamination=0.05).fit(X).labels_.sum()
    np.int64(10)
    """

    def __init__(
        self,
        *,
        contamination: float = 0.1,
        tails: float = 1.0,
        max_seconds: float | None = None,
        max_steps: int | None = None,
        kinds: Mapping[str, str] | None = None,
        architectures: Sequence[str] = ("nsf_ar",),
        held_out: float | None = None,
        random_state: Any = 0,
        verbose: int = 0,
    ) -> None:
        super().__init__(contamination=contamination)
        self.tails = tails
        self.max_seconds = max_seconds
        self.max_steps = max_steps
        self.kinds = kinds
        self.architectures = architectures
        self.held_out = held_out
        self.random_state = random_state
        self.verbose = verbose

    def fit(self, X: Any, y: Any = None) -> Self:
        """Fit the density of ``X`` and the threshold; y is ignored."""
        self._set_n_classes(y)
        self.detector_ = FlowOutlierDetector(**self.get_params()).fit(X)
        self.decision_scores_ = self.decision_function(X)
        self._process_decision_scores()
        return self

    def decision_function(self, X: Any) -> Array:
        """``(N,)``: minus the score; the higher, the more abnormal. At most 1e300, for rows that cannot be."""
        check_is_fitted(self, "detector_")
        return -self.detector_.score_samples(X).clip(min=-1e300)
