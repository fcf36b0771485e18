"""Training rows as tensors: checked once, kept in their own integer type, drawn in shuffled batches of one size."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from pushforward import noise as noise_source
from pushforward.data_frames import column_names
from pushforward.domain import REAL
from pushforward.domain_values import find_outside, wrap
from pushforward.errors import ContextError, DataError, OptionError, ShapeError
from pushforward.flow import Flow
from pushforward.inputs import TensorLike, as_tensor, on_device, unresolved
from pushforward.noise import NoiseSpec
from pushforward.row_domain import require_inside
from pushforward.rows import Rows
from pushforward.training.averaging import Batch
from pushforward.training.row_weights import WeightedPart, weighted_part

# Rows of at most this many bytes are moved to an accelerator once; larger data are moved batch by batch.
_RESIDENT_BYTES = 4 * 2**30


def checked_rows(
    flow: Flow,
    x: TensorLike,
    context: TensorLike | None,
    name: str,
    *,
    weights: TensorLike | None = None,
    zero_density: bool = False,
) -> Rows:
    """Validated rows for fitting or scoring ``flow``: ``x: (N, *event_shape)`` and a context for each row, or None.

    weights: ``(N,)``, at least 0; rows of weight 0 are left out, whatever they hold. zero_density: whether real numbers
    outside the domain of the flow, where its density is 0, are allowed. Floating-point values are converted to the
    flow's dtype. Integers keep their type until a batch is drawn. Raises ShapeError, ContextError, or DataError where a
    value is not finite or is outside the flow's domain.
    """
    events = as_tensor(x, name).detach()
    if tuple(events.shape[1:]) != flow.event_shape or events.ndim == 0:
        wanted = ", ".join(["N", *map(str, flow.event_shape)])
        raise ShapeError(f"{name} rows of shape ({wanted}) expected, got {tuple(events.shape)}")
    if len(events) == 0:
        raise DataError(f"the {name} rows are empty; at least one is needed")
    part = weighted_part(weights, len(events), name)
    contexts = _context_rows(flow, context, name, part, len(events))
    columns, domain = column_names(x), flow.transform.domain
    events = wrap(domain, _in_dtype(part.of(events), flow, name, columns))
    rows = Rows(events.to(flow.dtype) if events.is_floating_point() else events, contexts, weights=part.weights)
    anywhere = zero_density and domain.kind != "integers"
    require_inside(flow, rows, lambda row: f"{name} row {part.number(row)}", columns, REAL if anywhere else domain)
    return rows


def split_rows(rows: Rows, held_out: int, generator: torch.Generator) -> tuple[Rows, Rows]:
    """A random split into training rows and ``held_out`` held-out rows."""
    order = torch.randperm(len(rows), generator=generator)
    return rows.take(order[held_out:]), rows.take(order[:held_out])


class Batches:
    """An endless stream of batches with noise for them, all from one seed.

    noise: the noise that an objective needs; None: the noise that the flow needs.

    Every batch has the same size, so that a step is compiled only once. A batch may therefore span two passes over the
    rows; no row is left out. Rows with weights are drawn in proportion to them, so that the expected loss of a batch is
    the weighted mean whatever the objective, and batch statistics are weighted too.
    """

    def __init__(
        self, flow: Flow, rows: Rows, size: int, seed: int, flips: bool = False, noise: NoiseSpec = None
    ) -> None:
        if flips and len(flow.event_shape) != 3:
            raise OptionError(f"flips are for images (C, H, W); this flow has events of shape {flow.event_shape}")
        self.flow, self.rows, self.size, self.flips = flow, rows, min(size, len(rows)), flips
        self.noise = flow.transform.noise_to_latent if noise is None else noise
        self.generator = torch.Generator(flow.device).manual_seed(seed)
        self._order = torch.empty(0, dtype=torch.long, device=flow.device)

    def draw(self) -> Batch:
        """The next batch: x of the flow's dtype, context, noise."""
        if len(self._order) < self.size:
            fresh = self.rows.draws(len(self.rows), self.generator)
            self._order = torch.cat([self._order, fresh])
        chosen, self._order = self._order[: self.size], self._order[self.size :]
        x, context = self.rows.take(chosen).on(self.flow)
        if self.flips:
            mirrored = torch.rand(self.size, generator=self.generator, device=self.flow.device) < 0.5
            x = torch.where(mirrored[:, None, None, None], x.flip(3), x)
        return x, context, noise_source.draw(self.noise, self.size, x.dtype, x.device, self.generator)

    def some(self, count: int) -> Iterator[Batch]:
        """The next ``count`` batches."""
        for _ in range(count):
            yield self.draw()


def context_rows(flow: Flow, context: TensorLike | None, name: str) -> Tensor | None:
    """Contexts, or labels, as rows for ``flow``; None for a flow without context. Raises ContextError, DataError."""
    return _context_rows(flow, context, name, WeightedPart())


def _context_rows(
    flow: Flow, context: TensorLike | None, name: str, part: WeightedPart, count: int | None = None
) -> Tensor | None:
    """`context_rows` of a part of the rows; count: the number of all rows, where it is known."""
    if (flow.context_shape is None) != (context is None):
        wants = "no context" if flow.context_shape is None else f"a context of shape {flow.context_shape} a row"
        given = "none was given" if context is None else "one was given"
        raise ContextError(f"this flow takes {wants}, but for the {name} rows {given}")
    if context is None:
        return None
    # Contexts keep their precision: the flow standardises them in float64.
    rows = as_tensor(context, f"{name} context").detach()
    if rows.ndim == 0 or len(rows) == 0:
        raise ContextError(f"{name} context must have at least one row, got shape {tuple(rows.shape)}")
    if count is not None and len(rows) != count:
        raise ContextError(f"{name} has {count} rows, but its context has {len(rows)}")
    rows = _resident(part.of(rows), flow)
    _check_context(flow, rows, name, part, column_names(context))
    return rows


def _in_dtype(values: Tensor, flow: Flow, name: str, columns: Sequence[str] | None) -> Tensor:
    if problem := unresolved(values, name, flow.dtype, columns):
        raise DataError(problem)
    return _resident(values.to(flow.dtype) if values.is_floating_point() else values, flow)


def _resident(values: Tensor, flow: Flow) -> Tensor:
    fits = values.numel() * values.element_size() <= _RESIDENT_BYTES
    return on_device(values, flow.device) if fits else values


def _check_context(flow: Flow, context: Tensor, name: str, part: WeightedPart, columns: Sequence[str] | None) -> None:
    if flow.embedding is not None and not context.is_floating_point():
        low, high = (int(end) for end in context.aminmax())
        if low < 0 or high >= flow.embedding.num_embeddings:
            known = f"labels 0..{flow.embedding.num_embeddings - 1}"
            raise ContextError(f"{name} context: {known} expected, got {low if low < 0 else high}")
        return
    if tuple(context.shape[1:]) != flow.context_shape:
        raise ContextError(f"{name} context of shape (N, *{flow.context_shape}) expected, got {tuple(context.shape)}")
    outside = find_outside(REAL, context)
    if outside is not None:
        raise DataError(outside.sentence(f"{name} context of row {part.number(outside.row)}", columns))
