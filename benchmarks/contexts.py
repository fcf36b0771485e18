"""Conditional fits in several units of the context, against the truth: does p(x | c) depend on the unit of c?

    python benchmarks/contexts.py --steps 600 --out runs/contexts.jsonl

One table in Markdown: mean log-density of 4,000 held-out rows in nats. In the last rows the context says nothing, says
nearly everything, or has a constant column.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from pathlib import Path

import torch
from torch import Tensor

import pushforward as pf

FLOWS = ("nsf_ar", "nsf", "maf", "real_nvp", "gaussianization")
# Factor and offset of each unit.
UNITS = {
    "unit normal": (1.0, 0.0),
    "year": (5.0, 2015.0),
    "GeV": (30.0, 200.0),
    "second since 1970": (3.0, 1.7e9),
    "kilogram of a star": (1e30, 2e30),
    "strain": (1e-21, 0.0),
}
ROWS = 4000
NOISE = 0.1


def rows(n: int, seed: int) -> tuple[Tensor, Tensor, float]:
    """Two columns given one number, ``x1 = sin(2 c) + e1``, ``x2 = c x1 + e2``, and their mean true log-density."""
    generator = torch.Generator().manual_seed(seed)
    c = torch.randn(n, 1, generator=generator, dtype=torch.float64)
    e = NOISE * torch.randn(n, 2, generator=generator, dtype=torch.float64)
    first = (2 * c[:, 0]).sin() + e[:, 0]
    x = torch.stack([first, c[:, 0] * first + e[:, 1]], 1)
    truth = -0.5 * (e / NOISE).square().sum(1) - 2 * math.log(NOISE * math.sqrt(2 * math.pi))
    return x, c, float(truth.mean())


def fitted(name: str, parts: tuple[Tensor, Tensor], held_out: tuple[Tensor, Tensor], steps: int) -> tuple[float, float]:
    """The mean log-density of the rows held out, and its standard error, after a fit to the others."""
    (x, context), (test, test_context) = parts, held_out
    torch.manual_seed(0)
    options = {"transforms": 3, "hidden": (64, 64)} if name != "gaussianization" else {}
    flow = pf.flows.build(name, event_shape=x.shape[1], context_dim=context.shape[1], **options)
    pf.fit(flow, x.float(), context=context, steps=steps, batch_size=256, lr=2e-3, progress=False)
    value = flow.likelihood(test.float(), test_context).value.double()
    return float(value.mean()), float(value.std() / math.sqrt(len(value)))


def special() -> dict[str, tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor], float]]:
    """Contexts that say nothing, nearly everything, and that have a constant column: rows, rows held out, truth."""
    train, test = rows(ROWS, 1), rows(ROWS, 2)
    generator = torch.Generator().manual_seed(5)
    noise = [2015 + torch.randn(ROWS, 1, generator=generator, dtype=torch.float64) for _ in range(2)]
    gauss = [torch.randn(ROWS, 2, generator=generator, dtype=torch.float64) for _ in range(2)]
    none = float((-0.5 * gauss[1].square().sum(1) - math.log(2 * math.pi)).mean())
    tiny = [1e-3 * g for g in gauss]
    known = [2015 + 5 * torch.randn(ROWS, 2, generator=generator, dtype=torch.float64) for _ in range(2)]
    whole = float((-0.5 * gauss[1].square().sum(1) - math.log(2 * math.pi * 1e-6)).mean())
    constant = [torch.cat([5 * c + 2015, torch.full_like(c, 293.15)], 1) for _, c, _ in (train, test)]
    return {
        "says nothing": ((gauss[0], noise[0]), (gauss[1], noise[1]), none),
        "says nearly everything": (
            ((known[0] - 2015) / 5 + tiny[0], known[0]),
            ((known[1] - 2015) / 5 + tiny[1], known[1]),
            whole,
        ),
        "year, and a constant column": ((train[0], constant[0]), (test[0], constant[1]), test[2]),
    }


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--flows", default=",".join(FLOWS), help="comma-separated names")
    parser.add_argument("--steps", type=int, default=600, help="optimiser steps of each fit")
    parser.add_argument("--out", type=Path, help="file of JSON lines for the figures")
    return parser.parse_args(arguments)


def main() -> None:
    arguments = parse_arguments()
    names = arguments.flows.split(",")
    (x, c, _), (test, test_c, truth) = rows(ROWS, 1), rows(ROWS, 2)
    cases = {
        unit: ((x, factor * c + offset), (test, factor * test_c + offset), truth)
        for unit, (factor, offset) in UNITS.items()
    } | special()
    print(f"| context | {' | '.join(names)} | truth |\n|---|{'---|' * (len(names) + 1)}")
    for case, (parts, held_out, true) in cases.items():
        cells = []
        for name in names:
            mean, error = fitted(name, parts, held_out, arguments.steps)
            cells.append(f"{mean:.3f} ± {error:.3f}")
            if arguments.out is not None:
                arguments.out.parent.mkdir(parents=True, exist_ok=True)
                with arguments.out.open("a") as file:
                    file.write(json.dumps({"context": case, "flow": name, "nats": mean, "error": error}) + "\n")
        print(f"| {case} | {' | '.join(cells)} | {true:.3f} |")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
