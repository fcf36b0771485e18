"""Training of a `ColumnNet`: random subsets of the columns are hidden, and predicted from the rest."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from pushforward.estimators.encoded import EncodedRows
from pushforward.estimators.models.column_net import ColumnNet, Known
from pushforward.objectives import Loss
from pushforward.training.averaging import Snapshot
from pushforward.training.options import OptimiserOptions
from pushforward.training.stepper import Stepper

# Validation takes about this many rounds, and scores at most this many rows, each with so many fixed masks.
_ROUNDS, _VALIDATION_ROWS = 40, 5000
# Fraction of the rows of a batch in which some columns that are no targets are hidden.
_GAPS = 0.1


class ColumnNetOptions(OptimiserOptions):
    """Options of the training of a `ColumnNet`."""

    fit_name = "training"

    lr: Annotated[float, Field(gt=0, allow_inf_nan=False, description="peak learning rate")] = 2e-3
    clip: Annotated[float | None, Field(gt=0, description="largest gradient norm")] = 10.0
    ema: Annotated[float, Field(ge=0, lt=1, description="decay of the moving average of weights")] = 0.995
    batch_size: Annotated[int, Field(ge=1, description="rows per step")] = 512
    patience: Annotated[int, Field(ge=1, description="validation rounds without improvement before stopping")] = 12
    random_masks: Annotated[float, Field(ge=0, le=1, description="fraction of rows with random known columns")] = 0.5


@dataclass
class ColumnFit:
    """The course of a training: steps, the best step, and validation losses by step in nats a row."""

    steps: int = 0
    best_step: int = 0
    stopped_by: str = ""
    history: list[tuple[int, float]] = field(default_factory=list)


def fit_columns(
    net: ColumnNet,
    rows: EncodedRows,
    validation: EncodedRows,
    *,
    weights: Tensor | None = None,
    validation_weights: Tensor | None = None,
    options: ColumnNetOptions | None = None,
    seconds: float | None = None,
    seed: int = 0,
    clock: Callable[[], float] = time.monotonic,
    asked_to_stop: Callable[[], bool] = lambda: False,
    fresh: bool = True,
) -> ColumnFit:
    """Train ``net`` in place; it ends with the weights that score best on the validation rows.

    fresh: whether the net starts from the marginal distributions of the rows; otherwise it goes on from where it is.
    The run ends after ``seconds`` or ``options.steps``, or when validation does not improve any more.
    """
    options = options or ColumnNetOptions(steps=2000)
    return _Training(net, rows, validation, weights, validation_weights, options, seconds, seed, clock, fresh).run(
        asked_to_stop
    )


class _Training:
    """The state of one training."""

    def __init__(
        self,
        net: ColumnNet,
        rows: EncodedRows,
        validation: EncodedRows,
        weights: Tensor | None,
        validation_weights: Tensor | None,
        options: ColumnNetOptions,
        seconds: float | None,
        seed: int,
        clock: Callable[[], float],
        fresh: bool,
    ) -> None:
        self.net, self.rows, self.options, self.seconds, self.clock = net, rows, options, seconds, clock
        self.started = clock()
        self.generator = torch.Generator().manual_seed(seed)
        if fresh:
            net.start_from(rows, weights)
        self.weights = torch.ones(len(rows)) if weights is None else (weights / weights.mean()).float()
        self.validation = validation
        self.validation_weights = (
            torch.ones(len(validation)) if validation_weights is None else validation_weights.float()
        )
        if len(validation) > _VALIDATION_ROWS:
            chosen = torch.randperm(len(validation), generator=self.generator)[:_VALIDATION_ROWS]
            self.validation, self.validation_weights = validation.take(chosen), self.validation_weights[chosen]
        self.validation_masks = self._masks(self.validation)
        parameters = list(net.parameters())
        self.stepper = Stepper(net, parameters, options, "log_likelihood", clock)
        self.best, self.best_loss, self.misses = Snapshot(net), math.inf, 0
        self.result = ColumnFit()
        self._order = torch.empty(0, dtype=torch.long)

    def run(self, asked_to_stop: Callable[[], bool]) -> ColumnFit:
        """Take steps until a limit is reached."""
        last_round, round_cost = self.clock(), self._round()
        while True:
            elapsed = self.clock() - self.started
            if reason := self._exhausted(elapsed, round_cost):
                break
            if asked_to_stop():
                reason = "interrupted"
                break
            self.net.train()
            self.stepper.advance(self._loss, self._fraction(elapsed), lambda: "a conditional density", self.best)
            if self._due(self.clock() - last_round, round_cost):
                round_cost, last_round = self._round(), self.clock()
                if self.misses >= self.options.patience:
                    reason = "patience"
                    break
        self._round()
        self.best.restore()
        self.net.eval()
        self.result.steps, self.result.stopped_by = self.stepper.step, reason
        return self.result

    def _exhausted(self, elapsed: float, reserve: float) -> str | None:
        if self.options.steps is not None and self.stepper.step >= self.options.steps:
            return "steps"
        return "seconds" if self.seconds is not None and elapsed + reserve > self.seconds else None

    def _fraction(self, elapsed: float) -> float:
        by_steps = 0.0 if self.options.steps is None else self.stepper.step / self.options.steps
        return max(by_steps, 0.0 if self.seconds is None else elapsed / self.seconds)

    def _due(self, since: float, round_cost: float) -> bool:
        if self.seconds is not None:
            return since > max(self.seconds / _ROUNDS, 10 * round_cost)
        return self.stepper.step % max(1, (self.options.steps or 2000) // _ROUNDS) == 0

    def _loss(self) -> Loss:
        size = min(self.options.batch_size, len(self.rows))
        if len(self._order) < size:
            self._order = torch.cat([self._order, torch.randperm(len(self.rows), generator=self.generator)])
        chosen, self._order = self._order[:size], self._order[size:]
        batch = self.rows.take(chosen)
        per_row = self._per_row(batch, self._masks(batch))
        loss = (per_row * self.weights[chosen]).mean()
        return Loss(loss, {"log_likelihood": -loss.detach()})

    def _masks(self, rows: EncodedRows) -> tuple[Known, Tensor, Tensor]:
        """What the net may see of each row, and masks of the states and values it has to predict."""
        return draw_masks(self.net, rows, self.options.random_masks, self.generator)

    def _per_row(self, rows: EncodedRows, masks: tuple[Known, Tensor, Tensor]) -> Tensor:
        """Minus the mean log-term over the hidden parts, times the number of parts: an estimate of the joint's."""
        known, hidden_states, hidden_values = masks
        states, values = self.net.log_terms(rows, known)
        total = (states * hidden_states).sum(1) + (values * hidden_values).sum(1)
        count = hidden_states.sum(1) + hidden_values.sum(1)
        parts = hidden_states.shape[1] + hidden_values.shape[1]
        return -total * parts / count.clamp(min=1)

    @torch.no_grad()
    def _round(self) -> float:
        """Score the validation rows, and keep the weights if they are the best so far; returns the seconds it took."""
        start = self.clock()
        self.net.eval()
        with self.stepper.averaged():
            loss = float(
                (self._per_row(self.validation, self.validation_masks) * self.validation_weights).sum()
                / self.validation_weights.sum()
            )
            self.result.history.append((self.stepper.step, loss))
            if loss < self.best_loss:
                self.best.take()
                self.best_loss, self.misses, self.result.best_step = loss, 0, self.stepper.step
            else:
                self.misses += 1
        return self.clock() - start


