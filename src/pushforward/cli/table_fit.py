"""The steps of `pushforward fit` for a table: read and split the rows, plan the columns, fit, save, score."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from shutil import get_terminal_size
from typing import Any

import numpy as np
import pyarrow

from pushforward.cli.fit_facts import store_facts
from pushforward.cli.held_out import HeldOut, density_scores, regression_scores, verdict
from pushforward.cli.model_choice import reason_of
from pushforward.cli.progress import show_fraction, tell
from pushforward.cli.run_file import Run
from pushforward.cli.table_rows import read_rows, require_columns, take
from pushforward.errors import DataError, OptionError
from pushforward.estimators.columns.plan import ColumnPlan
from pushforward.estimators.columns.tables import read_table
from pushforward.estimators.density import FlowDensity
from pushforward.estimators.drift import Marginals
from pushforward.estimators.models.fit_table import Progress, default_seconds
from pushforward.estimators.regressor import FlowRegressor
from pushforward.estimators.table_estimator import table_weights
from pushforward.evaluation.verdict import Verdict
from pushforward.storage.files import require_free

# Held-out rows: a tenth, at most so many; none of fewer rows than the least.
_MOST_HELD_OUT, _LEAST = 10_000, 20
# The fewest held-out rows that judge a fit, and the most rows that measures of the training rows take.
_JUDGES, _MEASURED = 50, 20_000


@dataclass(frozen=True)
class _Job:
    """The input of a fit: training rows, held-out rows, the columns to model or to predict from, targets, kinds."""

    train: Any
    test: Any
    columns: tuple[str, ...]
    targets: tuple[str, ...]
    kinds: dict[str, str]

    def plan(self) -> ColumnPlan:
        """The plan of the columns, as the fit makes it."""
        hints = {name: kind for name, kind in self.kinds.items() if name in self.columns}
        return ColumnPlan.guess(self.train.select(self.columns), hints)


def run_table_fit(run: Run) -> int:
    """Fit an estimator with the options ``run``, save it, and print its scores on held-out rows; the exit code."""
    source, out = run.required()
    require_free(out, run.force)
    run.running.start()
    if run.report:
        raise OptionError("--report: a model of a table has no page; `pushforward report DIR FILE` compares rows")
    if run.minutes is not None and not run.minutes > 0:
        raise OptionError(f"--minutes: a number above 0 expected, got {run.minutes:g}")
    job = _prepare(run, Path(source))
    seconds = None if run.minutes is None else 60 * run.minutes
    limit = default_seconds(len(job.train), len(job.columns)) if seconds is None else seconds
    counts = f"training rows: {len(job.train):,}, held-out rows: {len(job.test):,}"
    tell(f"{counts}; time limit: about {limit:,.0f} s")
    started = time.monotonic()
    # The held-out rows here judge the fit, so that it need not hold out others.
    settings = {"max_seconds": seconds, "kinds": job.kinds or None, "held_out": 0.0}
    model = _fit(job, {**settings, "random_state": run.running.chosen_seed})
    elapsed = time.monotonic() - started
    model.save(out, force=run.force)
    held_out = _scores(model, job) if len(job.test) else None
    judged = _verdict(model, job, run.running.chosen_seed) if len(job.test) >= _JUDGES else None
    facts = {
        "data": Path(source).name,
        "rows": len(job.train),
        "seconds": round(elapsed, 1),
        "held_out": None if held_out is None else held_out.numbers,
        "verdict": None if judged is None else judged.to_json(),
    }
    store_facts(out, facts, _marginals(model, job))
    print(f"saved {out} after {elapsed:.1f} s; {model.model_.members_in_words}")
    for note in model.model_.notes:
        print(f"note: {note}")
    if held_out is None:
        print(f"held-out: none of fewer than {_LEAST} rows; --test FILE scores others")
    else:
        print("\n".join(held_out.lines))
    if judged is not None:
        print(f"fit: {judged.to_json()['state']}")
        for reason in judged.to_json()["reasons"]:
            print(f"  - {reason}")
    return 0


def _prepare(run: Run, path: Path) -> _Job:
    """Read and split the rows, and print the plan of the columns."""
    table, kinds = _table(run, path)
    targets = run.target or ()
    others = None if run.preparation.test is None else read_rows(Path(run.preparation.test), table.column_names)
    columns = tuple(name for name in table.column_names if name not in targets)
    if not columns:
        raise DataError(f"{path}: no columns are left to predict {', '.join(targets)} from")
    tell(reason_of(run))
    if others is not None:
        job = _Job(table, others, columns, targets, kinds)
        plan = job.plan()
    else:
        job, plan = _split(table, columns, targets, kinds, run.running.chosen_seed)
    print(plan.summary(max(60, get_terminal_size().columns)), flush=True)
    return job


def _table(run: Run, path: Path) -> tuple[Any, dict[str, str]]:
    """The table with the columns that the options name, and the kinds of columns that they give."""
    kinds = dict(run.kind)
    needed = [*(run.target or ()), *([] if run.weight is None else [run.weight])]
    chosen = run.preparation.columns
    table = read_rows(path, None if chosen is None else list(dict.fromkeys([*chosen, *needed])))
    require_columns(path, table.column_names, [*needed, *kinds])
    if run.weight is not None:
        if kinds.get(run.weight, "weight") != "weight":
            raise OptionError(f"column {run.weight!r} has two kinds, {kinds[run.weight]} and weight (of --weight)")
        if run.weight in (run.target or ()):
            raise OptionError(f"column {run.weight!r} cannot be both --weight and --target")
        kinds[run.weight] = "weight"
    limit = run.preparation.limit
    if limit is not None and limit < len(table):
        rng = np.random.default_rng(run.running.chosen_seed)
        table = take(table, rng.permutation(len(table))[:limit])
    return table, kinds


def _split(
    table: Any, columns: tuple[str, ...], targets: tuple[str, ...], kinds: dict[str, str], seed: int
) -> tuple[_Job, ColumnPlan]:
    """The job with a random tenth of the rows held out, and its plan.

    Held-out rows with content that no training row has, such as a rare label, train too.
    """
    order = np.random.default_rng(seed).permutation(len(table))
    count = 0 if len(table) < _LEAST else min(_MOST_HELD_OUT, len(table) // 10)
    job = _Job(take(table, order[count:]), take(table, order[:count]), columns, targets, kinds)
    plan, test = job.plan(), job.test.select(columns)
    impossible = plan.encode(test, places=[0.5] * plan.dequantised).impossible.numpy()
    if not impossible.any():
        return job, plan
    problem = plan.problems(test, limit=1)[0]
    tell(
        f"note: {impossible.sum():,} held-out rows have content that no training row has, and train too (the first: "
        f"{problem.value!r} in column {problem.column!r})"
    )
    train = pyarrow.concat_tables([job.train, job.test.filter(pyarrow.array(impossible))])
    job = _Job(train, job.test.filter(pyarrow.array(~impossible)), columns, targets, kinds)
    return job, job.plan()


def _fit(job: _Job, settings: dict[str, Any]) -> FlowDensity | FlowRegressor:
    with _told() as progress:
        if not job.targets:
            return FlowDensity(**settings).fit(job.train, progress=progress)
        features, targets = job.train.select(job.columns), job.train.select(job.targets)
        return FlowRegressor(**settings).fit(features, targets, progress=progress)


def _scores(model: FlowDensity | FlowRegressor, job: _Job) -> HeldOut:
    if isinstance(model, FlowDensity):
        return density_scores(model, job.test)
    return regression_scores(model, job.test.select(job.columns), job.test.select(job.targets))


def _verdict(model: FlowDensity | FlowRegressor, job: _Job, seed: int) -> Verdict | None:
    """The verdict on the fit from the held-out rows that have a density; None for too few of them."""
    test = job.test
    for plan, columns in _parts(model, job):
        possible = ~plan.encode(test.select(columns), places=[0.5] * plan.dequantised).impossible.numpy()
        test = test.filter(pyarrow.array(possible))
    if len(test) < _JUDGES:
        return None
    train, test = (_some(table, seed) for table in (job.train, test))
    tables = ([read_table(rows.select(columns)) for _, columns in _parts(model, job)] for rows in (train, test))
    return verdict(model, next(tables), next(tables), seed)


def _marginals(model: FlowDensity | FlowRegressor, job: _Job) -> list[Marginals]:
    """The distributions of the training columns of each plan."""
    train = _some(job.train, 0)
    weights = table_weights(model.plan_, read_table(train.select(job.columns)))
    return [
        Marginals.of(plan, plan.encode(train.select(columns), places=plan.middles), weights)
        for plan, columns in _parts(model, job)
    ]


def _parts(model: FlowDensity | FlowRegressor, job: _Job) -> list[tuple[ColumnPlan, tuple[str, ...]]]:
    """Each plan of a model with its columns of the table."""
    if isinstance(model, FlowDensity):
        return [(model.plan_, job.columns)]
    return [(model.plan_, job.columns), (model.target_plan_, job.targets)]


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
