"""Whether `fit`, compiled or not, a plain loop and two processes under DDP train a flow to the same weights.

    python benchmarks/training_paths.py [--backend inductor]

Every path takes the same steps of Adam on the same batches with the same noise, in float64: `fit`, `fit(compile=True)`,
a loop over ``flow.objective``, and two gloo processes that each take half of a batch to a DistributedDataParallel of
it. The table gives the largest difference of a weight from the loop's, and from that of a loop over `Flow.log_prob`,
which leaves the regularisation out (nothing stands there where the two have no weight to compare).
"""

from __future__ import annotations

import argparse
import functools
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

from pushforward import fit, flows
from pushforward.flow import Flow
from pushforward.noise import NoiseValue
from pushforward.objectives import Loss
from pushforward.rows import Rows
from pushforward.training import TrainingOptions
from pushforward.training.batches import Batches

# The coefficients are large, so that a loss without its regularisation leads elsewhere. The solver is exact far beyond
# the differences that are looked for: its steps depend on the rows of a batch, and a process has half of them.
FLOWS: dict[str, dict[str, Any]] = {
    "real_nvp": {"transforms": 2, "hidden": (8,), "penalty": 0.3},
    "ffjord": {"hidden": (8,), "kinetic": 0.3, "jacobian": 0.3, "training_tolerance": 1e-9, "adjoint": False},
    "flow_matching": {"hidden": (8,)},
}
OPTIONS = TrainingOptions(steps=4, batch_size=16, lr=1e-2, schedule="constant", clip=None, validate_every=4)

Weights = dict[str, Tensor]


def data() -> Tensor:
    """Rows in the plane, off the origin, so that the likelihood rises from the first step on."""
    x = torch.randn(48, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return torch.stack([x[:, 0], 0.5 * x[:, 1] + x[:, 0].square()], 1)


def make(name: str) -> Flow:
    """The flow at its start."""
    torch.manual_seed(0)
    return flows.build(name, (2,), standardise=False, **FLOWS[name]).double()


def weights(flow: Flow) -> Weights:
    return {name: p.detach().clone() for name, p in flow.named_parameters()}


def fitted(name: str, compile: bool = False) -> Weights:
    """The weights after `fit`, which keeps the last ones because they are the best."""
    flow, options = make(name), OPTIONS.model_copy(update={"compile": compile})
    result = fit(flow, data(), validation=data(), options=options, progress=False)
    assert result.best_step == options.steps, f"{name}: the last weights are not the best, at {result.best_step}"
    return weights(flow)


def looped(name: str, wrap: Callable[[Any], Callable[..., Loss]] = lambda objective: objective) -> Weights:
    """The weights after a plain loop over the flow's objective; wrap: of the objective."""
    flow = make(name)
    return _loop(flow, wrap(flow.objective), lambda part: part)


def without_regularisation(name: str) -> Weights:
    """The weights after a plain loop over the log-density alone."""
    flow = make(name)
    return _loop(flow, lambda x, context, noise: Loss(-flow.log_prob(x).mean(), {}), lambda part: part)


def distributed(names: list[str]) -> dict[str, Weights]:
    """The weights of each flow after a loop in two gloo processes."""
    with tempfile.TemporaryDirectory() as folder:
        torch.multiprocessing.spawn(_process, (folder, names), nprocs=2)
        found: dict[str, Weights] = torch.load(Path(folder) / "weights.pt", weights_only=True)
    return found


def _process(rank: int, folder: str, names: list[str]) -> None:
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
    found = {}
    for name in names:
        flow = make(name)
        found[name] = _loop(flow, DistributedDataParallel(flow.objective), lambda part: part[rank::2])
    if rank == 0:
        torch.save(found, Path(folder) / "weights.pt")
    torch.distributed.destroy_process_group()


def _loop(flow: Flow, objective: Callable[..., Loss], share: Callable[[Tensor], Tensor]) -> Weights:
    x = data()
    flow.train()
    batches = Batches(flow, Rows(x), OPTIONS.batch_size, OPTIONS.seed, noise=flow.objective.noise)
    optimiser = torch.optim.Adam(flow.parameters(), OPTIONS.lr)
    for _ in range(OPTIONS.steps or 0):
        rows, _, noise = batches.draw()
        optimiser.zero_grad()
        objective(share(rows), None, _shared(noise, share)).value.backward()
        optimiser.step()
    return weights(flow)


def _shared(noise: NoiseValue, share: Callable[[Tensor], Tensor]) -> NoiseValue:
    if isinstance(noise, tuple):
        return tuple(_shared(part, share) for part in noise)
    return None if noise is None else share(noise)


def difference(one: Weights, other: Weights) -> float:
    """The largest absolute difference of a weight."""
    assert one.keys() == other.keys()
    return max(float((value - other[name]).abs().max()) for name, value in one.items())


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command's arguments."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backend", default="inductor", help="of torch.compile")
    return parser.parse_args(arguments)


def main() -> None:
    torch.compile = functools.partial(torch.compile, backend=parse_arguments().backend)
    two = distributed(list(FLOWS))
    print("| flow | `fit` | `fit(compile=True)` | two processes | without regularisation |\n|---|---|---|---|---|")
    for name in FLOWS:
        loop = looped(name)
        ways = [fitted(name), fitted(name, compile=True), two[name], without_regularisation(name)]
        print(f"| `{name}` | " + " | ".join(f"{difference(loop, way):.1e}" for way in ways) + " |")


if __name__ == "__main__":
    main()
