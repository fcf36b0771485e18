"""Flows in continuous time: how exact FFJORD's likelihoods are, and what flow matching needs to reach them.

    python benchmarks/continuous.py --out runs/continuous
    python benchmarks/continuous.py --out runs/continuous --model runs/images/digits_ffjord_... --data digits --rows 20

First, `ffjord` on each toy for ``--seconds`` of one processor, its gradients through the solver's steps, which is the
faster way for two columns; then `flow_matching`, the same net, for a twentieth, a tenth and a fifth of that time, each
with its own whole schedule. All else as ``pushforward fit`` has it. Then the trained FFJORD is scored anew with the
same weights: with one and a hundred probes in place of the exact trace, and with a tolerance ten times as tight, next
to the number of evaluations of the velocity. With ``--model`` it is a saved FFJORD that is scored, and nothing is
trained.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from cells import Cells, resumable
from models import all_training_options, digest, flow_options, train, training_options, warm_up
from torch import Tensor

import pushforward
from pushforward import flows
from pushforward.data import load, split, toys
from pushforward.transforms import Continuous

KEY = ("toy", "seconds", "seed", "options")
FRACTIONS = (1 / 20, 1 / 10, 1 / 5)
# In two dimensions a backward pass through the solver's steps is faster than an adjoint equation.
CHANGED = {"ffjord": {"adjoint": False}, "flow_matching": {}}


def fitted(name: str, cell: Mapping[str, Any], fraction: float = 1.0) -> tuple[pushforward.Flow, int]:
    """The flow of that name after its fraction of the cell's time on the toy, and its steps."""
    data = load(cell["toy"])
    rows, x = split(data, cell["seed"]), torch.tensor(data.x, dtype=torch.float32)
    torch.manual_seed(cell["seed"])
    flow = flows.build(name, data.event_shape, **cell["flow_options"][name])
    told = {"training": cell["training"][name], "seed": cell["seed"]}
    result = train(flow, (x[rows.train], x[rows.validation]), told, cell["seconds"] * fraction / 60)
    return flow, result.steps


