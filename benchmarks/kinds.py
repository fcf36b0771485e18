"""Whether likelihoods are what their kind says, after training; and inverses, Lipschitz constants and memory.

    python benchmarks/kinds.py                # all parts but the last; PART,PART: some of them
    python benchmarks/kinds.py memory

estimates: flows of 2 and 8 columns, their mean over ``--draws`` probes a row against the exact value of the same
weights. bounds: flows of 1 and 2 columns, and of two integers, with 1 to 1,000 draws a row against the exact value, by
quadrature over what is drawn. inverses: residual flows back and forth in float32 and float64. lipschitz: singular
values of every layer of a trained residual flow, as a matrix, next to its coefficient. memory: the peak of a process
that scores images of 28 x 28 with ``--samples`` draws a row. Prints Markdown.
"""

from __future__ import annotations

import argparse
import math
import resource
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from models import warm_up
from torch import Tensor

import pushforward
from pushforward import flows
from pushforward.data import toys
from pushforward.diagnostics.estimates import estimated_log_terms
from pushforward.diagnostics.integration import continuous_part, integrate
from pushforward.diagnostics.noise_quadrature import integrated_over_noise
from pushforward.flow import Flow
from pushforward.nets.lipschitz import LipschitzLayer
from pushforward.training import TrainingOptions
from pushforward.transforms import Residual
from pushforward.transforms.fixed_point import solve, tolerance

_ROWS, _TRAINED, _STEPS = 20, 5_000, 300
_CELL = 200  # of the unit square that stands for an event of two integers, a side
_DRAWS = (1, 10, 100, 1_000)
_REPEATS = 5_000  # draws a row in all, however many of them make one value
_MEMORY = ("real_nvp", "flowpp", "vflow", "residual_flow")


