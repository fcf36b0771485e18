"""The kernels against the same computation in torch's operations: the time of a call, and of flows that use them.

    python benchmarks/kernels.py --threads 1

Calls alternate between the two, and each figure is the median over rounds, in milliseconds. The flows have the sizes of
the comparison with other libraries: 8 coordinates, nets of two layers of 128, 8 bins; a step is one of training on 512
rows, and scores and samples are of 16,384 rows.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from unittest import mock

import torch

from pushforward import flows
from pushforward.kernels import instructions
from pushforward.maps import LogisticMixture, Map, ProbitMixture, RationalQuadraticSpline
from pushforward.nets import MLP

_SIZES = (64, 2_048, 65_536)
_ROWS, _BATCH, _FEATURES = 16_384, 512, 8
_MAPS = {"splines": RationalQuadraticSpline(8), "mixtures of 8": LogisticMixture(8), "probits of 24": ProbitMixture(24)}


@contextmanager
def _formulas() -> Iterator[None]:
    """The same computation without kernels."""
    with mock.patch("pushforward.kernels.checks.has_kernels", return_value=False):
        yield


def _milliseconds(call: Callable[[], object], rounds: int) -> tuple[float, float]:
    """Medians of the time of a call with the kernels and without, in turn."""
    took: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds):
        for kernels, times in zip((True, False), took, strict=True):
            started = time.perf_counter()
            if kernels:
                call()
            else:
                with _formulas():
                    call()
            times.append(1e3 * (time.perf_counter() - started))
    return statistics.median(took[0][1:]), statistics.median(took[1][1:])


def map_calls(map: Map, size: int) -> dict[str, Callable[[], object]]:
    """One call of a map of so many elements in each direction, and one with its gradients."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(4, size // 4, generator=generator)
    params = torch.randn(map.n_params, 4, size // 4, generator=generator)
    inputs = (x.clone().requires_grad_(), params.clone().requires_grad_())

    def with_gradients() -> object:
        y, log_slope = map.forward(*inputs)
        return torch.autograd.grad(y.sum() + log_slope.sum(), inputs)

    return {
        "forward": torch.no_grad()(lambda: map.forward(x, params)),
        "inverse": torch.no_grad()(lambda: map.inverse(x, params)),
        "forward and gradients": with_gradients,
    }


def net_calls(rows: int) -> dict[str, Callable[[], object]]:
    """The net of an affine coupling on so many rows, and with its gradients."""
    torch.manual_seed(0)
    net, x = MLP(_FEATURES // 2, _FEATURES, (128, 128), zero=False), torch.randn(rows, _FEATURES // 2)
    inputs = [x.clone().requires_grad_(), *net.parameters()]
    grad = torch.randn(rows, _FEATURES)

    @torch.no_grad()
    def values() -> object:
        return net(x)

    return {"forward": values, "forward and gradients": lambda: torch.autograd.grad(net(inputs[0]), inputs, grad)}


def flow_calls(name: str) -> dict[str, Callable[[], object]]:
    """A training step, scores and samples of a flow."""
    torch.manual_seed(0)
    flow = flows.build(name, (_FEATURES,), hidden=(128, 128))
    batch, rows = torch.randn(_BATCH, _FEATURES), torch.randn(_ROWS, _FEATURES)
    flow.initialise(batch)
    optimiser = torch.optim.Adam(flow.parameters(), lr=1e-4, fused=True)

    def step() -> None:
        optimiser.zero_grad()
        flow.objective(batch).value.backward()
        optimiser.step()

    @torch.no_grad()
    def score() -> object:
        return flow.log_prob(rows)

    return {"step": step, "log_prob": score, "sample": lambda: flow.sample(_ROWS, seed=0)}


def parse_arguments(given: list[str] | None = None) -> argparse.Namespace:
    """The command line; ``given`` stands in for the program's own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=21)
    parser.add_argument("--calls", default="", help="part of the names of the computations; all by default")
    parser.add_argument("--flows", nargs="*", default=["real_nvp", "nsf", "maf", "nsf_ar", "flowpp", "naf"])
    return parser.parse_args(given)


def main() -> None:
    arguments = parse_arguments()
    torch.set_num_threads(arguments.threads)
    print(f"instructions: {instructions()}; torch {torch.__version__}, {arguments.threads} threads\n")
    print("| computation | kernel, ms | torch's operations, ms | ratio |\n|---|---:|---:|---:|")
    calls: dict[str, Callable[[], object]] = {}
    maps = {
        "splines": RationalQuadraticSpline(8),
        "mixtures of 8": LogisticMixture(8),
        "probits of 24": ProbitMixture(),
    }
    for kind, map in maps.items():
        for size in _SIZES:
            calls |= {f"{size:,} {kind}, {what}": call for what, call in map_calls(map, size).items()}
    for rows in (1, _BATCH, _ROWS):
        calls |= {f"net of {rows:,} rows, {what}": call for what, call in net_calls(rows).items()}
    for name in arguments.flows:
        calls |= {f"{name}, {what}": call for what, call in flow_calls(name).items()}
    for what, call in calls.items():
        if arguments.calls not in what:
            continue
        ours, other = _milliseconds(call, arguments.rounds)
        print(f"| {what} | {ours:.3g} | {other:.3g} | {other / ours:.2f} |", flush=True)


if __name__ == "__main__":
    main()
