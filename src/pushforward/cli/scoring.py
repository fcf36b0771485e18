"""Scoring for `pushforward score`."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pushforward.array_types import Array
from pushforward.cli.output import TABLES, open_table, require_output
from pushforward.cli.parameters import DataSource, Running
from pushforward.cli.progress import show_progress, tell
from pushforward.cli.reading import read_for
from pushforward.cli.row_blocks import RowBlock, data_blocks, read_blocks
from pushforward.data.dataset import Fingerprint
from pushforward.domain_values import Outside, find_outside
from pushforward.errors import DataError, OptionError
from pushforward.evaluation.scores import RunningSummary, remark_on_few
from pushforward.likelihood import Likelihood
from pushforward.rows import row_likelihoods, rows_of
from pushforward.storage import DataConfig, SavedModel, load_model
from pushforward.units import in_unit, unit_of

# Row numbers that a message lists.
_LISTED = 5


def run_score(
    path: Path,
    name: str,
    source: DataSource,
    *,
    out: Path | None,
    unit: Any,
    samples: int,
    probes: int | None,
    part: str,
    strict: bool,
    force: bool,
    running: Running,
) -> None:
    """Score and write; see `pushforward.cli.score.score`."""
    require_output(out, TABLES, force)
    for option, number in (("samples", samples), ("probes", probes)):
        if number is not None and number < 1:
            raise OptionError(f"{option} must be at least 1, got {number}")
    model = load_model(path, running.start())

    def blocks() -> Iterator[RowBlock]:
        return read_blocks(model, name, source) if part == "all" else _part_blocks(model, name, source, part)

    report = _Report(model, unit or unit_of(model.flow), strict)
    with open_table(out) as write, show_progress("scoring", None) as advance:
        # Noise is keyed by the index among these rows, as in a report, so that the test mean equals that of the report.
        for block in blocks():
            report.require_complete(block)
            likelihood = row_likelihoods(
                model.flow,
                rows_of(model.flow, block.data, np.arange(len(block.data))),
                running.chosen_seed,
                samples=samples,
                probes=probes,
                first_row=block.first,
                advance=advance,
            )
            write(report.table(block, likelihood))
    report.tell(several=max(samples, probes or 1) > 1)
    if part == "all":
        _tell_training_rows(model, name, report, blocks)


def _part_blocks(model: SavedModel, name: str, source: DataSource, part: str) -> Iterator[RowBlock]:
    data, config = read_for(model, name, source, as_fitted=True), model.config.data
    if model.split is None or config is None:
        raise OptionError(f"part {part}: no split was saved with this model; score all rows")
    if config.fingerprint != data.fingerprint:
        raise DataError(f"part {part}: {data.name} are not the data that this model was fitted to; score all rows")
    yield from data_blocks(data, model.split.parts[part])


class _Report:
    """The scores of blocks of rows as columns of a table, and the summary of all of them."""

    def __init__(self, model: SavedModel, unit: Any, strict: bool) -> None:
        self.model, self.unit, self.strict = model, unit, strict
        self.rows, self.summary = 0, RunningSummary()
        self.fingerprint = Fingerprint()
        self._incomplete: list[str] = []
        self._incomplete_count, self._problem = 0, ""
        self._outside: Outside | None = None
        self._where = ""
        self._columns: tuple[str, ...] | None = None
        self._likelihood: Likelihood | None = None

    def require_complete(self, block: RowBlock) -> None:
        """Count incomplete rows; raise DataError where they are to be refused."""
        if not block.incomplete.any():
            return
        if self.strict:
            raise DataError(f"{block.problem}; remove or fill in such rows, or score without --strict")
        self._problem = self._problem or block.problem
        self._incomplete_count += int(block.incomplete.sum())
        rows = np.flatnonzero(block.incomplete)[: _LISTED - len(self._incomplete)]
        self._incomplete += [f"{block.data.row_numbers[row] + 1:,}" for row in rows]

    def table(self, block: RowBlock, likelihood: Likelihood) -> dict[str, Array]:
        """The columns of a block; each row has the facts of the model, so that several models can share one table."""
        if self.rows == 0 and self.model.config.data is not None:
            data = block.data
            self.fingerprint.begin(data.x.dtype, (self.model.config.data.rows, *data.x.shape[1:]))
        self.fingerprint.add(block.data.x)
        self._likelihood = likelihood
        dimensions = math.prod(self.model.flow.event_shape)
        values = in_unit(likelihood.value.numpy(), self.unit, dimensions)
        values[block.incomplete] = np.nan
        self.rows += len(values)
        self.summary.add(values[~block.incomplete])
        facts: dict[str, object] = {"unit": self.unit, "kind": likelihood.kind}
        if likelihood.kind != "exact":
            facts |= {"in_words": likelihood.in_words, "samples": likelihood.samples, "probes": likelihood.probes}
        if self.model.flow.dequantisation is not None:
            facts["dequantisation"] = self.model.flow.dequantisation
        table = {"row": block.numbers, "value": values}
        table |= {name: np.full(len(values), value) for name, value in facts.items()}
        if likelihood.standard_error is not None:
            errors = np.abs(in_unit(likelihood.standard_error.numpy(), self.unit, dimensions))
            table["standard_error"] = np.where(block.incomplete, np.nan, errors)
        if not np.isfinite(values[~block.incomplete]).all():
            self._look_outside(block)
        return table

    def tell(self, several: bool) -> None:
        """Print the mean and the notes; several: whether more than one draw or probe was asked for."""
        likelihood = self._likelihood
        assert likelihood is not None
        if several and likelihood.standard_error is None:
            tell(f"note: --samples and --probes are ignored: this likelihood is {likelihood.in_words}, of one pass")
        draws = f", k = {likelihood.samples:,}" if likelihood.samples > 1 else ""
        self._tell_mean(likelihood.in_words + draws)
        averaged = likelihood.samples if likelihood.samples > 1 else likelihood.probes
        if likelihood.standard_error is not None and (remark := remark_on_few(averaged, "draws")):
            tell(f"note: in each row, {remark}; score with more --samples")
        if self._outside is not None:
            tell(f"note: {self._outside._replace(total=self.rows).sentence(self._where, self._columns)}")
        if self._incomplete_count:
            more = ", ..." if self._incomplete_count > len(self._incomplete) else ""
            tell(
                f"note: {self._incomplete_count:,} of {self.rows:,} rows have no score (row "
                f"{', '.join(self._incomplete)}{more}), because values are missing or infinite; the first is "
                f"{self._problem}; --strict refuses such data"
            )

    def _look_outside(self, block: RowBlock) -> None:
        outside = find_outside(self.model.flow.transform.domain, torch.from_numpy(block.data.x[~block.incomplete]))
        if outside is None:
            return
        if self._outside is None:
            place = int(np.flatnonzero(~block.incomplete)[outside.row])
            self._where, self._columns = block.data.where(place), block.data.columns
            self._outside = outside
        else:
            self._outside = self._outside._replace(rows=self._outside.rows + outside.rows)

    def _tell_mean(self, kind: str) -> None:
        mean = self.summary.summary()
        if mean.mean is None:
            broken = self.summary.not_finite
            infinite = f"{broken:,} of them have no finite value, so the mean is not finite"
            tell(f"{self.rows:,} rows; {infinite if broken else 'none of them has a score'}")
            return
        error = "" if mean.standard_error is None else f" +- {mean.standard_error:.4f}"
        tell(f"{mean.rows:,} rows: mean {mean.mean:.4f}{error} {self.unit} ({kind})")
        if remark := remark_on_few(mean.rows, "rows"):
            tell(f"note: {remark}")


def _tell_training_rows(
    model: SavedModel, name: str, report: _Report, blocks: Callable[[], Iterator[RowBlock]]
) -> None:
    """Say where the data are those of the fit, whose training rows score higher than other rows."""
    config = model.config.data
    if config is None:
        return
    if report.rows == config.rows and _same(config, report.fingerprint, blocks):
        count = "most" if model.split is None else f"{len(model.split.train):,}"
        tell(
            f"note: these are the data of the fit, and {count} of their rows trained the model, so that the mean is "
            "too high for new data; --part test scores the rows that it has not seen"
        )
    elif Path(name).name == config.name and (config.preparation.limit or config.preparation.test):
        tell(f"note: the model was fitted to rows of a file of the name {config.name}, which may be among these")


def _same(config: DataConfig, fingerprint: Fingerprint, blocks: Callable[[], Iterator[RowBlock]]) -> bool:
    """Whether the data are those of the fit, by the fingerprint of their values, and of their contexts read again."""
    if not config.context_columns:
        fingerprint.begin_none()
        return fingerprint.hex() == config.fingerprint
    fingerprint.begin(np.dtype(np.float64), (config.rows, len(config.context_columns)))
    for block in blocks():
        if block.data.context is not None:
            fingerprint.add(block.data.context)
    return fingerprint.hex() == config.fingerprint
