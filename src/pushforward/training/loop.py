"""`fit`: maximum likelihood, by stochastic gradients or greedily, with the best weights kept."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

from pushforward.errors import DataError, OptionError
from pushforward.flow import Flow, evaluation
from pushforward.inputs import TensorLike
from pushforward.objectives import Loss
from pushforward.rows import Rows
from pushforward.training.averaging import Snapshot, WeightAverage, normalisations, recompute_statistics
from pushforward.training.batches import Batches, checked_rows, split_rows
from pushforward.training.checkpoint import write_weights
from pushforward.training.greedy import GreedyRun, is_greedy
from pushforward.training.interrupt import Interrupt
from pushforward.training.metrics import Metrics
from pushforward.training.numerics import Recovery, locate_nonfinite
from pushforward.training.options import OptimiserOptions, TrainingOptions
from pushforward.training.progress import Status, make_progress
from pushforward.training.result import FitResult, StopReason
from pushforward.training.run import Run
from pushforward.training.schedule import Budget, Cadence, learning_rate
from pushforward.training.validation import Score, Validator
from pushforward.training.window import Window
from pushforward.units import Unit

# Where no validation rows are given, one in so many training rows is held out.
_HELD_OUT = 10
# Statistics of averaged weights are recomputed over at most so many batches.
_STATISTICS_BATCHES = 30
# Values from which `initialise` takes moments, where there are as many; and the rows that it gets at the least.
_INITIAL_VALUES, _INITIAL_ROWS = 1_000_000, 256


def fit(
    flow: Flow,
    train: TensorLike,
    validation: TensorLike | None = None,
    *,
    context: TensorLike | None = None,
    validation_context: TensorLike | None = None,
    options: TrainingOptions | None = None,
    out: Path | None = None,
    progress: bool | None = None,
    unit: Unit | None = None,
    on_best: Callable[[Flow, int, float], None] | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> FitResult:
    """Fit ``flow`` to ``train: (N, *event_shape)`` in place; it ends with the best weights and in evaluation mode.

    validation: rows that choose the best weights; None holds out a random tenth of ``train``. context and
    validation_context: one row of context, or a label, for each row. out: a directory for ``metrics.jsonl`` (an earlier
    one is replaced) and, unless ``on_best`` is given, the best weights so far in ``best.safetensors``. progress: False
    for silence, else a live line on a terminal and plain lines elsewhere, on stderr. unit: of what is shown and
    recorded; None: bits/dim for flows of integers, else nats. on_best: called with the flow, which holds the best
    weights so far at that moment, the step and its mean validation log-likelihood in nats. clock: gives the seconds
    that ``minutes`` limits; ``time.process_time`` counts only this process's work, for comparisons on a busy machine.

    A flow of greedy steps (`rbig` and others) is fitted step by step instead of by gradients, in its own way
    (`GreedyRun`): ``steps`` limits how many, and options such as ``lr`` and ``batch_size`` have no use.

    Ctrl-C ends the run after the step, with the best weights kept; a second one aborts with KeyboardInterrupt. On a
    CPU the same seed gives the same weights to the bit, except where ``minutes`` limits the run. Raises ShapeError,
    ContextError, DataError, OptionError for what does not fit, and FitFailed (a NumericsError) if it keeps diverging.

    >>> import torch
    >>> from pushforward import flows
    >>> from pushforward.training import TrainingOptions
    >>> flow = flows.build("real_nvp", event_shape=(2,), transforms=2, hidden=(8,))
    >>> result = fit(flow, torch.randn(100, 2), options=TrainingOptions(steps=5), progress=False)
    >>> result.steps, result.stopped_by
    (5, 'steps')
    """
    options = options or TrainingOptions()
    rows = checked_rows(flow, train, context, "training")
    if validation is not None:
        held_out = checked_rows(flow, validation, validation_context, "validation")
    elif validation_context is not None:
        raise OptionError("validation_context was given without validation rows")
    elif len(rows) < _HELD_OUT:
        raise DataError(f"without validation rows at least {_HELD_OUT} training rows are needed, got {len(rows)}")
    else:
        rows, held_out = split_rows(rows, len(rows) // _HELD_OUT, torch.Generator().manual_seed(options.seed))

    def keep(best: Snapshot, step: int, value: float) -> None:
        if on_best is not None:
            on_best(flow, step, value)
        elif out is not None:
            write_weights(best, out / "best.safetensors")

    with contextlib.closing(Metrics(out)) as metrics:
        kind = GreedyRun if is_greedy(flow) else _GradientRun
        run = kind(flow, rows, held_out, options, metrics, unit, keep, clock)
        with make_progress(progress) as shown, Interrupt() as interrupt, _own_random_state(flow, options.seed):
            return run.go(shown, interrupt)


class _GradientRun(Run):
    """A fit by stochastic gradients."""

    def __init__(self, flow: Flow, train: Rows, validation: Rows, options: TrainingOptions, *more: Any) -> None:
        super().__init__(flow, train, validation, options, *more)
        self.parameters = [p for p in flow.parameters() if p.requires_grad]
        if not self.parameters:
            raise OptionError("the flow has no parameters to train")
        self.objective = flow.objective
        self.batches = Batches(flow, train, options.batch_size, options.seed, options.flips, self.objective.noise)
        self.budget = Budget.of(options, len(train), self.batches.size)
        self.validator = Validator(flow, validation, options, self.clock)
        self.gradient_norm = math.nan
        self.last_score: float | None = None
        self.loss_name = self.objective.loss_name
        self.speed: float | None = None
        self.recent: float | None = None

    def _train(self, interrupt: Interrupt) -> StopReason:
        try:
            self._prepare()
            reason = self._loop(interrupt)
            if self.step > self.validated_at:
                if reason == "interrupted":
                    self.progress.note("stopping; the last weights are being validated (Ctrl-C again aborts)")
                self._validate()
        except RuntimeError as error:
            if self.options.compile and isinstance(error, torch._dynamo.exc.TorchDynamoException):
                reason_text = " ".join(str(error).strip().partition("\n\n")[0].split())
                raise OptionError(f"torch.compile failed ({reason_text}); train without compile") from error
            raise
        return reason

    def _prepare(self) -> None:
        flow, options = self.flow, self.options
        self._initialise()
        self.average = WeightAverage(flow, options.ema) if options.ema else None
        self.swap = Snapshot(flow) if self.average is not None else None
        self.optimiser = make_optimiser(self.parameters, options)
        self.recovery = Recovery(flow, self.optimiser, self.average)
        self.model: Callable[..., Loss] = self._compiled() if options.compile else self.objective
        if self.budget.seconds is not None:
            self.validator.fit_to(self.budget.seconds)
        self.cadence = Cadence.of(options, self.budget, len(self.validator), self.batches.size)
        flow.train()
        self.window = Window(self.clock, self.step)
        self._validate()

    def _compiled(self) -> Callable[..., Loss]:
        """The objective through torch.compile, or as it is, with a note, where it cannot be compiled."""
        if self.objective.eager is not None:
            self._note(f"training goes on without compile, which has no use here: {self.objective.eager}")
            return self.objective
        model: Callable[..., Loss] = torch.compile(self.objective, dynamic=False)
        return model

    def _initialise(self) -> None:
        """Once, from all training rows where they are few values, and from a sample of them where they are many."""
        count = min(len(self.train), max(_INITIAL_ROWS, _INITIAL_VALUES // max(1, self.train.event_size)))
        chosen = torch.arange(count)
        if count < len(self.train):
            chosen = torch.randperm(len(self.train), generator=torch.Generator().manual_seed(self.options.seed))[:count]
        x, context = self.train.take(chosen).on(self.flow)
        with evaluation(self.flow):
            self.flow.initialise(x, context, torch.Generator(self.flow.device).manual_seed(self.options.seed))

    def _loop(self, interrupt: Interrupt) -> StopReason:
        while True:
            if interrupt.asked:
                return "interrupted"
            reason = self.budget.exhausted(self.step, self._elapsed(), self.window.step_seconds(self.step))
            if reason is not None:
                return reason
            self._train_step()
            if self.progress.due():
                self.progress.show(self._status())
            if self.cadence.due(self.step - self.validated_at, self.clock() - self.validated_when):
                self._validate()
                if self.options.patience is not None and self.misses >= self.options.patience:
                    return "patience"

    def _train_step(self) -> None:
        options, recovery = self.options, self.recovery
        self.lr = recovery.slowdown * learning_rate(
            options, self.step, self.budget.fraction(self.step, self._elapsed())
        )
        for group in self.optimiser.param_groups:
            group["lr"] = self.lr
        x, context, noise = self.batches.draw()
        recovery.before_batch()
        self.optimiser.zero_grad(set_to_none=True)
        with torch.autocast(x.device.type, torch.bfloat16, enabled=options.autocast):
            value, parts = self.model(x, context, noise)
        try:
            torch.autograd.backward(value)
        except AssertionError:
            # Of torchdiffeq, where the adjoint equation cannot be solved backwards.
            value = value.detach() * torch.nan
        norm = torch.nn.utils.get_total_norm([p.grad for p in self.parameters if p.grad is not None])
        # One transfer for both: on an accelerator this is the only wait of a step.
        numbers = torch.stack([value.detach().float(), norm.float(), parts[self.objective.shown].float()])
        value_now, norm_now, shown = numbers.tolist()
        self.step += 1
        if not (math.isfinite(value_now) and math.isfinite(norm_now)):
            message = recovery.after_failure(
                lambda: locate_nonfinite(self.flow, x, context, self.objective.transform_noise(noise)), self.best
            )
            if message is not None:
                self._note(f"step {self.step}: {message}")
            return
        recovery.before_step()
        if options.clip is not None:
            # Only now: a norm that is NaN would spread to every gradient, and hide where it came from.
            torch.nn.utils.clip_grads_with_norm_(self.parameters, options.clip, norm)
        self.optimiser.step()
        if self.average is not None:
            self.average.update()
        self.gradient_norm = norm_now
        self.window.add(shown, norm_now)

    def _validate(self) -> None:
        """Score the validation rows, keep the weights if they are the best so far, and record the round."""
        start = self.clock()
        if self.step > self.window.first:
            self.speed, self.recent = self._rows_per_second(), self.window.recent()
        if self.average is not None and self.swap is not None:
            with self.average.applied(self.swap):
                self._recompute_statistics()
                score, improved = self._score()
        else:
            score, improved = self._score()
        self.misses = 0 if improved else self.misses + 1
        self.last_score = score.mean
        self._record(
            score,
            improved,
            None if self.loss_name else self.window.value(),
            self._epoch(),
            loss=self.window.value() if self.loss_name else None,
            loss_name=self.loss_name,
            validation_total=self.validator.total,
            averaged=self.average is not None,
            lr=self.lr if self.step else None,
            gradient_norm=self.window.norm(),
            rows_per_second=self.speed,
            skipped=self.recovery.skipped,
        )
        cost = self.clock() - start
        self.budget.reserve = 1.2 * cost
        self.cadence.follow_cost(self.budget, cost)
        self.validated_at, self.validated_when = self.step, self.clock()
        self.window = Window(self.clock, self.step)

    def _score(self) -> tuple[Score, bool]:
        """The score of the weights that the flow holds now, which become the best if it is."""
        score = self.validator.score()
        return score, self._keep_if_best(score)

    def _recompute_statistics(self) -> None:
        if not normalisations(self.flow):
            return
        # The same batches each time, and none taken from the training stream.
        count = min(_STATISTICS_BATCHES, math.ceil(len(self.train) / self.batches.size))
        again = Batches(self.flow, self.train, self.batches.size, self.options.seed, self.options.flips)
        recompute_statistics(self.flow, lambda: again.some(count))

    def _status(self) -> Status:
        # Just after a validation round the figures of the steps before it are the latest ones.
        recent = self.window.recent() if self.window.values else self.recent
        elapsed = self._elapsed()
        return Status(
            step=self.step,
            epoch=self._epoch(),
            fraction=self.budget.fraction(self.step, elapsed),
            unit=self.unit,
            kind=self.flow.kind_in_words,
            train=None if recent is None or self.loss_name else self._in_unit(recent),
            loss=None if recent is None or not self.loss_name else (self.loss_name, recent),
            validation=None if self.last_score is None else self._in_unit(self.last_score),
            best=self._in_unit(self.result.best_validation),
            gradient_norm=self.gradient_norm,
            rate=self._rows_per_second() or self.speed,
            left=self.budget.left(self.step, elapsed),
        )

    def _epoch(self) -> float:
        return self.step * self.batches.size / len(self.train)

    def _rows_per_second(self) -> float | None:
        steps = self.window.steps_per_second(self.step)
        return None if steps is None else steps * self.batches.size


def make_optimiser(parameters: list[torch.nn.Parameter], options: OptimiserOptions) -> torch.optim.Optimizer:
    """The optimiser that ``options`` name, in the implementation that does all parameters in few calls."""
    if options.optimiser == "adamax":
        return torch.optim.Adamax(parameters, lr=options.lr, weight_decay=options.weight_decay, foreach=True)
    kind = torch.optim.AdamW if options.optimiser == "adamw" else torch.optim.Adam
    fused = all(p.device.type in ("cpu", "cuda") for p in parameters)
    return kind(parameters, lr=options.lr, weight_decay=options.weight_decay, fused=fused)


@contextlib.contextmanager
def _own_random_state(flow: Flow, seed: int) -> Iterator[None]:
    """Dropout can only draw from torch's global generators: seed copies of them, and put them back afterwards."""
    device = flow.device
    on_cuda = device.type == "cuda"
    index = (device.index if device.index is not None else torch.cuda.current_device()) if on_cuda else 0
    with torch.random.fork_rng(devices=[index] if on_cuda else []):
        torch.default_generator.manual_seed(seed)
        if on_cuda:
            torch.cuda.default_generators[index].manual_seed(seed)
        yield
