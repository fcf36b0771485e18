"""Greedy fitting: the steps of a flow are fitted one after the other, each to the latents of the steps before it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from pushforward import noise as noise_source
from pushforward.bases import StandardNormal
from pushforward.errors import OptionError
from pushforward.events import zero_log_term
from pushforward.flow import Flow
from pushforward.noise import part_noise
from pushforward.precision import evaluation
from pushforward.rows import Rows
from pushforward.training.averaging import Snapshot
from pushforward.training.interrupt import Interrupt
from pushforward.training.options import TrainingOptions
from pushforward.training.progress import Status
from pushforward.training.result import FitResult, StopReason
from pushforward.training.run import Reporting, Run
from pushforward.training.schedule import Budget
from pushforward.training.validation import Score, Validator
from pushforward.training.validation_record import ValidationRecord
from pushforward.transforms.base import Transform, steps
from pushforward.transforms.greedy import GreedyTransform

# Steps are fitted to at most this many values (rows times coordinates); more rows are subsampled at random, rows with
# weights in proportion to them.
_MAX_VALUES, _LEAST_ROWS = 4_000_000, 10_000


def is_greedy(flow: Flow) -> bool:
    """Whether the flow has a step that is fitted greedily instead of by gradients."""
    return any(isinstance(module, GreedyTransform) for module in flow.modules())


@dataclass
class _Walkers:
    """Partly encoded rows: their present values ``x: (N, D)``, the log terms so far, the contexts and the noise."""

    x: Tensor
    log_term: Tensor
    context: Tensor | None
    noise: Any

    def through(self, transform: Transform, part: int, parts: int) -> None:
        """Apply ``transform`` to the rows and add its log term."""
        self.x, term = transform.to_latent(self.x, self.context, part_noise(self.noise, parts)[part])
        self.log_term = self.log_term + term


class GreedyRun(Run[FitResult]):
    """A greedy fit: each step of the run fits one step of the flow, which never changes afterwards.

    After each step, only that step transforms the training and validation rows. The validation log-likelihood decides
    whether the flow up to this step is the best so far; the steps after the best one end as the identity. Steps fitted
    by an earlier run are kept, so that a run continues where another ended. Only the limits, the seed and the number of
    validation rows are used among the options, and an epoch is a step; the other options are about gradients.

    Raises OptionError where the transform also has parameters for gradients, or steps of another kind after greedy
    ones. An embedding of labels stays as it was drawn.
    """

    def __init__(
        self,
        flow: Flow,
        train: Rows,
        held_out: Rows,
        options: TrainingOptions,
        record: ValidationRecord,
        reporting: Reporting,
    ) -> None:
        super().__init__(flow, reporting, record.result)
        self.train, self.options, self.record = train, options, record
        self.steps = _checked_steps(flow)
        self.validator = Validator(flow, held_out, options, self.clock)
        self.generator = torch.Generator().manual_seed(options.seed)
        free = sum(isinstance(step, GreedyTransform) and not bool(step.fitted) for step in self.steps)
        # At least 1, because progress is a fraction of it: a fitted flow has no steps left.
        wanted = max(1, free if options.steps is None else min(free, options.steps))
        epochs = None if options.epochs is None else math.ceil(options.epochs)
        self.budget = Budget(wanted, epochs, None if options.minutes is None else 60 * options.minutes)
        self.step = 0
        self.train_value: float | None = None
        self.speed: float | None = None

    @property
    def steps_taken(self) -> int:
        return self.step

    @property
    def kept(self) -> Snapshot | None:
        return self.record.best

    @torch.no_grad()
    def _train(self, interrupt: Interrupt) -> StopReason:
        if self.options.compile or self.options.autocast:
            self._note("compile and autocast are ignored: the steps are fitted without gradients")
        with evaluation(self.flow):
            return self._walk(interrupt)

    def _walk(self, interrupt: Interrupt) -> StopReason:
        train, held_out = self._training_rows(), self._validation_rows()
        later = [step for step in self.steps if isinstance(step, GreedyTransform) and not bool(step.fitted)]
        if not later:
            self._note("every step of the flow is already fitted; build it with more transforms to continue")
        first = len(self.steps) - len(later)
        for i, transform in enumerate(self.steps[:first]):
            transform.initialise(train.x, train.context, part_noise(train.noise, len(self.steps))[i])
            self._advance(i, train, held_out)
        self._validate(train, held_out, 0.0)
        for i in range(first, len(self.steps)):
            if interrupt.asked:
                return "interrupted"
            reason = self.budget.exhausted(self.step, self._elapsed(), self._step_seconds())
            if reason is not None:
                return reason
            started = self.clock()
            later[i - first].fit(train.x, train.context, self.generator)
            self._advance(i, train, held_out)
            self.step += 1
            self._validate(train, held_out, self.clock() - started)
            if self.progress.due():
                self.progress.show(self._status())
            if self.options.patience is not None and self.record.misses >= self.options.patience:
                return "patience"
        return "steps"

    def _advance(self, i: int, *walkers: _Walkers) -> None:
        for walker in walkers:
            walker.through(self.steps[i], i, len(self.steps))

    def _training_rows(self) -> _Walkers:
        count = min(len(self.train), max(_LEAST_ROWS, _MAX_VALUES // self.train.event_size))
        rows = torch.arange(len(self.train))
        if count < len(rows) or self.train.weights is not None:
            rows = self.train.draws(count, self.generator)
        x, context = self.train.take(rows).on(self.flow)
        self.flow.initialise_context(context)
        generator = torch.Generator(self.flow.device).manual_seed(self.options.seed)
        noise = noise_source.draw(self.flow.transform.noise_to_latent, count, x.dtype, x.device, generator)
        return _Walkers(x, zero_log_term(x), self.flow.prepare_context(context, count), noise)

    def _validation_rows(self) -> _Walkers:
        # The same rows in the same order as in `Validator`, because the noise is keyed by the order.
        x, context = self.validator.rows.on(self.flow)
        keys, spec = torch.arange(len(x)), self.flow.transform.noise_to_latent
        noise = noise_source.keyed(spec, self.options.seed, keys, x.dtype, x.device)
        return _Walkers(x, zero_log_term(x), self.flow.prepare_context(context, len(x)), noise)

    def _values(self, walkers: _Walkers) -> Tensor:
        return (self.flow.base.log_prob(walkers.x, walkers.context) + walkers.log_term).cpu().double()

    def _validate(self, train: _Walkers, held_out: _Walkers, seconds: float) -> None:
        """Score both sets of rows, keep the flow up to this step if it is the best so far, and record the round."""
        self.record.take(Score.of(self._values(held_out), self.validator.rows.weights), self.step)
        self.train_value = float(self._values(train).mean())
        self.speed = len(train.x) / max(seconds, 1e-9) if self.step else None
        self.record.write(
            self.step,
            self._elapsed(),
            self.train_value if self.step else None,
            float(self.step),
            validation_total=self.validator.total,
            averaged=False,
            lr=None,
            gradient_norm=None,
            rows_per_second=self.speed,
            skipped=0,
        )

    def _conclude(self) -> list[str]:
        return self.record.conclude(self.step)

    def _status(self) -> Status:
        elapsed = self._elapsed()
        return Status(
            step=self.step,
            fraction=self.budget.fraction(self.step, elapsed),
            epoch=float(self.step),
            figures=self.record.figures(self.train_value),
            rate=self.speed,
            left=self.budget.left(self.step, elapsed),
        )

    def _step_seconds(self) -> float:
        return self._elapsed() / self.step if self.step else 0.0


def _checked_steps(flow: Flow) -> list[Transform]:
    """The steps of a flow; raises OptionError unless exactly its last steps are greedy and nothing else is trained."""
    chain = list(steps(flow.transform))
    kinds = [isinstance(step, GreedyTransform) for step in chain]
    inside = sum(isinstance(module, GreedyTransform) for module in flow.modules())
    if kinds != sorted(kinds) or inside != sum(kinds):
        raise OptionError(
            "steps that are fitted greedily must be the last steps of the flow's Chain, and directly in it"
        )
    if not isinstance(flow.base, StandardNormal):
        raise OptionError(
            f"greedy steps lead to a standard normal, but the flow's base is a {type(flow.base).__name__}"
        )
    learned = [name for name, p in flow.transform.named_parameters() if p.requires_grad]
    if learned:
        raise OptionError(
            f"a flow is fitted greedily or by gradients, but this flow has greedy steps and also the parameter "
            f"{learned[0]}; freeze it (requires_grad_(False)) or remove its step"
        )
    return chain
