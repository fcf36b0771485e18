"""MADE: a masked net in which each output depends on its permitted coordinates only.

Source: Germain et al., "MADE: Masked Autoencoder for Distribution Estimation", 2015; residual layers and the gate for
the context as in Durkan et al., "Neural Spline Flows", 2019, appendix B.
"""

from __future__ import annotations

import itertools
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from pushforward.coordinate_blocks import CoordinateBlocks
from pushforward.errors import ShapeError
from pushforward.kernels.conditioned import StageOrder
from pushforward.kernels.dense import DenseForm, Layers, dense, fit_each_other, takes_dense
from pushforward.module_state import is_altered
from pushforward.nets.context import flat_context
from pushforward.nets.dense import DenseNet
from pushforward.nets.masks import (
    coordinates_by_stage,
    known_units,
    parent_sets,
    spread_units,
    subset_mask,
    topological_stages,
)
from pushforward.nets.mlp import ACTIVATIONS, INPUT_LIMIT, check_hidden, columns, own_params, plain, within_limit
from pushforward.nets.staged import StagedNet, Stages
from pushforward.precision import full_precision

# One large product computes the contribution of all earlier units to a block of stages; products within it are small.
# Products of a few rows with all units would read them again for every stage, and be limited by memory bandwidth.
_BLOCK = 8


class MaskedLinear(nn.Module):
    """``(mask * weight) h + bias`` for ``h: (in, B)``; the batch is the last axis, so that units are rows."""

    def __init__(self, mask: Tensor, bias: bool = True) -> None:
        super().__init__()
        # In the weight's dtype: a product with booleans converts them, forwards and backwards.
        self.mask = nn.Buffer(mask.to(torch.get_default_dtype()), persistent=False)
        # Uniform as in torch's own layers, but scaled by the number of a unit's unmasked inputs.
        bound = mask.sum(1, keepdim=True).clamp(min=1).float().rsqrt()
        self.weight = nn.Parameter((2 * torch.rand(mask.shape) - 1) * bound * mask)
        self.bias = nn.Parameter((2 * torch.rand(len(mask)) - 1) * bound[:, 0]) if bias else None

    def masked(self) -> Tensor:
        """The weight with its masked entries at 0."""
        return self.weight * self.mask

    def offset(self) -> Tensor:
        """The bias as a column, 0 where there is none."""
        return self.weight.new_zeros(len(self.weight), 1) if self.bias is None else self.bias[:, None]

    def forward(self, h: Tensor) -> Tensor:
        return torch.addmm(self.offset(), self.masked(), h)


class _Connections(NamedTuple):
    """The connections of layers that have these masks, in these versions."""

    masks: Sequence[Tensor]
    versions: list[int]
    layers: Layers


