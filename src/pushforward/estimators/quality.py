"""The quality of the fit of a model of a table, from rows that took no part in it."""

from __future__ import annotations

from collections.abc import Sequence

from pushforward.estimators.models.members import MixtureMember
from pushforward.estimators.models.table_model import TableModel
from pushforward.estimators.table_evidence import table_evidence
from pushforward.estimators.training_rows import TrainingRows
from pushforward.evaluation.fit_quality import FitQuality, assess_fit


def quality_of(
    model: TableModel, train: TrainingRows, held_out: TrainingRows, names: Sequence[str], seed: int
) -> FitQuality:
    """The measures of a model on held-out rows, and the verdict that they give. names: of the columns."""
    members = model.blend.members
    mixtures = [m for m in members if isinstance(m, MixtureMember)] if len(members) > 1 else []
    held_out = held_out.unmerged(seed)
    rows = held_out.rows
    rivals = {m.name: (m.log_states(rows) + m.log_values(rows)).numpy() for m in mixtures}
    weights = held_out.weights.numpy()
    uniform = bool((weights == weights[0]).all())
    evidence = table_evidence(
        model,
        train.rows,
        held_out.rows,
        names=names,
        train_weights=train.weights.numpy(),
        rivals=rivals,
        weights=None if uniform else weights,
        seed=seed,
    )
    return assess_fit(evidence, seed)
