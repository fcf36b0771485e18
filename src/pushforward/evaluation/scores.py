"""What a report measures of a flow on held-out rows: likelihoods with their kind and unit, latents, samples."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pushforward import noise as noise_source
from pushforward.array_types import Array
from pushforward.data.dataset import DataSet
from pushforward.diagnostics.integration import continuous_part
from pushforward.errors import DataError, ShapeError
from pushforward.flow import Flow
from pushforward.likelihood import Kind
from pushforward.transforms.dequantisation import Dequantize, dequantisation

_BATCH = 512


@dataclass(frozen=True)
class Part:
    """Rows of a data set as a flow takes them.

    x: ``(N, *event)``; context: ``(N, K)`` vectors, ``(N,)`` labels, or None for an unconditional flow. labels: (N,)
    classes where the data have some, whatever the flow makes of them.
    """

    x: Array
    context: Array | None
    labels: Array | None = None

    def __len__(self) -> int:
        return len(self.x)

    def first(self, rows: int) -> Part:
        return self.take(np.arange(min(rows, len(self))))

    def take(self, rows: Array) -> Part:
        context, labels = (None if found is None else found[rows] for found in (self.context, self.labels))
        return Part(self.x[rows], context, labels)


@dataclass(frozen=True)
class Summary:
    """Mean of per-row values with its standard error; both None where they would be infinite or undefined."""

    mean: float | None
    standard_error: float | None
    rows: int

    def to_json(self) -> dict[str, float | int | None]:
        return {"mean": self.mean, "standard_error": self.standard_error, "rows": self.rows}


@dataclass(frozen=True)
class Scores:
    """Log-likelihoods (N,) in nats of held-out rows, with their kind, also as it is printed, and with the
    dequantisation of a bound."""

    nats: Array
    kind: Kind
    dequantisation: str | None
    in_words: str

    @property
    def zero_density(self) -> int:
        """Rows whose density is zero: their log-likelihood is minus infinity, and so is the mean over all rows."""
        return int(np.isneginf(self.nats).sum())

    @property
    def not_a_number(self) -> int:
        return int((~np.isfinite(self.nats)).sum()) - self.zero_density


def summarise(values: Array) -> Summary:
    """Mean and standard error of ``values: (N,)``; no number is made up where one of them is not finite."""
    rows = len(values)
    if rows == 0 or not np.isfinite(values).all():
        return Summary(None, None, rows)
    error = float(values.std(ddof=1)) / math.sqrt(rows) if rows > 1 else None
    return Summary(float(values.mean()), error, rows)


def part_of(flow: Flow, data: DataSet, rows: Array) -> Part:
    """The given rows of ``data`` with the context that ``flow`` wants. Raises ShapeError, DataError."""
    if data.event_shape != flow.event_shape:
        raise ShapeError(
            f"{data.name} has rows of shape {data.event_shape}, but the model takes {flow.event_shape}: "
            "give the data, columns and size that it was trained on"
        )
    context = None
    if flow.context_shape is not None:
        labels = flow.embedding is not None
        context = data.labels if labels else data.context
        if context is None:
            wanted = "class labels" if labels else f"{flow.context_shape[0]} context columns"
            raise DataError(f"{data.name}: the model is conditional and needs {wanted}, the data have none")
        context = context[rows]
    return Part(data.x[rows], context, None if data.labels is None else data.labels[rows])


def tensors(flow: Flow, part: Part, batch: int = _BATCH) -> Iterator[tuple[int, Tensor, Tensor | None]]:
    """Batches of ``part`` on the flow's device: the number of the first row, events, contexts."""
    for start in range(0, max(1, len(part)), batch):
        x = torch.as_tensor(part.x[start : start + batch]).to(device=flow.device, dtype=flow.dtype)
        yield start, x, contexts(flow, part, start, start + batch)


def contexts(flow: Flow, part: Part, start: int, stop: int) -> Tensor | None:
    """Contexts of the rows ``start`` to ``stop`` on the flow's device; None for an unconditional flow."""
    if part.context is None:
        return None
    context = torch.as_tensor(part.context[start:stop], device=flow.device)
    return context.to(flow.dtype) if context.is_floating_point() else context


def score(flow: Flow, part: Part, seed: int) -> Scores:
    """Log-likelihood of every row, one draw of the noise keyed by ``seed`` and the row's place in ``part``."""
    values = [
        flow.likelihood(x, context, seed=seed, first_row=start).value.double().cpu().numpy()
        for start, x, context in tensors(flow, part)
    ]
    return Scores(np.concatenate(values), flow.kind, flow.dequantisation, flow.kind_in_words)