class MADE(StagedNet, DenseNet):
    """A masked MLP: ``(B, D)`` and a context ``(B, context_dim)`` to ``(n_params, B, D)``; returns 0 at the start.

    adjacency: ``(D, D)`` booleans without a cycle, row i the coordinates that the parameters of coordinate i may depend
    on (see `full_adjacency`). hidden: widths of the hidden layers. residual: a hidden layer as wide as the one before
    is added to it, gated by the context; otherwise the context enters at the first layer only.

    A hidden unit depends only on the parents of one coordinate. Units and sets of parents are sorted by stage, so that
    `stages` computes each unit once: all stages together cost about one pass. The context reaches the first coordinate
    through units that depend on nothing else. Under autocast the net keeps the dtype of its weights: half precision
    would round one whole pass and many small ones differently, and inverses would be wrong.

    >>> import torch
    >>> from pushforward.nets import MADE
    >>> order = torch.ones(3, 3, dtype=torch.bool).tril(-1)
    >>> MADE(order, n_params=2, hidden=(16,))(torch.zeros(5, 3)).shape
    torch.Size([2, 5, 3])
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
        self.event_shape = (self.features,)
        stage = topological_stages(adjacency)
        groups = coordinates_by_stage(stage)
        self.order = CoordinateBlocks(list(map(len, groups)), groups)
        self._cached: _Connections | None = None
        self.activation = ACTIVATIONS[activation]()
        sets = parent_sets(adjacency, stage, with_empty=context_dim > 0)
        units = [spread_units(sets, width) for width in hidden]
        # For each layer, the number of units that depend only on coordinates before each stage.
        self.known = [known_units(u, stage) for u in units]
        layers, skips = [MaskedLinear(units[0])], [False]
        for before, after in itertools.pairwise(units):
            layers.append(MaskedLinear(subset_mask(before, after)))
            skips.append(residual and len(before) == len(after))
        self.layers, self.skips = nn.ModuleList(layers), skips
        self.last = _zero(MaskedLinear(subset_mask(units[-1], adjacency).repeat(n_params, 1)))
        # With fewer units than sets of parents some dependencies have no hidden unit: such coordinates are connected
        # directly, as in section 4.2 of the paper.
        few = min(map(len, units)) < len(sets)
        self.direct = _zero(MaskedLinear(adjacency.repeat(n_params, 1), bias=False)) if few else None
        wanted = [i == 0 or skip for i, skip in enumerate(skips)] if context_dim else []
        self.from_context = nn.ModuleList(
            nn.Linear(context_dim, len(u)) if w else nn.Identity() for u, w in zip(units, wanted, strict=False)
        )

    def _connections(self, weights: Sequence[Tensor], masks: Sequence[Tensor]) -> Layers:
        """How the kernel computes the layers: it leaves out the products of which the masks leave nothing."""
        # A mask can be changed in place; one that was made in inference mode has no version.
        versions = [0 if mask.is_inference() else mask._version for mask in masks]
        cached = self._cached
        if cached is None or versions != cached.versions or not all(map(operator.is_, masks, cached.masks)):
            *hidden, last = [_reach(mask.expand_as(weight)) for mask, weight in zip(masks, weights, strict=True)]
            reach, order = last.sort(stable=True)
            reaches = (*(each.cummax(0).values for each in hidden), reach)
            cached = _Connections(masks, versions, Layers((*self.skips, False), INPUT_LIMIT, reaches, order))
            self._cached = cached
        return cached.layers

    def context_terms(self, context: Tensor | None) -> list[Tensor | None]:
        """The context's terms of the first layer and of the gates of the others, ``(units, B)`` each."""
        context = flat_context(context, self.context_dim, "MADE")
        if context is None:
            return [None] * len(self.layers)
        vectors = context.to(self.last.weight.dtype)
        terms: list[Tensor | None] = []
        for i, layer in enumerate(self.from_context):
            out = layer(vectors).t() if isinstance(layer, nn.Linear) else None
            terms.append(out if i == 0 or out is None else out.sigmoid())
        return terms

    def extra_repr(self) -> str:
        return f"{self.features} -> {', '.join(str(len(layer.mask)) for layer in (*self.layers, self.last))}"

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        layers = (*self.layers, self.last)
        params = own_params(*layers)
        if self._is_plain(layers) and takes_dense(x, params, (*self.skips, False)):
            flat_context(context, 0, "MADE")
            out = dense(x, *self._form(params, layers))
        else:
            with full_precision(x):
                out = self._columns(x, layers, self.context_terms(context))
        # Batch innermost in memory: maps then read each parameter of many rows from contiguous memory.
        return out.reshape(self.n_params, self.features, -1).transpose(1, 2)

    def _columns(
        self, x: Tensor, layers: Sequence[Callable[[Tensor], Tensor]], terms: Sequence[Tensor | None]
    ) -> Tensor:
        """Outputs ``(n_params * D, B)`` by these layers, and the context's terms of all but the last."""
        h = inputs = within_limit(x.t().to(self.last.weight.dtype).contiguous())
        *hidden, last = layers
        for i, (layer, term) in enumerate(zip(hidden, terms, strict=True)):
            h = combine(h, layer(h if i == 0 else self.activation(h)), term, self.skips[i])
        out = last(self.activation(h))
        return out if self.direct is None else out + self.direct(inputs)

    def _is_plain(self, layers: Sequence[nn.Module]) -> bool:
        """Whether the net is what the kernel computes."""
        pure = self.context_dim == 0 and self.direct is None
        return pure and plain(nn.ReLU, self.activation) and plain(MaskedLinear, *layers)

    def _form(self, params: Sequence[Tensor], layers: Sequence[nn.Module]) -> DenseForm:
        masks: list[Any] = [layer._buffers["mask"] for layer in layers]
        weights, biases = params[::2], params[1::2]
        masked = [weight * mask for weight, mask in zip(weights, masks, strict=True)]
        connected = [param for layer in zip(masked, biases, strict=True) for param in layer]
        return DenseForm(connected, self._connections(weights, masks), self._with_params)

    def dense_form(self) -> DenseForm | None:
        layers = (*self.layers, self.last)
        if type(self) is not MADE or is_altered(self) or not self._is_plain(layers):
            return None
        params = own_params(*layers)
        fit = fit_each_other(self.features, params, (*self.skips, False))
        return self._form(params, layers) if fit else None

    def stage_order(self) -> StageOrder:
        return self._stage_order

    @cached_property
    def _stage_order(self) -> StageOrder:
        sizes = torch.tensor([0, *self.order.sizes], device="cpu").cumsum(0)
        known = torch.tensor(self.known, device="cpu").reshape(len(self.layers), -1)
        return StageOrder(self.order.indices.cpu().clone(), sizes, known)

    def _with_params(self, x: Tensor, *params: Tensor) -> Tensor:
        layers = [columns(*pair) for pair in zip(params[::2], params[1::2], strict=True)]
        return self._columns(x, layers, [None] * len(self.layers))

    def stages(self, like: Tensor, context: Tensor | None = None) -> Stages[Tensor]:
        with full_precision(like):
            return MADEStages(self, like, context).params


