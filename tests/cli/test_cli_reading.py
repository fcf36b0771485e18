"""Data are read for a saved model as it was fitted to them, or whole."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pushforward import flows, storage
from pushforward.cli.parameters import DataSource
from pushforward.cli.reading import read_for
from pushforward.data import load
from pushforward.preparation import Preparation


def test_only_the_rows_that_a_model_was_fitted_to_are_drawn_by_its_seed(tmp_path: Path) -> None:
    fitted = load("spirals", limit=20, seed=3)
    data = {"name": "spirals", "kind": "table", "rows": 20, "fingerprint": fitted.fingerprint, "columns": ("x", "y")}
    flow = flows.build("nice", (2,), transforms=2, hidden=(4,))
    storage.save(flow, tmp_path / "m", data={**data, "preparation": Preparation(limit=20), "seed": 3})
    model = storage.load_model(tmp_path / "m")
    assert read_for(model, "spirals", as_fitted=True).fingerprint == fitted.fingerprint
    assert read_for(model, "spirals").fingerprint == load("spirals").fingerprint
    turned = read_for(model, "spirals", DataSource(columns=("y", "x")), as_fitted=True)
    assert np.array_equal(turned.x, fitted.x[:, ::-1])
