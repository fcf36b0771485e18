"""Masks of MADE: adjacency matrices of coordinates, the stages of their graph, and the sets of parents of units."""

from __future__ import annotations

from collections.abc import Sequence

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
    known = torch.zeros(len(adjacency), dtype=torch.bool)
    stage = torch.zeros(len(adjacency), dtype=torch.long)
    for step in range(len(adjacency) + 1):
        ready = ~known & ~(adjacency & ~known).any(1)
        if not ready.any():
            break
        stage[ready] = step
        known |= ready
    if not known.all():
        raise OptionError(f"adjacency has a cycle among the coordinates {(~known).nonzero()[:, 0].tolist()}")
    return stage


def parent_sets(adjacency: Tensor, with_empty: bool) -> Tensor:
    """The distinct sets of parents, ``(sets, D)`` booleans, ordered by the stage after their last member."""
    sets: Tensor = torch.unique(adjacency.to(torch.uint8), dim=0).to(torch.bool)
    if not with_empty:
        sets = sets[sets.any(1)]
    stage = topological_stages(adjacency)
    ready = torch.where(sets, stage + 1, 0).amax(1) if len(sets) else torch.zeros(0, dtype=torch.long)
    return sets.index_select(0, torch.argsort(ready, stable=True))


def spread_units(sets: Tensor, width: int) -> Tensor:
    """The set of parents of each of ``width`` units, ``(width, D)``, evenly distributed over the sets."""
    count = len(sets)
    if count == 0:
        return sets.new_zeros(0, sets.shape[1])
    if width >= count:
        return sets[torch.arange(width) * count // width]
    return sets[torch.linspace(0, count - 1, width).round().long()]


def subset_mask(before: Tensor, after: Tensor) -> Tensor:
    """The mask of a layer ``(after, before)``: a unit sees those before it whose set is a subset of its own."""
    return ((~after).float() @ before.float().t()) == 0


def known_units(units: Tensor, stage: Tensor) -> list[int]:
    """The number of units that depend on the coordinates before each stage alone; one number a stage."""
    ready = torch.where(units, stage + 1, 0).amax(1) if len(units) else torch.zeros(0, dtype=torch.long)
    return [int((ready <= step).sum()) for step in range(int(stage.max()) + 1)]