@torch.no_grad()
def latents(flow: Flow, part: Part, seed: int) -> Array:
    """Latents ``(N, *latent)``, float64, of every row, with the same noise as `score`."""
    return np.concatenate([z.double().cpu().numpy() for z in latent_batches(flow, part, seed)])


def latent_batches(flow: Flow, part: Part, seed: int) -> Iterator[Tensor]:
    """Latents ``(B, *latent)`` of the rows, batch by batch, with noise keyed by ``seed`` and the row."""
    for start, x, context in tensors(flow, part):
        rows = torch.arange(start, start + len(x))
        noise = noise_source.keyed(flow.transform.noise_to_latent, seed, rows, x.dtype, x.device)
        yield flow.latent(x, context, noise)


def dequantised(flow: Flow, x: Array, seed: int, first_row: int = 0) -> Array:
    """Integer rows ``(N, *event)`` in [0, 1], float64, by uniform noise.

    Of a flow with uniform dequantisation this is the very noise that `score` gives to it.
    """
    first = dequantisation(flow.transform)
    if first is None:
        raise ShapeError("only a flow that begins with a dequantisation has dequantised data")
    uniform = Dequantize(first.data_shape, first.levels)
    rows = torch.arange(first_row, first_row + len(x))
    # The noise of a chain's first part is the beginning of each row's stream, whatever follows.
    noise = noise_source.keyed(uniform.noise_to_latent, seed, rows, torch.float64, torch.device("cpu"))
    return uniform.to_latent(torch.as_tensor(x).double(), None, noise)[0].numpy()


@torch.no_grad()
def draw(flow: Flow, n: int, part: Part, seed: int) -> tuple[Array, Part]:
    """``n`` samples, float64, and the rows of ``part`` that they stand beside.

    An unconditional flow is drawn from ``n`` times; a conditional one once for each row's context, rows taken in turn.
    """
    generator = torch.Generator(device=flow.device).manual_seed(seed)
    order = np.random.default_rng(seed).permutation(len(part))
    beside = part.take(np.resize(order, min(n, len(part)) if part.context is None else n))
    samples = []
    for start in range(0, n, _BATCH):
        batch = _sampled(flow, beside, start, min(n, start + _BATCH), generator)
        samples.append(batch.double().cpu().numpy())
    return np.concatenate(samples), beside


def _sampled(flow: Flow, beside: Part, start: int, stop: int, generator: torch.Generator) -> Tensor:
    """A sample for each of the rows ``start`` to ``stop``, given its context."""
    if beside.context is None:
        return flow.sample(stop - start, generator=generator)
    return flow.sample(1, contexts(flow, beside, start, stop), generator=generator)[0]


@dataclass(frozen=True)
class Clamping:
    """Shares of sampled values that fell outside the range and were moved to its ends.

    low, high: of all values, by end. rows: of samples with at least one such value. drawn: samples looked at.
    at_low, at_high: of sampled values that stand at an end, clamped or not; data_low, data_high: the same of the data.
    """

    low: float
    high: float
    rows: float
    drawn: int
    at_low: float
    at_high: float
    data_low: float
    data_high: float


@torch.no_grad()
def clamping(flow: Flow, part: Part, seed: int, n: int = 512) -> Clamping | None:
    """How much of ``n`` samples the dequantisation had to clamp; None for a flow that does not begin with one."""
    first, unclamped = dequantisation(flow.transform), continuous_part(flow)
    if first is None:
        return None
    generator = torch.Generator(device=flow.device).manual_seed(seed)
    order = np.random.default_rng(seed).permutation(len(part))
    beside = part.take(np.resize(order, n))
    below, above, bottom, top, rows = 0, 0, 0, 0, 0
    for start in range(0, n, _BATCH):
        level = (_sampled(unclamped, beside, start, min(n, start + _BATCH), generator) * first.levels).floor()
        low, high = level < 0, level > first.levels - 1
        below, above = below + int(low.sum()), above + int(high.sum())
        bottom, top = bottom + int((level <= 0).sum()), top + int((level >= first.levels - 1).sum())
        rows += int((low | high).flatten(1).any(1).sum())
    values = n * math.prod(flow.event_shape)
    return Clamping(
        low=below / values,
        high=above / values,
        rows=rows / n,
        drawn=n,
        at_low=bottom / values,
        at_high=top / values,
        data_low=float((part.x == 0).mean()),
        data_high=float((part.x == first.levels - 1).mean()),
    )