def _reach(mask: Tensor) -> Tensor:
    """For each row, the number of leading columns up to its last one that is not 0, integers on the CPU."""
    outputs, inputs = mask.shape
    if inputs == 0:
        return torch.zeros(outputs, dtype=torch.long, device="cpu")
    return (mask.cpu().bool() * torch.arange(1, inputs + 1, device="cpu")).amax(1)


def _zero(layer: MaskedLinear) -> MaskedLinear:
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer


def combine(h: Tensor, out: Tensor, term: Tensor | None, skip: bool) -> Tensor:
    """A layer's output combined with its input ``h`` and with the context's term."""
    if not skip:
        return out if term is None else out + term
    return h + (out if term is None else out * term)


@dataclass(frozen=True)
class _Block:
    """Partial sums of a block of stages, over all inputs that are available when the block begins.

    One entry a hidden layer, and in ``inputs_used`` one more for the last layer: the first unit of the block, the
    number of inputs that are summed, and the sums ``(units, B)``. outputs: the sums of the last layer, ``(P, n, B)``.
    """

    first_unit: list[int]
    inputs_used: list[int]
    partial_sum: list[Tensor]
    outputs: Tensor


class MADEStages:
    """The stages of a `MADE`, each hidden unit computed once: the cache holds the activations of earlier stages.

    Without gradients, values are written into one tensor a layer; with gradients, pieces are concatenated for autograd.
    """

    def __init__(self, net: MADE, batch: Tensor, context: Tensor | None) -> None:
        """batch: any tensor with the rows, dtype and device of the coordinates to come, ``(B, ...)``."""
        self.net, self.terms, self.sizes = net, net.context_terms(context), net.order.sizes
        order = net.order.indices
        layers = [layer for layer in net.layers if isinstance(layer, MaskedLinear)]
        self.weights = [layer.masked() for layer in layers]
        self.weights[0] = self.weights[0].index_select(1, order)
        self.biases = [layer.offset() for layer in layers]
        # Rows in the order in which coordinates become known, so that those of a stage lie next to each other.
        self.last = net.last.masked().reshape(net.n_params, net.features, -1).index_select(1, order)
        self.last_bias = net.last.offset().reshape(net.n_params, net.features, 1).index_select(1, order)
        self.direct = None
        if net.direct is not None:
            direct = net.direct.masked().reshape(net.n_params, net.features, -1)
            self.direct = direct.index_select(1, order).index_select(2, order)
        none = self.last.new_zeros(0, len(batch))
        self.inputs = UnitRows(net.features, none)
        self.active = [UnitRows(len(bias), none) for bias in self.biases]
        self.blocks: list[_Block] = []

    def params(self, known: Sequence[Tensor]) -> Tensor:
        """The parameters ``(P, B, n)`` of the next stage, given the coordinates of all stages before it."""
        stage = len(known)
        with full_precision(self.last):
            if known:
                self.inputs.append(within_limit(known[-1].t().to(self.last.dtype)))
            if stage % _BLOCK == 0:
                self._begin_block(stage)
            return self._stage(stage).transpose(1, 2)

    def _stage(self, stage: int) -> Tensor:
        """The parameters ``(P, n, B)`` of a stage, from the caches and the partial sums of its block."""
        net, block, h = self.net, self.blocks[-1], None
        for i, (weight, term) in enumerate(zip(self.weights, self.terms, strict=True)):
            start, stop = self._known(i, stage - 1), self._known(i, stage)
            first, used = block.first_unit[i], block.inputs_used[i]
            inputs = (self.inputs if i == 0 else self.active[i - 1]).since(used)
            weights = weight[start:stop, used : used + len(inputs)]
            out = torch.addmm(block.partial_sum[i][start - first : stop - first], weights, inputs)
            h = combine(out if h is None else h, out, None if term is None else term[start:stop], net.skips[i])
            self.active[i].append(net.activation(h))
        inputs = self.active[-1].since(block.inputs_used[-1])
        start = self._coordinates(stage)
        stop = start + self.sizes[stage]
        weights = self.last[:, start:stop, block.inputs_used[-1] : block.inputs_used[-1] + len(inputs)]
        first = self._coordinates(stage - stage % _BLOCK)
        out = _product(weights, inputs) + block.outputs[:, start - first : stop - first]
        if self.direct is None:
            return out
        return out + _product(self.direct[:, start:stop, :start], self.inputs.since(0))

    def _begin_block(self, stage: int) -> None:
        """Sums over all known inputs for the units and outputs of a block of stages."""
        last = min(stage + _BLOCK, len(self.sizes)) - 1
        first_unit, inputs_used, partial_sum = [], [], []
        for i, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            inputs = (self.inputs if i == 0 else self.active[i - 1]).since(0)
            rows = slice(self._known(i, stage - 1), self._known(i, last))
            first_unit.append(rows.start)
            inputs_used.append(len(inputs))
            partial_sum.append(torch.addmm(bias[rows], weight[rows, : len(inputs)], inputs))
        inputs = self.active[-1].since(0)
        inputs_used.append(len(inputs))
        chosen = slice(self._coordinates(stage), self._coordinates(last + 1))
        weights = self.last[:, chosen, : len(inputs)]
        outputs = _product(weights, inputs) + self.last_bias[:, chosen]
        self.blocks.append(_Block(first_unit, inputs_used, partial_sum, outputs))

    def _known(self, layer: int, stage: int) -> int:
        """The number of units of a layer that are known when the coordinates of ``stage`` are computed."""
        return 0 if stage < 0 else self.net.known[layer][stage]

    def _coordinates(self, stage: int) -> int:
        """The number of coordinates before those of ``stage``."""
        return sum(self.sizes[:stage])


def _product(weight: Tensor, units: Tensor) -> Tensor:
    """``(P, n, units)`` and ``(units, B)`` to ``(P, n, B)``."""
    return (weight.flatten(0, 1) @ units).reshape(*weight.shape[:2], -1)


class UnitRows:
    """The cache of a layer: rows ``(n, B)`` of its units, appended stage by stage.

    Its state is in lists and not in attributes, because torch.compile loses changes of attributes in a traced loop.
    """

    def __init__(self, size: int, none: Tensor) -> None:
        """none: a tensor without rows, ``(0, B)``."""
        self.pieces = [none]
        # A compiled graph with a loop must not change tensors in place either.
        pure = torch.is_grad_enabled() or torch.compiler.is_compiling()
        self.whole = None if pure else none.new_zeros(size, none.shape[1])

    def append(self, rows: Tensor) -> None:
        if self.whole is not None:
            count = sum(map(len, self.pieces))
            self.whole[count : count + len(rows)] = rows
        self.pieces.append(rows)

    def since(self, start: int) -> Tensor:
        """All rows so far, from the one numbered ``start``."""
        if self.whole is None:
            return torch.cat(self.pieces)[start:]
        return self.whole[start : sum(map(len, self.pieces))]
