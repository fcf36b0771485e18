"""What the benchmarks' pictures of densities on the plane share."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.image import AxesImage


def grid_points(edge: float, cells: int) -> np.ndarray:
    """Centres ``(cells * cells, 2)`` of the pixels of the square from ``-edge`` to ``edge``, none on its edge."""
    centres = (np.arange(cells) + 0.5) / cells * 2 * edge - edge
    return np.stack(np.meshgrid(centres, centres), -1).reshape(-1, 2)


def show(axis: Axes, values: np.ndarray, edge: float, title: str, limits: tuple[float, float]) -> AxesImage:
    """The values at `grid_points` as a picture; limits: the values that are black and white."""
    side = round(len(values) ** 0.5)
    axis.set(xticks=[], yticks=[], facecolor="black")
    axis.set_title(title, fontsize=9)
    extent = (-edge, edge, -edge, edge)
    square = values.reshape(side, side)
    return axis.imshow(
        square, origin="lower", extent=extent, vmin=limits[0], vmax=limits[1], cmap="magma", aspect="equal"
    )
