"""What tests write from the papers with numpy: nets, scales and the weights of a subject as arrays."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from subjects import Subject

Array = NDArray[np.float64]


def as_numpy(value: Tensor) -> Array:
    return value.detach().double().numpy().copy()


def weights_of(made: Subject) -> dict[str, Array]:
    return {name: as_numpy(value) for name, value in made.transform.state_dict().items()}


def soft_clamp(raw: Array, limit: float) -> Array:
    clamped: Array = raw / (1 + np.abs(raw) / limit)
    return clamped


def silu(h: Array) -> Array:
    return h / (1 + np.exp(-h))


def mlp(w: dict[str, Array], prefix: str, h: Array, activation: Callable[[Array], Array], hidden: int = 1) -> Array:
    """Hidden layers and a last one, without residuals."""
    for i in range(hidden):
        h = activation(h @ w[f"{prefix}layers.{i}.weight"].T + w[f"{prefix}layers.{i}.bias"])
    out: Array = h @ w[f"{prefix}last.weight"].T + w[f"{prefix}last.bias"]
    return out
