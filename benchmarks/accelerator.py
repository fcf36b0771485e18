"""Whether every flow says on an accelerator what it says on the processor, after training there.

    python benchmarks/accelerator.py                       # --device cuda; every flow, on vectors and on small images
    python benchmarks/accelerator.py --flows residual_flow,ffjord --steps 100

Each flow is trained on the device for ``--steps`` steps. Then, with the same weights: likelihoods of rows on the device
in float32 against those on the processor in float64, noise and probes being the same by their keys; rows to their
latents and back on the device; samples of the device, finite or not, and scored on the processor. Prints Markdown, and
ends with status 1 where a flow failed or came further from the processor than ``--tolerance`` allows.
"""

from __future__ import annotations

import argparse
import copy
import sys
import time
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

import pushforward
from pushforward import flows
from pushforward.data import toys
from pushforward.domain import REAL
from pushforward.errors import PushforwardError
from pushforward.flow import Flow
from pushforward.training import TrainingOptions

_VECTOR, _IMAGE, _LEVELS = (4,), (1, 8, 8), 17
_ROWS = 200  # that are scored


def rows_of(flow: Flow, n: int) -> Tensor:
    """Rows in the domain of the flow: two pinwheels side by side, angles of a bump, or digits."""
    if flow.event_shape == _IMAGE:
        return torch.as_tensor(pushforward.data.load("digits").x[:n]).float()
    x = np.concatenate([toys.sample("pinwheel", n, seed) for seed in (0, 1)], 1)
    return torch.as_tensor(x if flow.transform.domain == REAL else np.arctan(x)).float()


def build(name: str, shape: tuple[int, ...]) -> Flow | None:
    """The flow of that name with its defaults; None where it is none for such events."""
    torch.manual_seed(0)
    try:
        return flows.build(name, shape, **({"levels": _LEVELS} if shape == _IMAGE else {}))
    except PushforwardError:
        return None


class Found(NamedTuple):
    """Seconds of training; relative differences, ``back`` None where the way back is drawn; samples finite or not."""

    seconds: float
    log_prob: float
    back: float | None
    finite: bool


def compare(flow: Flow, device: str, steps: int) -> Found:
    """The differences of this flow, trained on ``device``, from itself on the processor in float64."""
    x = rows_of(flow, 1_200)
    flow = flow.to(device)
    told = TrainingOptions(steps=steps, epochs=None, batch_size=128, lr=1e-3, seed=0)
    started = time.perf_counter()
    pushforward.fit(flow, x[_ROWS:], validation=x[:_ROWS], options=told, progress=False)
    took = time.perf_counter() - started
    wide = copy.deepcopy(flow).cpu().double()
    here = x[:_ROWS].to(device)
    value = flow.likelihood(here).value.cpu().double()
    exact = wide.likelihood(x[:_ROWS].double()).value
    off = float(((value - exact).abs() / (1 + exact.abs())).max())
    back = None
    if flow.transform.noise_to_data is None:
        with torch.no_grad():
            back = float((flow.decode(flow.encode(here)) - here).abs().max() / here.abs().max())
    samples = flow.sample(_ROWS, generator=torch.Generator(device).manual_seed(0)).detach()
    scored = wide.likelihood(samples.cpu().double()).value
    return Found(took, off, back, bool(samples.isfinite().all() and scored.isfinite().all()))


def lines(arguments: argparse.Namespace) -> Iterator[tuple[str, bool]]:
    """A row of the table a flow, and whether it holds."""
    yield "| flow | event | kind | training, s | likelihood | there and back | samples |", True
    yield "| --- | --- | --- | --- | --- | --- | --- |", True
    for name in arguments.flows:
        for shape in (_VECTOR, _IMAGE):
            flow = build(name, shape)
            if flow is None:
                continue
            what = f"| {name} | {' x '.join(map(str, shape))} | {flow.kind} |"
            try:
                found = compare(flow, arguments.device, arguments.steps)
            except Exception as error:  # whatever one flow fails with must not hide the others; status 1 tells
                yield f"{what} | failed: {type(error).__name__}: {str(error).splitlines()[0]} | | |", False
                continue
            off = [value for value in (found.log_prob, found.back) if value is not None]
            back = "drawn" if found.back is None else f"{found.back:.1e}"
            told = "finite" if found.finite else "not finite"
            good = found.finite and all(value <= arguments.tolerance for value in off)
            yield f"{what} {found.seconds:.1f} | {found.log_prob:.1e} | {back} | {told} |", good


def parse_arguments(given: list[str] | None = None) -> argparse.Namespace:
    """The command line; ``given`` stands in for the program's own."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--flows", default=",".join(flows.names()), help="names with commas")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--steps", type=int, default=30, help="of training")
    parser.add_argument("--tolerance", type=float, default=1e-3, help="of a relative difference")
    parser.add_argument("--tf32", action="store_true", help="let products and convolutions round to ten bits")
    arguments = parser.parse_args(given)
    arguments.flows = arguments.flows.split(",")
    if unknown := [name for name in arguments.flows if name not in flows.names()]:
        parser.error(f"flow {unknown[0]!r} is not known; there are {', '.join(flows.names())}")
    return arguments


def main() -> int:
    arguments = parse_arguments()
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = arguments.tf32
    good = True
    for line, holds in lines(arguments):
        print(line if holds else f"{line} **", flush=True)
        good = good and holds
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
