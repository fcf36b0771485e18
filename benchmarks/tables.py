"""Held-out log-likelihood of tables after equal time: every flow here, a Gaussian mixture, and zuko's spline flow.

    export PUSHFORWARD_DATA=DATA
    python benchmarks/tables.py --seconds 45 --out runs/tables.jsonl
    python benchmarks/tables.py --out runs/tables.jsonl --table

One JSON line for each finished cell (table, model, seed, ...); cells that have theirs are skipped, so that a run goes
on where it was stopped, and several processes on one file share the work. A line holds all options of its flow and its
training; with other defaults it is another cell, and ``--table`` shows the newest. What is done to the tables, the
variance floor among it, is in table_data.py. All models get the same rows and the same time; zuko's flows
are trained by `pushforward.fit` with the options of ours: batch, learning rate, schedule, weight averaging, and the
choice of the best weights on the validation rows. Time is that of the processor: what else the machine does shortens no
cell's budget.
"""

from __future__ import annotations

import argparse
import math
import os
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import threadpoolctl
import torch
from cells import Cells, resumable
from mixture import RIDGE, fit_mixture
from models import (
    PEERS,
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
from table_data import FLOOR, RECIPES, TABLES, Table, prepare
from table_markdown import markdown

import pushforward
from pushforward.errors import DataError
from pushforward.training import FitFailed

MIXTURE = "gaussian-mixture"
# What makes a cell: with another value of any of these it is another cell.
KEY = ("table", "model", "seed", "seconds", "threads", "floor", "samples", "lr", "batch", "options")


def flow_cell(table: Table, cell: dict[str, Any]) -> dict[str, Any]:
    """Train the flow that ``cell`` names and score the test rows. Raises KeyboardInterrupt where Ctrl-C ended it."""
    torch.manual_seed(cell["seed"])
    flow = build(cell["model"], table.data_set())
    parts = [torch.tensor(x, dtype=torch.float32) for x in (table.train, table.validation, table.test)]
    note = None
    try:
        result = train(flow, (parts[0], parts[1]), cell, cell["seconds"] / 60)
    except FitFailed as error:
        # The best weights so far are a result like any other, and the line says how they came about.
        result, note = error.result, str(error)
    learned = flow.likelihood(parts[2], samples=cell["samples"] or 1)
    return {
        **_figures(learned.value.double().numpy(), result.best_validation),
        "kind": learned.kind,
        "kind_in_words": learned.in_words,
        "draws": learned.samples,
        "steps": result.steps,
        "best_step": result.best_step,
        "parameters": sum(p.numel() for p in flow.parameters()),
        "stopped_by": result.stopped_by,
        "fit_seconds": round(60 * result.minutes, 1),
        "note": note,
    }


def mixture_cell(table: Table, cell: dict[str, Any]) -> dict[str, Any]:
    """Fit Gaussian mixtures for the cell's time and score the test rows with the one that validation prefers."""
    chosen = fit_mixture(table.train, table.validation, cell["seconds"], cell["seed"])
    return {
        **_figures(chosen.model.score_samples(table.test), chosen.validation),
        "kind": "exact",
        "steps": chosen.steps,
        "parameters": chosen.parameters,
        "components": int(chosen.model.n_components),
        "ridge": RIDGE,
        "note": "; ".join(chosen.tried),
    }


def _figures(values: np.ndarray, validation: float) -> dict[str, Any]:
    """Mean and standard error in nats a row; None for what is not finite, which JSON does not know."""
    mean, error = float(values.mean()), float(values.std(ddof=1) / math.sqrt(len(values)))
    return {
        "test": mean if math.isfinite(mean) else None,
        "standard_error": error if math.isfinite(error) else None,
        "validation": validation if math.isfinite(validation) else None,
        "test_rows": len(values),
    }


def work(arguments: argparse.Namespace, cells: Cells, tell: Callable[[str], None]) -> None:
    """Do all cells that nobody has done or is at. A cell's failure is told and does not end the others."""
    folder = Path(os.environ["PUSHFORWARD_DATA"])
    warm_up()
    tables: dict[str, Table] = {}
    for seed in arguments.seeds:
        for name in arguments.tables:
            if name not in tables:
                try:
                    tables[name] = prepare(name, folder, arguments.floor)
                except DataError as error:
                    tell(str(error))
                    continue
                tell(f"{name}: floor {arguments.floor:g}; {'; '.join(tables[name].notes)}")
            for model in arguments.models:
                cell = _cell(tables[name], model, seed, arguments)
                with cells.claim(cell) as ours:
                    if ours:
                        _do(tables[name], cell, cells, tell)


def _do(table: Table, cell: dict[str, Any], cells: Cells, tell: Callable[[str], None]) -> None:
    started = time.process_time()
    title = f"{table.name} {cell['model']} seed {cell['seed']}"
    try:
        line = (mixture_cell if cell["model"] == MIXTURE else flow_cell)(table, cell)
    except UnsuitedError as error:
        tell(f"{title}: left out: {error}")
        return
    took = round(time.process_time() - started, 1)
    cells.add({**cell, **line, "took": took, "versions": _versions(cell["model"])})
    value = "not finite" if line["test"] is None else f"{line['test']:.3f} ± {line['standard_error'] or math.nan:.3f}"
    tell(f"{title}: {value} nats ({took:g} s, {line['steps']:,} steps, {line['parameters']:,} parameters)")


def _cell(table: Table, model: str, seed: int, arguments: argparse.Namespace) -> dict[str, Any]:
    training, flow, counted = None, {"ridge": RIDGE}, None
    if model != MIXTURE:
        data = table.data_set()
        given = {"lr": arguments.lr, "batch_size": arguments.batch}
        chosen = {**training_options(model, data), **{name: value for name, value in given.items() if value}}
        training, flow = all_training_options(chosen), flow_options(model, data)
        counted = draws(model, data, arguments.samples)
    return {
        "table": table.name,
        "model": model,
        "seed": seed,
        "seconds": arguments.seconds,
        "threads": arguments.threads,
        "floor": arguments.floor,
        "samples": counted,
        "lr": training["lr"] if training else None,
        "batch": training["batch_size"] if training else None,
        "options": digest(flow, training),
        "flow_options": flow,
        "training": training,
    }


def _versions(model: str) -> dict[str, str]:
    names = ["torch", "numpy", "pushforward"]
    names += ["scikit-learn"] if model == MIXTURE else ["zuko"] if model in PEERS else []
    found = {name: version(name) for name in names}
    try:
        where = Path(__file__).parent
        done = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=where, capture_output=True, text=True)
        found["commit"] = done.stdout.strip()
    except OSError:
        pass
    return found


