"""A fit of each hostile table, or the one sentence that refuses it.

    python benchmarks/hostile_tables.py                                # all, about ten minutes
    python benchmarks/hostile_tables.py --tables "no rows;UTF-16"      # two of them
    python benchmarks/hostile_tables.py --markdown                     # the outcomes as a Markdown table

A table in memory goes through an estimator: fit, score, save and load with equal scores, samples, samples given a
value, and filled gaps. A file goes through the commands columns, fit, score, sample and impute. The checks: training
rows have finite scores; samples have the types of the table, and scores of their own that are finite; no command ends
in anything but success or one sentence. The program exits 1 if a check fails.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import sys
import tempfile
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from hostile_data import CASES, Case

from pushforward.cli import main as command
from pushforward.errors import PushforwardError
from pushforward.estimators import FlowDensity, FlowRegressor
from pushforward.estimators.columns.tables import Table, read_table, taken

_STEPS, _SECONDS = 5, 1.0
_MOST_LETTERS = 400


@dataclass
class Outcome:
    """The outcome of a table.

    sentence: of a refusal. remarks: said beside a fit. reasons: of the kinds of the columns. faults: of checks.
    """

    sentence: str = ""
    reasons: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    @property
    def word(self) -> str:
        """The outcome in a word."""
        return "fault" if self.faults else "refused" if self.sentence else "fitted"

    def require(self, holds: bool, fault: str) -> None:
        """Note a fault unless a check holds."""
        if not holds:
            self.faults.append(fault)


def try_table(case: Case) -> Outcome:
    """The outcome of a table or of a file."""
    outcome = Outcome()
    with tempfile.TemporaryDirectory() as folder:
        try:
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                (_through_commands if case.ending else _through_estimator)(case, Path(folder), outcome)
            outcome.remarks += [str(warning.message) for warning in caught]
        except PushforwardError as error:
            outcome.sentence = str(error)
            outcome.require("\n" not in outcome.sentence and len(outcome.sentence) < _MOST_LETTERS, "no short sentence")
        except Exception as error:  # every other kind of error is a fault of the package
            outcome.faults.append(f"{type(error).__name__}: {error}")
    return outcome


def _through_estimator(case: Case, folder: Path, outcome: Outcome) -> None:
    table = case.make()
    if case.target is not None:
        _through_regressor(case, table, folder, outcome)
        return
    model = FlowDensity(max_steps=_STEPS, max_seconds=_SECONDS, architectures=(), kinds=case.kinds or None).fit(table)
    outcome.reasons += [f"{column.name}: {column.reason}" for column in model.plan_.columns]
    scores = model.score_samples(table)
    outcome.require(bool(np.isfinite(scores).all()), "a training row has no finite score")
    model.save(folder / "model")
    again = FlowDensity.load(folder / "model")
    outcome.require(np.array_equal(again.score_samples(table), scores), "a loaded model scores otherwise")
    sample = model.sample(20)
    outcome.require(bool(np.isfinite(model.score_samples(sample)).all()), "a drawn row has no finite score")
    original, drawn = _named(model, table), _named(model, sample)
    types = {name: original.columns[name].type for name in drawn.columns}
    outcome.require(all(drawn.columns[name].type == kind for name, kind in types.items()), "a sample has other types")
    _conditionally(model, original, outcome)
    if case.new is not None:
        try:
            outcome.remarks.append(f"scores of new rows: {model.score_samples(case.new())}")
        except PushforwardError as error:
            outcome.remarks.append(f"new rows: {error}")


def _conditionally(model: FlowDensity, table: Table, outcome: Outcome) -> None:
    """Samples given the first modelled column, and the gaps of another one filled."""
    first, *others = model.plan_.names
    given = {first: table.columns[first].drop_null()[0].as_py()}
    drawn = _named(model, model.sample(5, given=given))
    outcome.require(drawn.rows == 5 and not drawn.columns[first].null_count, "a given value is lost")
    if others:
        some = taken(table, np.arange(min(5, table.rows)))
        filled = _named(model, model.impute({**some.columns, others[0]: [None] * some.rows}))
        outcome.require(not filled.columns[others[0]].null_count, "a gap stays")


def _through_regressor(case: Case, table: Any, folder: Path, outcome: Outcome) -> None:
    features = {name: column for name, column in table.items() if name != case.target}
    target = table.get(case.target)
    model = FlowRegressor(max_steps=_STEPS, max_seconds=_SECONDS, kinds=case.kinds or None).fit(features, target)
    outcome.reasons += [f"{c.name}: {c.reason}" for c in (*model.plan_.columns, *model.target_plan_.columns)]
    means, quantiles = model.predict(features), model.predict_quantiles(features)
    outcome.require(bool(np.isfinite(means).all()), "a mean is not finite")
    outcome.require(bool((np.diff(quantiles, axis=1) >= 0).all()), "quantiles out of order")
    scores = model.log_density(features, target)
    outcome.require(bool(np.isfinite(scores).all()), "a training row has no finite score")
    model.save(folder / "model")
    again = FlowRegressor.load(folder / "model")
    outcome.require(np.array_equal(again.predict(features), means), "a loaded model predicts otherwise")
    outcome.require(model.sample(features, 3).shape == (len(means), 3), "draws have another shape")


def _named(model: FlowDensity, table: Any) -> Table:
    return read_table(table, [column.name for column in model.plan_.columns])


def _through_commands(case: Case, folder: Path, outcome: Outcome) -> None:
    file = folder / f"table.{case.ending}"
    file.write_bytes(case.make())
    model, ending = folder / "model", "parquet" if case.ending == "parquet" else "csv"
    steps: list[list[object]] = [
        ["columns", file],
        ["fit", file, "--out", model, "--minutes", 0.01],
        ["score", model, file, "--out", folder / "scores.csv"],
        ["sample", model, "--n", 20, "--out", folder / f"sample.{ending}"],
        ["score", model, folder / f"sample.{ending}", "--out", folder / "again.csv"],
        ["impute", model, file, "--out", folder / f"filled.{ending}"],
    ]
    for words in steps:
        code, out, err = _run(words)
        if words[0] in ("columns", "fit"):
            lines = [" ".join(line.split()) for line in (err if words[0] == "fit" else out).splitlines()]
            outcome.remarks += [line[6:] for line in lines if line.startswith("note: ")]
            outcome.reasons += [line for line in lines if line and not line.startswith("note: ")]
        if code == 0:
            continue
        said = err.strip().splitlines()
        outcome.require(code in (2, 3) and "Traceback" not in err, f"{words[0]} ends with {code}")
        outcome.sentence = said[-1].replace(f"{folder}/", "") if said else ""
        outcome.require(bool(outcome.sentence), f"{words[0]} says nothing")
        outcome.require(
            words[0] in ("columns", "fit"), f"the command {words[0]} refuses a fitted table: {outcome.sentence}"
        )
        return


def _run(words: Sequence[object]) -> tuple[int, str, str]:
    """The exit code of a command, and its standard output and error."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = command([str(word) for word in words])
    return code, out.getvalue(), err.getvalue()


