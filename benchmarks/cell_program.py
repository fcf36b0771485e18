"""What the benchmarks of cells share: options of the command line, the loop over cells, and a table of figures."""

from __future__ import annotations

import argparse
import math
import os
import sys
import time
import traceback
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from cells import Cells, resumable

Cell = Mapping[str, Any]
# What makes a cell; ``seconds`` is None for a model that takes as long as it takes.
KEY = ("table", "model", "seed", "seconds")


@dataclass(frozen=True)
class Figure:
    """A figure of the lines: its name there, its title with the unit, and whether more of it is better, if it is."""

    name: str
    title: str
    more_is_better: bool | None = True
    digits: int = 3


def names_of(known: Iterable[str]) -> Callable[[str], list[str]]:
    """A type for argparse: names with commas, each one of ``known``."""
    known = list(known)

    def parse(text: str) -> list[str]:
        names = [name.strip() for name in text.split(",") if name.strip()]
        for name in names:
            if name not in known:
                raise argparse.ArgumentTypeError(f"{name!r} is not known; there are {', '.join(known)}")
        return names

    return parse


def numbers(text: str) -> list[float]:
    """A type for argparse: numbers with commas."""
    return [float(number) for number in text.split(",")]


def counts(text: str) -> list[int]:
    """A type for argparse: whole numbers with commas."""
    return [int(number) for number in text.split(",")]


