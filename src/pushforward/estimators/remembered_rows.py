"""The rows that `FlowDensity.partial_fit` remembers: as a file of a saved estimator, or drawn from a model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from pushforward.errors import ModelError
from pushforward.estimators.encoded import ColumnShape, EncodedRows
from pushforward.estimators.models.table_model import TableModel
from pushforward.estimators.training_rows import TrainingRows

ROWS = "rows.safetensors"
# Rows that are drawn for those that nothing remembers.
_DRAWN = 20_000


def drawn_rows(model: TableModel, fitted: int, seed: int) -> TrainingRows:
    """Rows that a model draws in place of the rows of its fit, with the weight of all ``fitted`` rows."""
    count = min(_DRAWN, fitted)
    rows = model.sample(count, generator=torch.Generator().manual_seed(seed))
    weights = torch.full((count,), fitted / count, dtype=torch.float64)
    return TrainingRows(rows, weights, count, weights)


def rows_to_bytes(memory: TrainingRows) -> bytes:
    """The content of the file; rows of training are all possible."""
    rows = memory.rows
    # States fit into 32 bits: a column has at most 2 ** 24.
    tensors = {"states": rows.states.int(), "values": rows.values, "log_slopes": rows.log_slopes}
    tensors |= {"weights": memory.weights, "repeats": memory.repeats.double()}
    return save({name: tensor.contiguous() for name, tensor in tensors.items()})


def read_rows(folder: Path, shapes: Sequence[ColumnShape], distinct: int) -> TrainingRows:
    """The rows that `rows_to_bytes` stored, ``distinct`` of them different. Raises ModelError for any other file."""
    path = folder / ROWS
    try:
        tensors = load_file(path)
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{path}: {error}") from None
    count = len(tensors["weights"]) if "weights" in tensors else 0
    table, column = (count, len(shapes)), (count,)
    expected = {"states": table, "values": table, "log_slopes": table, "weights": column, "repeats": column}
    if {name: tuple(tensor.shape) for name, tensor in tensors.items()} != expected or not count:
        raise ModelError(f"{path}: rows of {len(shapes)} columns with a weight for each expected")
    states = tensors["states"].long()
    if not _valid(states, shapes) or not all(bool(tensor.isfinite().all()) for tensor in tensors.values()):
        raise ModelError(f"{path}: a row has a state or a value that cannot be")
    impossible = torch.zeros(count, dtype=torch.bool)
    rows = EncodedRows(states, tensors["values"].double(), tensors["log_slopes"].double(), impossible)
    return TrainingRows(rows, tensors["weights"].double(), distinct, tensors["repeats"].double())


def _valid(states: Tensor, shapes: Sequence[ColumnShape]) -> bool:
    most = torch.tensor([shape.states for shape in shapes])
    return bool(((states >= 0) & (states < most)).all())
