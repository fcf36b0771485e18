"""Importance sampling of an unnormalised log-density by a flow: ELBO, log-normaliser, effective sample size."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor

from pushforward.errors import OptionError
from pushforward.events import repeat_rows
from pushforward.flow import Flow
from pushforward.inputs import TensorLike
from pushforward.likelihood import log_mean_exp
from pushforward.noise import generator_of
from pushforward.objectives.target import LogDensity, Target, require_exact
from pushforward.training.batches import context_rows

# Samples are drawn in chunks of about this many values.
_CHUNK_VALUES, _MAX_CHUNK = 2**18, 8192
_HELD_WEIGHTS = 2**22


def _unknown() -> Tensor:
    return torch.tensor(math.nan, dtype=torch.float64)


@dataclass(frozen=True)
class Importance:
    """Figures from ``samples`` draws x of a flow q with weights w = p~(x) / q(x), p~ the unnormalised density.

    Tensors in float64 on the CPU: of shape (), or ``(C,)`` for ``C`` rows of context. elbo: mean of log w, a lower
    bound of the log-normaliser in expectation. log_normaliser: the estimate log mean w of log Z, Z the integral of p~.
    effective: the effective sample size as a fraction of the samples, (sum w)^2 / (N sum w^2), from 1/N to 1. outside:
    samples at which p~ is 0: their weights are 0, and the ELBO is -inf. undefined: samples at which log p~ is NaN or
    +inf: the figures of a row with one are NaN.

    All figures come from samples of q. A mode of p~ where q draws no samples is missing from the log-normaliser, and
    neither the standard error nor the effective sample size shows it.
    """

    elbo: Tensor = field(default_factory=_unknown)
    elbo_standard_error: Tensor = field(default_factory=_unknown)
    log_normaliser: Tensor = field(default_factory=_unknown)
    standard_error: Tensor = field(default_factory=_unknown)
    effective: Tensor = field(default_factory=_unknown)
    samples: int = 0
    outside: int = 0
    undefined: int = 0


@torch.no_grad()
def importance(
    flow: Flow,
    log_density: LogDensity,
    *,
    samples: int = 20_000,
    context: TensorLike | None = None,
    generator: torch.Generator | None = None,
    seed: int | None = None,
) -> Importance:
    """Importance sampling with ``samples`` draws of ``flow`` for each row of ``context: (C, *context_shape)``.

    log_density: ``(B, *event_shape) -> (B,)``, up to a constant; for a conditional flow it gets the rows of context as
    a second argument. ``generator`` or ``seed`` determines the samples; the default is seed 0. Raises OptionError,
    ShapeError, ContextError or DataError for invalid arguments.

    >>> import torch
    >>> from pushforward import flows
    >>> flow = flows.build("real_nvp", event_shape=(2,))  # a standard normal before it is fitted
    >>> found = importance(flow, lambda x: -x.square().sum(1) / 2, samples=1000)
    >>> f"{found.log_normaliser:.3f}, {found.effective:.3f}"  # log 2 pi
    '1.838, 1.000'
    """
    require_exact(flow)
    if samples < 2:
        raise OptionError(f"importance sampling needs at least 2 samples, got {samples}")
    target, rows = Target(log_density), context_rows(flow, context, "target")
    source = generator_of(generator, 0 if generator is None and seed is None else seed, flow.device)
    # The weights of all samples of a context are held at once: of many samples, for few contexts.
    block = max(1, _HELD_WEIGHTS // samples)
    if rows is None or len(rows) <= block:
        return _weighed(flow, target, samples, rows, source)
    return _joined([_weighed(flow, target, samples, part, source) for part in rows.split(block)])


def _joined(parts: list[Importance]) -> Importance:
    """The figures of consecutive blocks of contexts as one."""
    return Importance(
        elbo=torch.cat([part.elbo for part in parts]),
        elbo_standard_error=torch.cat([part.elbo_standard_error for part in parts]),
        log_normaliser=torch.cat([part.log_normaliser for part in parts]),
        standard_error=torch.cat([part.standard_error for part in parts]),
        effective=torch.cat([part.effective for part in parts]),
        samples=parts[0].samples,
        outside=sum(part.outside for part in parts),
        undefined=sum(part.undefined for part in parts),
    )


def _weighed(
    flow: Flow, target: Target, samples: int, rows: Tensor | None, source: torch.Generator | None
) -> Importance:
    """`importance` for all contexts at once."""
    groups = 1 if rows is None else len(rows)
    chunk = max(1, min(_MAX_CHUNK, _CHUNK_VALUES // math.prod(flow.event_shape)) // groups)
    parts = []
    for start in range(0, samples, chunk):
        n = min(chunk, samples - start)
        x, log_q = flow.sample_and_log_prob(n, rows, generator=source)
        repeated = None if rows is None else repeat_rows(rows, n)
        log_p = target(x.reshape(-1, *flow.event_shape), repeated)
        parts.append((log_p.cpu().double() - log_q.cpu().double().reshape(-1)).reshape(n, groups))
    return weigh(torch.cat(parts) if rows is not None else torch.cat(parts)[:, 0])


def weigh(log_weights: Tensor) -> Importance:
    """Importance-sampling figures of log weights ``(N,)``, or ``(N, C)`` for ``C`` rows of context, in float64."""
    samples = log_weights.shape[0]
    undefined = log_weights.isnan() | (log_weights == math.inf)
    outside = log_weights == -math.inf
    log_weights = torch.where(undefined, math.nan, log_weights)
    log_mean, error = log_mean_exp(log_weights)
    # Without a non-zero weight the error is unknown, and the effective sample size is 0.
    nothing = log_mean == -math.inf
    log_square = torch.logsumexp(2 * log_weights, 0) - math.log(samples)
    return Importance(
        elbo=log_weights.mean(0),
        elbo_standard_error=log_weights.std(0) / math.sqrt(samples),
        log_normaliser=log_mean,
        standard_error=torch.where(nothing, math.nan, error),
        effective=torch.where(nothing, 0.0, (2 * log_mean - log_square).exp()),
        samples=samples,
        outside=int(outside.sum()),
        undefined=int(undefined.sum()),
    )
