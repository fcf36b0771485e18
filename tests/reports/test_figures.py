import base64
import io
import re

import numpy as np
import pytest
from PIL import Image

from pushforward.data.image_grid import image_grid
from pushforward.reports import figures, theme


def test_a_data_uri_holds_the_picture():
    picture = image_grid(np.arange(4, dtype=np.uint8).reshape(1, 1, 2, 2))
    head, body = figures.data_uri(picture).split(",")
    assert head == "data:image/png;base64"
    assert (np.asarray(Image.open(io.BytesIO(base64.b64decode(body)))) == np.asarray(picture)).all()


def draw_charts() -> list[str]:
    generator = np.random.default_rng(0)
    x = generator.normal(size=(300, 2))
    history = [{"seconds": i, "train": 3 / (i + 1), "validation": 2.0, "unit": "bits/dim", "lr": 0.1} for i in range(9)]
    bounds = figures.bounds_of(x)
    return [
        *figures.curves(history),
        figures.quantile_plot(np.arange(5.0), np.arange(10.0).reshape(2, 5), "several", "a", "b"),
        figures.quantile_plot(np.arange(5.0), np.arange(5.0), "one", "a", "b"),
        figures.pit_histogram(generator.random(300), "a<b>$"),
        figures.corner(x, x, ["a<script>", "b$_$"]),
        figures.scatter(x, bounds, ["a", "b"], "data"),
        figures.density_map(-np.square(np.arange(9.0)).reshape(3, 3), bounds, ["a", "b"]),
        figures.comparison(["This flow", "Gaussian"], ["flow", "gaussian"], [1.0, 2.0], [0.1, 0.0], "nats"),
    ]


@pytest.fixture(scope="module")
def all_charts() -> list[str]:
    return draw_charts()


def test_charts_take_their_colours_from_the_page(all_charts):
    for chart in all_charts:
        assert "var(--ink)" in chart
        assert theme.INK[:5] not in chart  # no stand-in is left


def test_charts_of_one_page_share_no_id(all_charts):
    ids = [found for chart in all_charts for found in re.findall(r'\bid="([^"]+)"', chart)]
    assert len(ids) == len(set(ids))


def test_every_reference_inside_a_chart_is_found_in_it(all_charts):
    for chart in all_charts:
        known = set(re.findall(r'\bid="([^"]+)"', chart))
        assert set(re.findall(r'(?:href="|url\()#([^")]+)', chart)) <= known


def test_names_of_columns_cannot_become_markup(all_charts):
    for chart in all_charts:
        assert "<script" not in chart
        assert "a<b>" not in chart


def test_charts_are_the_same_each_time(all_charts):
    assert draw_charts() == all_charts


@pytest.mark.parametrize(
    "draw",
    [
        lambda: figures.curves([{"seconds": 1.0, "train": 1.0, "validation": None}]),
        lambda: figures.corner(np.ones((5, 1)), np.ones((5, 1)), ["constant"]),
        lambda: figures.corner(np.ones((5, 2)), np.full((5, 2), 9.0), ["a", "b"]),
        lambda: figures.density_map(np.full((2, 2), -np.inf), ((0, 1), (0, 1)), "ab"),
        lambda: figures.density_map(np.full((2, 2), np.nan), ((0, 1), (0, 1)), "ab"),
        lambda: figures.pit_histogram(np.array([0.5]), "one"),
    ],
)
def test_degenerate_input_draws_without_a_warning(draw):
    assert draw()


@pytest.mark.parametrize("history", [[], [{"seconds": 1.0, "train": None, "validation": None}]])
def test_a_history_without_a_finite_value_has_no_curves(history):
    assert figures.curves(history) == []
