"""Rows of data with their contexts, and the loops over batches of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from pushforward import noise as noise_source
from pushforward.array_types import Array
from pushforward.data.dataset import DataSet
from pushforward.errors import DataError, ShapeError
from pushforward.flow import Flow
from pushforward.inputs import on_device
from pushforward.likelihood import Likelihood, joined

BATCH = 512


@dataclass(frozen=True, eq=False)
class Rows:
    """Rows of data: events ``x: (N, *event)`` in their own dtype, and the context and label of each.

    context: ``(N, *context_shape)``, or labels (N,) where the flow has an embedding; None for an unconditional flow.
    labels: (N,) classes where the data have some, whether or not the flow is conditioned on them.
    weights: (N,) float64 above 0, by which the rows count; None where all count equally.
    """

    x: Tensor
    context: Tensor | None = None
    labels: Tensor | None = None
    weights: Tensor | None = None

    def __len__(self) -> int:
        return len(self.x)

    @property
    def event_size(self) -> int:
        """The number of values of a row."""
        return self.x[0].numel()

    def values(self) -> Array:
        """The values of all rows as numpy's float64, ``(N, D)``."""
        return self.x.cpu().double().reshape(len(self), math.prod(self.x.shape[1:])).numpy()

    def take(self, rows: Tensor | Array) -> Rows:
        """The rows numbered ``rows: (B,)``, in that order."""
        index = torch.as_tensor(rows).to(self.x.device)
        parts = (self.context, self.labels, self.weights)
        chosen = (None if part is None else part.index_select(0, index.to(part.device)) for part in parts)
        return Rows(self.x.index_select(0, index), *chosen)

    def sample(self, count: int, seed: int) -> Rows:
        """``count`` rows drawn by ``seed``, in their order, or all where there are fewer: data are often sorted.

        Rows with weights are drawn in proportion to them, and count equally in the sample.
        """
        if count >= len(self):
            return self
        if self.weights is not None:
            return self.drawn(self.draws(count, torch.Generator().manual_seed(seed)).sort().values)
        return self.take(np.sort(np.random.default_rng(seed).permutation(len(self))[:count]))

    def draws(self, count: int, generator: torch.Generator) -> Tensor:
        """Row numbers in random order: ``(count,)`` in proportion to the weights; without weights, each at most once.

        A row of weight w is drawn ``count * w / sum`` times, rounded up or down at random (systematic resampling:
        Kitagawa, "Monte Carlo filter and smoother for non-Gaussian nonlinear state space models", 1996), so that
        ``count`` equal to a sum of whole weights repeats each row exactly as often as its weight says.
        """
        device = generator.device
        order = torch.randperm(len(self), generator=generator, device=device)
        if self.weights is None:
            return order[:count]
        total = self.weights[order.to(self.weights.device)].cumsum(0)
        # The last position is exactly ``count``, whatever the rounding of the sum.
        ends = torch.cat([total[:-1] * (count / total[-1]), total.new_tensor([float(count)])])
        start = float(torch.rand((), generator=generator, device=device))
        times = (ends + start).floor().diff(prepend=ends.new_zeros(1)).long().to(device)
        return order.repeat_interleave(times)[torch.randperm(count, generator=generator, device=device)]

    def drawn(self, numbers: Tensor) -> Rows:
        """The rows with the numbers that `draws` returned; they count equally."""
        return replace(self.take(numbers), weights=None)

    def on(self, flow: Flow) -> tuple[Tensor, Tensor | None]:
        """Events on the flow's device and in its dtype, and contexts in their own, which the flow standardises."""
        # Integers move in their own size; float64 may not exist on the device.
        x = self.x.to(flow.dtype) if self.x.is_floating_point() else self.x
        x = x.to(flow.device, non_blocking=True).to(flow.dtype)
        return x, None if self.context is None else on_device(self.context, flow.device)

    def batches(self, flow: Flow, size: int = BATCH) -> Iterator[tuple[int, Tensor, Tensor | None]]:
        """The number of the first row, events and contexts of each batch, on the flow's device and in its dtype.

        Without rows there is one empty batch.
        """
        for start in range(0, max(1, len(self)), size):
            yield start, *self._slice(start, start + size).on(flow)

    def _slice(self, start: int, stop: int) -> Rows:
        parts = (self.context, self.labels, self.weights)
        chosen = (None if part is None else part[start:stop] for part in parts)
        return Rows(self.x[start:stop], *chosen)


def rows_of(flow: Flow, data: DataSet, numbers: Array) -> Rows:
    """The rows of ``data`` with the given numbers and the context that ``flow`` takes. Raises ShapeError, DataError."""
    if data.event_shape != flow.event_shape:
        raise ShapeError(
            f"{data.name} has rows of shape {data.event_shape}, but the model takes {flow.event_shape}: "
            "give the data, columns and size that it was trained on"
        )
    context = None
    if flow.context_shape is not None:
        context = data.context if flow.embedding is None else data.labels
        if context is None:
            wanted = f"{flow.context_shape[0]} context columns" if flow.embedding is None else "class labels"
            raise DataError(f"{data.name}: the model is conditional and needs {wanted}, but the data have none")
    parts = (None if part is None else torch.as_tensor(part[numbers]) for part in (context, data.labels))
    return Rows(torch.as_tensor(data.x[numbers]), *parts)


def row_likelihoods(
    flow: Flow,
    rows: Rows,
    seed: int,
    *,
    samples: int = 1,
    probes: int | None = None,
    batch_size: int | None = None,
    first_row: int = 0,
    advance: Callable[[int], None] | None = None,
) -> Likelihood:
    """The log-likelihood of every row in nats, float64 on the CPU, with noise keyed by ``seed`` and the row's place.

    samples, probes: as `Flow.likelihood` takes them. batch_size: rows at once. first_row: the place of the first of
    these rows, where they are a block of more. advance: called with the number of rows of each finished batch.
    """
    parts = []
    for start, x, context in rows.batches(flow, batch_size or BATCH):
        part = flow.likelihood(
            x, context, samples=samples, seed=seed, first_row=first_row + start, batch_size=batch_size, probes=probes
        )
        parts.append(part.to_cpu())
        if advance is not None:
            advance(len(x))
    return joined(parts)


@torch.no_grad()
def row_latents(flow: Flow, rows: Rows, seed: int) -> Iterator[Tensor]:
    """The latents ``(B, *latent)`` of each batch of rows, with the same noise as `row_likelihoods`."""
    for start, x, context in rows.batches(flow):
        numbers = torch.arange(start, start + len(x))
        noise = noise_source.keyed(flow.transform.noise_to_latent, seed, numbers, x.dtype, x.device)
        yield flow.encode(x, context, noise=noise)
