"""Coupling and autoregressive layers as one call: a few rows go through net and map while they are in the cache."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from pushforward.kernels.checks import gradients_by_operations, takes_gradients, takes_tensors
from pushforward.kernels.dense import (
    DenseForm,
    fit_each_other,
    memory_for_inputs,
    pack_gradients,
    pack_layers,
    pack_net,
    whole_vectors,
)
from pushforward.kernels.library import function
from pushforward.kernels.spline_calls import MOST_BINS, SplineOptions
from pushforward.threads import count_work

# The structures of csrc/interface.h.
_MAP = struct.Struct("@2qdP")
_ROWS = struct.Struct("@3P3qP2q6Pq")
_STAGES = struct.Struct("@3Pq")
# Of values, params, a learned limit and whether the inverse is wanted: value and log-slope.
MapReference = Callable[[Tensor, Tensor, Tensor | None, bool], tuple[Tensor, Tensor]]
_KINDS = ("affine", "shifted scale", "spline")
_SCALES = ("soft-clamp", "tanh", "sigmoid")
# Exponentials of log-scales up to this are finite in single precision.
_MOST_LOG_SCALE = 80.0


@dataclass(frozen=True)
class MapForm:
    """A map as the library computes it.

    kind: "affine" is ``x exp(s) + t``, "shifted scale" ``(x + t) exp(s)``, with the params ``t`` and ``raw``.
    reference: the map in torch's operations, of ``(x, params, learned limit, inverse)``. scale and limit: how
    ``s`` follows from ``raw``: "soft-clamp", "tanh" or "sigmoid"; a number or a parameter. spline: the options of
    a spline.
    """

    kind: Literal["affine", "shifted scale", "spline"]
    reference: MapReference
    scale: str = "soft-clamp"
    limit: float | Tensor = 1.0
    spline: SplineOptions | None = None

    @property
    def n_params(self) -> int:
        """The params of an element."""
        return 2 if self.spline is None else self.spline.n_params

    @property
    def learned_limit(self) -> Tensor | None:
        """The limit where it is a parameter."""
        return self.limit if isinstance(self.limit, Tensor) else None

    @property
    def _number(self) -> float:
        return float(self.limit.detach()) if isinstance(self.limit, Tensor) else self.limit

    @property
    def possible(self) -> bool:
        """Whether the library computes what torch's operations do."""
        return self.spline.bins <= MOST_BINS if self.spline is not None else abs(self._number) <= _MOST_LOG_SCALE

    @cached_property
    def _options(self) -> torch.Tensor | None:
        """The options of the spline in memory that stays where it is."""
        return None if self.spline is None else torch.frombuffer(bytearray(self.spline.packed), dtype=torch.uint8)

    @property
    def packed(self) -> bytes:
        """The map as the library takes it."""
        options = 0 if self._options is None else self._options.data_ptr()
        return _MAP.pack(_KINDS.index(self.kind), _SCALES.index(self.scale), self._number, options)


class StageOrder(NamedTuple):
    """The order of an autoregressive net, as integers on the CPU.

    order: ``(D,)``, the coordinates stage after stage. sizes: ``(S + 1,)``, where in these each of S stages begins.
    known: ``(hidden layers, S)``, the units that need the coordinates before each stage alone.
    """

    order: Tensor
    sizes: Tensor
    known: Tensor


