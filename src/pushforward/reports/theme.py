"""The theme of charts: SVG whose colours are CSS variables, for the page's light and dark themes."""

from __future__ import annotations

import hashlib
import html
import io
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# matplotlib needs real colours: each of these is replaced by a CSS variable in the text of the SVG.
INK, FAINT, DATA, MODEL, THIRD, PAPER = (f"#0a0b{i:02x}" for i in range(1, 7))
_VARIABLES = {INK: "--ink", FAINT: "--faint", DATA: "--data", MODEL: "--model", THIRD: "--third", PAPER: "--paper"}
_FONT = 9.0


def panel(width: float = 3.6, height: float = 2.7, rows: int = 1, columns: int = 1) -> tuple[Figure, list[list[Axes]]]:
    """A figure of ``width`` x ``height`` inches and its axes by row and column, in the page's colours.

    The figure is independent of pyplot and its global list. Panels are narrow, so that their text is readable on a
    phone.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    figure.patch.set_alpha(0)
    axes: list[list[Axes]] = [list(row) for row in figure.subplots(rows, columns, squeeze=False)]
    for row in axes:
        for ax in row:
            ax.patch.set_alpha(0)
            ax.tick_params(colors=INK, labelsize=_FONT - 1, length=3, width=0.7)
            ax.xaxis.label.set(color=INK, size=_FONT)
            ax.yaxis.label.set(color=INK, size=_FONT)
            for side, spine in ax.spines.items():
                spine.set(color=FAINT, linewidth=0.8, visible=side in ("left", "bottom"))
            for axis in (ax.xaxis, ax.yaxis):
                axis.get_offset_text().set(color=INK, size=_FONT - 1)
    return figure, axes


def legend(ax: Axes) -> None:
    """A legend without a frame, in the page's text colour."""
    ax.legend(frameon=False, fontsize=_FONT - 1, labelcolor=INK)


def svg(figure: Figure, label: str) -> str:
    """The figure as an ``<svg>`` element for a page; ``label`` describes it for screen readers."""
    import matplotlib

    written = io.StringIO()
    # Text stays text. The salt makes ids equal in each run, and different between the figures of one page.
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": label}):
        nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.savefig(written, format="svg", metadata=nothing, transparent=True)
    text = written.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"\s*<metadata>.*?</metadata>", "", text, flags=re.S)
    text = re.sub(r'<g id="[^"]*"', "<g", text)
    # Ids without a salt (of images, for instance) get a unique prefix, also in references.
    prefix = "f" + hashlib.sha256(label.encode()).hexdigest()[:8]
    text = re.sub(r'\bid="', f'id="{prefix}', text)
    text = re.sub(r'((?:xlink:)?href="|url\()#', rf"\1#{prefix}", text)
    for colour, variable in _VARIABLES.items():
        text = text.replace(colour, f"var({variable})")
    head, body = text.split(">", 1)
    head = re.sub(r'\s(?:width|height)="[^"]*"', "", head)
    return f'{head} role="img" aria-label="{html.escape(label, quote=True)}">{body}'


def short(name: str, length: int = 18) -> str:
    """The start and the end of a name, at most ``length`` characters, which matplotlib shows as they are."""
    # Names of many columns often differ in their ends alone.
    end = length // 3
    shown = name if len(name) <= length else f"{name[: length - 1 - end]}…{name[-end:]}"
    # matplotlib would read a dollar sign as the start of a formula.
    return shown.replace("$", r"\$")
