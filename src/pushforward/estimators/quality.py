"""The quality of the fit of a model of a table, from rows that took no part in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from pushforward.array_types import Array
from pushforward.estimators.encoded import EncodedRows
from pushforward.estimators.models.members import MixtureMember
from pushforward.estimators.models.table_model import TableModel
from pushforward.estimators.table_evidence import TableEvidence, table_evidence
from pushforward.estimators.training_rows import TrainingRows
from pushforward.evaluation.fit_quality import FitQuality, assess_fit


def quality_of(
    model: TableModel, train: TrainingRows, held_out: TrainingRows, names: Sequence[str], seed: int
) -> FitQuality:
    """The measures of a model on held-out rows, and the verdict that they give. names: of the columns."""
    return assess_fit(evidence_of(model, train, held_out.unmerged(seed), names, seed).fit, seed)


def evidence_of(
    model: TableModel,
    train: TrainingRows | None,
    held_out: TrainingRows,
    names: Sequence[str],
    seed: int,
    rows_name: str = "held-out rows",
) -> TableEvidence:
    """The evidence on a model, beside its own mixture; without training rows, measures that need them are left out.

    rows_name: the words for the rows ``held_out``.
    """
    weights = held_out.weights.numpy()
    uniform = bool((weights == weights[0]).all())
    evidence = table_evidence(
        model,
        None if train is None else train.rows,
        held_out.rows,
        names=names,
        train_weights=None if train is None else train.weights.numpy(),
        rivals=mixture_scores(model, held_out.rows),
        weights=None if uniform else weights,
        seed=seed,
    )
    return replace(evidence, fit=replace(evidence.fit, rows_name=rows_name))


def mixture_scores(model: TableModel, rows: EncodedRows) -> dict[str, Array]:
    """The log-densities ``(N,)`` of rows under the mixture in a blend; none if the blend is nothing else."""
    members = model.blend.members
    mixtures = [m for m in members if isinstance(m, MixtureMember)] if len(members) > 1 else []
    return {m.name: (m.log_states(rows) + m.log_values(rows)).numpy() for m in mixtures}