def rows_of(features: int, n: int, seed: int) -> Tensor:
    """Two bumps; the pinwheel; in eight columns four pinwheels, so that pairs depend on each other."""
    if features == 1:
        random = np.random.default_rng(seed)
        x = np.where(random.random((n, 1)) < 0.4, -2.0, 1.0) + 0.4 * random.standard_normal((n, 1))
    else:
        x = np.concatenate([toys.sample("pinwheel", n, 10 * seed + i) for i in range(features // 2)], 1)
    return torch.as_tensor(x, dtype=torch.float32)


def trained(name: str, features: int, steps: int = _STEPS, integers: int = 0, **options: Any) -> tuple[Flow, Tensor]:
    """A flow after some hundred steps, and rows that it has not seen; integers: the data are so many levels."""
    x = rows_of(features, _TRAINED + _ROWS, seed=0)
    if integers:
        x = ((x + 3) / 6 * integers).floor().clamp(0, integers - 1)
    torch.manual_seed(0)
    flow = flows.build(name, (features,), **options)
    told = TrainingOptions(steps=steps, lr=3e-3, batch_size=256, epochs=None, seed=0)
    pushforward.fit(flow, x[:_TRAINED], validation=x[:500], options=told, progress=False)
    return flow.double(), x[_TRAINED:].double()


def estimates(arguments: argparse.Namespace) -> Iterator[str]:
    """The mean over many probes against the exact log-likelihood, in nats."""
    yield from _head("flow", "columns", "kind", "mean difference", "worst row, standard errors")
    wanted: list[tuple[str, dict[str, Any]]] = [
        ("residual_flow", {"log_det": "roulette"}),
        ("iresnet", {"log_det": "truncated"}),
        ("ffjord", {"trace": "hutchinson"}),
    ]
    for name, options in wanted:
        for features in (2, 8):
            flow, x = trained(name, features, **options)
            values, exact = estimated_log_terms(flow.transform, x, probes=arguments.draws)
            off = values.mean(0) - exact
            error = values.std(0) / math.sqrt(len(values))
            mean = f"{off.mean():+.5f} ± {error.norm() / len(off):.5f}"
            yield _row(name, features, flow.kind_in_words, mean, f"{(off / error).abs().max():.1f}")


def bounds(arguments: argparse.Namespace) -> Iterator[str]:
    """How far below the exact log-likelihood bounds lie, with more and more draws a row, in nats.

    The exact value is a mean of the same weights: that these have the right size the integral over all data says.
    """
    yield from _head("flow", "columns", *(f"k = {k:,}" for k in _DRAWS), "highest, standard errors", "integral")
    small = {"transforms": 2, "hidden": (32,)}
    wanted: list[tuple[str, int, dict[str, Any]]] = [
        ("vflow", 1, {**small, "extra": 1}),
        ("anf", 1, {"transforms": 2}),
        ("cif", 1, {"inner": "nsf_ar", "transforms": 2, "index": 1}),
        ("vflow", 2, {**small, "extra": 1}),
        ("anf", 2, {"transforms": 2}),
        ("cif", 2, {**small, "index": 1}),
        ("real_nvp", 2, {**small, "levels": 8, "integers": 8}),
    ]
    for name, features, options in wanted:
        flow, x = trained(name, features, **options)
        exact = (exact_integers if options.get("integers") else integrated_over_noise)(flow, x)
        cells, highest = [], -math.inf
        for k in _DRAWS:
            again = _REPEATS // k
            # Noise is keyed by the number of a row: the same row again has other draws.
            values = flow.likelihood(x.repeat(again, 1), samples=k).value.reshape(again, -1)
            error = values.std(0) / math.sqrt(again)
            highest = max(highest, float(((values.mean(0) - exact) / error).max()))
            cells.append(f"{(exact - values.mean(0)).mean():.5f} ± {error.norm() / len(x):.5f}")
        what = f"{features} integers of {options['levels']}" if options.get("integers") else str(features)
        whole = integrate(flow, samples=60_000)
        yield _row(name, what, *cells, f"{highest:+.1f}", f"{whole.value:.4f} ± {whole.error:.4f}")


@torch.no_grad()
def exact_integers(flow: Flow, x: Tensor) -> Tensor:
    """The log of the integral of the density over the cell of each event, by midpoints."""
    levels = int(flow.transform.domain.high) + 1
    ends = (torch.arange(_CELL, dtype=torch.float64) + 0.5) / _CELL
    grid = torch.cartesian_prod(ends, ends)
    density = continuous_part(flow)
    values = torch.stack([density.log_prob((row + grid) / levels).logsumexp(0) for row in x])
    return values - math.log(len(grid)) - x.shape[1] * math.log(levels)


def inverses(arguments: argparse.Namespace) -> Iterator[str]:
    """The worst error of a block's inverse in units of what it states, and of the whole flow's there and back."""
    yield from _head("flow", "columns", "dtype", "stated, of a block", "worst block", "whole flow, there and back")
    for name in ("iresnet", "residual_flow"):
        for features in (2, 8):
            flow, _ = trained(name, features)
            for dtype in (torch.float32, torch.float64):
                x = rows_of(features, 500, seed=1).to(dtype)
                flow = flow.to(dtype).eval()
                with torch.no_grad():
                    back = flow.decode(flow.encode(x))
                    worst = max(_block_error(b, x) for b in flow.modules() if isinstance(b, Residual))
                whole = _error(back, x)
                yield _row(name, features, str(dtype)[6:], f"{tolerance(dtype):.1e}", f"{worst:.1e}", f"{whole:.1e}")
                flow.double()


def _block_error(block: Residual, z: Tensor) -> float:
    """Of the fixed point against the one of the same weights in float64, iterated until nothing moves."""
    found = solve(block.net.at(None), z, block.net.lipschitz)
    wide, exact = block.double().net.at(None), z.double()
    for _ in range(800):
        exact = z.double() - wide(exact)
    block.to(z.dtype)
    return _error(found, exact)


def _error(found: Tensor, exact: Tensor) -> float:
    off = (found.double() - exact.double()).square().mean(1).sqrt()
    return float((off / (1 + exact.abs().amax(1))).max())


def lipschitz(arguments: argparse.Namespace) -> Iterator[str]:
    """The largest singular value of each layer's matrix, over its coefficient."""
    yield from _head("flow", "of", "layers", "coefficient", "largest singular value / coefficient: lowest, highest")
    image = {"transforms": 2, "channels": 16, "scales": 1}
    for name, shape, options in [
        ("iresnet", (2,), {}),
        ("residual_flow", (2,), {}),
        ("residual_flow", (1, 8, 8), image),
    ]:
        flow = trained(name, 2)[0] if len(shape) == 1 else _trained_on_digits(name, shape, options)
        layers = [m for m in flow.double().eval().modules() if isinstance(m, LipschitzLayer)]
        found = [_true_norm(layer) / layer.coefficient for layer in layers]
        what = f"{shape[0]} columns" if len(shape) == 1 else "8 x 8 digits"
        spread = f"{min(found):.5f}, {max(found):.5f}"
        yield _row(name, what, len(layers), f"{layers[0].coefficient:g}", spread)


def _trained_on_digits(name: str, shape: tuple[int, ...], options: dict[str, Any]) -> Flow:
    x = torch.as_tensor(pushforward.data.load("digits").x)
    torch.manual_seed(0)
    flow = flows.build(name, shape, levels=17, **options)
    told = TrainingOptions(steps=_STEPS, lr=3e-3, batch_size=64, epochs=None, seed=0)
    pushforward.fit(flow, x[:1_500], validation=x[1_500:], options=told, progress=False)
    return flow


@torch.no_grad()
def _true_norm(layer: LipschitzLayer) -> float:
    """By the singular values of the operator as a dense matrix, on inputs of its size."""
    inputs = layer.right.numel()
    eye = torch.eye(inputs, dtype=torch.float64).reshape(inputs, *layer.right.shape)
    matrix = layer.apply_to(eye, layer.normalised()).reshape(inputs, -1)
    return float(torch.linalg.svdvals(matrix)[0])


def memory(arguments: argparse.Namespace) -> Iterator[str]:
    """Peak resident memory of this process so far, after scoring images of 28 x 28; run one flow a process."""
    yield from _head("flow", "images", "draws a row", "seconds", "peak before, MiB", "peak after, MiB")
    for name in arguments.flows:
        torch.manual_seed(0)
        flow = flows.build(name, (1, 28, 28), levels=256).eval()
        x = torch.randint(0, 256, (arguments.images, 1, 28, 28)).float()
        before, started = _peak(), time.perf_counter()
        found = flow.likelihood(x, samples=arguments.samples)
        assert found.value.isfinite().all()
        took = time.perf_counter() - started
        yield _row(name, len(x), f"{found.samples:,}", f"{took:.0f}", f"{before:,.0f}", f"{_peak():,.0f}")


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _head(*names: str) -> Iterator[str]:
    yield _row(*names)
    yield _row(*["---"] * len(names))


def _row(*cells: object) -> str:
    return "| " + " | ".join(map(str, cells)) + " |"


PARTS: dict[str, Callable[[argparse.Namespace], Iterator[str]]] = {
    part.__name__: part for part in (estimates, bounds, inverses, lipschitz, memory)
}


def parse_arguments(given: list[str] | None = None) -> argparse.Namespace:
    """The command line; ``given`` stands in for the program's own."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="?", default=",".join([*PARTS][:-1]), help=f"with commas: {', '.join(PARTS)}")
    parser.add_argument("--draws", type=int, default=2_000, help="estimates: probes a row")
    parser.add_argument("--flows", default=_MEMORY[0], help=f"memory: names with commas, such as {', '.join(_MEMORY)}")
    parser.add_argument("--images", type=int, default=4, help="memory: how many")
    parser.add_argument("--samples", type=int, default=1_000, help="memory: draws a row")
    arguments = parser.parse_args(given)
    arguments.parts, arguments.flows = arguments.parts.split(","), arguments.flows.split(",")
    if unknown := [name for name in arguments.parts if name not in PARTS]:
        parser.error(f"part {unknown[0]!r} is not known; there are {', '.join(PARTS)}")
    return arguments


def main() -> int:
    arguments = parse_arguments()
    torch.set_num_threads(1)
    warm_up()
    for part in arguments.parts:
        print(f"\n{part}: {PARTS[part].__doc__}\n")
        for line in PARTS[part](arguments):
            print(line, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
