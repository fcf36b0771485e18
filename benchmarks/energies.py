"""Flows fitted to the four energies of Rezende & Mohamed, from the densities alone, and one picture of all of them.

    python benchmarks/energies.py --flows planar,real_nvp --seconds 60 --out runs/energies

Writes ``energies.jsonl``, one line for each flow and energy, beside the models, prints a table of them, and draws
``energies.png``: the true densities, then a row for each flow. A flow's last step goes onto the box in which the
energies live. Seconds are of processor time, so that a busy machine changes nothing. Cells that are there are skipped,
so that an interrupted run goes on; several processes share the work. A line holds all options of its flow and its fit:
with other defaults it is another cell, and table and picture show the cells of the present ones.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from cells import Cells, resumable
from matplotlib.figure import Figure
from models import digest
from pictures import grid_points, show

import pushforward
from pushforward import flows
from pushforward.inference import FitFailed, InferenceOptions, energies, fit
from pushforward.inference.energies import EDGE, ENERGIES

KEY = ("flow", "energy", "seconds", "threads", "seed", "options")
FLOWS = ("planar", "radial", "sylvester", "real_nvp")
# What the flows are told here, where they have such an option: nothing is standardised, for there are no data; with a
# logistic base they start as the uniform distribution on the box; what has a direction is a formula for sampling.
WISHES = {"standardise": False, "base": "logistic", "direction": "to_data"}
OPTIONS = {"lr": 3e-3, "batch_size": 256, "clip": 10.0, "ema": 0.99, "anneal": 0.5, "samples": 100_000}
_CELLS = 220


def flow_options(name: str) -> dict[str, Any]:
    """All options of the flow ``name``, the defaults among them."""
    schema = flows.describe(name).recipe((2,)).options
    return schema(**{k: v for k, v in WISHES.items() if k in schema.model_fields}).model_dump(mode="json")


def fit_energy(cell: Mapping[str, Any]) -> tuple[pushforward.Flow, dict[str, Any]]:
    """The flow of ``cell``, without its step onto the box, fitted to its energy, and its figures."""
    torch.manual_seed(cell["seed"])
    flow = flows.build(cell["flow"], (2,), **cell["flow_options"])
    options = InferenceOptions(**{**cell["fit"], "minutes": cell["seconds"] / 60, "seed": cell["seed"]})
    target = energies.log_density(cell["energy"])
    result = fit(energies.on_box(flow), target, options=options, progress=False, clock=time.process_time)
    if result.stopped_by == "interrupted":
        raise KeyboardInterrupt
    found, true = result.importance, energies.log_normaliser(cell["energy"])
    return flow, {
        "elbo": _number(found.elbo),
        "elbo_standard_error": _number(found.elbo_standard_error),
        "log_normaliser": _number(found.log_normaliser),
        "standard_error": _number(found.standard_error),
        "true_log_normaliser": true,
        "effective": _number(found.effective),
        "samples": found.samples,
        "gradient": result.gradient,
        "steps": result.steps,
        "took": round(60 * result.minutes, 1),
        "parameters": sum(p.numel() for p in flow.parameters()),
        "notes": result.notes,
    }


def _number(value: torch.Tensor) -> float | None:
    """For a file of JSON, which knows neither infinity nor NaN."""
    return float(value) if value.isfinite() else None


def work(cells: Cells, cell: dict[str, Any]) -> None:
    """Fit, save and record one cell, unless it is there or another process is at it."""
    with cells.claim(cell) as ours:
        if not ours:
            return
        try:
            flow, figures = fit_energy(cell)
        except FitFailed as error:
            print(f"{cell['flow']} {cell['energy']}: left out: {error}", flush=True)
            return
        # The model before its line: whoever finds the line finds the model.
        pushforward.save(flow, cells.folder(cell), force=True)
        cells.add({**cell, **figures})
        print(f"{cell['flow']} {cell['energy']}: done in {figures['steps']:,} steps", flush=True)


def wanted_cell(flow: str, energy: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """The cell of a flow and an energy, with all options that make it."""
    built, fitted = flow_options(flow), InferenceOptions(**OPTIONS).model_dump(mode="json", exclude={"minutes", "seed"})
    return {
        "flow": flow,
        "energy": energy,
        **{name: getattr(arguments, name) for name in ("seconds", "threads", "seed")},
        "options": digest(built, fitted),
        "flow_options": built,
        "fit": fitted,
    }


def table(lines: list[dict[str, Any]]) -> str:
    """The cells as Markdown: bounds in nats against the true log-normaliser, and how much the samples are worth."""
    rows = [
        "| flow | energy | log Z | ELBO | error of the estimated log Z | ESS/N | gradient | steps |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for line in lines:
        true, error = line["true_log_normaliser"], "-"
        if line["log_normaliser"] is not None:
            error = f"{abs(line['log_normaliser'] - true):.4f} ± {_text(line['standard_error'], 4)}"
        rows.append(
            f"| {line['flow']} | {line['energy']} | {true:.3f} "
            f"| {_text(line['elbo'], 3)} ± {_text(line['elbo_standard_error'], 3)} | {error} "
            f"| {_text(line['effective'], 3)} | {line['gradient']} | {line['steps']:,} |"
        )
    return "\n".join(rows)


def _text(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def draw(lines: list[dict[str, Any]], cells: Cells) -> None:
    """The picture: a column an energy; the first row the truth, then a row a flow with each cell's figures."""
    names = list(dict.fromkeys(line["flow"] for line in lines))
    points = torch.tensor(grid_points(EDGE, _CELLS), dtype=torch.float32)
    figure = Figure(figsize=(2.2 * len(ENERGIES) + 0.3, 2.4 * (1 + len(names))), layout="constrained")
    axes = figure.subplots(1 + len(names), len(ENERGIES), squeeze=False)
    for axis, label in zip(axes[:, 0], ("true density", *names), strict=True):
        axis.set_ylabel(label, fontsize=10)
    for column, energy in enumerate(ENERGIES):
        true = (energies.log_density(energy)(points).double() - energies.log_normaliser(energy)).exp().numpy()
        # One scale of colour a column; a flow that puts too much somewhere is cut off there.
        top = float(true.max())
        title = f"{energy}, log Z {energies.log_normaliser(energy):.3f}"
        show(axes[0, column], true, EDGE, title, (0, top))
        for line in (line for line in lines if line["energy"] == energy):
            flow = energies.on_box(pushforward.load(cells.folder(line)))
            density = flow.likelihood(points, batch_size=8192).value.double().exp().numpy()
            title = f"ELBO {_text(line['elbo'], 3)}, ESS {_text(line['effective'], 2)}"
            show(axes[1 + names.index(line["flow"]), column], density, EDGE, title, (0, top))
    figure.savefig(cells.path.with_name("energies.png"), dpi=110)


