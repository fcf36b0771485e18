"""Two separated rings: how much mass a flow leaves where there is none, its filaments, and a picture of it.

    python benchmarks/rings.py --out runs/rings

Circles of radii 1 and 3 with normal noise of 0.1 across, either with equal probability; true density in closed form;
and between radii 1.5 and 2.5, five standard deviations from either, three in ten million of the mass. A continuous
bijection of one bump cannot put nothing there (Cornish, Caterini, Deligiannidis & Doucet, "Relaxing bijectivity
constraints with continuously indexed normalising flows", 2020, theorem 2.1). The mass in the gap is counted two ways:
as the fraction of 200,000 samples, and as the integral of the likelihood over it, of a bound with ``--samples`` draws,
which therefore falls short. Flows are those of ``pushforward fit``, for equal time of the processor; affine steps
throughout, so that what is compared is what the extra dimensions and the index give. With ``--steps`` it is so many
steps of training in the place of equal time, and ``--flow-options`` makes other flows, as in

    python benchmarks/rings.py --steps 4000 --flow-options '{"real_nvp": {"transforms": 4, "hidden": [64, 64]}}'

Writes ``rings.jsonl`` and ``rings.png``; cells that are there are skipped.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from cells import Cells, resumable
from matplotlib.figure import Figure
from models import all_training_options, digest, draws, flow_options, train, training_options, warm_up
from pictures import grid_points, show

import pushforward
from pushforward import flows
from pushforward.data import DataSet

KEY = ("flow", "seconds", "seed", "samples", "options")
FLOWS = ("real_nvp", "cif", "vflow")
RADII, NOISE = (1.0, 3.0), 0.1
GAP = (1.5, 2.5)
_ROWS, _HELD_OUT = 20_000, 2_000
_SAMPLED = 200_000
_EDGE, _CELLS = 4.0, 200
_DRAWN = 10  # draws for each point of the picture; as many as a figure takes would need an hour


def rings(n: int, seed: int) -> np.ndarray:
    """``n`` rows (n, 2) of the two rings."""
    random = np.random.default_rng(seed)
    radius = np.asarray(RADII)[random.integers(0, len(RADII), n)] + NOISE * random.standard_normal(n)
    angle = random.uniform(0, 2 * math.pi, n)
    found: np.ndarray = radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], -1)
    return found


def log_density(x: np.ndarray) -> np.ndarray:
    """Natural logarithm of the rings' density at rows ``x: (N, 2)``; radii below 0, ten deviations off, left out."""
    r = np.hypot(*x.T)[:, None]
    parts = -0.5 * ((r - np.asarray(RADII)) / NOISE) ** 2 - math.log(NOISE * math.sqrt(2 * math.pi) * len(RADII))
    found: np.ndarray = np.logaddexp.reduce(parts, axis=1) - np.log(2 * math.pi * r[:, 0])
    return found


def gap_points(radii: int = 60, angles: int = 120) -> tuple[torch.Tensor, torch.Tensor]:
    """Points (N, 2) of a midpoint rule in polar coordinates over the gap, and the area (N,) that each stands for."""
    width, turn = (GAP[1] - GAP[0]) / radii, 2 * math.pi / angles
    r = GAP[0] + width * (torch.arange(radii) + 0.5)
    angle = turn * (torch.arange(angles) + 0.5)
    r, angle = (part.flatten() for part in torch.meshgrid(r, angle, indexing="ij"))
    return torch.stack([r * angle.cos(), r * angle.sin()], 1), r * width * turn