def draw_masks(
    net: ColumnNet, rows: EncodedRows, random: float, generator: torch.Generator
) -> tuple[Known, Tensor, Tensor]:
    """Masks for training: the known contents, and the hidden states and values of the targets (as 0 and 1).

    A fraction ``random`` of the rows hides random columns, the others the end of the chain. At least one part of each
    row is hidden, though the row may not have it. Of columns that are no targets, a tenth of the rows hides some: what
    predictions are given may be unknown too.
    """
    complete = Known.of(rows, net.shapes)
    n_states, n_values = len(net.state_targets), len(net.value_targets)
    count, parts = len(rows), n_states + n_values
    length = torch.randint(parts, (count, 1), generator=generator)
    prefix = torch.arange(parts) < length
    columns = torch.tensor([*net.state_targets, *net.value_targets])
    uniform = torch.rand(count, len(net.shapes), generator=generator)
    # The fraction of known columns is itself uniform, so that few and many known columns are seen equally often.
    scattered = uniform[:, columns] < torch.rand(count, 1, generator=generator)
    full = scattered.all(1, keepdim=True)
    chosen = torch.where((torch.rand(count, 1, generator=generator) < random) & ~full, scattered, prefix)
    states, values = complete.states.clone(), complete.values.clone()
    if len(net.targets) < len(net.shapes):
        given = torch.ones(len(net.shapes), dtype=torch.bool)
        given[list(net.targets)] = False
        gaps = torch.rand(count, 1, generator=generator) < _GAPS
        gaps = gaps & given & (uniform < torch.rand(count, 1, generator=generator))
        states, values = states & ~gaps, values & ~gaps
    states[:, net.state_targets] &= chosen[:, :n_states]
    values[:, net.value_targets] &= chosen[:, n_states:]
    there = torch.cat([complete.states[:, net.state_targets], complete.values[:, net.value_targets]], 1)
    hidden = (~chosen & there).float()
    return Known(states, values), hidden[:, :n_states], hidden[:, n_states:]
