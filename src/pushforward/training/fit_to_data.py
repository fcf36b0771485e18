"""`fit`: maximum likelihood by stochastic gradients or greedily; the flow ends with the best weights."""

from __future__ import annotations

import contextlib
import math
import os
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Unpack

import torch

from pushforward.data_frames import column_names
from pushforward.errors import DataError, DegenerateDataWarning, NumericsError, OptionError
from pushforward.flow import Flow
from pushforward.inputs import TensorLike
from pushforward.noise import NoiseSpec
from pushforward.objectives import Loss
from pushforward.precision import evaluation
from pushforward.rows import Rows
from pushforward.threads import suit_threads, usable_threads
from pushforward.training.averaging import Snapshot, normalisations, recompute_statistics
from pushforward.training.batches import Batches, checked_rows, split_rows
from pushforward.training.degenerate_columns import degenerate_columns
from pushforward.training.greedy import GreedyRun, is_greedy
from pushforward.training.interrupt import Interrupt
from pushforward.training.metrics import Metrics
from pushforward.training.numerics import locate_nonfinite
from pushforward.training.options import TrainingKeywords, TrainingOptions
from pushforward.training.progress import Status, make_progress
from pushforward.training.random_state import own_random_state
from pushforward.training.result import FitFailed, FitResult, StopReason
from pushforward.training.run import GradientRun, Reporting
from pushforward.training.schedule import Budget, Cadence
from pushforward.training.stepper import Stepper
from pushforward.training.validation import Validator
from pushforward.training.validation_record import ValidationRecord
from pushforward.units import Unit

# Without validation rows, one in this many training rows is held out.
_HELD_OUT = 10
# Statistics of averaged weights are recomputed over at most this many batches.
_STATISTICS_BATCHES = 30
# `initialise` computes moments from about this many values, if there are so many, in at least and at most so many rows.
_INITIAL_VALUES, _INITIAL_ROWS, _MOST_INITIAL_ROWS = 1_000_000, 256, 1 << 14


