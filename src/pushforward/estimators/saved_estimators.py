"""Saved estimators: the folder of a model of a table, with the plans of its columns in `estimator.json`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import numpy as np
from pydantic import Field, ValidationError

from pushforward.error_messages import first_problem
from pushforward.errors import ModelError
from pushforward.estimators.columns.plan import ColumnPlan
from pushforward.estimators.columns.standard import Finite, Strict
from pushforward.estimators.drift import Marginals
from pushforward.estimators.fit_record import FitRecord
from pushforward.estimators.models.saved import load_table, save_table
from pushforward.estimators.models.table_model import TableModel
from pushforward.estimators.table_estimator import TableEstimator
from pushforward.evaluation.fit_quality import FitQuality
from pushforward.storage.files import read

ESTIMATOR = "estimator.json"
PathLike = str | os.PathLike[str]
_MAX_FILE = 1 << 28
_Estimator = TypeVar("_Estimator", bound=TableEstimator)


class Parameters(Strict):
    """The parameters of an estimator; those without a default are None in an estimator that has none of the name."""

    max_seconds: Finite | None = None
    max_steps: int | None = None
    kinds: dict[str, str] | None = None
    architectures: tuple[str, ...] | None = None
    held_out: Finite | None = None
    random_state: int | None = None
    verbose: int = 0
    contamination: Finite | None = None
    tails: Finite | None = None

    @classmethod
    def of(cls, estimator: TableEstimator) -> Parameters:
        """Those of an estimator; a random state that is no number is stored as None."""
        given = estimator.get_params()
        if not isinstance(given["random_state"], (int, np.integer)):
            given["random_state"] = None
        return cls.model_validate(given)

    @property
    def given(self) -> dict[str, Any]:
        """The parameters by name."""
        absent = {name for name in ("architectures", "contamination", "tails") if self.model_dump()[name] is None}
        return self.model_dump(exclude=absent)


class FittedEstimator(Strict):
    """The content of `estimator.json`. matrix: whether the training table was an array without names.

    target_plan, one_target, low and high: of a `FlowRegressor`. quality: of the fit, if it held out rows. marginals: of
    the training columns of each plan. remembered: the number of different rows that `FlowDensity.partial_fit`
    remembers.
    """

    format: Literal[1] = 1
    parameters: Parameters
    plan: ColumnPlan
    matrix: bool
    features: int
    feature_names: tuple[str, ...] | None
    target_plan: ColumnPlan | None = None
    one_target: bool = False
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()
    quality: FitQuality | None = None
    marginals: tuple[Marginals, ...] = ()
    remembered: Annotated[int, Field(ge=0)] = 0


def save_estimator(
    name: str,
    fitted: FittedEstimator,
    model: TableModel,
    path: PathLike,
    force: bool,
    files: Mapping[str, bytes] | None = None,
) -> None:
    """Save an estimator of the class ``name``. files: further ones, by name.

    Raises OptionError if the folder is not empty, unless ``force``.
    """
    content = fitted.model_dump_json(indent=1).encode() + b"\n"
    save_table(model, path, estimator={"class": name}, files={ESTIMATOR: content, **(files or {})}, force=force)


def load_estimator(name: str, path: PathLike) -> tuple[FittedEstimator, TableModel]:
    """What an estimator of the class ``name`` stored, and its model. Raises ModelError with the reason."""
    folder = Path(path)
    model, stored = load_table(folder)
    if stored.get("class") != name:
        found = str(stored.get("class"))[:40]
        raise ModelError(f"{folder} holds a {found}, not a {name}; load it with pushforward.{found}.load")
    try:
        fitted = FittedEstimator.model_validate_json(read(folder / ESTIMATOR, _MAX_FILE))
    except ValidationError as error:
        raise ModelError(f"{folder / ESTIMATOR}: {first_problem(error)}") from None
    plans = [plan for plan in (fitted.plan, fitted.target_plan) if plan is not None]
    if tuple(shape for plan in plans for shape in plan.shapes) != model.shapes:
        raise ModelError(f"{folder / ESTIMATOR}: the plan of the columns does not agree with the model")
    return fitted, model


def restore_features(estimator: _Estimator, fitted: FittedEstimator) -> _Estimator:
    """Set the attributes of scikit-learn on the columns of the fit, and the quality and the record of the fit."""
    estimator._record = FitRecord(fitted.marginals)
    if fitted.quality is not None:
        estimator.quality_ = fitted.quality
    estimator.n_features_in_ = fitted.features
    if fitted.feature_names is not None:
        estimator.feature_names_in_ = np.asarray(fitted.feature_names, dtype=object)
    return estimator


def fit_quality(estimator: TableEstimator) -> FitQuality | None:
    """The quality of the fit, None where no rows were held out."""
    return vars(estimator).get("quality_")


def fit_marginals(estimator: TableEstimator) -> tuple[Marginals, ...]:
    """The distributions of the training columns of each plan."""
    return estimator._record.marginals


def feature_names(estimator: TableEstimator) -> tuple[str, ...] | None:
    """The names of the columns of the fit, None where the table had none."""
    names = vars(estimator).get("feature_names_in_")
    return None if names is None else tuple(map(str, names))
