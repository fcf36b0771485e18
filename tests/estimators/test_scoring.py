"""Scores of rows with columns that noise makes continuous."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pushforward.estimators import FlowDensity
from pushforward.estimators.encoded import EncodedRows


def test_the_places_within_the_cells_of_integers_share_the_probabilities_of_states(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rng = np.random.default_rng(0)
    table = {"count": rng.poisson(60.0, 300), "label": rng.choice(["a", "b"], 300)}
    model = FlowDensity(max_steps=3, architectures=()).fit(table)
    before = model.score_samples(table)
    scored = []
    of_all = model.model_.blend.log_states

    def log_states(rows: EncodedRows) -> torch.Tensor:
        scored.append(len(rows))
        return of_all(rows)

    monkeypatch.setattr(model.model_.blend, "log_states", log_states)
    assert (model.score_samples(table) == before).all()
    assert scored == [2]
