"""Draws the figures of docs/real_nvp.md into docs/figures/ (`make docs`).

The picture of the trained flow is of the very flow that the page trains: its code is run from the page.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure

HERE = Path(__file__).parent
BLUE, ORANGE, GREY = "#2b6cb0", "#c05621", "#4a5568"
# Without a date and with fixed identifiers, the same drawing is the same file.
STYLE = {"svg.hashsalt": "pushforward", "font.size": 9, "axes.spines.top": False, "axes.spines.right": False}


def change_of_variables() -> Figure:
    """A normal density, an increasing function, and the density that the function pushes it forward to."""
    z = np.linspace(-3.2, 3.2, 257)
    normal = np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi)
    x, slope = _to_data(z)
    steps = np.arange(-3, 3.01, 0.5)

    figure = Figure(figsize=(8.4, 2.7), layout="constrained")
    base, function, pushed = figure.subplots(1, 3)
    base.fill_between(z, normal, color=BLUE, alpha=0.3, lw=0)
    base.plot(z, normal, color=BLUE)
    base.set(title="the base, $p_Z(z)$", xlabel="$z$", ylim=(0, None))

    function.plot(z, x, color=GREY)
    for step in steps:
        to = _to_data(step)[0]
        function.plot([step, step, z[0]], [x[0], to, to], color=GREY, lw=0.6, alpha=0.6)
    function.set(title="$x = f^{-1}(z)$", xlabel="$z$", ylabel="$x$", xlim=(z[0], z[-1]), ylim=(x[0], x[-1]))

    pushed.fill_between(x, normal / slope, color=ORANGE, alpha=0.3, lw=0)
    pushed.plot(x, normal / slope, color=ORANGE)
    pushed.set(title="the model, $p_X(x)$", xlabel="$x$", ylim=(0, None))
    for axes, marks in ((base, steps), (pushed, _to_data(steps)[0])):
        axes.plot(marks, np.zeros_like(marks), "|", color="black", ms=9, clip_on=False)
        axes.set_yticks([])
    return figure


def _to_data(z: Any) -> tuple[Any, Any]:
    """An increasing function that is steepest at 0.25, and its slope."""
    return 1.3 * z + 1.1 * np.tanh(2.2 * (z - 0.25)) - 0.25 * z, 1.05 + 2.42 / np.cosh(2.2 * (z - 0.25)) ** 2


def two_moons() -> Figure:
    """Data, latents and samples of the flow that the page trains in its section 12."""
    page = (HERE / "real_nvp.md").read_text(encoding="utf-8").split("In practice use `fit`")[0]
    names: dict[str, Any] = {}
    for code in re.findall(r"^```python\n(.*?)^```", page, flags=re.DOTALL | re.MULTILINE):
        exec(code, names)
    flow, data = names["flow"], names["test"]
    with torch.no_grad():
        latents = flow.latent(data).numpy()
        samples = flow.sample(len(data), generator=torch.Generator().manual_seed(0)).numpy()
    # Coloured by the moon whose half circle is nearer: (cos t, sin t) or (1 - cos t, 1/2 - sin t).
    circle = np.exp(1j * np.linspace(0, np.pi, 200))
    points = data.numpy() @ np.array([1, 1j])
    upper = np.less(*(abs(points[:, None] - arc).min(1) for arc in (circle, 1 + 0.5j - circle)))

    figure = Figure(figsize=(8.4, 2.7), layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    for axes, points, title in ((left, data.numpy(), "data $x$"), (middle, latents, "latents $z = f(x)$")):
        for moon, colour in ((upper, BLUE), (~upper, ORANGE)):
            axes.plot(*points[moon].T, ".", ms=1.5, color=colour)
        axes.set_title(title)
    right.plot(*samples.T, ".", ms=1.5, color=GREY)
    right.set(title="samples $f^{-1}(z)$", xlim=left.get_xlim(), ylim=left.get_ylim())
    middle.set(xlim=(-4, 4), ylim=(-4, 4))
    for axes in (left, middle, right):
        axes.set_aspect("equal")
    return figure


def save(figure: Figure, name: str) -> None:
    (HERE / "figures").mkdir(exist_ok=True)
    metadata = {"Date": None} if name.endswith(".svg") else {"Software": None}
    figure.savefig(HERE / "figures" / name, dpi=130, facecolor="white", metadata=metadata)
    print(f"docs/figures/{name}")


def main() -> None:
    import matplotlib

    with matplotlib.rc_context(STYLE):
        save(change_of_variables(), "change_of_variables.svg")
        save(two_moons(), "two_moons.png")


if __name__ == "__main__":
    main()
