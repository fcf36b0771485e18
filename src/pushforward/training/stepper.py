"""The steps of every fit by gradients: rate, gradient, finite check and recovery, clipping, update, moving average."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import nn

from pushforward.objectives import Loss
from pushforward.training.averaging import Snapshot, WeightAverage
from pushforward.training.numerics import Recovery
from pushforward.training.options import OptimiserOptions
from pushforward.training.schedule import learning_rate
from pushforward.training.window import Window


class Stepper:
    """The optimiser steps of a fit. ``step`` counts the steps; ``parts`` are the parts of the last loss.

    model: a flow, or another module. parameters: its trained parameters. shown: the part of the loss that the window
    collects.
    """

    def __init__(
        self,
        model: nn.Module,
        parameters: list[torch.nn.Parameter],
        options: OptimiserOptions,
        shown: str,
        clock: Callable[[], float],
    ) -> None:
        self.parameters, self.options, self.shown = parameters, options, shown
        self.optimiser = make_optimiser(parameters, options)
        self.average = WeightAverage(model, options.ema) if options.ema else None
        self._swap = Snapshot(model) if self.average is not None else None
        self.recovery = Recovery(model, self.optimiser, self.average)
        self.window = Window(clock)
        self.step, self.lr = 0, options.lr
        self.gradient_norm: float | None = None
        self.parts: dict[str, float] = {}

    def advance(
        self, compute: Callable[[], Loss], fraction: float, locate: Callable[[], str], best: Snapshot | None = None
    ) -> str | None:
        """Take an optimiser step on the loss that ``compute`` returns, at ``fraction`` of the run.

        A non-finite loss or gradient does not change the weights. After several in a row `Recovery` restores earlier
        weights, perhaps ``best``. Then this returns a message, with the cause as ``locate`` names it.
        """
        self.lr = self.recovery.slowdown * learning_rate(self.options, self.step, fraction)
        for group in self.optimiser.param_groups:
            group["lr"] = self.lr
        self.recovery.before_batch()
        self.optimiser.zero_grad(set_to_none=True)
        value, parts = compute()
        try:
            torch.autograd.backward(value)
        except AssertionError:
            # torchdiffeq raises this if the adjoint equation cannot be solved backwards.
            value = value.detach() * torch.nan
        norm = torch.nn.utils.get_total_norm([p.grad for p in self.parameters if p.grad is not None])
        # One transfer for all values: on an accelerator this is the only synchronisation of a step.
        numbers = torch.stack([number.detach().float() for number in (value, norm, *parts.values())]).tolist()
        self.parts = dict(zip(parts, numbers[2:], strict=True))
        self.step += 1
        if not (math.isfinite(numbers[0]) and math.isfinite(numbers[1])):
            return self.recovery.after_failure(locate, best)
        self.recovery.before_step()
        if self.options.clip is not None:
            # Clipping comes after the check: a NaN norm would spread to every gradient and hide its origin.
            torch.nn.utils.clip_grads_with_norm_(self.parameters, self.options.clip, norm)
        self.optimiser.step()
        if self.average is not None:
            self.average.update()
        self.gradient_norm = numbers[1]
        self.window.add(self.parts[self.shown], self.gradient_norm)
        return None

    @contextmanager
    def averaged(self) -> Iterator[bool]:
        """Context manager: the flow has the averaged weights inside; yields whether the options ask for an average."""
        if self.average is None or self._swap is None:
            yield False
            return
        with self.average.applied(self._swap):
            yield True


def make_optimiser(parameters: list[torch.nn.Parameter], options: OptimiserOptions) -> torch.optim.Optimizer:
    """The optimiser that ``options`` name, in its fused or multi-tensor implementation, which needs few calls."""
    if options.optimiser == "adamax":
        return torch.optim.Adamax(parameters, lr=options.lr, weight_decay=options.weight_decay, foreach=True)
    kind = torch.optim.AdamW if options.optimiser == "adamw" else torch.optim.Adam
    fused = all(p.device.type in ("cpu", "cuda") for p in parameters)
    return kind(parameters, lr=options.lr, weight_decay=options.weight_decay, fused=fused)