def parser_of(description: str, tables: Sequence[str], models: Sequence[str], out: str) -> argparse.ArgumentParser:
    """The options that every benchmark of cells has; ``description`` is the text that --help begins with."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    listed = {"tables": tables, "models": models}
    for option, known in listed.items():
        parser.add_argument(
            f"--{option}", type=names_of(known), default=list(known), help=f"with commas; of: {', '.join(known)}"
        )
    parser.add_argument("--seeds", type=counts, default=[0], help="with commas; default 0")
    parser.add_argument("--out", type=Path, default=Path(out), help=f"JSON lines of finished cells; default {out}")
    parser.add_argument("--again", action="store_true", help="do cells that have a line once more; the newest counts")
    parser.add_argument("--markdown", action="store_true", help="do nothing; print the finished cells as Markdown")
    return parser


def grid(arguments: argparse.Namespace, timed: Iterable[str]) -> list[Cell]:
    """All cells that the arguments ask for, one table and seed after the other; ``timed`` models for each time."""
    return [
        {"table": table, "model": model, "seed": seed, "seconds": seconds}
        for table in arguments.tables
        for seed in arguments.seeds
        for model in arguments.models
        for seconds in (arguments.seconds if model in timed else [None])
    ]


def data_folder() -> Path:
    """The folder with the data, from the environment; one that is not there is told where a table needs it."""
    return Path(os.environ.get("PUSHFORWARD_DATA", "data"))


@contextmanager
def stopwatch() -> Iterator[Callable[[], float]]:
    """A function that gives the seconds since the block began, and after its end those that the block took."""
    started, ended = time.perf_counter(), None
    yield lambda: round((ended or time.perf_counter()) - started, 2)
    ended = time.perf_counter()


def run_cells(
    arguments: argparse.Namespace, cells: Cells, wanted: Iterable[Cell], do: Callable[[Cell], Mapping[str, Any]]
) -> int:
    """Do the ``wanted`` cells that nobody has done or is at, with progress; the exit status of the program.

    ``do`` gives a cell's figures. A cell that fails is told, with where, and does not end the others.
    """
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    listed = list(wanted)
    failed = 0

    def work() -> None:
        nonlocal failed
        for number, cell in enumerate(listed, 1):
            title = f"[{number}/{len(listed)}] {' '.join(str(cell[name]) for name in cells.key)}"
            with cells.claim(cell) as ours:
                if not (ours or arguments.again):
                    continue
                wall, cpu = time.perf_counter(), time.process_time()
                try:
                    figures = do(cell)
                except Exception as error:  # one model's failure on one table is a result, and ends no other cell
                    failed += 1
                    where = traceback.extract_tb(error.__traceback__)[-1]
                    print(f"{title}: failed: {type(error).__name__}: {error} ({where.filename}:{where.lineno})")
                    sys.stdout.flush()
                    continue
                taken = {"wall": round(time.perf_counter() - wall, 1), "cpu": round(time.process_time() - cpu, 1)}
                assert not cell.keys() & figures.keys(), "a figure would replace what names the cell"
                load = round(os.getloadavg()[0], 1)
                cells.add({**cell, **_json(figures), **taken, "load": load})
                told = ", ".join(f"{name} {_short(value)}" for name, value in {**figures, **taken}.items())
                print(f"{title}: {told}", flush=True)

    status = resumable(work)
    return status or (1 if failed else 0)


def run_or_print(
    arguments: argparse.Namespace,
    figures: Sequence[Figure],
    do: Callable[[Cell], Mapping[str, Any]],
    timed: Iterable[str],
) -> int:
    """The exit status of a benchmark whose cells are a `grid`: it does them, or prints the figures of finished ones."""
    cells = Cells(arguments.out, KEY)
    if arguments.markdown:
        print("\n\n".join(pivot(newest(cells), figure, model=timed_title) for figure in figures))
        return 0
    return run_cells(arguments, cells, grid(arguments, timed), do)


def _json(figures: Mapping[str, Any]) -> dict[str, Any]:
    """The figures with None for a float that is not finite, which JSON does not know."""
    return {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in figures.items()}


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def newest(cells: Cells) -> list[Cell]:
    """The finished cells; of one that was done again, the newest."""
    return list({tuple(line.get(name) for name in cells.key): line for line in cells.lines()}.values())


def timed_title(line: Cell) -> str:
    """The model of a line and its time, where it has one."""
    return line["model"] if line.get("seconds") is None else f"{line['model']} {line['seconds']:g} s"


def pivot(lines: Sequence[Cell], figure: Figure, *, model: Callable[[Cell], str] = lambda line: line["model"]) -> str:
    """One Markdown table of a figure: rows are tables, columns are models, cells means over the seeds.

    With several seeds the standard error of their mean follows; the best of each row is bold, and so is whatever is
    within one standard error of it. A cell of which one seed has no finite figure says so.
    """
    found: dict[tuple[str, str], dict[Any, Any]] = defaultdict(dict)
    for line in lines:
        if figure.name in line:
            found[line["table"], model(line)][line.get("seed"), line.get("split")] = line[figure.name]
    tables, models = (list(dict.fromkeys(place[i] for place in found)) for i in (0, 1))
    rows = [["table", *models], ["---"] * (1 + len(models))]
    for table in tables:
        row = {name: _mean(found[table, name].values()) for name in models if (table, name) in found}
        rows.append([table, *(_entry(row, name, figure) for name in models)])
    return "\n".join([f"{figure.title}:\n", *("| " + " | ".join(row) + " |" for row in rows)])


def _mean(values: Iterable[float | None]) -> tuple[float, float]:
    """Mean and standard error over the seeds; NaN where one of them is missing."""
    numbers = [math.nan if value is None else float(value) for value in values]
    mean = math.fsum(numbers) / len(numbers)
    if len(numbers) < 2:
        return mean, 0.0
    variance = math.fsum((x - mean) ** 2 for x in numbers) / (len(numbers) - 1)
    return mean, math.sqrt(variance / len(numbers))


def _entry(row: Mapping[str, tuple[float, float]], name: str, figure: Figure) -> str:
    if name not in row:
        return ""
    mean, error = row[name]
    if math.isnan(mean):
        return "not finite"
    text = f"{mean:.{figure.digits}f}" + (f" ± {error:.{figure.digits}f}" if error else "")
    if figure.more_is_better is None:
        return text
    sign = 1 if figure.more_is_better else -1
    best, of_best = max((value for value in row.values() if not math.isnan(value[0])), key=lambda v: sign * v[0])
    return f"**{text}**" if sign * (best - mean) <= math.hypot(error, of_best) else text
