"""`fit`: a flow fitted to an unnormalised log-density by stochastic gradients of the evidence lower bound.

All that does not depend on where the gradient comes from is that of `pushforward.training`: the optimiser, its schedule
and limits, averaged weights, recovery from non-finite steps, the record, progress and Ctrl-C.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from pushforward.errors import NumericsError, OptionError
from pushforward.flow import Flow, evaluation
from pushforward.inference.gradients import Bound, Draw, backward, choose_route, draw, reached
from pushforward.inference.importance_sampling import importance
from pushforward.inference.options import InferenceOptions
from pushforward.inference.result import InferenceResult, InferenceStatus
from pushforward.inference.target import LogDensity, Target, require_exact
from pushforward.inputs import TensorLike
from pushforward.training.averaging import Snapshot, WeightAverage
from pushforward.training.batches import context_rows
from pushforward.training.checkpoint import write_weights
from pushforward.training.interrupt import Interrupt
from pushforward.training.loop import make_optimiser
from pushforward.training.metrics import Metrics
from pushforward.training.numerics import Recovery
from pushforward.training.progress import Progress, make_progress
from pushforward.training.result import FitFailed, StopReason
from pushforward.training.schedule import ROUNDS, Budget, Cadence, learning_rate
from pushforward.training.window import Window

# Drawing and weighing a sample takes about this share of a step's time for it: so much of a time limit is kept for the
# last figures, up to a share of the whole.
_WEIGHING, _MOST_RESERVED = 0.4, 0.2


def fit(
    flow: Flow,
    log_density: LogDensity,
    *,
    context: TensorLike | None = None,
    options: InferenceOptions | None = None,
    progress: bool | None = None,
    out: Path | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> InferenceResult:
    """Fit ``flow`` in place to the density that ``log_density`` is the log of, up to a constant.

    It maximises the evidence lower bound E_q[log p~(x) - log q(x)] = log Z - KL(q | p), with q the flow, p~ the density
    and Z its integral, over samples of the flow in evaluation mode: no data are needed. log_density: takes ``x:
    (B, *event_shape)`` to ``(B,)``, in torch operations, each value from its own row alone. Where its support is not
    all of space, the flow's should lie inside: samples outside, where it is -inf, can only be left out of the gradient.

    context: rows that the flow and, as its second argument, ``log_density`` are conditioned on; each step takes rows at
    random, and the bound is its mean over them. progress: False for silence, else a live line on a terminal and plain
    lines elsewhere, on stderr. out: a directory for ``metrics.jsonl`` and, with each of its entries, the weights in
    ``weights.safetensors``. An entry, also in the result's ``history``, has ``step``, ``seconds``, ``elbo`` (mean over
    the steps since the last entry, of the samples that could be used), ``gradient_norm``, ``lr``,
    ``samples_per_second``, and so far ``skipped`` (non-finite steps) and ``left_out`` (samples). clock: gives the
    seconds that ``minutes`` limits, as in `pushforward.training.fit`.

    The fit improves on what the flow draws already: it can settle on one mode of many, and its own figures will not
    show it. The option ``anneal`` helps: for that share of the run it maximises E_q[b log p~(x) - log q(x)] with b
    rising from 0.01 to 1 (Rezende & Mohamed, 2015, eq. 20); the ``elbo`` of an entry is with b = 1.

    Ctrl-C ends the run after the step; a second one aborts with KeyboardInterrupt. On a CPU the same seed gives the
    same weights to the bit, except where ``minutes`` limits the run. Raises ShapeError, ContextError, DataError,
    OptionError for what does not fit, and FitFailed (a NumericsError) if it keeps diverging.

    >>> import torch
    >>> from pushforward import flows
    >>> from pushforward.inference import InferenceOptions
    >>> flow = flows.build("real_nvp", event_shape=(2,), transforms=2, hidden=(8,))
    >>> options = InferenceOptions(steps=5, samples=100)
    >>> result = fit(flow, lambda x: -(x - 1).square().sum(1), options=options, progress=False)
    >>> result.steps, result.gradient, result.importance.samples
    (5, 'path', 100)
    """
    require_exact(flow)
    options = options or InferenceOptions()
    rows = context_rows(flow, context, "target")
    with contextlib.closing(Metrics(out)) as metrics, make_progress(progress) as shown, Interrupt() as interrupt:
        run = _Run(flow, log_density, rows, options, metrics, shown, out, clock)
        flow.eval()
        with evaluation(flow), torch.enable_grad():
            return run.go(interrupt)


class _Run:
    """The state of one fit."""

    def __init__(
        self,
        flow: Flow,
        log_density: LogDensity,
        context: Tensor | None,
        options: InferenceOptions,
        metrics: Metrics,
        progress: Progress,
        out: Path | None,
        clock: Callable[[], float],
    ) -> None:
        self.flow, self.log_density, self.context, self.options = flow, log_density, context, options
        self.metrics, self.progress, self.out, self.clock = metrics, progress, out, clock
        self.target = Target(log_density)
        self.generator = torch.Generator(flow.device).manual_seed(options.seed)
        self.budget = Budget(options.step_limit, None, None if options.minutes is None else 60 * options.minutes)
        self.cadence = self._cadence()
        self.result = InferenceResult()
        self.step, self.left_out = 0, 0
        self.gradient_norm: float | None = None
        self.started = clock()
        self.window = Window(clock, 0)
        self.recorded_when = self.started
        self.recent: float | None = None
        self.speed: float | None = None

    def go(self, interrupt: Interrupt) -> InferenceResult:
        self._prepare()
        try:
            self.result.stopped_by = self._loop(interrupt)
            self._record()
            if self.result.stopped_by == "interrupted":
                self.progress.note("stopping; the weights are being evaluated (Ctrl-C again aborts)")
            self._weigh()
        except NumericsError as error:
            self.result.stopped_by = "numerics"
            self._note(str(error))
            raise FitFailed(str(error), self._finish()) from None
        finally:
            self._finish()
        self.progress.show(self._status(), final=True)
        return self.result

    def _cadence(self) -> Cadence:
        if self.budget.last_step is None:
            return Cadence(None, (self.budget.seconds or 0.0) / ROUNDS)
        return Cadence(math.ceil(self.budget.last_step / ROUNDS))

    def _prepare(self) -> None:
        flow, options = self.flow, self.options
        one = None if self.context is None else self.context[:1]
        self.parameters, without = reached(flow, one)
        if without:
            named = ", ".join(without[:3]) + (", ..." if len(without) > 3 else "")
            self._note(f"samples carry no gradient to {named}: the fit leaves them as they are")
        if not self.parameters:
            raise OptionError("the flow has no parameters to fit: its samples depend on none")
        self.route, message = choose_route(flow, options.gradient, one)
        if message is not None:
            self._note(message)
        self.result.gradient = "reparameterised" if self.route is None else "path"
        self.average = WeightAverage(flow, options.ema) if options.ema else None
        self.swap = Snapshot(flow) if self.average is not None else None
        self.optimiser = make_optimiser(self.parameters, options)
        self.recovery = Recovery(flow, self.optimiser, self.average)
        self.kept = Snapshot(flow)

    def _loop(self, interrupt: Interrupt) -> StopReason:
        while True:
            if interrupt.asked:
                return "interrupted"
            reason = self.budget.exhausted(self.step, self._elapsed(), self.window.step_seconds(self.step))
            if reason is not None:
                return reason
            self._step()
            if self.progress.due():
                self.progress.show(self._status())
            if self.cadence.due(self.step - self.window.first, self.clock() - self.recorded_when):
                self._record()

    def _step(self) -> None:
        options, recovery = self.options, self.recovery
        fraction = self.budget.fraction(self.step, self._elapsed())
        self.lr = recovery.slowdown * learning_rate(options, self.step, fraction)
        for group in self.optimiser.param_groups:
            group["lr"] = self.lr
        self.optimiser.zero_grad(set_to_none=True)
        context = self._some_context()
        drawn = draw(self.flow, options.batch_size, context, self.generator)
        weight = options.target_weight(fraction)
        bound = backward(self.flow, self.target, self.route, drawn, context, weight)
        norm = torch.nn.utils.get_total_norm([p.grad for p in self.parameters if p.grad is not None])
        # One transfer for all: on an accelerator this is the only wait of a step.
        numbers = torch.stack([bound.value.float(), norm.float(), bound.usable.sum().float()])
        value_now, norm_now, used = numbers.tolist()
        self.step += 1
        self.left_out += options.batch_size - int(used)
        if not (math.isfinite(value_now) and math.isfinite(norm_now)):
            message = recovery.after_failure(lambda: self._locate(drawn, bound), None)
            if message is not None:
                self._note(f"step {self.step}: {message}")
            return
        recovery.before_step()
        if options.clip is not None:
            torch.nn.utils.clip_grads_with_norm_(self.parameters, options.clip, norm)
        self.optimiser.step()
        if self.average is not None:
            self.average.update()
        self.gradient_norm = norm_now
        self.window.add(value_now, norm_now)

    def _some_context(self) -> Tensor | None:
        """A row of context for each sample of a step."""
        if self.context is None:
            return None
        device, n = self.context.device, self.options.batch_size
        chosen = torch.randint(len(self.context), (n,), generator=self.generator, device=device)
        return self.context.index_select(0, chosen)

    def _locate(self, drawn: Draw, bound: Bound) -> str:
        """A phrase on what is not finite in a step."""
        log_p, n = bound.log_p, len(bound.log_p)
        if not drawn.x.isfinite().all():
            return "the flow's samples are not finite"
        if (log_p == -math.inf).all():
            return f"log_density is -inf at all {n} samples: the flow lies outside of its support"
        if not log_p.isfinite().any():
            return f"log_density is not finite at any of {n} samples (the first gives {log_p[0]:g})"
        if not bound.usable.any():
            return f"log_density is finite, but gradients are not, at any of {n} samples"
        broken = (
            name for name, p in self.flow.named_parameters() if p.grad is not None and not p.grad.isfinite().all()
        )
        return f"the gradient of {next(broken, 'the weights')} is not finite, though those of log_density are"

    def _record(self) -> None:
        """Keep the weights as they are now, or their average, and record the round."""
        if self.step == self.window.first:
            return
        if self.average is not None and self.swap is not None:
            with self.average.applied(self.swap):
                self.kept = Snapshot(self.flow)
        else:
            self.kept = Snapshot(self.flow)
        if self.out is not None:
            write_weights(self.kept, self.out / "weights.safetensors")
        self.recent, self.speed = self.window.recent(), self._samples_per_second()
        weighing = _WEIGHING * self.options.samples / self.options.batch_size * self.window.step_seconds(self.step)
        self.budget.reserve = min(weighing, _MOST_RESERVED * (self.budget.seconds or 0.0))
        self.metrics.add(
            {
                "step": self.step,
                "seconds": self._elapsed(),
                "elbo": self.window.value(),
                "gradient_norm": self.window.norm(),
                "lr": self.lr,
                "samples_per_second": self.speed,
                "skipped": self.recovery.skipped,
                "left_out": self.left_out,
            }
        )
        self.recorded_when = self.clock()
        self.window = Window(self.clock, self.step)

    def _weigh(self) -> None:
        """The figures of the kept weights, from fresh samples, and what has to be said of them."""
        self.kept.restore()
        options, groups = self.options, 1 if self.context is None else len(self.context)
        found = importance(
            self.flow,
            self.log_density,
            samples=max(2, options.samples // groups),
            context=self.context,
            seed=(options.seed + 1) % 2**63,
        )
        self.result.importance = found
        total = found.samples * groups
        if found.undefined:
            self._note(
                f"log_density is NaN or +inf at {found.undefined:,} of {total:,} samples, and the figures are NaN: "
                "mend it there, or leave that region out of its support with -inf"
            )
        if found.outside:
            self._note(
                f"log_density is -inf at {found.outside:,} of {total:,} samples, so that the ELBO is -inf: "
                "a flow whose last step is onto the support (Logit, Log) has a finite one"
            )
        if self.left_out:
            share = self.left_out / (self.step * options.batch_size)
            self._note(
                f"{self.left_out:,} samples of the steps ({share:.2g} of all) were left out of the gradient, "
                "because log_density or a gradient is not finite there"
            )

    def _finish(self) -> InferenceResult:
        """The kept weights back into the flow; safe to call again."""
        self.kept.restore()
        self.flow.zero_grad(set_to_none=True)
        self.result.steps, self.result.seconds = self.step, self._elapsed()
        self.result.history = self.metrics.history
        return self.result

    def _status(self) -> InferenceStatus:
        # Just after a round the figures of the steps before it are the latest ones.
        elapsed = self._elapsed()
        return InferenceStatus(
            step=self.step,
            fraction=self.budget.fraction(self.step, elapsed),
            elbo=self.window.recent() if self.window.values else self.recent,
            gradient_norm=self.gradient_norm,
            rate=self._samples_per_second() or self.speed,
            left=self.budget.left(self.step, elapsed),
        )

    def _note(self, message: str) -> None:
        self.result.notes.append(message)
        self.progress.note(message)

    def _samples_per_second(self) -> float | None:
        steps = self.window.steps_per_second(self.step)
        return None if steps is None else steps * self.options.batch_size

    def _elapsed(self) -> float:
        return self.clock() - self.started
