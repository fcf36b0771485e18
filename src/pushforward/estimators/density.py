"""`FlowDensity`: the density of the rows of a table, whatever its columns hold."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch
from sklearn.base import DensityMixin
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from pushforward.array_types import Array
from pushforward.data.row_sources import is_source
from pushforward.errors import OptionError
from pushforward.estimators.columns.plan import ColumnPlan
from pushforward.estimators.columns.tables import Table
from pushforward.estimators.conditioning import (
    Estimate,
    as_given,
    encode_given,
    estimate,
    joint_cdf,
    known_columns,
    possible_given,
    quantiles_of,
    sampled,
)
from pushforward.estimators.encoded import EncodedRows
from pushforward.estimators.events import Event
from pushforward.estimators.explanations import explained
from pushforward.estimators.file_samples import limited, read_sample
from pushforward.estimators.imputation import filled
from pushforward.estimators.input_tables import checked_table, named, stream_of_tables, training_source, training_table
from pushforward.estimators.models.fit_table import Progress
from pushforward.estimators.models.table_model import RowScores, TableModel, WeightedDraws
from pushforward.estimators.output_tables import TableForm, with_index_of
from pushforward.estimators.quality import quality_of
from pushforward.estimators.remembered_rows import ROWS, drawn_rows, read_rows, rows_to_bytes
from pushforward.estimators.saved_estimators import (
    FittedEstimator,
    Parameters,
    PathLike,
    feature_names,
    fit_marginals,
    fit_quality,
    load_estimator,
    restore_features,
    save_estimator,
)
from pushforward.estimators.scoring import ScoreParts, averaged_scores, blocks_of
from pushforward.estimators.table_estimator import JointEstimator, TableEstimator, table_weights, warn_of
from pushforward.estimators.training_rows import TrainingRows, checked_weights, counted, training_rows
from pushforward.evaluation.fit_quality import FitQuality

if TYPE_CHECKING:
    from pushforward.reports import Report

# Rows that `partial_fit` remembers.
_MEMORY = 200_000


class FlowDensity(DensityMixin, JointEstimator):  # type: ignore[misc]
    """The density of the rows of a table: numbers, integers, categories, dates, gaps and values of their own mass.

    A plan says how each column is modelled (``plan_.summary()``); the model is a blend of a mixture of Gaussians and
    tables, nets of conditional densities, and flows, weighted by their likelihood on held-out rows. Tables are
    DataFrames of any library, Arrow tables, mappings of arrays, or arrays.

    Parameters are those of `JointEstimator`.

    ``plan_``: the `ColumnPlan`. ``model_``: the `TableModel`. ``quality_``, ``verdict_``: of the fit, on rows that it
    held out. ``n_features_in_``, ``feature_names_in_``: as in scikit-learn.

    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> x = rng.normal(size=300)
    >>> table = {"x": x, "y": x + rng.normal(size=300), "sign": np.where(x > 0, "plus", "minus")}
    >>> model = FlowDensity(max_steps=30, architectures=()).fit(table)
    >>> model.score_samples(table).shape
    (300,)
    >>> sorted(model.sample(5, given={"sign": "plus"}))
    ['sign', 'x', 'y']
    """

    def fit(
        self,
        X: Any,
        y: Any = None,
        sample_weight: Any = None,
        *,
        max_rows: int | None = None,
        progress: Callable[[Progress], None] | None = None,
    ) -> Self:
        """Fit the density of the rows of ``X``. sample_weight: ``(N,)``, how often each row counts; y: ignored.

        ``X`` may be the path of a file or folder, or an Arrow dataset, of any size. Of more than ``max_rows`` rows a
        random part is fitted, and a warning tells the number of the others; the plan of the columns holds for all. By
        default these are 3,000,000 of a file with 8 columns, and all of a table in memory.

        Weights with a sum below the number of rows, such as 1 / N, are scaled to the effective number of rows (Kish).
        progress: called with what the fit does, several times a second.
        """
        if not is_source(X):
            return self._fit_table(X, sample_weight, progress, max_rows)
        if sample_weight is not None:
            raise OptionError("sample_weight: the weights of a file are one of its columns: kinds={'NAME': 'weight'}")
        sample = read_sample(training_source(X), self._plans, max_rows, self._seed(self.random_state))
        return self._fit_table(sample.counted(), sample.weights, progress, None, (sample.total, sample.note))

    def _fit_table(
        self,
        X: Any,
        sample_weight: Any,
        progress: Callable[[Progress], None] | None = None,
        most: int | None = None,
        stands_for: tuple[int, str] | None = None,
    ) -> Self:
        """Fit a table in memory. stands_for: the number of rows of a file for which it does, and a note on the rest."""
        content = training_table(self, X)
        weights = None if sample_weight is None else checked_weights(sample_weight, content.rows)
        (content,), weights, own, left = limited([content], weights, self._plans, most, self._seed(self.random_state))
        rows, note = stands_for or (own, left)
        plan = ColumnPlan.guess(counted(content, weights), self.kinds).require_columns()
        warn_of(plan)
        weights = table_weights(plan, content, weights)
        plan = plan.model_copy(update={"rows": plan.rows if content.rows == rows else rows})
        self.plan_, self._form = plan, TableForm(content.origin, not named(X))
        self._memory: TrainingRows | None = None
        self.model_ = self._fit_model([(plan, content)], weights, None, self.architectures, progress, note)
        return self

    def _plans(self, table: Any) -> list[ColumnPlan]:
        return [ColumnPlan.guess(table, self.kinds)]

    def partial_fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Self:
        """Go on with more rows: the nets from where they are, the mixture and the flows anew.

        The plan of the columns is that of the first call. The estimator remembers rows, at most 200,000 at random, also
        in a saved model; for those of an earlier `fit`, rows that the model draws stand in.
        """
        seed = self._seed(self.random_state)
        if "model_" not in vars(self):
            self.fit(X, sample_weight=sample_weight)
            self._memory = self._training_rows(X, sample_weight, seed)
            return self
        more = self._training_rows(X, sample_weight, seed)
        memory = (self._memory or drawn_rows(self.model_, self.plan_.rows, seed)).and_more(more, _MEMORY, seed)
        self.model_ = self._fit_rows([self.plan_], memory, None, self.architectures, start=self.model_)
        self._memory, self.plan_ = memory, self.plan_.reaching(more.rows)
        return self

    def _training_rows(self, X: Any, sample_weight: Any, seed: int) -> TrainingRows:
        content = checked_table(self, X, self._names)
        return training_rows([(self.plan_, content)], table_weights(self.plan_, content, sample_weight), seed)

    def assess(self, held_out: Any, train: Any) -> FitQuality:
        """The quality of the fit on a table of new rows; ``train``: the table of the fit, or a part of it.

        ``quality_`` is the same for rows that the fit held out itself.
        """
        check_is_fitted(self)
        seed = self._seed(self.random_state)
        fitted, judges = (self._training_rows(table, None, seed) for table in (train, held_out))
        return quality_of(self.model_, fitted, judges, self.plan_.names, seed)

    def report(
        self, path: PathLike | None = None, X: Any = None, *, name: str = "a table", notes: Sequence[str] = ()
    ) -> Report:
        """The report of the fit, as a page and as numbers: on the rows that it held out, or on new rows ``X``.

        path: the file of the page, ending in ``.html``; the numbers go to the same folder. With ``X``, the report names
        the columns that drifted from the rows of the fit; weights are those of the column of weights. name: of the
        table. notes: for its head. Raises OptionError without ``X`` if no rows were held out, or the model was loaded.
        """
        return self._report(path, X, type(self).__name__, name, tuple(notes))

    def _report(self, path: Any, X: Any, estimator: str, data: str, notes: tuple[str, ...]) -> Report:
        from pushforward.estimators.report_rows import held_out_rows, new_rows
        from pushforward.estimators.table_report import Subject, table_report

        check_is_fitted(self)
        seed, plans, marginals = self._seed(self.random_state), (self.plan_,), self._record.marginals
        if X is None:
            judged = held_out_rows(plans, self._record, self._row_scores, seed)
        else:
            content = checked_table(self, X, self._names, self._left_out)
            weights = table_weights(self.plan_, content)
            judged = new_rows(plans, [content], weights, marginals, self._row_scores, seed, [False])
        subject = Subject(estimator, self.model_, plans, marginals, self.get_params(), seed, data, notes)
        report = table_report(subject, judged)
        if path is not None:
            report.save(path)
        return report

    def _row_scores(self, tables: Sequence[Table]) -> RowScores:
        return averaged_scores([(self.plan_, tables[0], False)], self.model_)

    def save(self, path: PathLike, *, force: bool = False) -> None:
        """Save the fitted estimator to the folder ``path``. force: replace the model that is there.

        The rows that `partial_fit` remembers are saved too. Raises OptionError if the folder is not empty.
        """
        check_is_fitted(self)
        fitted, files = self.stored(self), {}
        if self._memory is not None:
            fitted = fitted.model_copy(update={"remembered": self._memory.distinct})
            files[ROWS] = rows_to_bytes(self._memory)
        save_estimator("FlowDensity", fitted, self.model_, path, force, files)

    @classmethod
    def load(cls, path: PathLike) -> Self:
        """The estimator in the folder ``path``, without executing anything from it. Raises ModelError."""
        fitted, model = load_estimator("FlowDensity", path)
        density = cls(**fitted.parameters.given).restore(fitted, model)
        if fitted.remembered:
            density._memory = read_rows(Path(path), model.shapes, fitted.remembered)
        return density

    def stored(self, estimator: TableEstimator) -> FittedEstimator:
        """The content of `estimator.json` for an estimator that rests on this density."""
        return FittedEstimator(
            parameters=Parameters.of(estimator),
            plan=self.plan_,
            matrix=self._form.matrix,
            features=self.n_features_in_,
            feature_names=feature_names(self),
            quality=fit_quality(self),
            marginals=fit_marginals(self),
        )

    def restore(self, fitted: FittedEstimator, model: TableModel) -> Self:
        """This density, with the fit that `stored` describes."""
        restore_features(self, fitted)
        self.plan_, self.model_ = fitted.plan, model
        self._form, self._memory = TableForm(fitted.plan.origin, fitted.matrix), None
        return self

    @classmethod
    def like(cls, estimator: TableEstimator, architectures: Sequence[str]) -> Self:
        """An unfitted density with the parameters of another estimator."""
        return cls(
            max_seconds=estimator.max_seconds,
            max_steps=estimator.max_steps,
            kinds=estimator.kinds,
            architectures=architectures,
            held_out=estimator.held_out,
            random_state=estimator.random_state,
            verbose=estimator.verbose,
        )

    def share_features(self, estimator: TableEstimator) -> None:
        """Give another estimator the quality of the fit, and the number and names of its columns."""
        for name in ("n_features_in_", "feature_names_in_", "quality_"):
            if name in vars(self):
                setattr(estimator, name, vars(self)[name])
            elif name in vars(estimator):
                delattr(estimator, name)

    def encode(self, X: Any) -> EncodedRows:
        """The encoded rows of a table, integers in the middle of their cells."""
        check_is_fitted(self)
        content = checked_table(self, X, self._names, self._left_out)
        return self.plan_.encode(content, places=self.plan_.middles)

    def decode(self, rows: EncodedRows) -> Any:
        """The table of encoded rows, in the form of the training table."""
        return self._form.table(self._columns(rows), self._names)

    def score_samples(self, X: Any, *, marginal: bool = False) -> Array:
        """``(N,)``: the log-density of each row in the units of the table, -inf for a row that cannot be.

        The score of a row is the log-probability of its discrete part plus the log-density of its continuous part.
        marginal: columns that ``X`` lacks, and gaps where training had none, are integrated out, by all members but
        flows. ``X`` may be a file, folder, Arrow dataset or iterator of tables; only scores are held in memory.
        """
        return np.concatenate(list(self.score_blocks(X, marginal=marginal)))

    def score_blocks(self, X: Any, *, marginal: bool = False) -> Iterator[Array]:
        """Iterator over `score_samples` of blocks of rows, in memory that does not grow with their number."""
        for block in self._scores(X, marginal):
            yield np.asarray(block.total.numpy())

    def score_parts(self, X: Any, *, marginal: bool = False) -> ScoreParts:
        """The discrete and the continuous part of `score_samples`."""
        blocks = list(self._scores(X, marginal))
        discrete, continuous = (torch.cat([getattr(block, name) for block in blocks]) for name in RowScores._fields)
        return ScoreParts(discrete.numpy(), continuous.numpy())

    def score(self, X: Any, y: Any = None) -> float:
        """The mean of `score_samples`, weighted if the table has the column of weights of the fit."""
        check_is_fitted(self)
        parts = [(self.score_samples(table), self.weights(table)) for table in stream_of_tables(X, self.plan_)]
        scores = np.concatenate([each for each, _ in parts])
        weights = np.concatenate([np.ones(len(each)) if own is None else own for each, own in parts])
        return float(np.average(scores[weights > 0], weights=weights[weights > 0]))

    def weights(self, X: Any, sample_weight: Any = None) -> Array | None:
        """``(N,)``: ``sample_weight`` times the column of weights of the plan; None without either."""
        check_is_fitted(self)
        return table_weights(self.plan_, checked_table(self, X, self._names, self._left_out), sample_weight)

    def sample(self, n_samples: int = 1, *, given: Any = None, random_state: Any = None, first_row: int = 0) -> Any:
        """A table of ``n_samples`` rows, or of as many for each row of ``given``, one after the other.

        given: values of some columns, as ``{"age": 40}`` or a table. random_state: by default the estimator's, so that
        equal calls give equal rows. first_row: the number of rows of earlier calls, after which ids go on.
        """
        check_is_fitted(self)
        generator = self._generator(random_state)
        given = None if given is None else possible_given(self.plan_, given)
        drawn = self._columns(sampled(self.plan_, self.model_, given, n_samples, generator), first_row)
        return self._form.table(drawn | as_given(given, drawn, n_samples), self._names)

    def probability(self, event: str, *, given: Any = None, draws: int = 10_000, random_state: Any = None) -> Estimate:
        """The probability of an event such as ``"income > 100000 and sold"``, with its standard error.

        given: values of some columns; a table of B rows gives arrays ``(B,)``. draws: on which the estimate rests.
        """
        condition, draws_given = Event(event), self._draws(given, draws, random_state)
        happens = condition.holds(self._columns(draws_given.rows), self.plan_.words)
        return estimate(happens, draws_given.log_weights, given)

    def quantiles(
        self, column: str, levels: Sequence[float], *, given: Any = None, draws: int = 10_000, random_state: Any = None
    ) -> Array:
        """``(levels,)``: quantiles of a column, given values of others; ``(B, levels)`` for a table of B given rows.

        Gaps are left out. ``draws`` weighted draws estimate the quantiles.
        """
        return quantiles_of(column, levels, *self._drawn_columns(given, draws, random_state), given)

    def cdf(
        self, points: Mapping[str, Any], *, given: Any = None, draws: int = 10_000, random_state: Any = None
    ) -> Array:
        """``(P,)``: the probability that all columns of ``points`` are at most their values there, P for each column.

        ``(B, P)`` for a table of B given rows.
        """
        return joint_cdf(points, *self._drawn_columns(given, draws, random_state), given)

    def impute(self, X: Any, draws: int = 1, *, random_state: Any = None) -> Any:
        """The table with its gaps filled by draws given the rest of their rows; a list of tables for ``draws > 1``.

        The content is drawn as if it were missing at random: from rows that have it and the same other content.
        """
        check_is_fitted(self)
        content = checked_table(self, X, self._names, self._left_out)
        tables = filled(self.plan_, self.model_, content, draws, self._generator(random_state))
        form = TableForm(content.origin, not named(X))
        whole = [with_index_of(form.table(columns, self._names), X) for columns in tables]
        return whole[0] if draws == 1 else whole

    def explain(self, X: Any, *, random_state: Any = None) -> Any:
        """A table of nats, one column for each of the density: how well each value agrees with the others of its row.

        The log-probability of the value given the others, minus that of a wrong value: one from another row, or an
        arbitrary one. Numbers below 0 speak for a wrong value. If one value of a row is wrong, the column of the
        lowest number is the most probable one. The mean over usual rows is the information of the others on the column.
        A value that no training row could have has minus infinity, and the others of its row 0.
        """
        check_is_fitted(self)
        content = checked_table(self, X, self._names, self._left_out)
        columns = explained(self.model_, self.plan_, content, self._generator(random_state))
        return with_index_of(TableForm(content.origin, not named(X)).table(columns), X)

    @property
    def _names(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.plan_.columns)

    @property
    def _left_out(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.plan_.left_out)

    def _scores(self, X: Any, marginal: bool) -> Iterator[RowScores]:
        check_is_fitted(self)
        for table in stream_of_tables(X, self.plan_):
            if marginal and named(table):
                content = known_columns(table, self._names)
            else:
                content = checked_table(self, table, self._names, self._left_out)
            for block in blocks_of(content):
                yield averaged_scores([(self.plan_, block, marginal)], self.model_)

    def _draws(self, given: Any, count: int, random_state: Any) -> WeightedDraws:
        check_is_fitted(self)
        generator = self._generator(random_state)
        rows = encode_given(self.plan_, given, generator, copies=count)
        return self.model_.draws_given(rows, count, generator, repeated=True)

    def _drawn_columns(self, given: Any, count: int, random_state: Any) -> tuple[dict[str, Any], Tensor]:
        draws = self._draws(given, count, random_state)
        return self._columns(draws.rows), draws.log_weights

    def _columns(self, rows: EncodedRows, first_row: int = 0) -> dict[str, Any]:
        table = self.plan_.decode(rows, library="pyarrow", first_row=first_row)
        return {name: table.column(name).combine_chunks() for name in table.column_names}
