"""Saved estimators of any class."""

from __future__ import annotations

import os
from pathlib import Path

from pushforward.estimators.density import FlowDensity
from pushforward.estimators.outliers import FlowOutlierDetector
from pushforward.estimators.regressor import FlowRegressor
from pushforward.estimators.transformer import FlowTransformer
from pushforward.storage.models import estimator_class

SavedEstimator = FlowDensity | FlowRegressor | FlowOutlierDetector | FlowTransformer
_CLASSES: dict[str, type[SavedEstimator]] = {
    each.__name__: each for each in (FlowDensity, FlowRegressor, FlowOutlierDetector, FlowTransformer)
}


def load(path: str | os.PathLike[str]) -> SavedEstimator:
    """The estimator in the folder ``path``, of the class that was saved, without executing anything from the folder.

    Raises ModelError for a folder that holds none, or that was changed.

    >>> import tempfile
    >>> import numpy as np
    >>> from pushforward import FlowOutlierDetector, estimators
    >>> X = np.random.default_rng(0).normal(size=(100, 2))
    >>> model = FlowOutlierDetector(max_steps=2, architectures=()).fit(X)
    >>> with tempfile.TemporaryDirectory() as directory:
    ...     model.save(f"{directory}/model")
    ...     again = estimators.load(f"{directory}/model")
    >>> bool((again.predict(X) == model.predict(X)).all())
    True
    """
    return _CLASSES.get(estimator_class(Path(path)) or "", FlowDensity).load(path)