def warm_up() -> None:
    """One step of a small flow: what torch loads at its first step, seconds of it, belongs to no cell."""
    flow = energies.on_box(flows.build("nice", (2,), transforms=1))
    fit(flow, energies.log_density("U1"), options=InferenceOptions(steps=1, samples=100), progress=False)


def parse_arguments(given: list[str] | None = None) -> argparse.Namespace:
    """The command line; ``given`` stands in for the program's own."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--flows", default=",".join(FLOWS), help="names with commas; unknown ones are left out")
    parser.add_argument("--seconds", type=float, default=60.0, help="processor time of a cell")
    parser.add_argument("--out", type=Path, default=Path("runs/energies"), help="folder for figures and models")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args(given)
    arguments.flows = arguments.flows.split(",")
    return arguments


def main() -> int:
    arguments = parse_arguments()
    arguments.out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(arguments.threads)
    for name in [name for name in arguments.flows if name not in flows.names()]:
        print(f"{name}: left out: no flow of that name; there are {', '.join(flows.names())}")
        arguments.flows.remove(name)
    cells = Cells(arguments.out / "energies.jsonl", KEY)
    warm_up()
    wanted = [wanted_cell(flow, energy, arguments) for flow in arguments.flows for energy in ENERGIES]

    def run() -> None:
        for cell in wanted:
            work(cells, cell)
        if lines := cells.finished(wanted):
            print(table(lines))
            draw(lines, cells)

    return resumable(run)


if __name__ == "__main__":
    sys.exit(main())