def fit_cell(cell: dict[str, Any]) -> tuple[pushforward.Flow, dict[str, Any]]:
    """The flow of ``cell`` fitted, and its figures: mass in the gap, and what it loses on held-out rows."""
    x = torch.as_tensor(rings(_ROWS + 2 * _HELD_OUT, seed=cell["seed"]), dtype=torch.float32)
    train_rows, validation, test = x.split([_ROWS, _HELD_OUT, _HELD_OUT])
    torch.manual_seed(cell["seed"])
    flow = flows.build(cell["flow"], (2,), **cell["flow_options"])
    result = train(flow, (train_rows, validation), cell, None if cell["seconds"] is None else cell["seconds"] / 60)
    sampled = torch.cat([flow.sample(10_000).detach().norm(dim=1) for _ in range(_SAMPLED // 10_000)])
    fraction = float(((sampled > GAP[0]) & (sampled < GAP[1])).double().mean())
    points, area = gap_points()
    within = flow.likelihood(points, samples=cell["samples"] or 1)
    learned = flow.likelihood(test, samples=cell["samples"] or 1)
    missed = log_density(test.double().numpy()) - learned.value.double().numpy()
    return flow, {
        "mass_sampled": fraction,
        "mass_sampled_error": math.sqrt(fraction * (1 - fraction) / len(sampled)),
        "mass_integrated": float((within.value.exp() * area).sum()),
        "gap_nats": float(missed.mean()),
        "gap_nats_error": float(missed.std(ddof=1) / math.sqrt(len(missed))),
        "kind": learned.kind,
        "draws": learned.samples,
        "steps": result.steps,
        "parameters": sum(p.numel() for p in flow.parameters()),
    }


def _data(x: torch.Tensor) -> DataSet:
    return DataSet(name="two rings", kind="table", x=x.double().numpy(), levels=None, columns=("x", "y"))


def wanted_cell(flow: str, seed: int, arguments: argparse.Namespace) -> dict[str, Any]:
    """The cell of a flow, with all options that make it."""
    data = _data(torch.zeros(_ROWS, 2))
    told = all_training_options(training_options(flow, data))
    options = flow_options(flow, data, arguments.flow_options.get(flow))
    told["steps"] = arguments.steps
    return {
        "flow": flow,
        "seconds": arguments.seconds if arguments.steps is None else None,
        "seed": seed,
        "samples": draws(flow, data, arguments.samples),
        "options": digest(options, told),
        "flow_options": options,
        "training": told,
    }


def work(cells: Cells, cell: dict[str, Any]) -> None:
    """Fit, save and record one cell, unless it is there or another process is at it."""
    with cells.claim(cell) as ours:
        if not ours:
            return
        flow, figures = fit_cell(cell)
        # The model before its line: whoever finds the line finds the model.
        pushforward.save(flow, cells.folder(cell), force=True)
        cells.add({**cell, **figures})
        print(f"{cell['flow']} seed {cell['seed']}: {100 * figures['mass_sampled']:.2f} % in the gap", flush=True)


def true_mass() -> float:
    """Of the rings themselves, in the gap."""
    points, area = gap_points()
    return float((np.exp(log_density(points.double().numpy())) * area.double().numpy()).sum())


def markdown(lines: list[dict[str, Any]]) -> str:
    """One row a flow: the mean over its seeds, and the lowest and highest of the mass."""
    rows = [
        "| flow | kind | seeds | mass in the gap, sampled | of the likelihood | below the truth, nats |",
        "|---|---|---|---|---|---|",
    ]
    for name in dict.fromkeys(line["flow"] for line in lines):
        own = [line for line in lines if line["flow"] == name]
        masses = [100 * line["mass_sampled"] for line in own]
        kind = own[0]["kind"] + (f", k = {own[0]['draws']}" if own[0]["draws"] > 1 else "")
        integrated, nats = (float(np.mean([line[key] for line in own])) for key in ("mass_integrated", "gap_nats"))
        spread = f"{np.mean(masses):.3f} % [{min(masses):.3f}, {max(masses):.3f}]"
        rows.append(f"| {name} | {kind} | {len(own)} | {spread} | {100 * integrated:.3f} % | {nats:.3f} |")
    return "\n".join([*rows, "", f"True mass in the gap: {true_mass():.1e}."])


def draw(lines: list[dict[str, Any]], cells: Cells) -> None:
    """True density and those of the first seed, as logarithms: a filament is faint where one looks at densities."""
    first = list({line["flow"]: line for line in reversed(lines)}.values())[::-1]
    figure = Figure(figsize=(3.4 * (1 + len(first)), 3.9), layout="constrained")
    axes = figure.subplots(1, 1 + len(first))
    points = grid_points(_EDGE, _CELLS)
    shown = [("true density", log_density(points))]
    for line in first:
        flow = pushforward.load(cells.folder(line))
        value = flow.likelihood(torch.tensor(points, dtype=torch.float32), samples=_DRAWN).value
        kind = f"{line['kind']}, k = {_DRAWN}" if line["draws"] > 1 else line["kind"]
        shown.append((f"{line['flow']} ({kind})\n{100 * line['mass_sampled']:.2f} % in the gap", value.numpy()))
    for axis, (title, logs) in zip(axes, shown, strict=True):
        picture = show(axis, logs / math.log(10), _EDGE, title, (-5, 0))
        for radius in GAP:
            turn = np.linspace(0, 2 * math.pi, 200)
            axis.plot(radius * np.cos(turn), radius * np.sin(turn), color="white", linewidth=0.6, linestyle=":")
    figure.colorbar(picture, ax=axes, shrink=0.8, label="log10 of the density", extend="min")
    figure.savefig(cells.path.with_name("rings.png"), dpi=110)


def parse_arguments(given: list[str] | None = None) -> argparse.Namespace:
    """The command line; ``given`` stands in for the program's own."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--flows", type=lambda text: text.split(","), default=list(FLOWS), help="names with commas")
    parser.add_argument("--seconds", type=float, default=60.0, help="training time of a cell, of the processor")
    parser.add_argument("--steps", type=int, help="of training, in the place of seconds")
    parser.add_argument("--flow-options", type=json.loads, default={}, help="JSON, {FLOW: {OPTION: VALUE, ...}, ...}")
    parser.add_argument("--seeds", type=lambda text: [int(s) for s in text.split(",")], default=[0, 1, 2])
    parser.add_argument("--samples", type=int, default=100, help="draws a row, where the likelihood is a bound")
    parser.add_argument("--out", type=Path, default=Path("runs/rings"), help="folder for figures and models")
    arguments = parser.parse_args(given)
    if unknown := [name for name in arguments.flows if name not in flows.names()]:
        parser.error(f"flow {unknown[0]!r} is not known; there are {', '.join(flows.names())}")
    if unused := sorted(set(arguments.flow_options) - set(arguments.flows)):
        parser.error(f"--flow-options names {unused[0]!r}, which is none of the flows asked for")
    return arguments


def main() -> int:
    arguments = parse_arguments()
    arguments.out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    cells = Cells(arguments.out / "rings.jsonl", KEY)
    warm_up()
    wanted = [wanted_cell(flow, seed, arguments) for seed in arguments.seeds for flow in arguments.flows]

    def run() -> None:
        for cell in wanted:
            work(cells, cell)
        if lines := cells.finished(wanted):
            print(markdown(lines))
            draw(lines, cells)

    return resumable(run)


if __name__ == "__main__":
    sys.exit(main())
