"""Held-out log-density of tables as they come: FlowDensity and densities of other kinds and libraries.

    export PUSHFORWARD_DATA=DATA
    python benchmarks/table_density.py --out runs/table_density.jsonl                       # everything, hours
    python benchmarks/table_density.py --tables bike --models flow,mixture --seeds 1        # two cells
    python benchmarks/table_density.py --markdown --out runs/table_density.jsonl            # the finished cells

One JSON line for each finished cell (table, model, seed, seconds); cells that have theirs are skipped, so that a run
goes on where it was stopped. Each seed is another division of the rows. Figures are nats a held-out row in the units of
the table: log P of the discrete part plus log-density of the continuous part. All models get the rows of one column
plan, the one that FlowDensity makes; mixed_tables.py and density_peers.py say what is done to tables and for peers.
FlowDensity and zuko's flow get the seconds of the cell, mixtures at most 120, the others as long as they take. The
scores of the rows are kept beside the lines, and the last table of --markdown pairs them.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from cell_program import (
    KEY,
    Cell,
    Figure,
    data_folder,
    grid,
    newest,
    numbers,
    parser_of,
    pivot,
    run_cells,
    stopwatch,
    timed_title,
)
from cells import Cells
from density_peers import JOINT_MIXTURE, PEERS, JointMixture, PeerDensity
from mixed_tables import SOURCES, MixedTable, divided

Array = np.ndarray
FLOW = "flow"
MODELS = (FLOW, JOINT_MIXTURE, *PEERS)
# Models whose time a cell decides; of the others there is one cell for each seed.
TIMED = (FLOW, "zuko-nsf")
# Seconds of the processor for mixtures, which have no time of their own in a cell.
LONG = 120.0
FIGURES = (
    Figure("test", "Nats a held-out row"),
    Figure("continuous", "Of these, the log-density of the continuous part, given the discrete one"),
    Figure("impossible", "Held-out rows of density zero, which are in no mean", more_is_better=None, digits=0),
    Figure("took", "Seconds of a fit", more_is_better=False, digits=0),
)


@lru_cache(maxsize=1)
def table_of(name: str, seed: int) -> MixedTable:
    """The newest table stays in memory for the next model."""
    return divided(name, data_folder(), seed)


def flow_scores(table: MixedTable, cell: Cell) -> tuple[Array, dict[str, Any]]:
    """The score of each held-out row by FlowDensity, and the notes for the line."""
    from pushforward.estimators import FlowDensity

    with stopwatch() as took:
        model = FlowDensity(max_seconds=cell["seconds"], random_state=cell["seed"]).fit(table.train)
    return np.asarray(model.score_samples(table.test), dtype=float), {"took": took()}


def peer_scores(table: MixedTable, cell: Cell) -> tuple[Array, dict[str, Any]]:
    """The score of each held-out row by a peer, on the encoded rows, in the units of the table."""
    from pushforward.estimators.columns.plan import ColumnPlan

    plan = ColumnPlan.guess(table.train)
    chance = torch.Generator().manual_seed(cell["seed"])
    train, test = (plan.encode(frame, generator=chance) for frame in (table.train, table.test))
    with stopwatch() as took:
        kind = JointMixture if cell["model"] == JOINT_MIXTURE else PeerDensity
        seconds = cell["seconds"] or LONG
        model = kind(cell["model"], train.take(~train.impossible), plan.shapes, seconds=seconds, seed=cell["seed"])
    known = test.take(~test.impossible)
    discrete, values = model.log_prob(known)
    continuous = values + known.jacobian().numpy()
    scores = np.full(len(test), -np.inf)
    scores[~test.impossible.numpy()] = discrete + continuous
    parts = {"discrete": float(discrete.mean()), "continuous": float(continuous.mean())}
    return scores, {"took": took(), **parts}


def do(cells: Cells, cell: Cell) -> Mapping[str, Any]:
    """Fit the model of a cell and score the rows held out. Rows that the plan calls impossible are counted apart."""
    table = table_of(cell["table"], cell["seed"])
    scores, notes = (flow_scores if cell["model"] == FLOW else peer_scores)(table, cell)
    np.save(_scores_file(cells, cell), scores)
    possible = scores[scores > -np.inf]
    return {
        "test": float(possible.mean()),
        "standard_error": float(possible.std(ddof=1) / math.sqrt(len(possible))),
        "rows": len(table.train),
        "test_rows": len(scores),
        "impossible": int((scores == -np.inf).sum()),
        **notes,
    }


def markdown(cells: Cells) -> str:
    """The finished cells: figures, and FlowDensity's difference to the best peer, in pairs of rows."""
    lines = newest(cells)
    return "\n\n".join([*(pivot(lines, figure, model=timed_title) for figure in FIGURES), *_differences(cells, lines)])


def _differences(cells: Cells, lines: Sequence[Cell]) -> Iterator[str]:
    """A table for each time of FlowDensity: per table, the peer that is best and the mean difference to it."""
    for seconds in sorted({line["seconds"] for line in lines if line["model"] == FLOW}):
        yield f"FlowDensity after {seconds:g} s minus the best peer, nats a row:"
        rows = ["| table | best peer | difference | standard error |", "|---|---|---|---|"]
        for table in dict.fromkeys(line["table"] for line in lines):
            best, mean, error = _difference(cells, [line for line in lines if line["table"] == table], seconds)
            if best:
                rows.append(f"| {table} | {best} | {mean:+.3f} | {error:.3f} |")
        yield "\n".join(rows)


def _difference(cells: Cells, lines: Sequence[Cell], seconds: float) -> tuple[str, float, float]:
    """The best peer, the mean over seeds of the difference to it, and its standard error over the rows."""
    own = {line["seed"]: line for line in lines if line["model"] == FLOW and line["seconds"] == seconds}
    peers: dict[str, dict[int, Cell]] = {}
    for line in lines:
        if line["model"] != FLOW and line["seed"] in own:
            peers.setdefault(timed_title(line), {})[line["seed"]] = line
    complete = {name: of for name, of in peers.items() if len(of) == len(own)}
    if not complete:
        return "", math.nan, math.nan
    best = max(complete, key=lambda name: sum(line["test"] for line in complete[name].values()))
    means, errors = [], []
    for seed, line in own.items():
        difference = np.load(_scores_file(cells, line)) - np.load(_scores_file(cells, complete[best][seed]))
        difference = difference[np.isfinite(difference)]
        means.append(difference.mean())
        errors.append(difference.std(ddof=1) / math.sqrt(len(difference)))
    return best, float(np.mean(means)), float(np.linalg.norm(errors) / len(errors))


def _scores_file(cells: Cells, cell: Cell) -> Path:
    return cells.folder(cell).parent / f"{cells.folder(cell).name}.npy"


def parse_arguments(given: list[str] | None = None) -> argparse.Namespace:
    """The command line; ``given`` stands in for the program's own."""
    parser = parser_of(__doc__, tuple(SOURCES), MODELS, "runs/table_density.jsonl")
    parser.add_argument(
        "--seconds",
        type=numbers,
        default=[10.0, 60.0],
        help=f"with commas; the times of {', '.join(TIMED)}; default 10,60",
    )
    return parser.parse_args(given)


def main() -> int:
    arguments = parse_arguments()
    cells = Cells(arguments.out, KEY)
    if arguments.markdown:
        print(markdown(cells))
        return 0
    return run_cells(arguments, cells, grid(arguments, TIMED), lambda cell: do(cells, cell))


if __name__ == "__main__":
    sys.exit(main())
