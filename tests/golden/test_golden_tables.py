"""Densities of tables that earlier versions saved load, and give the scores that they gave then."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow
import pytest

from pushforward.estimators import FlowDensity

TABLES = Path(__file__).parent / "tables"


@pytest.mark.parametrize("name", sorted(path.stem for path in TABLES.glob("*.json")))
def test_a_saved_density_gives_the_scores_it_gave_when_it_was_saved(name: str) -> None:
    stored = json.loads((TABLES / f"{name}.json").read_text())
    rows = {column: np.asarray(cells) for column, cells in stored["rows"].items()}
    rows["day"] = rows["day"].astype("M8[D]")
    scores = FlowDensity.load(TABLES / name).score_samples(pyarrow.table(rows))
    np.testing.assert_allclose(scores, stored["log_density"], rtol=0, atol=1e-6)