@dataclass(frozen=True)
class Layer:
    """A net and the map whose params it gives, for ``features`` coordinates of which ``changed: (C,)`` are mapped.

    The outputs of the net are the params of the map, parameter by parameter. kept: ``(K,)``, the columns of the net's
    input that it reads, None for all. Indices are integers on the CPU.
    """

    net: DenseForm
    form: MapForm
    features: int
    changed: Tensor
    kept: Tensor | None = None

    def takes(self, x: Tensor, inputs: Tensor) -> bool:
        """Whether the layer can be computed here: on the CPU, in the precision of its weights, as the kernels do."""
        if torch.is_autocast_enabled("cpu"):
            return False
        rows, features = x.shape if x.ndim == 2 else (0, 0)
        if features != self.features or rows == 0 or inputs.shape[0] != rows:
            return False
        params = self.net.params
        columns = inputs.shape[1] if self.kept is None else self.kept.shape[0]
        outputs = self.form.n_params * self.changed.shape[0]
        sizes = params[-1].shape[0] == outputs and fit_each_other(columns, params, self.net.layers.skips)
        return sizes and takes_tensors(x, inputs, *params, *self._learned) and self.form.possible

    @property
    def _learned(self) -> tuple[Tensor, ...]:
        limit = self.form.learned_limit
        return () if limit is None else (limit,)

    def needs_gradients(self, x: Tensor, inputs: Tensor) -> bool:
        """Whether gradients of the results may be wanted."""
        tensors = (x, inputs, *self.net.params, *self._learned)
        return torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors)

    def with_params(self, params: Sequence[Tensor]) -> Layer:
        """The layer with other params of its net."""
        return Layer(self.net._replace(params=params), self.form, self.features, self.changed, self.kept)

    def values(self, x: Tensor, inputs: Tensor, inverse: bool) -> tuple[Tensor, Tensor]:
        """``x: (B, D)`` with its changed coordinates mapped, or mapped back, and the log terms ``(B,)``.

        inputs: ``(B, I)``, of the net; x itself or another tensor.
        """
        if self.needs_gradients(x, inputs):
            others = None if inputs is x else inputs
            return _Conditioned.apply(x, others, self.form.learned_limit, self, inverse, *self.net.params)  # type: ignore[no-untyped-call, no-any-return]
        return self.kernel_values(x, inputs, inverse)

    def kernel_values(
        self, x: Tensor, inputs: Tensor, inverse: bool, kept: Tensor | None = None, places: list[int] | None = None
    ) -> tuple[Tensor, Tensor]:
        """The results; for gradients, the params go to ``kept`` and the inputs of the net's layers to ``places``."""
        out, log_term = _results(x)
        params, packed = pack_layers(self.net.params, self.net.layers, places)
        net = pack_net(inputs, x.shape[0], self.net.layers, self.columns)
        rows = self.pack_rows(x, out, log_term, inverse, 0 if kept is None else kept.data_ptr())
        double, threads = x.dtype == torch.float64, torch.get_num_threads()
        function("conditioned_values")(net, packed, self.form.packed, rows, double, threads)
        count_work(len(params) // 2, x.shape[0], params[::2])
        return out, log_term

    def inverse_in_stages(self, z: Tensor, stages: StageOrder) -> tuple[Tensor, Tensor]:
        """The data ``(B, D)`` of the latents ``z: (B, D)`` of an autoregressive layer, and the log terms ``(B,)``.

        No gradients of these can be had.
        """
        out, log_term = _results(z)
        params, packed = pack_layers(self.net.params, self.net.layers._replace(order=None))
        net = pack_net(z, len(z), self.net.layers, 0)
        rows = self.pack_rows(z, out, log_term, True)
        addresses = (stages.order.data_ptr(), stages.sizes.data_ptr(), stages.known.data_ptr())
        order = _STAGES.pack(*addresses, len(stages.sizes) - 1)
        double, threads = z.dtype == torch.float64, torch.get_num_threads()
        function("staged_values")(net, packed, self.form.packed, rows, order, double, threads)
        count_work(len(params) // 2, len(z), params[::2])
        return out, log_term

    @property
    def columns(self) -> int:
        """The address of the kept columns, 0 for all."""
        return 0 if self.kept is None else self.kept.data_ptr()

    def pack_rows(
        self, x: Tensor, out: Tensor, log_term: Tensor, inverse: bool, params: int = 0, *gradients: int
    ) -> bytes:
        """The rows as the library takes them, for values unless addresses of gradients are given."""
        return _ROWS.pack(
            x.data_ptr(), out.data_ptr(), log_term.data_ptr(), x.stride(1), x.stride(0), self.features,
            self.changed.data_ptr(), self.changed.shape[0], inverse, params, *(gradients or (0,) * 6),
        )  # fmt: skip

    def reference(
        self, inverse: bool, x: Tensor, inputs: Tensor | None, limit: Tensor | None, *params: Tensor
    ) -> tuple[Tensor, Tensor]:
        """The results in torch's operations, with this limit of the log-scale and these params of the net."""
        inputs = x if inputs is None else inputs
        raw = self.net.reference(inputs if self.kept is None else inputs.index_select(1, self.kept), *params)
        own = x.index_select(1, self.changed).t()
        y, log_slope = self.form.reference(own, raw.reshape(-1, *own.shape), limit, inverse)
        return x.index_copy(1, self.changed, y.t()), log_slope.sum(0)


class _Conditioned(torch.autograd.Function):
    """A layer, which keeps the inputs of its net's layers and the params of its map.

    inputs: of the net; None where they are columns of x.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, inputs: Tensor | None, limit: Tensor | None, layer: Layer, inverse: bool, *params: Tensor
    ) -> tuple[Tensor, Tensor]:
        layer = layer.with_params(params)
        kept, places = memory_for_inputs(x, params)
        raw = x.new_empty(len(params[-1]), whole_vectors(len(x)))
        results = layer.kernel_values(x, x if inputs is None else inputs, inverse, raw, places)
        ctx.save_for_backward(x, inputs, limit, kept, raw, *params)
        ctx.layer, ctx.inverse = layer.with_params(()), inverse
        return results

    @staticmethod
    def backward(ctx: Any, grad_out: Tensor, grad_log_term: Tensor) -> tuple[Tensor | None, ...]:
        x, inputs, limit, kept, raw, *params = ctx.saved_tensors
        by_x, by_inputs, by_limit, _, _, *by_params = ctx.needs_input_grad
        if takes_gradients(grad_out, grad_log_term):
            memory = _Kept(x, inputs, kept, raw, params)
            chosen = (by_x, by_inputs, by_limit, any(by_params))
            first, grads = _gradients(ctx.layer, memory, ctx.inverse, grad_out, grad_log_term, chosen)
        else:
            tensors, wanted = (x, inputs, limit, *params), (by_x, by_inputs, by_limit, *by_params)
            reference = partial(ctx.layer.reference, ctx.inverse)
            found = gradients_by_operations(reference, tensors, wanted, (grad_out, grad_log_term))
            first, grads = found[:3], found[3:]
        return *first, None, None, *grads


class _Kept(NamedTuple):
    """What a layer keeps for its gradients: its inputs, those of its net's layers, and the params of its map."""

    x: Tensor
    inputs: Tensor | None
    of_layers: Tensor
    raw: Tensor
    params: Sequence[Tensor]


def _gradients(
    layer: Layer,
    kept: _Kept,
    inverse: bool,
    grad_out: Tensor,
    grad_log_term: Tensor,
    wanted: tuple[bool, bool, bool, bool],
) -> tuple[list[Tensor | None], list[Tensor | None]]:
    """The wanted gradients by x, by other inputs of the net and by a learned limit, and those by the net's params."""
    by_x, by_inputs, by_limit, by_params = wanted
    x, grad_out, grad_log_term = kept.x, grad_out.contiguous(), grad_log_term.contiguous()
    grad_x, grad_raw = torch.empty_like(grad_out), torch.empty_like(kept.raw)
    grad_limit = x.new_empty(()) if by_limit else None
    alone = kept.inputs is None
    net = pack_gradients(
        kept.of_layers, kept.params, layer.net.layers, len(x), (by_x if alone else by_inputs, by_params), grad_raw,
        layer.columns,
    )  # fmt: skip
    rows = layer.pack_rows(
        x, x, x, inverse, kept.raw.data_ptr(), grad_out.data_ptr(), grad_log_term.data_ptr(), grad_x.data_ptr(),
        grad_raw.data_ptr(), 0 if grad_limit is None else grad_limit.data_ptr(), alone and by_x,
    )  # fmt: skip
    double, threads = x.dtype == torch.float64, torch.get_num_threads()
    function("conditioned_gradients")(net.net, net.layers, layer.form.packed, rows, double, threads)
    grad_inputs = None
    if kept.inputs is not None and net.by_x is not None:
        grad_inputs = net.by_x.t()
        if layer.kept is not None:
            grad_inputs = torch.zeros_like(kept.inputs).index_copy_(1, layer.kept, grad_inputs)
    return [grad_x if by_x else None, grad_inputs, grad_limit], [*net.by_params] or [None] * len(kept.params)


def _results(x: Tensor) -> tuple[Tensor, Tensor]:
    return x.new_empty(x.shape), x.new_empty(x.shape[0])
