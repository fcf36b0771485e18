"""`FlowRegressor`: the distribution of one or several numbers given a table."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch
from sklearn.base import RegressorMixin
from sklearn.utils.validation import check_is_fitted

from pushforward.array_types import Array
from pushforward.data.row_sources import is_source
from pushforward.errors import ModelError, OptionError
from pushforward.estimators.columns.arrow_types import to_numbers
from pushforward.estimators.columns.plan import ColumnPlan
from pushforward.estimators.columns.tables import Table, read_table, taken
from pushforward.estimators.encoded import ColumnShape, EncodedRows
from pushforward.estimators.file_samples import limited, read_sample
from pushforward.estimators.input_tables import (
    checked_table,
    require_count,
    target_table,
    training_source,
    training_table,
)
from pushforward.estimators.models.fit_table import Progress
from pushforward.estimators.models.table_model import RowScores
from pushforward.estimators.possible_cells import possible_cells
from pushforward.estimators.predicted_angles import PredictedAngles
from pushforward.estimators.predictions import PredictedNumbers, moment_ends
from pushforward.estimators.saved_estimators import (
    FittedEstimator,
    Parameters,
    feature_names,
    fit_marginals,
    fit_quality,
    load_estimator,
    restore_features,
    save_estimator,
)
from pushforward.estimators.scoring import averaged_scores, blocks_of
from pushforward.estimators.table_estimator import TableEstimator, table_weights, warn_of
from pushforward.estimators.target_columns import require_targets, separated, target_names, target_plan, targets_of
from pushforward.estimators.training_rows import beside, checked_weights, counted

if TYPE_CHECKING:
    from pushforward.estimators.report_rows import JudgedRows
    from pushforward.evaluation.predictive_scores import PredictedTarget
    from pushforward.reports import Report


class FlowRegressor(RegressorMixin, TableEstimator):  # type: ignore[misc]
    """The distribution of ``y``, one column or several, given the columns of ``X``.

    ``X`` may hold categories, dates and gaps, in any unit; ``y`` holds numbers. A number that no training row could
    have, such as 2.5 among whole numbers, is taken as the nearest possible one. A gap in a column without gaps in
    training, an unseen label and a number far from all training rows are unknown. A warning tells each but a gap.

    Parameters are those of `TableEstimator`; ``kinds`` may name columns of ``X`` and of ``y``, which is called "y" in
    an array.

    ``plan_``: the `ColumnPlan` of ``X``. ``target_plan_``: that of ``y``. ``model_``: the `TableModel` of ``y`` given
    ``X``.

    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(300, 1))
    >>> y = 3 * X[:, 0] + rng.normal(size=300)
    >>> model = FlowRegressor(max_steps=50).fit(X, y)
    >>> model.predict(X[:3]).shape, model.predict_quantiles(X[:3], [0.1, 0.9]).shape
    ((3,), (3, 2))
    """

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    def fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        *,
        max_rows: int | None = None,
        progress: Callable[[Progress], None] | None = None,
    ) -> Self:
        """Fit the distribution of ``y`` given ``X``. sample_weight: ``(N,)``, how often each row counts.

        ``y`` may be the name of a column of ``X``, or a list of names; the other columns then predict it. ``X`` may be
        the path of a file or folder, or an Arrow dataset, with ``y`` the names of its targets. Of more than
        ``max_rows`` rows a random part is fitted, and a warning tells the number of the others. By default these are
        3,000,000 of a file with 8 columns, and all of a table in memory.

        Weights with a sum below the number of rows, such as 1 / N, are scaled to the effective number of rows (Kish).
        progress: called with what the fit does, several times a second.
        """
        if is_source(X):
            return self._fit_file(X, y, sample_weight, max_rows, progress)
        features, targets = separated(X, y)
        return self._fit_table(features, targets, isinstance(y, str), sample_weight, progress, max_rows)

    def _fit_file(
        self, path: Any, y: Any, sample_weight: Any, max_rows: int | None, progress: Callable[[Progress], None] | None
    ) -> Self:
        """Fit the rows of a file, or a random part of them, of which ``y`` names the targets."""
        source, names = training_source(path), target_names(y)
        if names is None:
            raise OptionError("y: the name of a column of the file expected, or a list of names")
        if sample_weight is not None:
            raise OptionError("sample_weight: the weights of a file are one of its columns: kinds={'NAME': 'weight'}")
        require_targets(names, source.names)

        def plans(table: Any) -> tuple[ColumnPlan, ColumnPlan]:
            return self._plans(*(read_table(part) for part in (table.drop_columns(names), table.select(names))))

        sample = read_sample(source, plans, max_rows, self._seed(self.random_state))
        features, targets = separated(sample.counted(), names)
        return self._fit_table(features, targets, isinstance(y, str), sample.weights, progress, note=sample.note)

    def _fit_table(
        self,
        X: Any,
        y: Any,
        one: bool,
        sample_weight: Any,
        progress: Callable[[Progress], None] | None,
        max_rows: int | None = None,
        note: str = "",
    ) -> Self:
        """Fit a table in memory. one: whether ``y`` is one target, though it has a second axis; note: on other rows."""
        content = training_table(self, X)
        targets, self._one_target = target_table(y, content.rows)
        self._one_target |= one
        weights = None if sample_weight is None else checked_weights(sample_weight, content.rows)
        (content, targets), weights, _, of_table = self._limited(content, targets, weights, max_rows)
        self.plan_, self.target_plan_ = self._plans(counted(content, weights), counted(targets, weights))
        warn_of(self.plan_, self.target_plan_)
        weights = table_weights(self.plan_, content, weights)
        plans = [(self.plan_, content), (self.target_plan_, targets)]
        self.model_ = self._fit_model(plans, weights, self._places, progress=progress, note=note or of_table)
        rows = targets if weights is None else taken(targets, np.flatnonzero(weights > 0))
        values = self.target_plan_.encode(rows, places=self.target_plan_.middles).values
        ends = [moment_ends(column, own) for column, own in zip(self.target_plan_.modelled, values.T, strict=True)]
        self._low, self._high = torch.tensor(ends, dtype=torch.float64).T
        return self

    def _limited(
        self, features: Table, targets: Table, weights: Array | None, max_rows: int | None
    ) -> tuple[list[Table], Array | None, int, str]:
        """At most ``max_rows`` rows of the tables; see `limited`."""
        shared = set(features.columns) & set(targets.columns)
        if shared and max_rows is not None:
            raise OptionError(f"max_rows: names of their own expected for the targets, but X has {sorted(shared)[0]!r}")

        def plans(table: Any) -> tuple[ColumnPlan, ColumnPlan]:
            return self._plans(*(read_table(table.select(list(part.columns))) for part in (features, targets)))

        return limited([features, targets], weights, plans, max_rows, self._seed(self.random_state))

    def _plans(self, features: Table, targets: Table) -> tuple[ColumnPlan, ColumnPlan]:
        """The plans of the columns to predict from, and of the targets."""
        hints = dict(self.kinds or {})
        target_hints = {name: hints.pop(name) for name in targets.columns if name in hints}
        return ColumnPlan.guess(features, hints, scored=False), target_plan(targets, target_hints)

    def report(
        self,
        path: str | os.PathLike[str] | None = None,
        X: Any = None,
        y: Any = None,
        *,
        name: str = "a table",
        notes: Sequence[str] = (),
    ) -> Report:
        """The report of the fit, as a page and as numbers: on the rows that it held out, or on new rows ``X``, ``y``.

        path: the file of the page, ending in ``.html``; the numbers go to the same folder. With new rows, the report
        names the columns that drifted from the rows of the fit. name: of the table. notes: sentences for the head of
        the page. Raises OptionError without ``X`` if no rows were held out, or the model was loaded.
        """
        from pushforward.estimators.report_rows import held_out_rows, new_rows
        from pushforward.estimators.table_report import Subject, table_report

        check_is_fitted(self)
        seed, plans, marginals = self._seed(self.random_state), (self.plan_, self.target_plan_), self._record.marginals
        if X is None:
            judged = held_out_rows(plans, self._record, self._row_scores, seed)
        else:
            X, y = separated(X, y)
            content = self._content(X)
            tables, weights = [content, self._targets(y, content.rows)], table_weights(self.plan_, content)
            judged = new_rows(plans, tables, weights, marginals, self._row_scores, seed, [True, False])
        subject = Subject(
            type(self).__name__, self.model_, plans, marginals, self.get_params(), seed, name, tuple(notes)
        )
        report = table_report(subject, self._with_predictions(judged, seed))
        if path is not None:
            report.save(path)
        return report

    def _with_predictions(self, judged: JudgedRows, seed: int) -> JudgedRows:
        """The rows of a report with predictions for some of them, and the worst."""
        from pushforward.estimators import target_predictions as predictions

        rng = np.random.default_rng(seed)

        def predicted(rows: Array) -> tuple[Table, list[PredictedTarget]]:
            features, targets = (taken(table, rows) for table in judged.tables)
            pairs = zip(self._distributions(self._encoded(features)), targets.columns.values(), strict=True)
            return features, [predictions.predicted_target(each, to_numbers(y), rng) for each, y in pairs]

        if not judged.scores.discrete.isfinite().any():
            return judged
        _, targets = predicted(predictions.random_rows(judged, seed))
        worst = predictions.worst_rows(judged)
        described = predictions.describe_worst(judged, worst, self.plan_.names, *predicted(worst))
        return replace(judged, predicted=tuple(targets), worst=described)

    def _row_scores(self, tables: Sequence[Table]) -> RowScores:
        parts = [(self.plan_, tables[0], True), (self.target_plan_, tables[1], False)]
        return averaged_scores(parts, self.model_, slopes=self._places)

    def save(self, path: str | os.PathLike[str], *, force: bool = False) -> None:
        """Save the fitted estimator to the folder ``path``. force: replace the model that is there.

        Raises OptionError if the folder is not empty.
        """
        check_is_fitted(self)
        fitted = FittedEstimator(
            parameters=Parameters.of(self),
            plan=self.plan_,
            matrix=False,
            features=self.n_features_in_,
            feature_names=feature_names(self),
            quality=fit_quality(self),
            marginals=fit_marginals(self),
            target_plan=self.target_plan_,
            one_target=self._one_target,
            low=tuple(self._low.tolist()),
            high=tuple(self._high.tolist()),
        )
        save_estimator("FlowRegressor", fitted, self.model_, path, force)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """The estimator in the folder ``path``, without executing anything from it. Raises ModelError."""
        fitted, model = load_estimator("FlowRegressor", path)
        targets = fitted.target_plan
        if targets is None or not len(targets.names) == len(fitted.low) == len(fitted.high):
            raise ModelError(f"{path}: the targets do not agree with the model")
        estimator = restore_features(cls(**fitted.parameters.given), fitted)
        estimator.plan_, estimator.target_plan_, estimator.model_ = fitted.plan, targets, model
        estimator._one_target = fitted.one_target
        estimator._low, estimator._high = (torch.tensor(x, dtype=torch.float64) for x in (fitted.low, fitted.high))
        return estimator

    def predict(self, X: Any) -> Array:
        """``(N,)``, or ``(N, targets)``: the means."""
        return self._stacked([[each.mean() for each in block] for block in self._predicted(X)])

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """R² of the means. The column of weights of the fit counts rows, as ``sample_weight: (N,)`` does."""
        check_is_fitted(self)
        X, y = separated(X, y)
        content = self._content(X)
        weights = table_weights(self.plan_, content, sample_weight)
        targets = [to_numbers(array) for array in self._targets(y, content.rows).columns.values()]
        actual = targets[0] if self._one_target else np.stack(targets, 1)
        return float(super().score(X, actual, sample_weight=weights))

    def predict_quantiles(self, X: Any, levels: Sequence[float] = (0.05, 0.5, 0.95)) -> Array:
        """``(N, L)``, or ``(N, targets, L)``: quantiles at each of L levels."""
        asked = np.asarray(levels, dtype=np.float64)
        if asked.ndim != 1 or not ((asked >= 0) & (asked <= 1)).all():
            raise OptionError(f"levels between 0 and 1 expected, got {levels}")
        return self._stacked([[each.ppf(asked) for each in block] for block in self._predicted(X)])

    def predict_interval(self, X: Any, coverage: float = 0.9) -> Array:
        """``(N, 2)``, or ``(N, targets, 2)``: the central interval that holds a fraction ``coverage`` of the values."""
        if not 0 < coverage < 1:
            raise OptionError(f"a coverage between 0 and 1 expected, got {coverage}")
        return self.predict_quantiles(X, (0.5 - coverage / 2, 0.5 + coverage / 2))

    def predict_distribution(self, X: Any) -> PredictedNumbers | list[PredictedNumbers]:
        """The distributions of the target, one for each row; a list of the marginal ones for several targets."""
        distributions = self._distributions(self._encoded(self._checked(X)))
        return distributions[0] if self._one_target else distributions

    def sample(self, X: Any, n: int = 1, *, random_state: Any = None) -> Array:
        """``(N, n)``, or ``(N, n, targets)``: draws of the targets, jointly."""
        require_count("n", n, 0)
        generator = self._generator(random_state)
        rows = self._encoded(self._checked(X))
        drawn = self.model_.sample(n, given=_with_unknown(rows, len(self._places)), generator=generator)
        table = self.target_plan_.decode(drawn.columns(self._places), library="pyarrow")
        columns = [to_numbers(table.column(name).combine_chunks()) for name in table.column_names]
        draws = np.stack(columns, 1).reshape(len(rows), n, len(columns))
        return draws[:, :, 0] if self._one_target else draws

    def log_density(self, X: Any, y: Any) -> Array:
        """``(N,)``: the log-density of the targets given ``X``; log-probabilities of targets with a mass."""
        X, y = separated(X, y)
        content = self._checked(X)
        parts = [(self.plan_, content, True), (self.target_plan_, self._targets(y, content.rows), False)]
        scores = averaged_scores(parts, self.model_, slopes=self._places)
        return np.asarray(scores.total.numpy())

    @property
    def _places(self) -> list[int]:
        """The numbers of the targets among the columns of the model."""
        width = len(self.plan_.names)
        return list(range(width, width + len(self.target_plan_.names)))

    def _content(self, X: Any) -> Table:
        check_is_fitted(self)
        left_out = [column.name for column in self.plan_.left_out]
        names = [column.name for column in self.plan_.columns]
        return checked_table(self, X, names, left_out, self.target_plan_.names)

    def _targets(self, y: Any, rows: int) -> Table:
        return targets_of(y, rows, self.target_plan_.names)

    def _checked(self, X: Any) -> Table:
        content = self._content(X)
        return possible_cells(self.plan_, content)

    def _encoded(self, content: Table) -> EncodedRows:
        return self.plan_.encode(content, places=self.plan_.middles, partial=True)

    def _predicted(self, X: Any) -> Iterator[list[PredictedNumbers]]:
        for block in blocks_of(self._checked(X)):
            yield self._distributions(self._encoded(block))

    def _distributions(self, rows: EncodedRows) -> list[PredictedNumbers]:
        given = _with_unknown(rows, len(self._places))
        distributions: list[PredictedNumbers] = []
        for place, column in enumerate(self.target_plan_.modelled):
            encoded = self.model_.blend.conditional(given, self._places[place])
            assert encoded is not None  # no member is a flow
            low, high = float(self._low[place]), float(self._high[place])
            circle = column.kind.circle
            if circle is None:
                distributions.append(PredictedNumbers(column, encoded, low, high))
            else:
                distributions.append(PredictedAngles(column, encoded, low, high, circle))
        return distributions

    def _stacked(self, blocks: list[list[Array]]) -> Array:
        targets = [np.concatenate(parts) for parts in zip(*blocks, strict=True)]
        return targets[0] if self._one_target else np.stack(targets, 1)


def _with_unknown(rows: EncodedRows, columns: int) -> EncodedRows:
    """The rows with unknown columns at their end."""
    return beside([rows, EncodedRows.unknown([ColumnShape()] * columns, len(rows))])