def _listed(known: tuple[str, ...]) -> Callable[[str], list[str]]:
    def parse(text: str) -> list[str]:
        names = [name.strip() for name in text.split(",") if name.strip()]
        for name in names:
            if name not in known:
                raise argparse.ArgumentTypeError(f"{name!r} is not known; there are {', '.join(known)}")
        return names

    return parse


def parse_arguments(given: list[str] | None = None) -> argparse.Namespace:
    """The command line; ``given`` stands in for the program's own."""
    models = (*pushforward.flows.names("vectors"), MIXTURE, *PEERS)
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tables", type=_listed(tuple(RECIPES)), default=list(TABLES), help="names with commas")
    parser.add_argument("--models", type=_listed(models), default=list(models), help="names with commas; all of them")
    parser.add_argument("--seconds", type=float, default=45.0, help="time of a cell, of all its threads")
    parser.add_argument("--seeds", type=lambda text: [int(s) for s in text.split(",")], default=[0])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--floor", type=float, default=FLOOR, help="standard deviation of the noise on every value")
    parser.add_argument("--lr", type=float, help="peak learning rate of all flows, instead of the default")
    parser.add_argument(
        "--samples", type=int, default=100, help="draws a row, where the likelihood is none that is exact"
    )
    parser.add_argument("--batch", type=int, help="batch size of all flows, instead of the default")
    parser.add_argument("--out", type=Path, default=Path("runs/tables.jsonl"))
    parser.add_argument("--table", action="store_true", help="train nothing; print what is there as Markdown")
    return parser.parse_args(given)


def main() -> int:
    arguments = parse_arguments()
    cells = Cells(arguments.out, KEY)
    if arguments.table:
        print("\n\n".join(markdown(cells.lines())))
        return 0
    if "PUSHFORWARD_DATA" not in os.environ:
        print("set PUSHFORWARD_DATA to the folder with the tables", file=sys.stderr)
        return 2
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(arguments.threads)
    with threadpoolctl.threadpool_limits(arguments.threads):
        return resumable(lambda: work(arguments, cells, lambda message: print(message, flush=True)))


if __name__ == "__main__":
    sys.exit(main())