def wanted_cell(toy: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """The cell of a toy, with all options that make it."""
    data = load(toy)
    options = {name: {**flow_options(name, data), **changed} for name, changed in CHANGED.items()}
    told = {name: all_training_options(training_options(name, data)) for name in CHANGED}
    return {
        "toy": toy,
        "seconds": arguments.seconds,
        "seed": arguments.seed,
        "options": digest(options, [told, arguments.probes]),
        "flow_options": options,
        "training": told,
    }


def variant(flow: pushforward.Flow, **changed: Any) -> pushforward.Flow:
    """The same weights under other options that change no weight: trace, tolerance."""
    other = flows.build("ffjord", flow.event_shape, **{**_options(flow), **changed})
    other.to(flow.dtype).load_state_dict(flow.state_dict())
    return other.eval()


def _options(flow: pushforward.Flow) -> dict[str, Any]:
    if flow.config is None or flow.config.name != "ffjord" or flow.config.context_dim:
        raise SystemExit("an ffjord without a context expected")
    return flow.config.options


def evaluations(flow: pushforward.Flow) -> int:
    """Of the velocity, in the last solve of every step."""
    return sum(step.evaluations for step in flow.modules() if isinstance(step, Continuous))


def accuracy(flow: pushforward.Flow, x: Tensor, probes: int) -> dict[str, Any]:
    """Log-likelihoods of ``x`` with the exact trace; with probes, and with a tighter tolerance, against them."""
    tolerance = _options(flow)["tolerance"]
    own = variant(flow, trace="exact")
    exact = own.likelihood(x, batch_size=len(x)).value.double()
    found: dict[str, Any] = {"tolerance": tolerance, "evaluations": evaluations(own), "exact": float(exact.mean())}
    tighter = variant(flow, trace="exact", tolerance=tolerance / 10)
    off = tighter.likelihood(x, batch_size=len(x)).value.double() - exact
    found |= {"tighter_mean": float(off.mean()), "tighter_worst": float(off.abs().max())}
    found["tighter_evaluations"] = evaluations(tighter)
    by_probe = variant(flow, trace="hutchinson")
    for k in (1, probes):
        # Of an estimate of a bound the draw of the dequantisation stays the same, and probes are counted apart.
        how = {"probes": k} if "bound" in by_probe.kind_in_words else {"samples": k}
        values = by_probe.likelihood(x, **how).value.double()
        off = values - exact
        found[f"probes_{k}"] = float(off.mean())
        found[f"probes_{k}_error"] = float(off.std() / math.sqrt(len(off)))
        found[f"probes_{k}_row"] = float(off.std())
    return found


def toy_cell(cell: Mapping[str, Any], probes: int) -> dict[str, Any]:
    """All figures of one toy."""
    toy, data = cell["toy"], load(cell["toy"])
    x = torch.tensor(data.x[split(data, cell["seed"]).test], dtype=torch.float32)
    true = float(np.mean(toys.log_density(toy, x.double().numpy())))
    flow, steps = fitted("ffjord", cell)
    reached = float(flow.likelihood(x).value.double().mean())
    found: dict[str, Any] = {"ffjord": true - reached, "ffjord_steps": steps, "matching": []}
    for fraction in FRACTIONS:
        other, steps = fitted("flow_matching", cell, fraction)
        gap = true - float(other.likelihood(x).value.double().mean())
        found["matching"].append({"share": fraction, "gap": gap, "steps": steps, "evaluations": evaluations(other)})
    return {**found, **accuracy(flow, x, probes)}


def markdown(lines: list[dict[str, Any]], probes: int) -> str:
    """Two tables: what was reached when, and how exact the likelihoods are."""
    columns = "".join(f" flow_matching, {line['share']:g} of it |" for line in lines[0]["matching"])
    reached = [f"| toy | ffjord |{columns} reached at |", "|---|" + "---|" * (len(lines[0]["matching"]) + 2)]
    for line in lines:
        cells = "".join(f" {one['gap']:.3f} ({one['steps']:,} steps) |" for one in line["matching"])
        at = [one["share"] for one in line["matching"] if one["gap"] <= line["ffjord"]]
        when = f"{min(at):g}" if at else "not"
        reached.append(f"| {line['toy']} | {line['ffjord']:.3f} ({line['ffjord_steps']:,} steps) |{cells} {when} |")
    return "\n".join([*reached, "", *_exactness([(line["toy"], line) for line in lines], probes)])


def _exactness(found: list[tuple[str, dict[str, Any]]], probes: int) -> list[str]:
    text = [
        f"| data | evaluations | tolerance / 10: mean, worst row | its evaluations | 1 probe | {probes} probes |",
        "|---|---|---|---|---|---|",
    ]
    for name, line in found:
        by_probe = "".join(
            f" {line[f'probes_{k}']:+.4f} ± {line[f'probes_{k}_error']:.4f} (a row {line[f'probes_{k}_row']:.3f}) |"
            for k in (1, probes)
        )
        tighter = f"{line['tighter_mean']:+.1e}, {line['tighter_worst']:.1e}"
        text.append(f"| {name} | {line['evaluations']} | {tighter} | {line['tighter_evaluations']} |{by_probe}")
    return text


def parse_arguments(given: list[str] | None = None) -> argparse.Namespace:
    """The command line; ``given`` stands in for the program's own."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--toys", type=lambda text: text.split(","), default=list(toys.TOYS), help="names with commas")
    parser.add_argument("--seconds", type=float, default=60.0, help="training time of ffjord, of the processor")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--probes", type=int, default=100, help="the many that are set against one")
    parser.add_argument("--out", type=Path, default=Path("runs/continuous"), help="folder for figures")
    parser.add_argument("--model", type=Path, help="train nothing; score this saved ffjord")
    parser.add_argument("--data", default="digits", help="with --model: whose test rows")
    parser.add_argument("--rows", type=int, default=20, help="with --model: how many of them")
    arguments = parser.parse_args(given)
    if unknown := [name for name in arguments.toys if name not in toys.TOYS]:
        parser.error(f"toy {unknown[0]!r} is not known; there are {', '.join(toys.TOYS)}")
    return arguments


def main() -> int:
    arguments = parse_arguments()
    torch.set_num_threads(1)
    if arguments.model is not None:
        data = load(arguments.data)
        x = torch.as_tensor(data.x[split(data, arguments.seed).test][: arguments.rows])
        found = accuracy(pushforward.load(arguments.model), x, arguments.probes)
        print("\n".join(_exactness([(arguments.data, found)], arguments.probes)))
        return 0
    arguments.out.mkdir(parents=True, exist_ok=True)
    cells = Cells(arguments.out / "continuous.jsonl", KEY)
    warm_up()
    wanted = [wanted_cell(toy, arguments) for toy in arguments.toys]

    def run() -> None:
        for cell in wanted:
            with cells.claim(cell) as ours:
                if ours:
                    cells.add({**cell, **toy_cell(cell, arguments.probes)})
                    print(f"{cell['toy']}: done", flush=True)
        if lines := cells.finished(wanted):
            print(markdown(lines, arguments.probes))

    return resumable(run)


if __name__ == "__main__":
    sys.exit(main())
