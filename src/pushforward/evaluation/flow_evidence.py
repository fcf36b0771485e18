"""The evidence for a verdict on a flow: its log-densities, samples and latents of rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from pushforward.array_types import Array
from pushforward.errors import OptionError
from pushforward.evaluation.baselines import Baseline
from pushforward.evaluation.calibration import latent_pit
from pushforward.evaluation.fit_quality import FitEvidence
from pushforward.evaluation.scores import Scores, score
from pushforward.flow import Flow
from pushforward.noise import has_role
from pushforward.rows import Rows

_TRAIN_ROWS = 10_000  # for distances and copies
_CONDITIONAL_ROWS = 2000  # each of which gets a sample
_SCORED_SAMPLES = {"exact": 4000, "bound": 1000, "estimate": 500}


@dataclass(frozen=True)
class ScoredRows:
    """Held-out rows and a random subset of the training rows, with their scores, and the baselines of the former."""

    train: Rows
    held_out: Rows
    on_train: Scores
    on_held_out: Scores
    baselines: Sequence[Baseline]

    @property
    def rivals(self) -> dict[str, Array]:
        """The log-densities of the baselines by name, without the true density, which is no rival."""
        return {baseline.rival: baseline.nats for baseline in self.baselines if baseline.rival}


def flow_evidence(
    flow: Flow,
    scored: ScoredRows,
    samples: Array | None,
    seed: int,
    *,
    columns: Sequence[str] | None = None,
    best_step: int | None = None,
) -> FitEvidence:
    """The evidence on a flow. samples: ``(K, *event)`` of an unconditional flow; None leaves out what needs samples.

    A conditional flow is sampled here, once for the context of each of at most 2,000 held-out rows.
    """
    held_out, like = scored.held_out, scored.on_held_out
    evidence = FitEvidence(
        like.nats,
        scored.on_train.nats,
        rivals=scored.rivals,
        latents=_latents(flow, held_out),
        weights=None if held_out.weights is None else held_out.weights.cpu().numpy(),
        names=columns,
        best_step=best_step,
        exact=like.kind == "exact",
        dimensions=held_out.event_size,
    )
    if samples is None:
        return evidence
    train = scored.train.sample(_TRAIN_ROWS, seed)
    evidence = replace(evidence, train=train.values(), held_out=held_out.values(), train_context=_context(train))
    if held_out.context is None:
        drawn = Rows(torch.as_tensor(samples))
    else:
        held_out, evidence = _conditional(evidence, held_out, seed)
        drawn = _given_contexts(flow, held_out, seed)
    return _with_samples(flow, evidence, drawn, seed)


def _with_samples(flow: Flow, evidence: FitEvidence, drawn: Rows, seed: int) -> FitEvidence:
    """The evidence with samples, and log-densities of some of them. Samples that are not finite are left out."""
    values = drawn.values()
    finite = np.isfinite(values).all(1)
    if not finite.all():
        if drawn.context is not None:
            return replace(evidence, context=None)
        drawn, values = drawn.take(np.flatnonzero(finite)), values[finite]
    if not len(values):
        return evidence
    most = len(values) if drawn.context is not None else _SCORED_SAMPLES[flow.kind]
    scores = score(flow, drawn.sample(most, seed), seed).nats
    return replace(evidence, samples=values, log_samples=scores if np.isfinite(scores).all() else None)


def _conditional(evidence: FitEvidence, rows: Rows, seed: int) -> tuple[Rows, FitEvidence]:
    """At most 2,000 of the rows, and the evidence on these, with their contexts as numbers."""
    chosen = np.sort(np.random.default_rng(seed).permutation(len(rows))[:_CONDITIONAL_ROWS])
    part = rows.take(chosen)
    return part, replace(evidence.take(chosen), context=_context(part))


def _context(rows: Rows) -> Array | None:
    """The contexts as numbers ``(N, C)``; None without."""
    return None if rows.context is None else rows.context.cpu().double().reshape(len(rows), -1).numpy()


@torch.no_grad()
def _given_contexts(flow: Flow, rows: Rows, seed: int) -> Rows:
    """A sample for the context of each row."""
    generator = torch.Generator(device=flow.device).manual_seed(seed)
    drawn = [flow.sample(1, context, generator=generator)[0].cpu() for _, _, context in rows.batches(flow)]
    return Rows(torch.cat(drawn), rows.context)


@torch.no_grad()
def _latents(flow: Flow, rows: Rows) -> Array | None:
    """The base's distribution function of the latents of every row.

    None for a base without one, and for a flow whose latents of data are drawn: those of a bound need not follow the
    base.
    """
    if has_role(flow.transform.noise_to_latent, "draw"):
        return None
    try:
        parts = [latent_pit(flow, x, context).cpu().numpy() for _, x, context in rows.batches(flow)]
    except OptionError:
        return None
    return np.concatenate(parts)


def best_step_of(training: Mapping[str, object]) -> int | None:
    """The best step among facts about a training; None if it is not there."""
    step = training.get("best_step")
    return step if isinstance(step, int) else None
