"""The evidence for a verdict on a model of a table: its scores and samples of encoded rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from pushforward.array_types import Array
from pushforward.estimators.encoded import UNKNOWN, ColumnShape, EncodedRows
from pushforward.estimators.models.table_model import TableModel
from pushforward.evaluation.fit_quality import FitEvidence
from pushforward.evaluation.fit_quality.resampling import systematic

_SAMPLES = 4000
# Rows that are scored and compared; a conditional model draws a sample for each.
_TRAIN_ROWS, _ROWS = 1000, 2000


@dataclass(frozen=True, eq=False)
class TableEvidence:
    """Evidence with the encoded rows behind it: ``held_out`` row by row, and ``samples`` of the model."""

    fit: FitEvidence
    held_out: EncodedRows
    samples: EncodedRows

    @property
    def log_samples(self) -> Array:
        """``(K,)``: the log-densities of the samples."""
        assert self.fit.log_samples is not None
        return self.fit.log_samples


def table_evidence(
    model: TableModel,
    train: EncodedRows | None,
    held_out: EncodedRows,
    *,
    names: Sequence[str],
    train_weights: Array | None = None,
    rivals: Mapping[str, Array] | None = None,
    weights: Array | None = None,
    seed: int = 0,
) -> TableEvidence:
    """The evidence on a model, from its training rows and from rows that took no part in the fit.

    Without training rows, what compares with them is left out. Both are encoded with a generator, so that integers lie
    anywhere in their cells, as those of samples do. names: of the C columns. rivals: log-densities ``(M,)`` of the
    held-out rows under other densities, by name. weights: ``(M,)`` of the held-out rows; train_weights: ``(N,)`` of the
    training rows, which are drawn in proportion to them. A column with several states gives two columns of numbers: its
    state, and its value where it has one.
    """
    rng, generator = np.random.default_rng(seed), torch.Generator().manual_seed(seed)
    targets = list(model.targets)
    others = [column for column in range(len(model.shapes)) if column not in targets]
    chosen = np.arange(len(held_out))
    if model.conditional:
        chosen = np.sort(rng.permutation(len(held_out))[:_ROWS])
    numbers = torch.from_numpy(chosen)
    held_out = held_out.take(numbers)
    given = _without(held_out, targets)
    if model.conditional:
        samples = model.sample(1, given=given, generator=generator)
    else:
        samples = model.sample(_SAMPLES, generator=generator)
    matrix, labels = _matrix(held_out, targets, model.shapes, names)
    fit = FitEvidence(
        _scores(model, held_out),
        log_samples=_scores(model, samples),
        held_out=matrix,
        samples=_matrix(samples, targets, model.shapes, names)[0],
        context=_matrix(held_out, others, model.shapes, names)[0] if others else None,
        rivals={name: values[chosen] for name, values in (rivals or {}).items()},
        pit=_pit(model, held_out, given, generator) if model.conditional else None,
        weights=None if weights is None else weights[chosen],
        names=labels,
    )
    if train is not None:
        if train_weights is not None:
            # Held-out rows are drawn in proportion to their weights too.
            train = train.take(torch.from_numpy(systematic(train_weights, len(train), rng)))
        some = train.take(torch.from_numpy(rng.permutation(len(train))[:_TRAIN_ROWS]))
        matrix, contexts = (_matrix(train, part, model.shapes, names)[0] for part in (targets, others or targets))
        fit = replace(fit, log_train=_scores(model, some), train=matrix, train_context=contexts if others else None)
    return TableEvidence(fit, held_out, samples)


def _scores(model: TableModel, rows: EncodedRows) -> Array:
    total = model.log_prob(rows).total
    return np.asarray(torch.where(rows.impossible, -torch.inf, total).numpy())


def _pit(model: TableModel, rows: EncodedRows, given: EncodedRows, generator: torch.Generator) -> Array:
    """Transforms of the states and values of the targets, in the columns of `_matrix`, given the other columns."""
    parts = []
    for column in model.targets:
        predicted = model.column_given(given, column)
        of_states, of_both = predicted.pit(rows.states[:, column], rows.values[:, column], generator)
        shape = model.shapes[column]
        parts += [of_states] * (shape.states > 1) + [of_both] * shape.value
    transforms = torch.stack(parts, 1)
    # An impossible row has none, and its density of zero is judged apart: a random one tells nothing.
    neutral = torch.rand(transforms.shape, dtype=transforms.dtype, generator=generator)
    return np.asarray(torch.where(rows.impossible[:, None], neutral, transforms).numpy())


def _without(rows: EncodedRows, columns: Sequence[int]) -> EncodedRows:
    """The rows with the content of some columns unknown, and possible: the others of a conditional model always are."""
    states, values, slopes = rows.states.clone(), rows.values.clone(), rows.log_slopes.clone()
    states[:, columns] = UNKNOWN
    values[:, columns] = 0
    slopes[:, columns] = 0
    return EncodedRows(states, values, slopes, torch.zeros_like(rows.impossible))


def _matrix(
    rows: EncodedRows, columns: Sequence[int], shapes: Sequence[ColumnShape], names: Sequence[str]
) -> tuple[Array, list[str]]:
    """The states and values of some columns as numbers ``(N, D)``, NaN where there is no value, and their names."""
    present = rows.present(shapes)
    values = torch.where(present, rows.values, torch.nan)
    parts, labels = [], []
    for column in columns:
        shape = shapes[column]
        if shape.states > 1:
            parts.append(rows.states[:, column].double())
            labels.append(f"the state of {names[column]}" if shape.value else names[column])
        if shape.value:
            parts.append(values[:, column])
            labels.append(names[column])
    return torch.stack(parts, 1).numpy(), labels
