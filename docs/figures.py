"""Draws the figures of docs/real_nvp.md and docs/inverse_transform_sampling.md into docs/figures/ (`make docs-write`).

The pictures of flows are of the very flows that the pages build and train: their code is run from the page.
"""

from __future__ import annotations

import contextlib
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
    names = _names_of("real_nvp.md", "In practice use `fit`")
    flow, data = names["flow"], names["test"]
    with torch.no_grad():
        latents = flow.encode(data).numpy()
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


def _names_of(page: str, end: str) -> dict[str, Any]:
    """What the code of a page defines, up to where its text says ``end``."""
    text = (HERE / page).read_text(encoding="utf-8").split(end)[0]
    names: dict[str, Any] = {}
    for code in re.findall(r"^```python\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE):
        with contextlib.redirect_stdout(None):
            exec(code, names)
    return names


def inverse_transform() -> Figure:
    """Uniform numbers carried to an exponential distribution, its density, and the map from a normal to it."""
    u = np.arange(0.025, 1, 0.05)
    x = np.linspace(0, 8, 257)
    marks = -2 * np.log1p(-u)

    figure = Figure(figsize=(8.4, 2.7), layout="constrained")
    function, density, joined = figure.subplots(1, 3)
    for share, mark in zip(u, marks, strict=True):
        function.plot([0, mark, mark], [share, share, 0], color=GREY, lw=0.6, alpha=0.6)
    function.plot(x, -np.expm1(-x / 2), color=BLUE)
    function.plot(np.zeros_like(u), u, "_", color="black", ms=9, clip_on=False)
    function.set(title="$u = F(x)$", xlabel="$x$", ylabel="$u$", xlim=(0, 8), ylim=(0, 1))

    density.fill_between(x, np.exp(-x / 2) / 2, color=ORANGE, alpha=0.3, lw=0)
    density.plot(x, np.exp(-x / 2) / 2, color=ORANGE)
    density.set(title="$p(x) = F'(x)$", xlabel="$x$", xlim=(0, 8), ylim=(0, None), yticks=[])

    z = torch.linspace(-3, 3, 257, dtype=torch.float64)
    joined.plot(z, -2 * torch.log1p(-torch.special.ndtr(z)), color=GREY)
    quantiles = torch.special.ndtri(torch.from_numpy(u))
    for start, mark in zip(quantiles.tolist(), marks, strict=True):
        joined.plot([start, start, -3], [0, mark, mark], color=GREY, lw=0.6, alpha=0.6)
    joined.plot(quantiles, np.zeros_like(u), "|", color="black", ms=9, clip_on=False)
    joined.set(title="$x = F^{-1}(\\Phi(z))$", xlabel="$z$", ylabel="$x$", xlim=(-3, 3), ylim=(0, 8))
    for axes in (function, density):
        axes.plot(marks, np.zeros_like(u), "|", color="black", ms=9, clip_on=False)
    return figure


def rosenblatt() -> Figure:
    """The unit square, what the page's joint distribution makes of it, and new data in the square again."""
    joint = _names_of("inverse_transform_sampling.md", "## 8.")["joint"]
    generator = torch.Generator().manual_seed(0)
    u = torch.rand(3000, 2, generator=generator)
    steps, fine = torch.arange(0.1, 1, 0.1), torch.linspace(0.0001, 0.9999, 200)
    lines = [torch.stack([step.expand(200), fine], 1) for step in steps]
    lines += [line.flip(1) for line in lines]
    lower = u[:, 1] < 0.5

    figure = Figure(figsize=(8.4, 2.9), layout="constrained")
    square, plane, again = figure.subplots(1, 3)
    for axes, taken in ((square, lambda points: points), (plane, joint.data)):
        for half, colour in ((lower, BLUE), (~lower, ORANGE)):
            axes.plot(*taken(u[half]).T, ".", ms=1.5, color=colour)
        for line in lines:
            axes.plot(*taken(line).T, color=GREY, lw=0.7)
    again.plot(*joint.encode(joint.sample(3000, generator=generator)).T, ".", ms=1.5, color=GREY)
    square.set(title="$(u_1, u_2)$", xlabel="$u_1$", ylabel="$u_2$")
    plane.set(title="$x_1$, and $x_2$ given $x_1$", xlabel="$x_1$", ylabel="$x_2$", xlim=(0, 5), ylim=(0, 8))
    again.set(title="new data, as $(u_1, u_2)$", xlabel="$u_1$", ylabel="$u_2$")
    for axes in (square, again):
        axes.set(xlim=(0, 1), ylim=(0, 1), aspect="equal")
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
        save(inverse_transform(), "inverse_transform.svg")
        save(rosenblatt(), "rosenblatt.png")


if __name__ == "__main__":
    main()
