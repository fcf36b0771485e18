"""`FlowOutlierDetector`: rows of low density or extreme values, and rows whose density is not typical."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from sklearn.base import OutlierMixin
from sklearn.utils.validation import check_is_fitted

from pushforward.array_types import Array
from pushforward.errors import OptionError
from pushforward.estimators.column_tails import log_tails
from pushforward.estimators.density import FlowDensity
from pushforward.estimators.ranks import Ranks, ranks_to_bytes, read_ranks
from pushforward.estimators.saved_estimators import load_estimator, save_estimator
from pushforward.estimators.table_estimator import JointEstimator

# The file of the scores of the training rows.
_SCORES = "scores.safetensors"

if TYPE_CHECKING:
    from pushforward.reports import Report


class FlowOutlierDetector(OutlierMixin, JointEstimator):  # type: ignore[misc]
    """Outliers of a table: rows of low density or extreme values.

    The score of a row is its log-density, plus the log-probability that its columns, each alone, are at least as
    extreme (`pushforward.estimators.column_tails`). The density sees values that are usual alone and not together. But
    if outliers are among the training rows, the density may give groups of them a mode of their own; an extreme value
    stays extreme.

    What a score cannot tell: a density depends on the units, or on any other change of variables, so that no row is an
    outlier in every scale. In many columns a row of the highest density may be far from every typical row;
    `typicality` shows both ends. An anomaly in a dense region, such as a copied row, has no low density. And outliers
    that are many, alike and not extreme in any column are taken for normal rows.

    contamination: the fraction of the training rows that `predict` calls outliers. tails: the weight of the extreme
    values beside the log-density, 0 for the log-density alone. Other parameters are those of `JointEstimator`.

    ``density_``: the fitted `FlowDensity`; its ``explain`` names the columns that disagree with the rest of a row.
    ``offset_``: the score below which a row is an outlier.

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
        tails: float = 1.0,
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
        self.tails = tails

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Self:
        """Fit the density of ``X`` and the threshold. sample_weight: ``(N,)``, how often each row counts."""
        if not 0 < self.contamination <= 0.5:
            raise OptionError(f"contamination: a fraction above 0 and at most 0.5 expected, got {self.contamination}")
        if not (self.tails >= 0 and np.isfinite(self.tails)):
            raise OptionError(f"tails: a number of 0 or above expected, got {self.tails}")
        self.density_ = FlowDensity.like(self, self.architectures).fit(X, sample_weight=sample_weight)
        self.density_.share_features(self)
        densities, weights = self.density_.score_samples(X), self.density_.weights(X, sample_weight)
        self._densities = Ranks.of(densities, weights)
        self._scores = Ranks.of(densities + self._extremes(X), weights)
        self.offset_ = self._scores.threshold(self.contamination)
        return self

    def _extremes(self, X: Any) -> Array:
        """``(N,)``: the term that is added to the log-densities."""
        return np.asarray(self.tails * log_tails(self.density_.model_, self.density_.encode(X)).numpy())

    def save(self, path: str | os.PathLike[str], *, force: bool = False) -> None:
        """Save the fitted estimator to the folder ``path``. force: replace the model that is there.

        Raises OptionError if the folder is not empty.
        """
        check_is_fitted(self)
        files = {_SCORES: ranks_to_bytes({"score": self._scores, "density": self._densities})}
        save_estimator("FlowOutlierDetector", self.density_.stored(self), self.density_.model_, path, force, files)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """The estimator in the folder ``path``, without executing anything from it. Raises ModelError."""
        fitted, model = load_estimator("FlowOutlierDetector", path)
        detector = cls(**fitted.parameters.given)
        detector.density_ = FlowDensity.like(detector, detector.architectures).restore(fitted, model)
        detector.density_.share_features(detector)
        detector._scores, detector._densities = (read_ranks(Path(path) / _SCORES, x) for x in ("score", "density"))
        detector.offset_ = detector._scores.threshold(detector.contamination)
        return detector

    def report(self, path: str | os.PathLike[str] | None = None, X: Any = None, *, name: str = "a table") -> Report:
        """The report of the density, see `FlowDensity.report`, with the number of outliers among new rows ``X``."""
        check_is_fitted(self)
        notes: tuple[str, ...] = ()
        if X is not None:
            outliers = self.predict(X) < 0
            which = f"{outliers.sum():,} of {len(outliers):,} rows"
            notes = (f"{which} are outliers: their log-density is below {self.offset_:.4g}",)
        return self.density_._report(path, X, type(self).__name__, name, notes)

    def score_samples(self, X: Any) -> Array:
        """``(N,)``: the log-density of each row plus the weight of its extreme values; the lower, the more abnormal."""
        check_is_fitted(self)
        return np.asarray(self.density_.score_samples(X) + self._extremes(X))

    def decision_function(self, X: Any) -> Array:
        """``(N,)``: the score minus the threshold; negative for outliers."""
        return np.asarray(self.score_samples(X) - self.offset_)

    def predict(self, X: Any) -> Array:
        """``(N,)``: -1 for outliers, 1 for other rows."""
        return np.where(self.decision_function(X) < 0, -1, 1)

    def typicality(self, X: Any) -> Array:
        """``(N,)``, between 0 and 1: twice the fraction of training rows whose log-density lies beyond that of the row.

        Near 0 where the density of a row is lower, or higher, than that of nearly all training rows.
        """
        check_is_fitted(self)
        return self._densities.beyond(self.density_.score_samples(X))
