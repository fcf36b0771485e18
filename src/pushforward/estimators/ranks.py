"""Ranks among the scores of training rows, and the file that keeps them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load as tensors_of
from safetensors.torch import save as to_safetensors

from pushforward.array_types import Array
from pushforward.errors import ModelError
from pushforward.storage.files import read

_MOST_BYTES = 1 << 34
_ROUNDING = 1e-12


@dataclass(frozen=True, eq=False)
class Ranks:
    """The scores ``(N,)`` of training rows in ascending order, and ``levels``, the fractions of the rows up to each."""

    scores: Array
    levels: Array

    @classmethod
    def of(cls, scores: Array, weights: Array | None) -> Self:
        """Those of scores in any order, with a weight for each."""
        counts = np.ones(len(scores)) if weights is None else weights
        order = np.argsort(scores, kind="stable")
        return cls(scores[order], np.cumsum(counts[order]) / counts.sum())

    def threshold(self, fraction: float) -> float:
        """The lowest score that a ``fraction`` of the rows lies below."""
        place = int(np.searchsorted(self.levels, fraction + _ROUNDING, side="right"))
        return float(self.scores[min(place, len(self.scores) - 1)])

    def beyond(self, scores: Array) -> Array:
        """``(M,)``: twice the fraction of the rows with lower scores, or with higher ones if these are fewer."""
        levels = np.concatenate([[0.0], self.levels])
        at_most = levels[np.searchsorted(self.scores, scores, side="right")]
        at_least = 1 - levels[np.searchsorted(self.scores, scores, side="left")]
        return np.asarray(np.minimum(1.0, 2 * np.minimum(at_most, at_least)))


def ranks_to_bytes(ranks: Mapping[str, Ranks]) -> bytes:
    """The content of a file with ranks by name."""
    tensors = {f"{name}.scores": torch.from_numpy(each.scores) for name, each in ranks.items()}
    tensors |= {f"{name}.levels": torch.from_numpy(each.levels) for name, each in ranks.items()}
    return to_safetensors(tensors)


def read_ranks(file: Path, name: str) -> Ranks:
    """The ranks of that name in a file. Raises ModelError with the reason."""
    try:
        tensors = tensors_of(read(file, _MOST_BYTES))
    except SafetensorError as error:
        raise ModelError(f"{file}: {error}") from None
    missing = [key for key in (f"{name}.scores", f"{name}.levels") if key not in tensors]
    if missing:
        raise ModelError(f"{file}: there is no tensor {missing[0]}")
    scores, levels = (tensors[f"{name}.{key}"].double().numpy() for key in ("scores", "levels"))
    if scores.ndim != 1 or scores.shape != levels.shape or not len(scores):
        raise ModelError(f"{file}: as many levels as scores expected, got shapes {levels.shape} and {scores.shape}")
    if not (scores[:-1] <= scores[1:]).all() or not (levels[:-1] <= levels[1:]).all():
        raise ModelError(f"{file}: scores and levels in ascending order expected")
    return Ranks(scores, levels)
