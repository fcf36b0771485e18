"""MADE: a net whose every output sees the coordinates that it may depend on, and no other.

Source: Germain et al., "MADE: Masked Autoencoder for Distribution Estimation", 2015; residual layers and the gate for
the context as in Durkan et al., "Neural Spline Flows", 2019, appendix B.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from pushforward.errors import ContextError, OptionError, ShapeError
from pushforward.nets.mlp import ACTIVATIONS, INPUT_LIMIT, check_hidden
from pushforward.precision import full_precision


def ordered(features: int, order: Sequence[int] | None = None) -> Tensor:
    """The adjacency of a full order: coordinate ``order[k]`` depends on all of ``order[:k]``; None: 0, 1, 2, ..."""
    order = list(range(features)) if order is None else list(order)
    if sorted(order) != list(range(features)):
        raise OptionError(f"order must hold each of 0..{features - 1} once, got {order}")
    place = torch.empty(features, dtype=torch.long)
    place[torch.tensor(order, dtype=torch.long)] = torch.arange(features)
    return place[:, None] > place[None]


def stages(adjacency: Tensor) -> Tensor:
    """At which step each coordinate can be known, (D,): 0 for those without parents, else one after their last parent.

    Raises OptionError where the dependencies go round in a circle.
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


class MaskedLinear(nn.Module):
    """``(mask * weight) h + bias`` for ``h: (in, B)``; the batch is the last axis, so that units are rows."""

    def __init__(self, mask: Tensor, bias: bool = True) -> None:
        super().__init__()
        self.mask = nn.Buffer(mask.to(torch.bool), persistent=False)
        # Uniform as in torch's own layers, but by the number of inputs that a unit does see.
        bound = mask.sum(1, keepdim=True).clamp(min=1).float().rsqrt()
        self.weight = nn.Parameter((2 * torch.rand(mask.shape) - 1) * bound * mask)
        self.bias = nn.Parameter((2 * torch.rand(len(mask)) - 1) * bound[:, 0]) if bias else None

    def masked(self) -> Tensor:
        """The weight with what the mask forbids at 0."""
        return self.weight * self.mask

    def offset(self) -> Tensor:
        """The bias as a column, 0 where there is none."""
        return self.weight.new_zeros(len(self.weight), 1) if self.bias is None else self.bias[:, None]

    def forward(self, h: Tensor) -> Tensor:
        return torch.addmm(self.offset(), self.masked(), h)


