"""Charts of the columns of two tables, such as new rows and the samples of a model."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.figure import Figure

from pushforward.reports import column_figures, fit_figures, pair_figures
from pushforward.reports.column_view import ColumnView
from pushforward.reports.theme import panel, short

RNG = np.random.default_rng(0)


def view(first: np.ndarray, second: np.ndarray) -> ColumnView:
    states = np.zeros(len(first), dtype=int), np.zeros(len(second), dtype=int)
    return ColumnView("x", states, ("other values",), (first, second))


@pytest.mark.parametrize(
    ("new", "samples"),
    [
        (RNG.normal(5, 1, 300), RNG.normal(0, 1, 500)),
        (RNG.integers(20, 25, 300).astype(float), RNG.integers(0, 12, 500).astype(float)),
        (RNG.integers(2000, 9000, 300).astype(float), RNG.integers(0, 2500, 500).astype(float)),
        (RNG.lognormal(9, 3, 300), RNG.lognormal(0, 3, 500)),
        (np.empty(0), RNG.normal(0, 1, 500)),
    ],
)
def test_the_axis_of_a_histogram_holds_rows_and_samples_that_have_drifted_apart(
    new: np.ndarray, samples: np.ndarray
) -> None:
    edges, _ = column_figures._edges(new, samples)
    assert (np.diff(edges) > 0).all()
    for values in (new, samples):
        assert not len(values) or ((edges[0] <= values) & (values <= edges[-1])).mean() > 0.97
    assert column_figures.histogram(view(new, samples))


def test_charts_of_a_column_with_common_values_say_which_values_they_show() -> None:
    labels = ("other values", *(f"{100 + i}" for i in range(12)))
    states = np.empty(0, dtype=int), RNG.integers(0, 13, 500)
    common = ColumnView("wage", states, labels, (np.empty(0), np.where(states[1] == 0, RNG.normal(size=500), np.nan)))
    assert ">wage (other values)<" in column_figures.histogram(common)
    shown, fractions = column_figures._frequent(labels, common.fractions)
    assert shown[-1] == "4 others"
    assert fractions[0].tolist() == [0.0] * 10
    assert fractions.sum(1).tolist() == pytest.approx([0.0, 1.0])


def test_a_short_name_has_the_start_and_the_end_of_a_long_one() -> None:
    assert [short(name, 10) for name in ("wage", "measurement_17", "price in US$")] == [
        "wage",
        "measur…_17",
        r"price …US\$",
    ]


def test_a_few_wild_samples_do_not_flatten_a_histogram() -> None:
    samples = RNG.normal(size=1000)
    samples[:5] = 1e6
    assert column_figures.common_bounds(RNG.normal(size=300), samples)[1] < 10


def test_the_axes_of_a_pair_hold_rows_and_samples_that_have_drifted_apart() -> None:
    new, samples = RNG.normal(5, 1, (2, 300)), RNG.normal(0, 1, (2, 500))
    _, [[ax]] = panel()
    pair_figures._numbers(ax, view(new[0], samples[0]), view(new[1], samples[1]))
    for low, high in (ax.get_xlim(), ax.get_ylim()):
        assert low < -2
        assert high > 7


@pytest.mark.parametrize("widths", [RNG.lognormal(size=300), np.zeros(50), np.full(20, 1e-9), np.empty(0)])
def test_the_axis_of_a_chart_of_widths_has_no_negative_numbers(
    widths: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = list[Figure]()
    monkeypatch.setattr(fit_figures, "svg", lambda figure, _: str(drawn.append(figure)))
    fit_figures.width_chart("y", widths)
    low, high = drawn[0].axes[0].get_xlim()
    assert 0 <= low < high
