"""`FlowDensity.explain`: the column whose content is most surprising given the rest of its row."""

from __future__ import annotations

import numpy as np

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


def test_surprises_of_usual_rows_are_zero_in_the_mean() -> None:
    table = dependent_table(1500)
    model = FlowDensity(max_steps=5, architectures=()).fit(table)
    explained = model.explain(table)
    assert max(abs(values.mean()) for values in explained.values()) < 0.2


def test_gaps_add_what_their_probability_says() -> None:
    table = dependent_table(400)
    table["a"][:80] = np.nan
    model = FlowDensity(max_steps=5, architectures=()).fit(table)
    explained = model.explain({name: values[:1] for name, values in table.items()})
    assert list(explained) == list(table)
    assert -3 < explained["a"][0] < 0
