"""Bits/dim of images against time, for every flow on images: one line a cell, the models, and a sheet of samples each.

    export PUSHFORWARD_DATA=DATA
    python benchmarks/images.py --data digits,mnist --flows nice,real_nvp,glow,nsf,flowpp,flowpp-variational \
        --minutes 20 --out runs/images
    python benchmarks/images.py --out runs/images --table
    python benchmarks/images.py --data mnist --minutes 20 --out runs/images --sheet mnist_samples.png
    python benchmarks/images.py --data mnist --minutes 20 --out runs/images --score 1,10,100

All flows have the options and the training that ``pushforward fit`` gives them, and the same rows: the published test
part, or a tenth. ``NAME-variational`` is a flow with variational dequantisation. A cell's minutes are those of the
processor, of all threads: twenty are ten minutes of two cores, and what else the machine does shortens none. Cells that
are there are skipped, so that an interrupted run goes on; several processes share the work. ``images.jsonl`` holds the
history of every cell: validation bits/dim against processor time. Test figures are of one draw a row; ``--score`` says
what more draws give.

On an accelerator the minutes are those of the clock on the wall, and a larger model costs little:

    python benchmarks/images.py --data cifar10 --device cuda --minutes 8 --flows glow --out runs/cifar10 \
        --flow-options '{"channels": 256, "transforms": 16}' --training '{"batch_size": 128, "lr": 0.002}'
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from cells import Cells, resumable
from models import all_training_options, digest, flow_options, train, training_options, warm_up
from PIL import Image, ImageDraw, ImageFont

import pushforward
from pushforward import flows
from pushforward.data import DataSet, Split, load, split
from pushforward.data.image_grid import image_grid
from pushforward.units import in_unit

KEY = ("data", "flow", "minutes", "device", "threads", "seed", "options")
FLOWS = ("nice", "real_nvp", "glow", "nsf", "macow", "flowpp", "flowpp-variational")
_SHOWN, _LINES = 64, (0.25, 0.5, 0.75)
_ABREAST, _SPACE = 4, 20
_WIDTH = 240  # of a picture, in pixels
_VARIATIONAL = "-variational"


def wanted_cell(data: DataSet, flow: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """The cell of a flow and a data set, with all options that make it."""
    name = flow.removesuffix(_VARIATIONAL)
    variational = {} if name == flow else {"dequantisation": "variational"}
    options = flow_options(name, data, {**variational, **arguments.flow_options})
    # The budget is the cell's own: no number of passes ends it.
    told = all_training_options({**training_options(name, data), "epochs": None, **arguments.training})
    return {
        "data": data.name,
        "flow": flow,
        **{key: getattr(arguments, key) for key in ("minutes", "device", "threads", "seed")},
        "options": digest(options, told),
        "flow_options": options,
        "training": told,
    }


def fit_cell(cell: Mapping[str, Any], data: DataSet, rows: Split) -> tuple[pushforward.Flow, dict[str, Any]]:
    """The flow of ``cell`` fitted, and what is to be said of it. Raises KeyboardInterrupt where Ctrl-C ended it."""
    torch.manual_seed(cell["seed"])
    name = cell["flow"].removesuffix(_VARIATIONAL)
    flow = flows.build(name, data.event_shape, **cell["flow_options"]).to(cell["device"])
    x = torch.as_tensor(data.x)
    # An accelerator works while the processor waits; only the wall's clock sees it.
    clock = time.process_time if cell["device"] == "cpu" else time.perf_counter
    result = train(flow, (x[rows.train], x[rows.validation]), cell, cell["minutes"], clock)
    likelihood = flow.likelihood(x[rows.test].to(cell["device"]), batch_size=250)
    bits = in_unit(likelihood.value.double().cpu().numpy(), "bits/dim", math.prod(data.event_shape))
    history = [(e["seconds"] / 60, e["validation"]) for e in result.history]
    return flow, {
        "bits": float(bits.mean()),
        "standard_error": float(bits.std(ddof=1) / math.sqrt(len(bits))),
        "kind": likelihood.kind,
        "dequantisation": flow.dequantisation,
        "test_rows": len(bits),
        "history": [(round(minutes, 3), None if value is None else round(value, 4)) for minutes, value in history],
        "steps": result.steps,
        "best_step": result.best_step,
        "stopped_by": result.stopped_by,
        "parameters": sum(p.numel() for p in flow.parameters()),
    }


def work(cells: Cells, cell: dict[str, Any], data: DataSet) -> None:
    """Fit, save, draw and record one cell, unless it is there or another process is at it."""
    with cells.claim(cell) as ours:
        if not ours:
            return
        flow, found = fit_cell(cell, data, split(data, cell["seed"]))
        folder = cells.folder(cell)
        # The model before its line: whoever finds the line finds the model.
        pushforward.save(flow, folder, force=True)
        generator = torch.Generator(flow.device).manual_seed(cell["seed"])
        samples = flow.sample(_SHOWN, generator=generator).detach().double().cpu().numpy()
        image_grid(samples, levels=data.levels or 256).save(folder.with_name(folder.name + ".png"))
        cells.add({**cell, **found})
        figure = f"{found['bits']:.3f} ± {found['standard_error']:.3f} bits/dim"
        print(f"{cell['data']} {cell['flow']}: {figure} ({found['steps']:,} steps)", flush=True)


def markdown(lines: Sequence[Mapping[str, Any]]) -> str:
    """One table a data set: test bits/dim and validation bits/dim on the way, best first; the newest line of a cell."""
    newest = {(line["data"], line["device"], line["minutes"], line["flow"]): line for line in lines}
    tables = []
    for group in dict.fromkeys(key[:3] for key in newest):
        data, device, minutes = group
        found = [line for key, line in newest.items() if key[:3] == group]
        marks = [minutes * fraction for fraction in _LINES]
        head = ["flow", "dequantisation", "kind, k = 1", "parameters", *(f"{mark:g} min" for mark in marks), "test"]
        rows = [head, ["---"] * len(head)]
        for line in sorted(found, key=lambda line: line["bits"]):
            on_the_way = [_at(line["history"], mark) for mark in marks]
            test = f"{line['bits']:.3f} ± {line['standard_error']:.3f}"
            # Of integers every one is a bound, and where the log-determinant is estimated an estimate of it.
            kind = "estimate of a bound" if line["kind"] == "estimate" else line["kind"]
            start = [line["flow"], line["dequantisation"] or "", kind, f"{line['parameters']:,}"]
            rows.append([*start, *map(_number, on_the_way), test])
        whose = "the processor" if device == "cpu" else f"the wall's clock on {device}"
        caption = f"{data}, {minutes:g} minutes of {whose} a flow; bits/dim, lower is better"
        tables.append("\n".join([caption + "\n", *("| " + " | ".join(row) + " |" for row in rows)]))
    return "\n\n".join(tables)


def chosen(cells: Cells, arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """The newest cell of every flow asked for, on the first of the data sets after ``--minutes``, best first."""
    data = arguments.data.split(",")[0]
    wanted = (data, arguments.minutes, arguments.device)
    newest = {line["flow"]: line for line in cells.lines() if _place(line) == wanted}
    found = sorted((line for line in newest.values() if line["flow"] in arguments.flows), key=lambda line: line["bits"])
    if not found:
        raise SystemExit(f"{arguments.out} holds no models of {data} after {arguments.minutes:g} minutes")
    return found


def _place(line: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(line[name] for name in ("data", "minutes", "device"))


def tightened(cells: Cells, arguments: argparse.Namespace) -> str:
    """Test bits/dim of the chosen cells' models by the number of draws, on the first ``--rows``, as Markdown."""
    found = chosen(cells, arguments)
    data = _data(arguments.data.split(",")[0], arguments.limit)
    x = torch.as_tensor(data.x[split(data, arguments.seed).test][: arguments.rows])
    rows = [["flow", "kind", *(f"k = {k:,}" for k in arguments.score)], ["---"] * (2 + len(arguments.score))]
    for line in found:
        flow = pushforward.load(cells.folder(line))
        figures = []
        for k in arguments.score:
            bits = in_unit(
                flow.likelihood(x, samples=k).value.double().numpy(), "bits/dim", math.prod(data.event_shape)
            )
            figures.append(f"{bits.mean():.4f}")
        error = float(bits.std(ddof=1)) / math.sqrt(len(bits))
        rows.append([line["flow"], flow.kind_in_words, *figures[:-1], f"{figures[-1]} ± {error:.4f}"])
        print(f"{line['flow']}: {figures}", file=sys.stderr, flush=True)
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def sheet(cells: Cells, arguments: argparse.Namespace) -> Image.Image:
    """The samples of the `chosen` cells, side by side."""
    drawn = []
    for line in chosen(cells, arguments):
        folder = cells.folder(line)
        drawn.append((line["flow"], _enlarged(Image.open(folder.with_name(folder.name + ".png")))))
    width, height = (max(image.size[i] for _, image in drawn) + _SPACE for i in (0, 1))
    whole = Image.new(
        "RGB", (width * min(_ABREAST, len(drawn)), (height + _SPACE) * -(-len(drawn) // _ABREAST)), "white"
    )
    for i, (name, image) in enumerate(drawn):
        left, top = width * (i % _ABREAST), (height + _SPACE) * (i // _ABREAST)
        ImageDraw.Draw(whole).text((left + _SPACE // 2, top + 2), name, fill="black", font=ImageFont.load_default(13))
        whole.paste(image, (left + _SPACE // 2, top + _SPACE))
    return whole


def _enlarged(image: Image.Image) -> Image.Image:
    """So many times as large that small pictures can be told apart, and names fit above them."""
    times = max(1, _WIDTH // image.width)
    return image.convert("RGB").resize((times * image.width, times * image.height), Image.Resampling.NEAREST)


def _at(history: Sequence[tuple[float, float | None]], minutes: float) -> float:
    """The best validation figure up to a time."""
    values = [value for when, value in history if when <= minutes and value is not None]
    return min(values, default=math.nan)


def _number(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.3f}"


def _data(name: str, limit: int | None) -> DataSet:
    data = load(name)
    return data if limit is None else data.take(np.arange(min(limit, len(data))))


def parse_arguments(given: list[str] | None = None) -> argparse.Namespace:
    """The command line; ``given`` stands in for the program's own."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="digits", help="names with commas: digits, mnist, cifar10, ...")
    parser.add_argument("--flows", default=",".join(FLOWS), help="names with commas; NAME-variational")
    parser.add_argument("--minutes", type=float, default=20.0, help="of the processor, for each cell")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--limit", type=int, help="only so many rows, to try the command out")
    parser.add_argument("--device", default="cpu", help="cuda: an accelerator, and minutes of the wall's clock")
    parser.add_argument("--flow-options", type=json.loads, default={}, help="JSON, instead of defaults of the flow")
    parser.add_argument("--training", type=json.loads, default={}, help="JSON, instead of defaults of the training")
    parser.add_argument("--out", type=Path, default=Path("runs/images"), help="folder for figures and models")
    parser.add_argument("--table", action="store_true", help="train nothing; print what is there as Markdown")
    parser.add_argument(
        "--score",
        type=lambda text: [int(k) for k in text.split(",")],
        help="train nothing; score the models that are there with so many draws a row, numbers with commas",
    )
    parser.add_argument("--rows", type=int, default=200, help="with --score: how many test rows")
    parser.add_argument("--sheet", type=Path, help="train nothing; draw the samples that are there, as one PNG")
    arguments = parser.parse_args(given)
    arguments.flows = arguments.flows.split(",")
    if unknown := [name for name in arguments.flows if name.removesuffix(_VARIATIONAL) not in flows.names()]:
        parser.error(f"flow {unknown[0]!r} is not known; there are {', '.join(flows.names())}")
    return arguments


def main() -> int:
    arguments = parse_arguments()
    cells = Cells(arguments.out / "images.jsonl", KEY)
    if arguments.table:
        print(markdown(cells.lines()))
        return 0
    if arguments.sheet:
        sheet(cells, arguments).save(arguments.sheet)
        return 0
    torch.set_num_threads(arguments.threads)
    if arguments.score:
        print(tightened(cells, arguments))
        return 0
    arguments.out.mkdir(parents=True, exist_ok=True)
    warm_up()

    def run() -> None:
        for name in arguments.data.split(","):
            data = _data(name, arguments.limit)
            for flow in arguments.flows:
                work(cells, wanted_cell(data, flow, arguments), data)

    return resumable(run)


if __name__ == "__main__":
    sys.exit(main())