def fit(
    flow: Flow,
    train: TensorLike,
    *,
    validation: TensorLike | None = None,
    context: TensorLike | None = None,
    validation_context: TensorLike | None = None,
    weights: TensorLike | None = None,
    validation_weights: TensorLike | None = None,
    columns: Sequence[str] | None = None,
    options: TrainingOptions | None = None,
    out: str | os.PathLike[str] | None = None,
    progress: bool | None = None,
    unit: Unit | None = None,
    on_best: Callable[[Flow, int, float], None] | None = None,
    clock: Callable[[], float] = time.monotonic,
    **training: Unpack[TrainingKeywords],
) -> FitResult:
    """Fit ``flow`` in place to rows ``train: (N, *event_shape)``; it ends in evaluation mode with the best weights.

    validation: rows that choose the best weights; None holds out a random tenth of ``train``. context and
    validation_context: one row of context, or a label, for each row. weights and validation_weights: one for each row,
    at least 0; the fit maximises the weighted mean log-likelihood, as if rows were repeated in proportion to their
    weights, and a row of weight 0 is left out. Without them rows count equally. columns: names of the columns of
    ``train`` for messages; by default its own, where it is a DataFrame. out: a directory for ``metrics.jsonl`` (an
    earlier file is replaced) and, unless ``on_best`` is given, the best weights so far in ``best.safetensors``.
    progress: False for silence; otherwise stderr gets a live line on a terminal and plain lines elsewhere. unit: the
    unit of the values shown and recorded; None: bits/dim for flows of integers, else nats. on_best: called at each new
    best with the flow (which has the best weights then), the step and the mean validation log-likelihood in nats.
    clock: returns the seconds that ``minutes`` limits; ``time.process_time`` counts only the work of this process, for
    comparisons on a busy machine.

    training: the fields of `TrainingOptions` as keywords (``steps=1000, lr=1e-3``), or ``options``, an object of them.

    A flow of greedy steps (`rbig` and others) is fitted step by step instead of by gradients (see `GreedyRun`). Then
    ``steps`` limits the number of steps, and options such as ``lr`` and ``batch_size`` are ignored.

    On a CPU a fit uses no more threads than torch is set to, and fewer if a step has too little work for them: most
    tables use one. The setting of torch is restored afterwards. Fits of different flows may run in several threads at
    once, with the same results as one after the other; those with ``compile`` wait for each other.

    Ctrl-C ends the run after the current step and restores the best weights; a second Ctrl-C raises KeyboardInterrupt.
    On a CPU the same seed gives bitwise equal weights, unless ``minutes`` limits the run. Raises ShapeError,
    ContextError, DataError or OptionError for invalid arguments, and FitFailed (a NumericsError) if the fit keeps
    diverging.

    >>> import torch
    >>> from pushforward import flows
    >>> flow = flows.build("real_nvp", event_shape=(2,), transforms=2, hidden=(8,))
    >>> result = fit(flow, torch.randn(100, 2), steps=5, progress=False)
    >>> result.steps, result.stopped_by
    (5, 'steps')

    >>> x, seconds_of_exposure = torch.randn(100, 2), torch.rand(100)
    >>> fit(flow, x, weights=seconds_of_exposure, steps=5, progress=False).steps
    5
    """
    options = TrainingOptions.from_keywords(options, dict(training))
    rows = checked_rows(flow, train, context, "training", weights=weights)
    if validation is not None:
        held_out = checked_rows(flow, validation, validation_context, "validation", weights=validation_weights)
    elif validation_context is not None or validation_weights is not None:
        given = "validation_weights" if validation_context is None else "validation_context"
        raise OptionError(f"{given} was given without validation rows")
    elif len(rows) < _HELD_OUT:
        raise DataError(f"without validation rows at least {_HELD_OUT} training rows are needed, got {len(rows)}")
    else:
        rows, held_out = split_rows(rows, len(rows) // _HELD_OUT, torch.Generator().manual_seed(options.seed))

    problem = degenerate_columns(flow, rows, columns or column_names(train), options.seed)
    if problem is not None:
        warnings.warn(problem, DegenerateDataWarning, stacklevel=2)
    folder = None if out is None else Path(out)

    def keep(best: Snapshot, step: int, value: float) -> None:
        if on_best is not None:
            on_best(flow, step, value)
        elif folder is not None:
            best.write(folder / "best.safetensors")

    with (
        contextlib.closing(Metrics(folder)) as metrics,
        make_progress(progress) as shown,
        Interrupt() as interrupt,
        own_random_state(flow.device, options.seed, options.compile),
        usable_threads(),
    ):
        kind = GreedyRun if is_greedy(flow) else _GradientRun
        record = ValidationRecord(flow, metrics, unit, keep)
        try:
            run = kind(flow, rows, held_out, options, record, Reporting(metrics, shown, clock))
        except NumericsError as error:
            # Initialisation and the timing of a validation round already evaluate the flow.
            flow.eval()
            record.result.stopped_by, record.result.notes = "numerics", [str(error)]
            raise FitFailed(str(error), record.result) from None
        run.result.notes += [] if problem is None else [problem]
        return run.go(interrupt)


_UNTRAINED = (
    "the best weights are the untrained ones: after none of {steps} steps did the validation rows score higher. Try "
    "a smaller lr or more steps; rows that are few, constant, or unlike the validation rows do this too"
)


class _GradientRun(GradientRun[FitResult]):
    """A fit to data by stochastic gradients."""

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
        parameters = [p for p in flow.parameters() if p.requires_grad]
        if not parameters:
            raise OptionError("the flow has no parameters to train")
        self.objective = flow.objective
        self.model: Callable[..., Loss] = self._compiled() if options.compile else self.objective
        self.batches = Batches(flow, train, options.batch_size, options.seed, options.flips, self.objective.noise)
        self.budget = Budget.of(options, len(train), self.batches.size)
        self.validator = Validator(flow, held_out, options, self.clock)
        self._initialise()
        suit_threads(self._compute_once, flow.device)
        if self.budget.seconds is not None:
            self.validator.fit_to(self.budget.seconds)
        self.cadence = Cadence.of(options, self.budget, len(self.validator), self.batches.size)
        self.objective.train()
        self.stepper = Stepper(flow, parameters, options, self.objective.shown, self.clock)

    @property
    def kept(self) -> Snapshot | None:
        return self.record.best

    def _train(self, interrupt: Interrupt) -> StopReason:
        try:
            self._round()
            reason = self._loop(interrupt)
            if self.stepper.step > self.stepper.window.first:
                if reason == "interrupted":
                    self.progress.note("stopping: validating the last weights (Ctrl-C again aborts)")
                self._round()
            if self.record.result.best_step == 0 and self.stepper.step > 0:
                self._note(_UNTRAINED.format(steps=self.stepper.step))
        except RuntimeError as error:
            if self.options.compile and isinstance(error, torch._dynamo.exc.TorchDynamoException):
                reason_text = " ".join(str(error).strip().partition("\n\n")[0].split())
                raise OptionError(f"torch.compile failed ({reason_text}); train without compile") from error
            raise
        return reason

    def _compiled(self) -> Callable[..., Loss]:
        """The objective compiled by torch.compile, or, with a note, uncompiled if it does not support compilation."""
        if self.objective.eager is not None:
            self._note(f"training continues without compile, which does not apply here: {self.objective.eager}")
            return self.objective
        model: Callable[..., Loss] = torch.compile(self.objective, dynamic=False)
        return model

    def _initialise(self) -> None:
        """Data-dependent initialisation of transforms, from all training rows or, if those are large, from a sample."""
        most = max(_INITIAL_ROWS, min(_MOST_INITIAL_ROWS, _INITIAL_VALUES // max(1, self.train.event_size)))
        count = self._initial_rows(most)
        chosen = torch.arange(count)
        if self.train.weights is not None or count < len(self.train):
            chosen = self.train.draws(count, torch.Generator().manual_seed(self.options.seed))
        x, context = self.train.take(chosen).on(self.flow)
        with torch.no_grad(), evaluation(self.flow):
            self.flow.initialise(x, context, generator=torch.Generator(self.flow.device).manual_seed(self.options.seed))

    def _initial_rows(self, most: int) -> int:
        """The number of draws, at most ``most``, that repeats each row in proportion to its weight."""
        weights = self.train.weights
        if weights is None:
            return min(len(self.train), most)
        times = weights / weights[weights > 0].min()
        # Multiples of the least weight repeat rows exactly. Of other weights, many draws come near.
        multiples = bool(((times - times.round()).abs() < 1e-6 * times.clamp(min=1)).all())
        return min(int(times.round().sum()), most) if multiples else most

    def _compute_once(self) -> None:
        """Compute a loss without side effects: in evaluation mode, on a batch outside the training stream."""
        x, context, noise = self._other_batches(self.objective.noise).draw()
        with evaluation(self.flow):
            self.objective(x, context, noise)

    def _step(self, fraction: float) -> str | None:
        x, context, noise = self.batches.draw()

        def compute() -> Loss:
            with torch.autocast(x.device.type, torch.bfloat16, enabled=self.options.autocast):
                return self.model(x, context, noise)

        def locate() -> str:
            return locate_nonfinite(self.flow, x, context, self.objective.transform_noise(noise))

        return self.stepper.advance(compute, fraction, locate, self.record.best)

    def _round(self) -> StopReason | None:
        """Score the validation rows, keep the weights if they are the best so far, and record the round."""
        start, stepper = self.clock(), self.stepper
        window = stepper.window
        window.close(stepper.step)
        with stepper.averaged() as averaged:
            if averaged:
                self._recompute_statistics()
            self.record.take(self.validator.score(), stepper.step)
        value, loss_name = window.value(), self.objective.loss_name
        self.record.write(
            stepper.step,
            self._elapsed(),
            None if loss_name else value,
            self._epoch(),
            loss=value if loss_name else None,
            loss_name=loss_name,
            validation_total=self.validator.total,
            averaged=averaged,
            lr=stepper.lr if stepper.step else None,
            gradient_norm=window.norm(),
            rows_per_second=self._rows_per_second(),
            skipped=stepper.recovery.skipped,
        )
        cost = self.clock() - start
        self.budget.reserve = 1.2 * cost
        self.cadence.follow_cost(self.budget, cost)
        window.restart(stepper.step)
        patience = self.options.patience
        return "patience" if patience is not None and self.record.misses >= patience else None

    def _recompute_statistics(self) -> None:
        if not normalisations(self.flow):
            return
        count = min(_STATISTICS_BATCHES, math.ceil(len(self.train) / self.batches.size))
        again = self._other_batches()
        recompute_statistics(self.flow, lambda: again.some(count))

    def _other_batches(self, noise: NoiseSpec = None) -> Batches:
        """A repeatable stream of batches, independent of the training stream."""
        return Batches(self.flow, self.train, self.batches.size, self.options.seed, self.options.flips, noise)

    def _conclude(self) -> list[str]:
        return [*self.record.conclude(self.stepper.step), *self.stepper.recovery.notes(self.stepper.step)]

    def _status(self) -> Status:
        stepper, elapsed = self.stepper, self._elapsed()
        recent, loss_name = stepper.window.recent(), self.objective.loss_name
        loss = (loss_name, recent) if loss_name is not None and recent is not None else None
        return Status(
            step=stepper.step,
            fraction=self.budget.fraction(stepper.step, elapsed),
            epoch=self._epoch(),
            figures=self.record.figures(recent if loss_name is None else None, loss),
            gradient_norm=stepper.gradient_norm,
            rate=self._rows_per_second(),
            left=self.budget.left(stepper.step, elapsed),
        )

    def _epoch(self) -> float:
        return self.stepper.step * self.batches.size / len(self.train)

    def _rows_per_second(self) -> float | None:
        steps = self.stepper.window.steps_per_second(self.stepper.step)
        return None if steps is None else steps * self.batches.size
