"""Numerical checks of a model of a table: finite numbers, one density for scores and samples, cells that decode."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch

from pushforward.array_types import Array
from pushforward.diagnostics.check_report import CheckLine, CheckReport
from pushforward.estimators.columns.plan import ColumnPlan
from pushforward.estimators.models.table_model import TableModel
from pushforward.estimators.quality import mixture_scores
from pushforward.estimators.table_evidence import TableEvidence
from pushforward.evaluation.verdict import State

_ALONE, _NATS = 16, 1e-3
# Standard errors, and the least deviation that counts, of a total probability.
_ERRORS, _LEAST = 4.0, 0.02


def check_table(model: TableModel, plans: Sequence[ColumnPlan], evidence: TableEvidence) -> CheckReport:
    """The checks on the rows and samples of ``evidence``. plans: of the columns of the model, in their order."""
    lines = [_finite_scores(evidence), _finite_samples(evidence), _decoded(model, plans, evidence)]
    lines.append(_alone(model, evidence))
    if total := _total_probability(model, evidence):
        lines.append(total)
    return CheckReport(tuple(lines))


def _finite_scores(evidence: TableEvidence) -> CheckLine:
    scores = evidence.fit.log_held_out
    wrong = int((~(scores < math.inf)).sum())
    effect = f"{wrong:,} of {len(scores):,} rows have no defined log-density"
    return CheckLine("log-densities of the rows", float(wrong), "0 undefined", wrong == 0, effect=effect)


def _finite_samples(evidence: TableEvidence) -> CheckLine:
    scores, rows = evidence.log_samples, evidence.samples
    good = np.isfinite(scores) & rows.values.isfinite().all(1).numpy()
    effect = f"{int((~good).sum()):,} of {len(good):,} samples are not finite, or have no finite log-density"
    return CheckLine("samples", float((~good).sum()), "0 not finite", bool(good.all()), effect=effect)


def _decoded(model: TableModel, plans: Sequence[ColumnPlan], evidence: TableEvidence) -> CheckLine:
    """Samples as cells of a table, encoded anew: another state, or a density of zero."""
    changed, rows, start = np.zeros(len(evidence.samples), dtype=bool), evidence.samples, 0
    for plan in plans:
        columns = list(range(start, start + len(plan.names)))
        start += len(columns)
        part = rows.columns(columns)
        again = plan.encode(plan.decode(part, library="pyarrow"), places=plan.middles, partial=True)
        targets = [at for at, column in enumerate(columns) if column in model.targets]
        differs = (again.states != part.states)[:, targets].any(1) | again.impossible
        changed |= differs.numpy()
    fraction = float(changed.mean())
    effect = f"{fraction:.2%} of the samples are other rows, or have a density of 0, once they are written as a table"
    consequence = State.CARE if fraction < 0.05 else State.REFUSE
    detail = "samples that change when they are written as a table and read again"
    return CheckLine(
        "round trip of samples", fraction, "at most 0.001", fraction <= 1e-3, detail, consequence, effect=effect
    )


def _alone(model: TableModel, evidence: TableEvidence) -> CheckLine:
    """The scores of single rows, beside those of the same rows together."""
    rows = evidence.held_out.take(torch.arange(min(_ALONE, len(evidence.held_out))))
    together = model.log_prob(rows).total.numpy()
    alone = np.array([float(model.log_prob(rows.take(torch.tensor([i]))).total) for i in range(len(rows))])
    both = np.isfinite(together) & np.isfinite(alone)
    error = float(np.abs(together[both] - alone[both]).max(initial=0.0))
    effect = f"the score of a row changes by {error:.2g} nats with the rows beside it"
    detail = "nats between the score of a row alone and among others"
    return CheckLine("rows alone", error, f"{_NATS:g}", error <= _NATS, detail, State.CARE, effect=effect)


def _total_probability(model: TableModel, evidence: TableEvidence) -> CheckLine | None:
    """The mean over samples of the mixture's density by the model's: the mixture's total probability, which is 1.

    It is 1 only if the scores are a normalised density and the samples follow it.
    """
    for rival in mixture_scores(model, evidence.samples).values():
        total, error = _mean_ratio(rival, evidence.log_samples)
        passed = abs(total - 1) <= max(_LEAST, _ERRORS * error)
        effect = f"scores and samples disagree: a total probability of {total:.3f} ± {error:.3f} was estimated"
        detail = f"estimated from samples and the mixture, ± {error:.2g}"
        bar = f"1 ± {max(_LEAST, _ERRORS * error):.2g}"
        return CheckLine("total probability", total, bar, passed, detail, State.CARE, effect=effect)
    return None


def _mean_ratio(rival: Array, own: Array) -> tuple[float, float]:
    with np.errstate(over="ignore", invalid="ignore"):
        ratios = np.exp(rival - own)
    ratios = np.where(np.isfinite(ratios), ratios, 0.0)
    return float(ratios.mean()), float(ratios.std()) / math.sqrt(max(1, len(ratios)))