def parse_arguments(given: list[str] | None = None) -> argparse.Namespace:
    """The command line; ``given`` stands in for the program's own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", default=None, help="names of tables, with semicolons; default: all")
    parser.add_argument("--markdown", action="store_true", help="print the outcomes as a Markdown table")
    parser.add_argument("--remarks", action="store_true", help="print the warnings and notes of each fit")
    chosen = parser.parse_args(given)
    chosen.tables = list(CASES) if chosen.tables is None else _known(parser, chosen.tables)
    return chosen


def _known(parser: argparse.ArgumentParser, text: str) -> list[str]:
    names = text.split(";")
    for name in names:
        if name not in CASES:
            parser.error(f"there is no table {name!r}")
    return names


def main(given: list[str] | None = None) -> int:
    """Try the tables and print their outcomes; 1 if a check fails."""
    options = parse_arguments(given)
    outcomes: dict[str, Outcome] = {}
    if options.markdown:
        print("| table | outcome | sentence |\n|---|---|---|")
    for name in options.tables:
        outcome = outcomes[name] = try_table(CASES[name])
        said = outcome.faults or ([outcome.sentence] if outcome.sentence else list(dict.fromkeys(outcome.remarks)))
        sentence = " ".join("; ".join(said).split())
        print(
            f"| {name} | {outcome.word} | {sentence} |" if options.markdown else f"{outcome.word:8} {name}: {sentence}"
        )
        if options.remarks:
            print("".join(f"         - {remark}\n" for remark in outcome.reasons), end="", flush=True)
    words = [outcome.word for outcome in outcomes.values()]
    counts = ", ".join(f"{words.count(word)} {word}" for word in ("fitted", "refused", "fault"))
    print(f"{'' if not options.markdown else chr(10)}{len(words)} tables: {counts}")
    return int("fault" in words)


if __name__ == "__main__":
    sys.exit(main())
