"""`FlowOutlierDetector`: rows of low density, and rows whose density is not typical."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load as tensors_of
from safetensors.torch import save as to_safetensors
from sklearn.base import OutlierMixin
from sklearn.utils.validation import check_is_fitted

from pushforward.array_types import Array
from pushforward.errors import ModelError, OptionError
from pushforward.estimators.density import FlowDensity
from pushforward.estimators.saved_estimators import load_estimator, save_estimator
from pushforward.estimators.table_estimator import JointEstimator
from pushforward.storage.files import read

# The file of the scores of the training rows, and its largest size.
_SCORES, _MOST_BYTES = "scores.safetensors", 1 << 34

if TYPE_CHECKING:
    from pushforward.reports import Report


class FlowOutlierDetector(OutlierMixin, JointEstimator):  # type: ignore[misc]
    """Outliers of a table: the rows with the lowest log-density.

    What a likelihood cannot tell: a density depends on the units, or on any other change of variables, so that no row
    is an outlier in every scale. In many columns a row of the highest density may be far from every typical row;
    `typicality` shows both ends. An anomaly in a dense region, such as a copied row, has no low density. And a model
    that was fitted to rows with many alike outliers calls these normal.

    contamination: the fraction of the training rows that `predict` calls outliers. Other parameters are those of
    `JointEstimator`.

    ``density_``: the fitted `FlowDensity`; its ``explain`` names the columns that disagree with the rest of a row.
    ``offset_``: the log-density below which a row is an outlier.

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
        self.offset_ = self._threshold()
        return self

    def _threshold(self) -> float:
        """The lowest score that is no outlier: a fraction ``contamination`` of the training rows lies below."""
        place = int(np.searchsorted(self._levels, self.contamination + 1e-12, side="right"))
        return float(self._scores[min(place, len(self._scores) - 1)])

    def save(self, path: str | os.PathLike[str], *, force: bool = False) -> None:
        """Save the fitted estimator to the folder ``path``. force: replace the model that is there.

        Raises OptionError if the folder is not empty.
        """
        check_is_fitted(self)
        ranks = {"scores": torch.from_numpy(self._scores), "levels": torch.from_numpy(self._levels)}
        files = {_SCORES: to_safetensors(ranks)}
        save_estimator("FlowOutlierDetector", self.density_.stored(self), self.density_.model_, path, force, files)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """The estimator in the folder ``path``, without executing anything from it. Raises ModelError."""
        fitted, model = load_estimator("FlowOutlierDetector", path)
        detector = cls(**fitted.parameters.given)
        detector.density_ = FlowDensity.like(detector, detector.architectures).restore(fitted, model)
        detector.density_.share_features(detector)
        detector._scores, detector._levels = _ranks(Path(path) / _SCORES)
        detector.offset_ = detector._threshold()
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


def _ranks(file: Path) -> tuple[Array, Array]:
    """The scores of the training rows in their order, and the fractions of the rows up to each. Raises ModelError."""
    try:
        tensors = tensors_of(read(file, _MOST_BYTES))
    except SafetensorError as error:
        raise ModelError(f"{file}: {error}") from None
    if tensors.keys() != {"scores", "levels"}:
        raise ModelError(f"{file}: the tensors scores and levels expected, got {', '.join(sorted(tensors)) or 'none'}")
    scores, levels = (tensors[name].double().numpy() for name in ("scores", "levels"))
    if scores.ndim != 1 or scores.shape != levels.shape or not len(scores):
        raise ModelError(f"{file}: as many levels as scores expected, got shapes {levels.shape} and {scores.shape}")
    if not (scores[:-1] <= scores[1:]).all() or not (levels[:-1] <= levels[1:]).all():
        raise ModelError(f"{file}: scores and levels in ascending order expected")
    return scores, levels
