"""Masks of MADE: adjacency matrices of coordinates, the stages of their graph, and the sets of parents of units."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from pushforward.errors import OptionError


def full_adjacency(features: int, order: Sequence[int] | None = None) -> Tensor:
    """The adjacency ``(D, D)`` of a full order: ``order[k]`` depends on all of ``order[:k]``; None: 0, 1, 2, ..."""
    order = list(range(features)) if order is None else list(order)
    if sorted(order) != list(range(features)):
        raise OptionError(f"order must hold each of 0..{features - 1} once, got {order}")
    place = torch.empty(features, dtype=torch.long)
    place[torch.tensor(order, dtype=torch.long)] = torch.arange(features)
    return place[:, None] > place[None]


def topological_stages(adjacency: Tensor) -> Tensor:
    """The stage of each coordinate in topological order, (D,): 0 without parents, else one after its last parent.

    Raises OptionError where the graph has a cycle.
    """
    parents = adjacency.cpu().numpy().astype(bool)
    children = np.ascontiguousarray(parents.T)
    stage = np.zeros(len(parents), dtype=np.int64)
    missing = parents.sum(1)
    ready = np.flatnonzero(missing == 0)
    left = len(parents)
    for step in range(len(parents)):
        stage[ready] = step
        left -= len(ready)
        before = missing
        missing = before - children[ready].sum(0)
        ready = np.flatnonzero((missing == 0) & (before > 0))
        if not len(ready):
            break
    if left:
        raise OptionError(f"adjacency has a cycle among the coordinates {np.flatnonzero(missing).tolist()}")
    return torch.from_numpy(stage).to(adjacency.device)


def coordinates_by_stage(stage: Tensor) -> list[list[int]]:
    """The coordinates of each stage, in ascending order."""
    groups: list[list[int]] = [[] for _ in range(1 + int(stage.max()))]
    for coordinate, step in enumerate(stage.tolist()):
        groups[step].append(coordinate)
    return groups


def parent_sets(adjacency: Tensor, stage: Tensor, with_empty: bool) -> Tensor:
    """The distinct sets of parents, ``(sets, D)`` booleans, ordered by the stage after their last member."""
    # Rows are compared as strings of bits: sorting the rows of a wide matrix otherwise takes the square of its width.
    rows = {row.tobytes(): i for i, row in enumerate(np.packbits(adjacency.cpu().numpy(), axis=1))}
    sets = adjacency[[rows[row] for row in sorted(rows)]]
    if not with_empty:
        sets = sets[sets.any(1)]
    return sets.index_select(0, torch.argsort(_ready_after(sets, stage), stable=True))


def spread_units(sets: Tensor, width: int) -> Tensor:
    """The set of parents of each of ``width`` units, ``(width, D)``, evenly distributed over the sets."""
    count = len(sets)
    if count == 0:
        return sets.new_zeros(0, sets.shape[1])
    if width >= count:
        return sets[torch.arange(width) * count // width]
    return sets[torch.linspace(0, count - 1, width).round().long()]


def subset_mask(before: Tensor, after: Tensor) -> Tensor:
    """The mask of a layer ``(after, before)``: a unit uses those before it whose set is a subset of its own."""
    return ((~after).float() @ before.float().t()) == 0


def known_units(units: Tensor, stage: Tensor) -> list[int]:
    """The number of units that depend on the coordinates before each stage alone; one number a stage."""
    stages = 1 + int(stage.max())
    counts = torch.bincount(_ready_after(units, stage), minlength=stages)
    known: list[int] = counts.cumsum(0)[:stages].tolist()
    return known


def _ready_after(sets: Tensor, stage: Tensor) -> Tensor:
    """The first stage at which all members of each set are known, ``(sets,)``."""
    if not len(sets):
        return stage.new_zeros(0)
    return torch.where(sets, stage + 1, 0).amax(1)
