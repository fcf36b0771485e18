"""Inputs of a flow: tensors or numpy arrays as the user gives them, and tensors as the transforms take them."""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

import numpy as np
import torch
from torch import Tensor

from pushforward.array_types import Array
from pushforward.errors import DtypeError, ShapeError
from pushforward.events import Shape
from pushforward.noise import NoiseValue

TensorLike: TypeAlias = Tensor | Array


class Inputs(NamedTuple):
    """A batch ``x: (B, *event_shape)`` with its embedded context ``(B, *context_shape)`` and its noise."""

    x: Tensor
    context: Tensor | None
    noise: NoiseValue


def as_tensor(values: TensorLike, name: str) -> Tensor:
    """``values`` as a tensor, which shares the memory of a numpy array where torch can; raises DtypeError."""
    if isinstance(values, Tensor):
        return values
    if not isinstance(values, np.ndarray):
        raise DtypeError(
            f"{name} must be a tensor or a numpy array, got {type(values).__name__}; torch.as_tensor makes a tensor"
        )
    # Torch cannot share read-only memory or negative strides.
    plain = values if values.flags.writeable and values.flags.c_contiguous else np.array(values, order="C")
    if plain.dtype.kind not in "iufb" or plain.dtype.itemsize > 8:
        raise DtypeError(f"{name} must be numbers, got an array of {plain.dtype}")
    if plain.dtype.kind == "u" and plain.dtype.itemsize > 1:
        plain = plain.astype(np.int64)
    return torch.from_numpy(plain.astype(plain.dtype.newbyteorder("="), copy=False))


def as_rows(values: TensorLike, name: str, shape: Shape, like: Tensor) -> Tensor:
    """``values: (B, *shape)`` in the dtype of ``like``; raises ShapeError, and DtypeError for a tensor of another one.

    Integers are converted, and so are numpy arrays, which also move to the device of ``like``.
    """
    given, value = values, as_tensor(values, name)
    if tuple(value.shape[1:]) != shape or value.ndim == 0:
        raise ShapeError(f"{name} of shape (B, {inner(shape)}) expected, got {tuple(value.shape)}")
    if not isinstance(given, Tensor):
        return value.to(like)
    if not value.is_floating_point():
        if value.is_complex():
            raise DtypeError(f"{name} must be real numbers, got {value.dtype}")
        return value.to(like.dtype)
    if value.dtype != like.dtype and not torch.is_autocast_enabled(value.device.type):
        raise DtypeError(
            f"{name} is {value.dtype}, but the flow's weights are {like.dtype}; convert one, "
            f"for instance {name}.to(flow.dtype) or flow.to({value.dtype})"
        )
    return value


def inner(shape: Shape) -> str:
    """The sizes of a shape without brackets, for messages."""
    return ", ".join(map(str, shape))
