"""`FlowTransformer`: the rows of a table as independent standard normal numbers, and back."""

from __future__ import annotations

import os
from typing import Any, Self

import numpy as np
import torch
from sklearn.base import TransformerMixin
from sklearn.utils.validation import check_array, check_is_fitted

from pushforward.array_types import Array
from pushforward.errors import ShapeError
from pushforward.estimators.density import FlowDensity
from pushforward.estimators.models import latents
from pushforward.estimators.saved_estimators import load_estimator, save_estimator
from pushforward.estimators.table_estimator import TableEstimator


class FlowTransformer(TransformerMixin, TableEstimator):  # type: ignore[misc]
    """Gaussian latents of the rows of a table: a number for each value, and for each state of a column that has some.

    The chain rule over the columns gives each part of a row the normal quantile of its conditional distribution
    function. Values of rows that follow the density become independent standard normals. A label, an atom or a gap
    becomes the middle of its interval of probability, so that equal rows have equal latents. Integers are taken at
    their own place, in the middle of their cell. Parameters are those of `TableEstimator`.

    ``density_``: the fitted `FlowDensity`.

    >>> import numpy as np
    >>> X = np.exp(np.random.default_rng(0).normal(size=(200, 2)))
    >>> model = FlowTransformer(max_steps=20).fit(X)
    >>> np.allclose(model.inverse_transform(model.transform(X)), X)
    True
    """

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Self:
        """Fit the density of ``X``. sample_weight: ``(N,)``, how often each row counts; y: ignored."""
        self.density_ = FlowDensity.like(self, ()).fit(X, sample_weight=sample_weight)
        self.density_.share_features(self)
        return self

    def save(self, path: str | os.PathLike[str], *, force: bool = False) -> None:
        """Save the fitted estimator to the folder ``path``. force: replace the model that is there.

        Raises OptionError if the folder is not empty.
        """
        check_is_fitted(self)
        save_estimator("FlowTransformer", self.density_.stored(self), self.density_.model_, path, force)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """The estimator in the folder ``path``, without executing anything from it. Raises ModelError."""
        fitted, model = load_estimator("FlowTransformer", path)
        transformer = cls(**fitted.parameters.given)
        transformer.density_ = FlowDensity.like(transformer, ()).restore(fitted, model)
        transformer.density_.share_features(transformer)
        return transformer

    def transform(self, X: Any) -> Array:
        """``(N, P)``: the latents, NaN in the rows that cannot be. The columns are those of `get_feature_names_out`."""
        check_is_fitted(self)
        rows = self.density_.encode(X)
        latent = latents.encode(self.density_.model_.chain, rows, None)
        return np.asarray(latent.masked_fill(rows.impossible[:, None], torch.nan).numpy())

    def inverse_transform(self, X: Any) -> Any:
        """The table of the rows with these latents, in the form of the training table."""
        check_is_fitted(self)
        matrix = check_array(X, dtype=np.float64)
        width = len(self.get_feature_names_out())
        if matrix.shape[1] != width:
            raise ShapeError(f"latents (N, {width}) expected, got shape {matrix.shape}")
        return self.density_.decode(latents.decode(self.density_.model_.chain, torch.from_numpy(matrix)))

    def get_feature_names_out(self, input_features: Any = None) -> Array:
        """The names of the latents: those of the columns, with "_state" for the labels, atoms and gaps of a column."""
        check_is_fitted(self)
        names = self.density_.plan_.names
        parts = latents.latent_parts(self.density_.model_.chain)
        return np.asarray([names[j] + ("_state" if kind == "state" else "") for kind, j in parts], dtype=object)
