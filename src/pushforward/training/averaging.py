"""Averaged weights, the running statistics that go with them, and copies of weights."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors.torch import save
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from pushforward.atomic_files import write_atomically
from pushforward.flow import Flow
from pushforward.noise import NoiseValue
from pushforward.precision import evaluation
from pushforward.transforms import BatchNorm


class Snapshot:
    """A copy of a model's state dict in memory."""

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self.state: dict[str, Tensor] = {k: v.detach().clone() for k, v in model.state_dict().items()}

    @torch.no_grad()
    def take(self) -> None:
        """Copy the model's present state over the last copy."""
        for name, value in self._model.state_dict().items():
            self.state[name].copy_(value)

    @torch.no_grad()
    def restore(self) -> None:
        """Load the copied state into the model."""
        for name, value in self._model.state_dict().items():
            value.copy_(self.state[name])

    def write(self, path: Path) -> None:
        """Write the copy as a safetensors file, atomically."""
        write_atomically(path, save({name: value.contiguous() for name, value in self.state.items()}))


class WeightAverage:
    """An exponential moving average of a model's parameters.

    The decay of update ``t`` is ``min(decay, t / (t + 9))``, so that the poor weights of the first steps are soon
    forgotten.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay, self.updates = decay, 0
        self._parameters = [p for p in model.parameters() if p.requires_grad]
        self.average = [p.detach().clone() for p in self._parameters]

    @torch.no_grad()
    def update(self) -> None:
        """Add the present parameters to the average."""
        self.updates += 1
        decay = min(self.decay, self.updates / (self.updates + 9))
        torch._foreach_lerp_(self.average, list(self._parameters), 1 - decay)

    @torch.no_grad()
    def reset(self) -> None:
        """Restart the average from the present parameters."""
        self.updates = 0
        torch._foreach_copy_(self.average, list(self._parameters))

    @contextmanager
    def applied(self, snapshot: Snapshot) -> Iterator[None]:
        """Context manager: the model has the averaged parameters inside; ``snapshot`` restores its state on exit."""
        snapshot.take()
        with torch.no_grad():
            torch._foreach_copy_(list(self._parameters), self.average)
        try:
            yield
        finally:
            snapshot.restore()


def normalisations(model: nn.Module) -> list[BatchNorm | _NormBase]:
    """The normalisation modules, flow steps and layers of nets, whose running statistics follow the batches."""
    found: list[BatchNorm | _NormBase] = []
    for module in model.modules():
        if isinstance(module, BatchNorm) or (isinstance(module, _NormBase) and module.running_mean is not None):
            found.append(module)
    return found


class Statistics:
    """A copy of the running statistics, to undo the update by a batch with a non-finite loss."""

    def __init__(self, model: nn.Module) -> None:
        self._live = [b for module in normalisations(model) for b in module.buffers(recurse=False)]
        self._copy = [b.clone() for b in self._live]

    @torch.no_grad()
    def take(self) -> None:
        """Copy the present statistics."""
        if self._live:
            torch._foreach_copy_(self._copy, self._live)

    @torch.no_grad()
    def restore(self) -> None:
        """Restore the copied statistics."""
        if self._live:
            torch._foreach_copy_(self._live, self._copy)


Batch = tuple[Tensor, Tensor | None, NoiseValue]


@torch.no_grad()
def recompute_statistics(flow: Flow, batches: Callable[[], Iterable[Batch]]) -> None:
    """Recompute running statistics for the present weights, as the plain average over ``batches`` (x, context, noise).

    Only the normalisation modules are in training mode meanwhile: dropout is off in evaluation and would bias them.
    """
    found = normalisations(flow)
    if not found:
        return
    momenta = [module.momentum for module in found]
    with evaluation(flow):
        try:
            for module in found:
                module.training = True
                module.momentum = None
                module.reset_running_stats()
            for x, context, noise in batches():
                flow(x, context, noise=noise)
        finally:
            for module, momentum in zip(found, momenta, strict=True):
                module.training = False
                module.momentum = momentum
