import base64
import io
import re
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from pushforward.errors import ShapeError
from pushforward.report import figures, theme


def test_a_grid_has_one_pixel_a_pixel_and_the_whole_range():
    images = np.array([[[[0, 16]]], [[[8, 4]]], [[[16, 0]]]], dtype=np.uint8)
    grid = np.asarray(figures.image_grid(images, levels=17, columns=2))
    assert grid.shape == (5, 7, 3)
    assert grid[1, 1:3, 0].tolist() == [0, 255]
    assert grid[1, 4:6, 0].tolist() == [128, 64]
    assert (grid[3, 4:6] == grid[0, 0]).all()  # the empty place is gap


def test_colour_images_keep_their_channels():
    image = np.zeros((1, 3, 2, 2), np.uint8)
    image[0, 1] = 255
    assert np.asarray(figures.image_grid(image))[1, 1].tolist() == [0, 255, 0]


def test_values_that_no_pixel_can_have_are_clamped():
    image = np.array([[[[np.nan, -5.0, 300.0, 254.6]]]])
    assert np.asarray(figures.image_grid(image))[1, 1:5, 0].tolist() == [0, 0, 255, 255]


def test_marked_images_get_a_frame():
    plain, marked = (figures.image_grid(np.zeros((2, 1, 2, 2), np.uint8), marked=m) for m in ((), (1,)))
    changed = (np.asarray(plain) != np.asarray(marked)).any(2)
    assert changed.any()
    assert not changed[1:3, 4:6].any()  # the image itself is untouched


@pytest.mark.parametrize("shape", [(4, 4), (0, 1, 4, 4), (2, 1, 0, 4)])
def test_a_grid_of_something_else_is_refused(shape):
    with pytest.raises(ShapeError, match=r"\(N, C, H, W\)"):
        figures.image_grid(np.zeros(shape))


def test_a_data_uri_holds_the_picture():
    picture = figures.image_grid(np.arange(4, dtype=np.uint8).reshape(1, 1, 2, 2))
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
        figures.comparison(["This flow", "Gaussian"], [1.0, 2.0], [0.1, 0.0], "nats"),
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


def test_pictures_need_no_torch():
    code = "import sys; from pushforward.report.figures import image_grid; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
