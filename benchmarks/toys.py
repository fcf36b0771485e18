"""Flows on the six 2-D toys: learned against true log-likelihood on held-out rows, and one picture of all densities.

    python benchmarks/toys.py --flows real_nvp,nsf --seconds 60 --out runs/toys

Writes ``toys.jsonl``, one line for each flow and toy, beside the models, and ``toys.png``: the true densities, then a
row for each flow. Of a bound or an estimate every row is scored with ``--samples`` draws, the picture with a few.
Cells that are there are skipped, so that an interrupted run goes on; several processes share the work. A line holds all
options of its flow and its training: with other defaults it is another cell, and the picture shows the cells of the
present ones. Time is that of the processor, as in tables.py.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from cells import Cells, resumable
from matplotlib.figure import Figure
from models import (
    UnsuitedError,
    all_training_options,
    build,
    digest,
    draws,
    flow_options,
    train,
    training_options,
    warm_up,
)
from pictures import grid_points, show

import pushforward
from pushforward.data import load, split, toys

KEY = ("flow", "toy", "seconds", "threads", "seed", "samples", "options")
_EDGE, _CELLS = 4.5, 220
_DRAWN = 5  # draws for each point of the picture; as many as a figure takes would need an hour


def fit_toy(cell: Mapping[str, Any]) -> tuple[pushforward.Flow, dict[str, Any]]:
    """The flow of ``cell`` fitted to its toy with the defaults of ``pushforward fit``, and its figures on test rows."""
    data = load(cell["toy"])
    rows = split(data, cell["seed"])
    torch.manual_seed(cell["seed"])
    flow = build(cell["flow"], data)
    x = torch.tensor(data.x, dtype=torch.float32)
    result = train(flow, (x[rows.train], x[rows.validation]), cell, cell["seconds"] / 60)
    learned = flow.likelihood(x[rows.test], samples=cell["samples"] or 1)
    true = toys.log_density(cell["toy"], data.x[rows.test])
    gap = true - learned.value.double().numpy()
    return flow, {
        "learned": float(learned.value.double().mean()),
        "true": float(true.mean()),
        "gap": float(gap.mean()),
        "gap_standard_error": float(gap.std(ddof=1) / np.sqrt(len(gap))),
        "kind": learned.kind,
        "kind_in_words": learned.in_words,
        "draws": learned.samples,
        "rows": len(gap),
        "steps": result.steps,
        "took": round(60 * result.minutes, 1),
        "parameters": sum(p.numel() for p in flow.parameters()),
    }


def work(cells: Cells, cell: dict[str, Any]) -> None:
    """Fit, save and record one cell, unless it is there or another process is at it."""
    with cells.claim(cell) as ours:
        if not ours:
            return
        try:
            flow, figures = fit_toy(cell)
        except UnsuitedError as error:
            print(f"{cell['flow']}: left out: {error}", flush=True)
            return
        # The model before its line: whoever finds the line finds the model.
        pushforward.save(flow, cells.folder(cell), force=True)
        cells.add({**cell, **figures})
        gap = f"{figures['gap']:.3f} ± {figures['gap_standard_error']:.3f}"
        print(f"{cell['flow']} {cell['toy']}: gap {gap} nats ({figures['steps']:,} steps)", flush=True)


def wanted_cell(flow: str, toy: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """The cell of a flow and a toy, with all options that make it."""
    data = load(toy)
    training, options = all_training_options(training_options(flow, data)), flow_options(flow, data)
    return {
        "flow": flow,
        "toy": toy,
        **{name: getattr(arguments, name) for name in ("seconds", "threads", "seed")},
        "samples": draws(flow, data, arguments.samples),
        "options": digest(options, training),
        "flow_options": options,
        "training": training,
    }


def draw(lines: list[dict[str, Any]], cells: Cells) -> None:
    """The picture: a column a toy; the first row the truth, then a row a flow with each cell's gap as its title."""
    flows = list(dict.fromkeys(line["flow"] for line in lines))
    points = grid_points(_EDGE, _CELLS)
    figure = Figure(figsize=(2.1 * len(toys.TOYS), 0.3 + 2.3 * (1 + len(flows))), layout="constrained")
    axes = figure.subplots(1 + len(flows), len(toys.TOYS), squeeze=False)
    for axis, label in zip(axes[:, 0], ("true density", *flows), strict=True):
        axis.set_ylabel(label, fontsize=10)
    for column, toy in enumerate(toys.TOYS):
        true = np.exp(toys.log_density(toy, points))
        # One scale of colour a column; not the very highest value, which would leave the rest dark.
        top = float(np.quantile(true, 0.995))
        show(axes[0, column], true, _EDGE, toy, (0, top))
        for line in (line for line in lines if line["toy"] == toy):
            flow = pushforward.load(cells.folder(line))
            found = flow.likelihood(torch.tensor(points, dtype=torch.float32), samples=_DRAWN)
            kind = "" if found.kind == "exact" else f" ({found.kind})"
            density = found.value.double().exp().numpy()
            title, axis = f"gap {line['gap']:.3f}{kind}", axes[1 + flows.index(line["flow"]), column]
            show(axis, density, _EDGE, title, (0, top))
    figure.savefig(cells.path.with_name("toys.png"), dpi=110)


def parse_arguments(given: list[str] | None = None) -> argparse.Namespace:
    """The command line; ``given`` stands in for the program's own."""
    known = pushforward.flows.names("vectors")
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--flows", default=",".join(known), help="names with commas; all that suit")
    parser.add_argument("--seconds", type=float, default=60.0, help="training time of a cell, of the processor")
    parser.add_argument("--out", type=Path, default=Path("runs/toys"), help="folder for figures and models")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument(
        "--samples", type=int, default=100, help="draws a row, where the likelihood is none that is exact"
    )
    arguments = parser.parse_args(given)
    arguments.flows = arguments.flows.split(",")
    if unknown := [name for name in arguments.flows if name not in known]:
        parser.error(f"flow {unknown[0]!r} is not known; there are {', '.join(known)}")
    return arguments


def main() -> int:
    arguments = parse_arguments()
    arguments.out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(arguments.threads)
    cells = Cells(arguments.out / "toys.jsonl", KEY)
    warm_up()
    wanted = [wanted_cell(flow, toy, arguments) for flow in arguments.flows for toy in toys.TOYS]

    def run() -> None:
        for cell in wanted:
            work(cells, cell)
        if lines := cells.finished(wanted):
            draw(lines, cells)

    return resumable(run)


if __name__ == "__main__":
    sys.exit(main())