class MADE(nn.Module):
    """``(B, D)`` and a context ``(B, context_dim)`` to ``(B, n_params * D)``; gives 0 at the start.

    adjacency: ``(D, D)`` booleans, row i the coordinates that the parameters of coordinate i may depend on; it has no
    cycle (see `ordered`). hidden: widths of the hidden layers. residual: hidden layers as wide as the one before add
    to it, and the context gates what they add; without, the context enters at the first layer only.

    A hidden unit belongs to the set of parents of some coordinate and sees no other coordinates; units and sets are
    sorted by when they can be known, so that `unrolled.Unrolled` computes each unit once on the way back. The context
    reaches the first coordinate through units that see nothing else. Under autocast the net keeps the dtype of its
    weights: half precision would round one whole pass and many small ones differently, and the way back would miss.
    """

    def __init__(
        self,
        adjacency: Tensor,
        n_params: int,
        hidden: Sequence[int] = (128, 128),
        context_dim: int = 0,
        activation: str = "relu",
        residual: bool = True,
    ) -> None:
        super().__init__()
        adjacency = torch.as_tensor(adjacency)
        if adjacency.ndim != 2 or adjacency.shape[0] != adjacency.shape[1]:
            raise ShapeError(f"adjacency of shape (D, D) expected, got {tuple(adjacency.shape)}")
        check_hidden(hidden, activation)
        adjacency = adjacency.to(torch.bool)
        self.features, self.n_params, self.context_dim = len(adjacency), n_params, context_dim
        self.stage = tuple(stages(adjacency).tolist())
        self.activation = ACTIVATIONS[activation]()
        sets = _parent_sets(adjacency, with_empty=context_dim > 0)
        units = [_spread(sets, width) for width in hidden]
        # How many units of each layer are known once the coordinates of a stage are to be computed.
        self.known = [_known_counts(u, torch.tensor(self.stage)) for u in units]
        layers, skips = [MaskedLinear(units[0])], [False]
        for before, after in itertools.pairwise(units):
            layers.append(MaskedLinear(_within(before, after)))
            skips.append(residual and len(before) == len(after))
        self.layers, self.skips = nn.ModuleList(layers), skips
        self.last = _zero(MaskedLinear(_within(units[-1], adjacency).repeat(n_params, 1)))
        # Fewer units than sets of parents leave some coordinate unseen by another that depends on it: they are then
        # connected directly, as in section 4.2 of the paper.
        few = min(map(len, units)) < len(sets)
        self.direct = _zero(MaskedLinear(adjacency.repeat(n_params, 1), bias=False)) if few else None
        wanted = [i == 0 or skip for i, skip in enumerate(skips)] if context_dim else []
        self.from_context = nn.ModuleList(
            nn.Linear(context_dim, len(u)) if w else nn.Identity() for u, w in zip(units, wanted, strict=False)
        )

    @property
    def passes(self) -> int:
        """How many steps it takes until every coordinate is known."""
        return 1 + int(max(self.stage))

    def context_terms(self, context: Tensor | None) -> list[Tensor | None]:
        """What the context adds to the first layer and the gates of the others, ``(units, B)`` each."""
        given = 0 if context is None else context.flatten(1).shape[1]
        if given != self.context_dim:
            raise ContextError(f"this MADE takes a context of {self.context_dim} numbers, got {given}")
        if context is None:
            return [None] * len(self.layers)
        seen = context.flatten(1).to(self.last.weight.dtype).clamp(-INPUT_LIMIT, INPUT_LIMIT)
        terms: list[Tensor | None] = []
        for i, layer in enumerate(self.from_context):
            out = layer(seen).t() if isinstance(layer, nn.Linear) else None
            terms.append(out if i == 0 or out is None else out.sigmoid())
        return terms

    def extra_repr(self) -> str:
        return f"{self.features} -> {', '.join(str(len(layer.mask)) for layer in (*self.layers, self.last))}"

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        h = seen = x.t().to(self.last.weight.dtype).clamp(-INPUT_LIMIT, INPUT_LIMIT)
        with full_precision(x):
            for i, term in enumerate(self.context_terms(context)):
                out = self.layers[i](h if i == 0 else self.activation(h))
                h = combine(h, out, term, self.skips[i])
            out = self.last(self.activation(h))
            if self.direct is not None:
                out = out + self.direct(seen)
        # Batch innermost in memory: map kernels then read each parameter of many rows in one stretch.
        transposed: Tensor = out.t()
        return transposed


def _zero(layer: MaskedLinear) -> MaskedLinear:
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer


def combine(h: Tensor, out: Tensor, term: Tensor | None, skip: bool) -> Tensor:
    """A layer's output joined with its input ``h`` and with what the context contributes."""
    if not skip:
        return out if term is None else out + term
    return h + (out if term is None else out * term)


def _parent_sets(adjacency: Tensor, with_empty: bool) -> Tensor:
    """The different sets of parents, ``(sets, D)`` booleans, by the stage at which all of their members are known."""
    sets: Tensor = torch.unique(adjacency.to(torch.uint8), dim=0).to(torch.bool)
    if not with_empty:
        sets = sets[sets.any(1)]
    stage = stages(adjacency)
    ready = torch.where(sets, stage + 1, 0).amax(1) if len(sets) else torch.zeros(0, dtype=torch.long)
    return sets.index_select(0, torch.argsort(ready, stable=True))


def _spread(sets: Tensor, width: int) -> Tensor:
    """The set of each of ``width`` units, ``(width, D)``: as even as can be, and evenly spaced where units are few."""
    count = len(sets)
    if count == 0:
        return sets.new_zeros(0, sets.shape[1])
    if width >= count:
        return sets[torch.arange(width) * count // width]
    return sets[torch.linspace(0, count - 1, width).round().long()]


def _within(before: Tensor, after: Tensor) -> Tensor:
    """Which unit of a layer may see which of the layer before: those whose set is a part of its own."""
    return ((~after).float() @ before.float().t()) == 0


def _known_counts(units: Tensor, stage: Tensor) -> list[int]:
    """How many units can be computed when those coordinates are known that come before each stage."""
    ready = torch.where(units, stage + 1, 0).amax(1) if len(units) else torch.zeros(0, dtype=torch.long)
    return [int((ready <= step).sum()) for step in range(int(stage.max()) + 1)]
