"""The steps of `pushforward fit` for a table: read and split the rows, plan the columns, fit, save, score."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow

from pushforward.array_types import Array
from pushforward.cli.fit_facts import fingerprint, store_facts
from pushforward.cli.held_out import HeldOut, density_scores, regression_scores, verdict
from pushforward.cli.model_choice import reason_of
from pushforward.cli.progress import show_fraction, tell
from pushforward.cli.reporting import OF_FIT, place_report, print_verdicts
from pushforward.cli.run_file import Run
from pushforward.cli.table_rows import open_rows, read_rows, require_columns, take
from pushforward.cli.table_summary import plans_in_words
from pushforward.data.reading import naming
from pushforward.data.row_sources import RowSource
from pushforward.errors import DataError, OptionError, ReducedFitWarning
from pushforward.estimators.columns.plan import ColumnPlan
from pushforward.estimators.columns.tables import read_table
from pushforward.estimators.density import FlowDensity
from pushforward.estimators.file_samples import FileSample, draw_sample, rows_in_memory, with_all_contents
from pushforward.estimators.input_tables import problem_of_targets
from pushforward.estimators.models.fit_table import Progress, default_seconds
from pushforward.estimators.regressor import FlowRegressor
from pushforward.estimators.table_estimator import hold_out
from pushforward.storage.files import require_free

# Held-out rows: a tenth, at most so many; none of fewer rows than the least.
_MOST_HELD_OUT, _LEAST = 10_000, 20
# The most rows that measures of the training rows take.
_MEASURED = 20_000
_ADVICE = "; choose another, or fit without --target and ask the model with `predict --target COLUMN`"


@dataclass(frozen=True)
class _Columns:
    """The columns to model or to predict from, the targets, and the kinds that the options name."""

    columns: tuple[str, ...]
    targets: tuple[str, ...]
    kinds: dict[str, str]

    @property
    def every(self) -> tuple[str, ...]:
        return (*self.columns, *self.targets)

    def plan(self, table: Any, of_targets: bool = False) -> ColumnPlan:
        """The plan of the columns, or of the targets, as the fit makes it."""
        names = self.targets if of_targets else self.columns
        kinds = {name: kind for name, kind in self.kinds.items() if name in names}
        return ColumnPlan.guess(table.select(names), kinds, scored=of_targets or not self.targets)

    def plans(self, table: Any) -> list[ColumnPlan]:
        """The plan of the columns and, if there are some, that of the targets."""
        return [self.plan(table), *([self.plan(table, of_targets=True)] if self.targets else [])]


@dataclass(frozen=True)
class _Job:
    """The input of a fit: training rows with their weights, held-out rows, columns; note: on rows that are not used."""

    train: Any
    test: Any
    names: _Columns
    weights: Array | None = None
    note: str = ""


def run_table_fit(run: Run) -> int:
    """Fit an estimator with the options ``run``, save it, and print its scores on held-out rows; the exit code."""
    source, out = run.required()
    require_free(out, run.force)
    run.running.start()
    if run.minutes is not None and not run.minutes > 0:
        raise OptionError(f"--minutes: a number above 0 expected, got {run.minutes:g}")
    job = _prepare(run, Path(source))
    seconds = None if run.minutes is None else 60 * run.minutes
    limit = default_seconds(len(job.train), len(job.names.columns)) if seconds is None else seconds
    counts = f"training rows: {len(job.train):,}, held-out rows: {len(job.test):,}"
    tell(f"{counts}; time limit: about {limit:,.0f} s")
    started = time.monotonic()
    # The held-out rows here judge the fit, so that it need not hold out others.
    settings = {"max_seconds": seconds, "kinds": job.names.kinds or None, "held_out": 0.0}
    model = _fit(job, {**settings, "random_state": run.running.chosen_seed})
    elapsed = time.monotonic() - started
    model.model_.notes.extend([job.note] if job.note else [])
    model.save(out, force=run.force)
    with naming(run.preparation.test or source):
        held_out = _scores(model, job) if len(job.test) else None
    judged = _judge(run, model, job, out)
    facts = {
        "data": Path(source).name,
        "source": fingerprint(Path(source).expanduser()),
        "rows": len(job.train),
        "seconds": round(elapsed, 1),
        "held_out": None if held_out is None else held_out.numbers,
        "verdict": judged.get("fit"),
    }
    store_facts(out, facts)
    print(f"saved {out} after {elapsed:.1f} s; {model.model_.members_in_words}")
    for note in model.model_.notes:
        print(f"note: {note}")
    if held_out is None:
        print(f"held-out: none of fewer than {_LEAST} rows; --test FILE scores others")
    else:
        print("\n".join(held_out.lines))
    if not judged:
        print(f"fit: not judged, because no held-out row {'is there' if held_out is None else 'has a density above 0'}")
    print_verdicts(judged)
    if judged and run.report is not False:
        print(f"report: {out / OF_FIT}")
    return 0


def _prepare(run: Run, path: Path) -> _Job:
    """Read and split the rows, and print the plan of the columns."""
    source = open_rows(path)
    names = _chosen_columns(run, path, source.names)
    others = None if run.preparation.test is None else read_rows(Path(run.preparation.test), names.every)
    sample = _sample(run, source, names)
    if names.targets and (problem := problem_of_targets(read_table(sample.table.select(names.targets)))):
        raise DataError(f"--target: {problem}{_ADVICE}")
    tell(reason_of(run))
    if others is None:
        job = _split(source, sample, names, run.running.chosen_seed)
    else:
        train = with_all_contents(sample, source, names.every, names.plans)
        job = _Job(train.counted(), others, names, train.weights, train.note)
    print(plans_in_words(names.plans(job.train)), flush=True)
    return job


def _chosen_columns(run: Run, path: Path, available: Sequence[str]) -> _Columns:
    """The columns that the options name, among those that are available, and the kinds that they give."""
    kinds, targets = dict(run.kind), run.target or ()
    needed = [*targets, *([] if run.weight is None else [run.weight])]
    chosen = run.preparation.columns
    require_columns(path, available, [*(chosen or ()), *needed, *kinds])
    if run.weight is not None:
        if kinds.get(run.weight, "weight") != "weight":
            raise OptionError(f"column {run.weight!r} has two kinds, {kinds[run.weight]} and weight (of --weight)")
        if run.weight in targets:
            raise OptionError(f"column {run.weight!r} cannot be both --weight and --target")
        kinds[run.weight] = "weight"
    every = available if chosen is None else list(dict.fromkeys([*chosen, *needed]))
    require_columns(path, every, list(kinds))
    columns = tuple(name for name in every if name not in targets)
    if not columns:
        raise DataError(f"{path}: no columns are left to predict {', '.join(targets)} from")
    return _Columns(columns, targets, kinds)


def _sample(run: Run, source: RowSource, names: _Columns) -> FileSample:
    """The rows of the file, or a random part of them."""
    limit, most = run.preparation.limit, run.max_rows
    if most is not None and most < 1:
        raise OptionError(f"--max-rows: a number of 1 or above expected, got {most}")
    most = rows_in_memory(len(names.every)) if most is None else most
    if limit is None or limit > most:
        return draw_sample(source, names.every, most, run.running.chosen_seed)
    return draw_sample(source, names.every, limit, run.running.chosen_seed).drawn


def _split(source: RowSource, sample: FileSample, names: _Columns, seed: int) -> _Job:
    """The job with a random tenth of the rows held out.

    Held-out rows with content that no training row has, such as a rare label, train too.
    """
    drawn = np.flatnonzero(~sample.certain)
    count = 0 if len(drawn) < _LEAST else min(_MOST_HELD_OUT, len(drawn) // 10)
    held_out = np.sort(np.random.default_rng(seed).permutation(drawn)[:count])
    everything = np.arange(len(sample.places))
    train, test = sample.take(np.setdiff1d(everything, held_out)), sample.take(held_out)
    plan, cells = names.plan(train.counted()), test.table.select(names.columns)
    impossible = plan.encode(cells, places=plan.middles).impossible.numpy()
    if impossible.any():
        problem = plan.problems(cells, limit=1)[0]
        tell(
            f"note: {impossible.sum():,} held-out rows have content that no training row has, and train too (the "
            f"first: {problem.value!r} in column {problem.column!r})"
        )
        held_out = held_out[~impossible]
        train, test = sample.take(np.setdiff1d(everything, held_out)), sample.take(held_out)
    if not sample.complete:
        train = with_all_contents(train, source, names.every, names.plans)
        test = test.take(np.flatnonzero(~train.has(test.places)))
    note = replace(train, total=train.total - len(test.places)).note
    return _Job(train.counted(), test.table, names, train.weights, note)


def _fit(job: _Job, settings: dict[str, Any]) -> FlowDensity | FlowRegressor:
    with _told() as progress, warnings.catch_warnings():
        # The notes of the model, which are printed at the end, tell the same.
        warnings.simplefilter("ignore", ReducedFitWarning)
        if not job.names.targets:
            return FlowDensity(**settings).fit(job.train, sample_weight=job.weights, progress=progress)
        features, targets = job.train.select(job.names.columns), job.train.select(job.names.targets)
        return FlowRegressor(**settings).fit(features, targets, sample_weight=job.weights, progress=progress)


def _scores(model: FlowDensity | FlowRegressor, job: _Job) -> HeldOut:
    if isinstance(model, FlowDensity):
        return density_scores(model, job.test)
    return regression_scores(model, job.test.select(job.names.columns), job.test.select(job.names.targets))


def _judge(run: Run, model: FlowDensity | FlowRegressor, job: _Job, out: Path) -> dict[str, Any]:
    """The verdicts by subject, from the held-out rows that have a density, and the report; none without rows."""
    test, seed = job.test, run.running.chosen_seed
    for plan, columns in _parts(model, job):
        possible = ~plan.encode(test.select(columns), places=plan.middles).impossible.numpy()
        test = test.filter(pyarrow.array(possible))
    if not len(test):
        return {}
    if run.report is False:
        rows = _some(job.train, seed), test
        tables = ([read_table(part.select(columns)) for _, columns in _parts(model, job)] for part in rows)
        return {"fit": verdict(model, next(tables), next(tables), seed).to_json()}
    hold_out(model, [(plan, read_table(test.select(columns))) for plan, columns in _parts(model, job)], seed)
    tell("report: judging the fit and drawing the page")
    report = model.report(name=Path(run.required()[0]).name)
    place_report(report, out, OF_FIT, None)
    return dict(report.numbers["verdict"])


def _parts(model: FlowDensity | FlowRegressor, job: _Job) -> list[tuple[ColumnPlan, tuple[str, ...]]]:
    """Each plan of a model with its columns of the table."""
    if isinstance(model, FlowDensity):
        return [(model.plan_, job.names.columns)]
    return [(model.plan_, job.names.columns), (model.target_plan_, job.names.targets)]


def _some(table: Any, seed: int) -> Any:
    """At most so many random rows as a measure needs."""
    if len(table) <= _MEASURED:
        return table
    return take(table, np.random.default_rng(seed).permutation(len(table))[:_MEASURED])


@contextmanager
def _told() -> Iterator[Callable[[Progress], None]]:
    """A context with a function that shows the progress of a fit."""
    with show_fraction("fit") as show:
        yield lambda progress: show(progress.stage, progress.fraction)
