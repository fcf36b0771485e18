"""Recovery from non-finite training steps, and a search for the transform that caused them."""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn

from pushforward.domain_values import find_outside
from pushforward.errors import NumericsError
from pushforward.flow import Flow
from pushforward.noise import NoiseValue, part_noise
from pushforward.training.averaging import Snapshot, Statistics, WeightAverage
from pushforward.transforms.base import Transform

# This many non-finite steps in a row are no accident.
_TOLERATED = 10
# The last good weights are copied once in this many finite steps.
_GOOD_EVERY = 100
_MAX_ROLLBACKS = 5


class Recovery:
    """Recovery from non-finite steps: skips each, and after ten in a row restores the last good weights.

    A restored run continues at half the learning rate.

    The loop calls `before_step` when loss and gradient are finite, before the weights change, and `after_failure` to
    undo a non-finite step. The learning rate is multiplied by ``slowdown``.
    """

    def __init__(self, model: nn.Module, optimiser: torch.optim.Optimizer, average: WeightAverage | None) -> None:
        self.optimiser, self.average = optimiser, average
        self.slowdown, self.skipped, self.rollbacks = 1.0, 0, 0
        self._told, self._first_cause = 0, ""
        self._in_a_row, self._since = 0, 0
        self._statistics = Statistics(model)
        self._weights = Snapshot(model)
        self._fresh = copy.deepcopy(optimiser.state_dict())
        self._state, self._averaged = self._fresh, self._copy_average()

    def before_batch(self) -> None:
        """Copy the running statistics, which the batch is about to change."""
        self._statistics.take()

    def before_step(self) -> None:
        """Copy the present weights now and then: they are good, because loss and gradient are finite."""
        self._in_a_row = 0
        self._since += 1
        if self._since % _GOOD_EVERY == 0:
            self._weights.take()
            self._state, self._averaged = copy.deepcopy(self.optimiser.state_dict()), self._copy_average()

    def after_failure(self, locate: Callable[[], str], best: Snapshot | None) -> str | None:
        """Undo a step with a non-finite loss or gradient; the parameters still have that gradient.

        locate: returns a phrase that names the cause; called only if the phrase will be shown. Returns a message if
        earlier weights were restored: the last good ones or, if those soon failed again, the best. Raises NumericsError
        if that happened too often.
        """
        self._statistics.restore()
        if self.skipped == 0:
            self._first_cause = locate()
        self.skipped += 1
        self._in_a_row += 1
        if self._in_a_row < _TOLERATED:
            return None
        found = f"{_TOLERATED} steps in a row were not finite: {locate()}"
        self.rollbacks += 1
        self._told += self._in_a_row
        if self.rollbacks > _MAX_ROLLBACKS:
            raise NumericsError(f"{found}; gave up after restoring earlier weights {_MAX_ROLLBACKS} times")
        self.slowdown /= 2
        again = self.rollbacks > 1 and self._since < _GOOD_EVERY
        if again and best is not None:
            best.restore()
            self._state, self._averaged = self._fresh, None
        else:
            self._weights.restore()
        self._go_on()
        where = "the best" if again and best is not None else "the last good"
        return f"{found}; continuing from {where} weights at {self.slowdown:g} times the learning rate"

    def notes(self, steps: int) -> list[str]:
        """A note, after ``steps`` steps, on skipped steps that no message of `after_failure` reported."""
        untold = self.skipped - self._told
        if untold == 0:
            return []
        return [
            f"{untold:,} of {steps:,} steps were skipped, with their rows, because the loss or its gradient "
            f"was not finite; cause of the first: {self._first_cause}"
        ]

    def _go_on(self) -> None:
        self._in_a_row, self._since = 0, 0
        self.optimiser.load_state_dict(copy.deepcopy(self._state))
        if self.average is not None and self._averaged is None:
            self.average.reset()
        elif self.average is not None and self._averaged is not None:
            torch._foreach_copy_(self.average.average, self._averaged)
        self._weights.take()
        self._averaged = self._copy_average()

    def _copy_average(self) -> list[Tensor] | None:
        return None if self.average is None else [p.clone() for p in self.average.average]


@torch.no_grad()
def locate_nonfinite(flow: Flow, x: Tensor, context: Tensor | None = None, noise: NoiseValue = None) -> str:
    """The place where a batch ``x: (B, *event_shape)`` first becomes non-finite in the computation of its log-density.

    If all values are finite, the search continues in the gradients of the parameters. Training modes and running
    statistics do not change. Returns a phrase.
    """
    statistics = Statistics(flow)
    statistics.take()
    try:
        x, context, noise = flow.prepare(x, context, noise=noise)
        if not x.isfinite().all():
            return "the batch itself has non-finite values"
        if context is not None and not context.isfinite().all():
            return "the context has non-finite values"
        found, z = _walk(flow.transform, _named(flow.transform), x, context, noise)
        if found is not None:
            return found
        if not flow.base.log_prob(z, context).isfinite().all():
            return f"the base ({type(flow.base).__name__}) gives a non-finite log-density"
    finally:
        statistics.restore()
    return _in_gradients(flow.transform, _named(flow.transform)) or "every value and gradient is finite"


def _named(transform: Transform) -> str:
    return type(transform).__name__


def _walk(
    transform: Transform, name: str, x: Tensor, context: Tensor | None, noise: NoiseValue
) -> tuple[str | None, Tensor]:
    """Where ``x`` becomes non-finite inside ``transform``, or None, and the latents."""
    parts, h = _parts(transform, name), x
    noises = part_noise(noise, len(parts)) if parts else ()
    for i, ((part, part_name), own) in enumerate(zip(parts, noises, strict=True)):
        found, h = _walk(part, part_name, transform.part_data(i, h), context, own)
        if found is not None:
            return found, h
    z, log_term = transform.to_latent(x, context, noise)
    if z.isfinite().all() and log_term.isfinite().all():
        return None, z
    return f"{name} {_what(transform, z, x, context)}", z


def _parts(transform: Transform, name: str) -> list[tuple[Transform, str]]:
    """The parts of ``transform`` in order, each with its name; empty for a single step."""
    return [(part, f"{transform.part_name(i)} of {name}") for i, part in enumerate(transform.parts())]


def _what(transform: Transform, z: Tensor, x: Tensor, context: Tensor | None) -> str:
    broken = [name for name, p in transform.named_parameters() if not p.isfinite().all()]
    if broken:
        return f"has non-finite weights ({broken[0]})"
    outside = find_outside(transform.domain, x)
    if outside is not None:
        return f"gets the value {outside.value}, which is outside {outside.domain}"
    params = transform.map_params(x, context)
    if params is not None and not params.isfinite().all():
        return "gets non-finite parameters from its net"
    return "gives non-finite latents" if not z.isfinite().all() else "gives a non-finite log term"


def _in_gradients(transform: Transform, name: str) -> str | None:
    """The origin of a non-finite gradient: the first step with one, in the order of backpropagation from the latent."""
    parts = _parts(transform, name)
    for part, part_name in reversed(parts):
        found = _in_gradients(part, part_name)
        if found is not None:
            return found
    if not parts:
        for parameter_name, p in transform.named_parameters():
            if p.grad is not None and not p.grad.isfinite().all():
                return f"{name} has a non-finite gradient in {parameter_name}, though all values are finite"
    return None
