"""The page of a flow: its figures and numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from pushforward.array_types import Array
from pushforward.data.image_grid import image_grid
from pushforward.evaluation.calibration import LatentFit
from pushforward.evaluation.interpolation import manifold
from pushforward.evaluation.latent_edits import (
    AMOUNTS,
    TEMPERATURES,
    Attribute,
    along_direction,
    partial_reconstruction,
    scale_count,
    temperature_sweep,
)
from pushforward.evaluation.scores import score, standard_errors
from pushforward.flow import Flow
from pushforward.reports import figures
from pushforward.reports.page import page
from pushforward.reports.report_data import DataFacts
from pushforward.rows import Rows

if TYPE_CHECKING:
    from pushforward.diagnostics import CheckLine

_CORNER_COLUMNS = 6
_PIT_COLUMNS = 24
_PLANE_ROWS = 3000
_GRID = 120
_SHOWN = 8


@dataclass(frozen=True)
class Measurements:
    """The arrays for the figures of the page.

    samples: ``(M, *event)``; beside: the data rows to compare them with. attribute: None without two classes.
    """

    flow: Flow
    facts: DataFacts
    parts: dict[str, Rows]
    fit: LatentFit | None
    samples: Array
    beside: Rows
    pits: Array | None
    seed: int
    attribute: Attribute | None = None


def render(m: Measurements, checks: Sequence[CheckLine], numbers: dict[str, Any]) -> str:
    """The complete HTML page."""
    return page(
        "flow.html",
        numbers,
        _charts(m, numbers),
        checks=checks,
        images=_images(m) if m.facts.kind == "image" else {},
        temperatures=TEMPERATURES,
        amounts=AMOUNTS,
        corner_columns=_CORNER_COLUMNS,
        pit_columns=_PIT_COLUMNS,
        conditional=m.flow.context_shape is not None,
    )


def _charts(m: Measurements, numbers: dict[str, Any]) -> dict[str, list[str]]:
    charts = {"likelihood": _likelihood_chart(numbers["likelihood"]), "latents": _latent_charts(m.fit)}
    history = numbers["training"]["history"]
    charts["curves"] = figures.curves(history) if history else []
    charts["plane"] = charts["corner"] = charts["pit"] = []
    if m.facts.kind == "table":
        names = m.facts.columns or ()
        samples = m.samples.reshape(len(m.samples), -1)
        samples = samples[np.isfinite(samples).all(1)]
        if len(samples) and len(names) == 2 and m.facts.levels is None:
            charts["plane"] = _plane(m, samples, names)
        if len(samples):
            shown = _worst_columns(numbers["columns"], _CORNER_COLUMNS)
            data = m.parts["test"].values()[:, shown]
            charts["corner"] = [figures.corner(data, samples[:, shown], [names[i] for i in shown])]
        if m.pits is not None:
            shown = _worst_columns(numbers["columns"], _PIT_COLUMNS)
            charts["pit"] = [figures.pit_histogram(m.pits[:, i], names[i]) for i in shown]
    return charts


def _worst_columns(columns: list[dict[str, Any]], most: int) -> list[int]:
    """The columns whose PIT is farthest from uniform, in the table's order."""
    order = sorted(range(len(columns)), key=lambda i: -(columns[i]["pit_distance"] or 0.0))
    return sorted(order[:most])


def _likelihood_chart(likelihood: dict[str, Any]) -> list[str]:
    models = [{"role": "flow", "name": "This flow", "value": likelihood["value"]}, *likelihood["baselines"]]
    finite = [model for model in models if model["value"]["mean"] is not None]
    if likelihood["value"]["mean"] is None or len(finite) < 2:
        return []
    names, roles = ([model[key] for model in finite] for key in ("name", "role"))
    means = [model["value"]["mean"] for model in finite]
    values = [model["value"] for model in finite]
    halves = [standard_errors(v["rows"]) * v["standard_error"] if v["standard_error"] else 0.0 for v in values]
    return [figures.comparison(names, roles, means, halves, likelihood["unit"])]


def _latent_charts(fit: LatentFit | None) -> list[str]:
    if fit is None:
        return []
    count, total = len(fit.shown), len(fit.distances)
    which = "one latent coordinate" if total == 1 else f"{count} of {total} latent coordinates"
    return [
        figures.quantile_plot(fit.expected, fit.observed, f"Quantiles of {which}", fit.name, "held-out latents"),
        figures.quantile_plot(
            fit.norm_expected,
            fit.norm_observed[None],
            "Quantiles of |z|²",
            f"|z|² under the {fit.name}",
            "|z|², held out",
        ),
    ]


def _plane(m: Measurements, samples: Array, names: Sequence[str]) -> list[str]:
    """For two columns: held-out rows, samples, and the density on a grid (at the median context, if there is one)."""
    part = m.parts["test"]
    x, context = part.values(), part.context
    bounds = figures.bounds_of(x)
    points = np.stack(np.meshgrid(*(np.linspace(low, high, _GRID) for low, high in bounds)), -1).reshape(-1, 2)
    if context is not None:
        middle = context[[len(context) // 2]] if m.flow.embedding is not None else context.quantile(0.5, 0, True)
        context = middle.expand(len(points), *context.shape[1:])
    values = score(
        m.flow, Rows(torch.as_tensor(points).reshape(-1, *m.flow.event_shape), context), m.seed
    ).nats.reshape(_GRID, _GRID)
    return [
        figures.scatter(part.sample(_PLANE_ROWS, m.seed).values(), bounds, names, "data"),
        figures.scatter(samples[:_PLANE_ROWS], bounds, names, "samples"),
        figures.density_map(values, bounds, names),
    ]


def _images(m: Measurements) -> dict[str, str]:
    """Grids of data, of samples and of decoded latent edits, if there are enough images."""
    flow, part = m.flow, m.parts["test"]
    # Images without levels are assumed to be in [0, 1].
    levels, scale = (256, 255) if m.facts.levels is None else (m.facts.levels, 1)
    pictures = {
        "data": image_grid(scale * m.beside.x.numpy(), levels),
        "samples": image_grid(scale * m.samples, levels),
    }

    def add(name: str, sheet: Tensor, marked: Sequence[int] = ()) -> None:
        """Add a sheet ``(rows, columns, *event)``."""
        flat = sheet.flatten(0, 1).cpu().double().numpy()
        pictures[name] = image_grid(scale * flat, levels, sheet.shape[1], marked=marked)

    chosen = part.sample(_SHOWN, m.seed)
    x, given = chosen.on(flow)
    if len(chosen) >= 4:
        four, contexts = chosen.sample(4, m.seed).on(flow)
        add("manifold", manifold(flow, four, 8, contexts, m.seed), (0, 2, 16, 18))
    if flow.base.tempered:
        count = 1 if given is not None else _SHOWN
        add("temperatures", temperature_sweep(flow, TEMPERATURES, count, given, m.seed))
    scales = scale_count(flow)
    if scales > 1:
        rebuilt = partial_reconstruction(flow, x, range(scales, -1, -1), given, 1.0, m.seed)
        add("scales", rebuilt.transpose(0, 1))
    if m.attribute is not None:
        examples, _ = m.attribute.examples.on(flow)
        add("attribute", along_direction(flow, examples, m.attribute.direction, AMOUNTS, None, m.seed))
    return {name: figures.data_uri(picture) for name, picture in pictures.items()}
