import subprocess
import sys

import numpy as np
import pytest

from pushforward.data.image_grid import image_grid
from pushforward.errors import ShapeError


def test_a_grid_has_one_pixel_a_pixel_and_the_whole_range():
    images = np.array([[[[0, 16]]], [[[8, 4]]], [[[16, 0]]]], dtype=np.uint8)
    grid = np.asarray(image_grid(images, levels=17, columns=2))
    assert grid.shape == (5, 7, 3)
    assert grid[1, 1:3, 0].tolist() == [0, 255]
    assert grid[1, 4:6, 0].tolist() == [128, 64]
    assert (grid[3, 4:6] == grid[0, 0]).all()  # the empty place is gap


def test_colour_images_keep_their_channels():
    image = np.zeros((1, 3, 2, 2), np.uint8)
    image[0, 1] = 255
    assert np.asarray(image_grid(image))[1, 1].tolist() == [0, 255, 0]


def test_values_that_no_pixel_can_have_are_clamped():
    image = np.array([[[[np.nan, -5.0, 300.0, 254.6]]]])
    assert np.asarray(image_grid(image))[1, 1:5, 0].tolist() == [0, 0, 255, 255]


def test_marked_images_get_a_frame():
    plain, marked = (image_grid(np.zeros((2, 1, 2, 2), np.uint8), marked=m) for m in ((), (1,)))
    changed = (np.asarray(plain) != np.asarray(marked)).any(2)
    assert changed.any()
    assert not changed[1:3, 4:6].any()  # the image itself is untouched


@pytest.mark.parametrize("shape", [(4, 4), (0, 1, 4, 4), (2, 1, 0, 4)])
def test_a_grid_of_something_else_is_refused(shape):
    with pytest.raises(ShapeError, match=r"\(N, C, H, W\)"):
        image_grid(np.zeros(shape))


def test_pictures_need_no_torch():
    code = "import sys; from pushforward.data.image_grid import image_grid; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
