"""Inputs of a flow: tensors, arrays and tables as the user gives them, and tensors as the transforms take them."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from pushforward.data_frames import as_frame, column_names
from pushforward.differentiation import ordinary
from pushforward.errors import DtypeError, PrecisionWarning, ShapeError
from pushforward.events import Shape
from pushforward.noise import NoiseValue
from pushforward.precision import has_float64

if TYPE_CHECKING:
    from narwhals.typing import IntoDataFrame

# Arrays, lists and whatever else numpy makes an array of numbers of is converted, and so are DataFrames.
TensorLike: TypeAlias = "Tensor | ArrayLike | IntoDataFrame"


# Fewer rows say little about the variation of a column.
_ENOUGH_ROWS = 32


class Inputs(NamedTuple):
    """A batch ``x: (B, *event_shape)`` with its embedded context ``(B, *context_shape)`` and its noise."""

    x: Tensor
    context: Tensor | None
    noise: NoiseValue


def as_tensor(values: TensorLike, name: str) -> Tensor:
    """``values`` as a tensor, which shares the memory of a numpy array where torch can; raises DtypeError."""
    if isinstance(values, Tensor):
        return ordinary(values)
    frame = as_frame(values, name)
    try:
        array = np.asarray(values) if frame is None else frame.values
    except (TypeError, ValueError) as error:
        raise DtypeError(f"{name} must be a tensor or an array of numbers: {error}") from None
    if array.dtype.kind not in "iufb" or array.dtype.itemsize > 8:
        given = f"an array of {array.dtype}" if isinstance(values, np.ndarray) else type(values).__name__
        raise DtypeError(f"{name} must be a tensor or an array of numbers, got {given}")
    # Torch cannot share read-only memory or negative strides.
    plain = array if array.flags.writeable and array.flags.c_contiguous else np.array(array, order="C")
    if plain.dtype.kind == "u" and plain.dtype.itemsize > 1:
        # Torch computes with signed integers; integers beyond int64 are far beyond the resolution of a flow's weights.
        plain = plain.astype(np.float64 if plain.size and plain.max() > np.iinfo(np.int64).max else np.int64)
    return torch.from_numpy(plain.astype(plain.dtype.newbyteorder("="), copy=False))


def as_rows(values: TensorLike, name: str, shape: Shape, like: Tensor) -> Tensor:
    """``values: (B, *shape)`` in the dtype of ``like``; raises ShapeError, DtypeError.

    Arrays are converted and moved to the device of ``like``, with a warning where their differences would be lost.
    A tensor of floating-point numbers must have the dtype of ``like``, and integers must fit into it exactly.
    """
    given, value = values, as_tensor(values, name)
    if tuple(value.shape[1:]) != shape or value.ndim == 0:
        raise ShapeError(f"{name} of shape (B, {inner(shape)}) expected, got {tuple(value.shape)}")
    if value.is_complex():
        raise DtypeError(f"{name} must be real numbers, got {value.dtype}")
    if not value.is_floating_point():
        _require_exact(value, name, like.dtype)
        return value.to(like) if not isinstance(given, Tensor) else value.to(like.dtype)
    if not isinstance(given, Tensor):
        if len(value) >= _ENOUGH_ROWS and (problem := unresolved(value, name, like.dtype, column_names(given))):
            warnings.warn(problem, PrecisionWarning, stacklevel=4)
        return value.to(like)
    if value.dtype != like.dtype and not torch.is_autocast_enabled(value.device.type):
        raise DtypeError(
            f"{name} is {value.dtype}, but the flow's weights are {like.dtype}; convert one, "
            f"for instance {name}.to(flow.dtype) or flow.to({value.dtype})"
        )
    return value


def _require_exact(integers: Tensor, name: str, dtype: torch.dtype) -> None:
    """Refuse integers that ``dtype`` would round."""
    largest = int(2 / torch.finfo(dtype).eps)
    # A shorter integer type cannot hold so large a value; this also avoids a look at the values in traced code.
    if integers.numel() == 0 or integers.dtype == torch.bool or torch.iinfo(integers.dtype).max <= largest:
        return
    low, high = (int(end) for end in integers.aminmax())
    if max(-low, high) > largest:
        raise DtypeError(
            f"{name} holds the integer {high if high > largest else low}, but {dtype} is exact to {largest:,} only; "
            f"subtract an offset, use flow.double(), or convert {name} yourself to accept rounding"
        )


def unresolved(x: Tensor, name: str, dtype: torch.dtype, columns: Sequence[str] | None = None) -> str | None:
    """A sentence on the first column of ``x: (N, D)`` whose differences ``dtype`` would round away, None if none is.

    columns: their names.
    """
    if x.ndim != 2 or len(x) < 2 or x.dtype == dtype or x.dtype == torch.bool:
        return None
    if not x.is_floating_point() and torch.iinfo(x.dtype).bits <= 16:
        return None
    x = x.double()
    deviation = x.std(0)
    coarse = x.abs().amax(0) * torch.finfo(dtype).eps > 0.01 * deviation
    lost = (coarse & (deviation > 0)).nonzero().flatten().tolist()
    if not lost:
        return None
    i = lost[0]
    column = i if columns is None else repr(columns[i])
    return (
        f"{name} column {column} varies by {deviation[i]:.3g} around {x[:, i].mean():.6g}, which {dtype} cannot "
        "resolve; subtract an offset from it first, or use flow.double()"
    )


def on_device(values: Tensor, device: torch.device) -> Tensor:
    """``values`` on ``device`` in their own precision; float64 stays on the CPU where the device has none."""
    if values.dtype == torch.float64 and not has_float64(device):
        return values.cpu()
    return values.to(device, non_blocking=True)


def inner(shape: Shape) -> str:
    """The sizes of a shape without brackets, for messages."""
    return ", ".join(map(str, shape))
