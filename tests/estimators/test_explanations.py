"""`FlowDensity.explain`: how well the content of each column agrees with the rest of its row."""

from __future__ import annotations

import numpy as np
import pytest

from pushforward.estimators import FlowDensity


def dependent_table(rows: int) -> dict[str, np.ndarray]:
    """Columns of several kinds that three hidden numbers drive."""
    rng = np.random.default_rng(0)
    z, noise = rng.normal(size=(rows, 3)), rng.normal(size=(rows, 6))
    return {
        "a": z[:, 0] + 0.3 * noise[:, 0],
        "b": 2 * z[:, 0] + 0.5 * noise[:, 1],
        "c": np.exp(z[:, 1] + 0.3 * noise[:, 2]),
        "d": np.where(z[:, 1] + 0.3 * noise[:, 3] > 0, "u", "v"),
        "e": z[:, 0] + z[:, 1] + 0.3 * noise[:, 4],
        "f": z[:, 0] - z[:, 1] + z[:, 2] + 0.3 * noise[:, 5],
    }


def test_a_value_that_was_swapped_with_another_rows_is_named_first() -> None:
    table = dependent_table(1500)
    model = FlowDensity(max_steps=5, architectures=()).fit(table)
    names = list(table)
    rng = np.random.default_rng(1)
    column, other = rng.integers(0, len(names), size=400), rng.integers(0, 400, size=400)
    rows = {name: values[:400].copy() for name, values in table.items()}
    before = model.score_samples(rows)
    for row in range(400):
        rows[names[column[row]]][row] = table[names[column[row]]][other[row]]
    shows = before - model.score_samples(rows) > 3
    explained = model.explain(rows)
    nats = np.stack([explained[name] for name in names], 1)
    assert shows.sum() > 100
    assert (nats.argmin(1) == column)[shows].mean() >= 0.8


def test_the_mean_of_usual_rows_is_the_information_of_the_other_columns() -> None:
    rng = np.random.default_rng(0)
    x, noise = rng.normal(size=(2, 3000))
    table = {"x": x, "y": 0.8 * x + 0.6 * noise, "alone": rng.normal(size=3000)}
    explained = FlowDensity(max_steps=5, architectures=()).fit(table).explain(table)
    information = {"x": -np.log(0.6), "y": -np.log(0.6), "alone": 0.0}
    for name, nats in information.items():
        assert explained[name].mean() == pytest.approx(nats, abs=0.05)


def test_a_gross_error_is_named_itself_and_not_the_value_beside_it() -> None:
    x, noise = np.random.default_rng(0).normal(size=(2, 1500))
    model = FlowDensity(max_steps=5, architectures=()).fit({"x": x, "y": 0.8 * x + 0.6 * noise})
    rows = {"x": np.array([7.0, -7.0, 0.3, -0.2]), "y": np.array([0.1, -0.2, 6.0, -6.0])}
    nats = np.stack(list(model.explain(rows).values()), 1)
    assert nats.argmin(1).tolist() == [0, 0, 1, 1]
    assert (nats.min(1) < nats.max(1) - 2).all()


def test_a_value_that_no_training_row_could_have_is_the_lowest_of_its_row() -> None:
    x, word = np.random.default_rng(0).normal(size=200), np.where(np.arange(200) % 3 == 0, "a", "b")
    model = FlowDensity(max_steps=5, architectures=()).fit({"x": x, "word": word, "one": np.ones(200)})
    nats = model.explain({"x": np.zeros(3), "word": np.array(["a", "c", "b"]), "one": np.array([1.0, 1.0, 2.0])})
    assert nats["word"][1] == -np.inf
    assert nats["x"][1] == 0
    assert [nats[name][2] for name in ("x", "word")] == [0, 0]


def test_a_gap_that_depends_on_nothing_adds_nothing() -> None:
    table = dependent_table(400)
    table["a"][:80] = np.nan
    model = FlowDensity(max_steps=5, architectures=()).fit(table)
    explained = model.explain({name: values[:1] for name, values in table.items()})
    assert list(explained) == list(table)
    assert abs(explained["a"][0]) < 0.5
