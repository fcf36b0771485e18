"""Real NVP on the six 2-D toys: learned against true log-likelihood on held-out rows, and a picture of both densities.

    python benchmarks/toys.py --minutes 2 --out runs/toys

Writes ``toys.jsonl``, one line a toy (those that are there are skipped, so that an interrupted run goes on), and
``toys.png``: true density, learned density, samples.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure

import pushforward
from pushforward.cli.defaults import defaults
from pushforward.data import load, split, toys
from pushforward.training import TrainingOptions

_EDGE, _CELLS = 4.5, 220


def fit_toy(name: str, minutes: float, seed: int) -> tuple[pushforward.Flow, dict[str, object]]:
    """A flow fitted to one toy with the defaults of ``pushforward fit``, and its figures on the test rows."""
    data = load(name)
    rows = split(data, seed)
    options, training = defaults(data, "real_nvp")
    torch.manual_seed(seed)
    flow = pushforward.flows.build("real_nvp", event_shape=(2,), **options)
    x = torch.tensor(data.x, dtype=torch.float32)
    chosen = TrainingOptions(**{**training, "minutes": minutes, "seed": seed})
    result = pushforward.fit(flow, x[rows.train], x[rows.validation], options=chosen)
    learned = flow.likelihood(x[rows.test])
    true = toys.log_density(name, data.x[rows.test])
    gap = true - learned.value.double().numpy()
    return flow, {
        "toy": name,
        "learned": float(learned.value.double().mean()),
        "true": float(true.mean()),
        "gap": float(gap.mean()),
        "gap_standard_error": float(gap.std(ddof=1) / np.sqrt(len(gap))),
        "kind": learned.kind,
        "rows": len(gap),
        "steps": result.steps,
        "seconds": round(result.seconds, 1),
    }


def draw(flows: dict[str, pushforward.Flow], path: Path) -> None:
    """Three rows of pictures, a column a toy: the true density, the learned one, samples of the learned one."""
    grid = np.linspace(-_EDGE, _EDGE, _CELLS)
    points = np.stack(np.meshgrid(grid, grid), -1).reshape(-1, 2)
    figure = Figure(figsize=(2.2 * len(flows), 6.9), layout="constrained")
    axes = figure.subplots(3, len(flows), squeeze=False)
    for column, (name, flow) in enumerate(flows.items()):
        true = np.exp(toys.log_density(name, points)).reshape(_CELLS, _CELLS)
        with torch.no_grad():
            value = flow.log_prob(torch.tensor(points, dtype=torch.float32))
            samples = flow.sample(4000, generator=torch.Generator().manual_seed(0)).numpy()
        learned = value.double().exp().numpy().reshape(_CELLS, _CELLS)
        top = float(np.quantile(true, 0.995))
        for row, density in enumerate((true, learned)):
            axes[row, column].imshow(
                density, origin="lower", extent=(-_EDGE, _EDGE) * 2, vmin=0, vmax=top, cmap="magma", aspect="equal"
            )
        axes[2, column].plot(samples[:, 0], samples[:, 1], ".", markersize=1, alpha=0.5, color="#b5367a")
        axes[2, column].set(xlim=(-_EDGE, _EDGE), ylim=(-_EDGE, _EDGE), aspect="equal")
        axes[0, column].set_title(name, fontsize=10)
    for axis in axes.flat:
        axis.set(xticks=[], yticks=[])
    for axis, label in zip(axes[:, 0], ("true density", "learned density", "samples"), strict=True):
        axis.set_ylabel(label, fontsize=10)
    figure.savefig(path, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=2.0, help="training time for each toy")
    parser.add_argument("--out", type=Path, default=Path("runs/toys"), help="folder for figures and models")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    lines = arguments.out / "toys.jsonl"
    flows = {}
    for name in toys.TOYS:
        folder = arguments.out / name
        if folder.exists():
            flows[name] = pushforward.load(folder)
            continue
        flow, figures = fit_toy(name, arguments.minutes, arguments.seed)
        pushforward.save(flow, folder)
        with lines.open("a") as file:
            file.write(json.dumps(figures) + "\n")
        flows[name] = flow
    draw(flows, arguments.out / "toys.png")
    print(lines.read_text(), end="")


if __name__ == "__main__":
    main()
