"""Predictions for the rows of a file from the model of a table, in blocks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import torch

from pushforward.array_types import Array
from pushforward.cli.output import require_output
from pushforward.cli.parameters import Running
from pushforward.cli.progress import show_progress
from pushforward.cli.table_models import load_table_model, rows_for
from pushforward.cli.table_rows import read_row_blocks, require_columns
from pushforward.cli.typed_output import TYPED, open_typed
from pushforward.data.reading import naming
from pushforward.data.row_sources import open_source
from pushforward.errors import DataError, OptionError
from pushforward.estimators.columns.arrow_types import from_numbers, is_time, to_numbers
from pushforward.estimators.conditioning import encode_given, estimate, ordered, quantiles_of
from pushforward.estimators.density import FlowDensity
from pushforward.estimators.events import Event
from pushforward.estimators.input_tables import block_table
from pushforward.estimators.possible_cells import possible_cells
from pushforward.estimators.regressor import FlowRegressor

# Draws of a block, and rows of a block of exact predictions.
_DRAWS, _ROWS = 200_000, 10_000
# Draws for each row, and where the target alone is unknown: those are stratified, and their errors far smaller.
_INDEPENDENT, _STRATIFIED = 1000, 400


@dataclass(frozen=True)
class _Wanted:
    """What to write for each row."""

    levels: tuple[float, ...]
    interval: float | None
    event: Event | None
    draws: int

    @property
    def ends(self) -> tuple[float, ...]:
        """The levels of the ends of the interval."""
        return () if self.interval is None else (0.5 - self.interval / 2, 0.5 + self.interval / 2)

    def named(self, name: str, values: Array) -> dict[str, Array]:
        """Columns of the quantiles ``(N, L)`` at the levels and at the ends of the interval."""
        names = [f"{name}_q{level:g}" for level in self.levels]
        names += [f"{name}_low", f"{name}_high"] if self.ends else []
        return {each: values[:, place] for place, each in enumerate(names)}


def run_predict(
    path: Path,
    file: Path,
    *,
    target: str | None,
    quantiles: str | None,
    interval: float | None,
    event: str | None,
    draws: int | None,
    out: Path | None,
    force: bool,
    running: Running,
) -> None:
    """Predict and write; see `pushforward.cli.predict.predict`."""
    require_output(out, TYPED, force)
    if draws is not None and draws < 1:
        raise OptionError(f"draws must be at least 1, got {draws}")
    if interval is not None and not 0 < interval < 1:
        raise OptionError(f"--interval: a coverage between 0 and 1 expected, got {interval:g}")
    model = load_table_model(path, running)
    draws = _default_draws(model, file, target) if draws is None else draws
    wanted = _Wanted(_levels(quantiles), interval, None if event is None else Event(event), draws)
    generator = torch.Generator().manual_seed(running.chosen_seed)
    predicted: Callable[[Any, int], dict[str, Any]]
    if isinstance(model, FlowRegressor):
        if target is not None:
            raise OptionError(f"--target is for a FlowDensity; this FlowRegressor predicts {_targets(model)}")
        size = _ROWS if event is None else max(1, min(_ROWS, _DRAWS // draws))
        random = np.random.RandomState(running.chosen_seed % 2**32)
        predicted = partial(_regression, model=model, file=file, wanted=wanted, random=random)
    else:
        if target is None:
            raise OptionError("--target COLUMN is missing: this FlowDensity predicts any column from the others")
        require_columns("--target", model.plan_.names, [target], OptionError)
        size = max(1, _DRAWS // draws)
        predicted = partial(_conditional, model=model, file=file, target=target, wanted=wanted, generator=generator)
    rows = 0
    with open_typed(out) as write, show_progress("predicting", None) as advance:
        for block in read_row_blocks(file, size):
            numbers = pyarrow.array(np.arange(rows, rows + len(block)))
            write(pyarrow.table({"row": numbers, **predicted(block, rows)}))
            rows += len(block)
            advance(len(block))


def _default_draws(model: FlowDensity | FlowRegressor, file: Path, target: str | None) -> int:
    if isinstance(model, FlowRegressor):
        return _INDEPENDENT
    known = set(open_source(file).names)
    return _STRATIFIED if known >= set(model.plan_.names) - {target} else _INDEPENDENT


def _levels(text: str | None) -> tuple[float, ...]:
    try:
        levels = () if text is None else tuple(float(word) for word in text.split(","))
    except ValueError:
        levels = (-1.0,)
    if not all(0 < level < 1 for level in levels):
        raise OptionError(f"--quantiles: levels between 0 and 1, such as 0.05,0.5,0.95, expected, got {text}")
    return levels


def _targets(model: FlowRegressor) -> str:
    return ", ".join(model.target_plan_.names)


def _regression(
    block: Any, first: int, *, model: FlowRegressor, file: Path, wanted: _Wanted, random: np.random.RandomState
) -> dict[str, Any]:
    """The columns of predictions for a block of rows. first: the number of its first row in the file."""
    names = model.target_plan_.names
    levels = (*wanted.levels, *wanted.ends)
    with naming(file):
        features = possible_cells(model.plan_, rows_for(model.plan_, block, file, first))
        means = model.predict(features).reshape(len(block), -1)
        values = model.predict_quantiles(features, levels).reshape(len(block), len(names), -1) if levels else None
    columns: dict[str, Any] = {}
    for place, name in enumerate(names):
        columns[f"{name}_mean"] = means[:, place]
        if values is not None:
            columns |= wanted.named(name, values[:, place])
    if wanted.event is not None:
        drawn = model.sample(features, wanted.draws, random_state=random).reshape(len(block) * wanted.draws, -1)
        places = np.repeat(np.arange(len(block)), wanted.draws)
        given = {name: array.take(places) for name, array in features.columns.items()}
        every = given | {name: pyarrow.array(drawn[:, place]) for place, name in enumerate(names)}
        even = torch.full((len(block), wanted.draws), -float(np.log(wanted.draws)), dtype=torch.float64)
        columns |= _probability(wanted.event, every, even, model.plan_.words)
    return columns


def _conditional(
    block: Any,
    first: int,
    *,
    model: FlowDensity,
    file: Path,
    target: str,
    wanted: _Wanted,
    generator: torch.Generator,
) -> dict[str, Any]:
    """Predictions from weighted draws of the target given the columns that the file has."""
    plan = model.plan_
    known = [name for name in plan.names if name in block.column_names and name != target]
    if not known:
        raise DataError(f"{file}: none of the columns to predict {target!r} from, {', '.join(plan.names)}, is there")
    given = block_table(block.select(known), plan, first)
    with naming(file):
        rows = encode_given(plan, given, generator, copies=wanted.draws)
    draws = model.model_.draws_given(rows, wanted.draws, generator, repeated=True)
    table = plan.decode(draws.rows, library="pyarrow")
    every = {name: table.column(name).combine_chunks() for name in table.column_names}
    column = plan.modelled[plan.names.index(target)]
    place = plan.names.index(target)
    columns: dict[str, Any] = {}
    if column.kind.valued:
        levels = (*wanted.levels, *wanted.ends)
        values = quantiles_of(target, levels or (0.5,), every, draws.log_weights, given)
        columns |= {f"{target}_mean": _means(ordered(target, every), draws.log_weights), **wanted.named(target, values)}
    elif wanted.levels or wanted.ends:
        option = "--quantiles" if wanted.levels else "--interval"
        raise OptionError(f"{option}: column {target!r} holds labels, which have no order")
    else:
        columns |= _labels(column, draws.rows.states[:, place].numpy(), draws.log_weights)
    if wanted.event is not None:
        columns |= _probability(wanted.event, every, draws.log_weights, plan.words)
    return columns


def _means(array: Any, log_weights: torch.Tensor) -> Any:
    """Weighted means ``(N,)`` of draws, without gaps; those of times are times."""
    numbers = to_numbers(array).reshape(log_weights.shape)
    weights = np.where(np.isnan(numbers), 0.0, log_weights.exp().numpy())
    means = np.asarray((weights * np.nan_to_num(numbers)).sum(1) / weights.sum(1))
    return from_numbers(means, array.type) if is_time(array.type) else means


def _labels(column: Any, states: Array, log_weights: torch.Tensor) -> dict[str, Any]:
    """The most probable label, and the probability of each, of which a gap is one."""
    count = column.shape.states
    weights = log_weights.exp().numpy()
    drawn = states.reshape(weights.shape)
    probabilities = np.stack([(weights * (drawn == state)).sum(1) for state in range(count)], 1)
    labels = column.decode(np.arange(count), np.zeros(count)).to_pylist()
    names = ["gap" if label is None else str(label) for label in labels]
    best = column.decode(probabilities.argmax(1), np.zeros(len(weights)))
    fractions = {f"P({column.name}={name})": probabilities[:, state] for state, name in enumerate(names)}
    return {f"{column.name}_mode": best, **fractions}


def _probability(
    event: Event, columns: dict[str, Any], log_weights: torch.Tensor, labels: Mapping[str, Sequence[str]]
) -> dict[str, Any]:
    # Any condition other than None stands for several rows.
    found = estimate(event.holds(columns, labels), log_weights, given=columns)
    return {"probability": np.atleast_1d(found.value), "probability_error": np.atleast_1d(found.error)}
