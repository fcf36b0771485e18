"""`fit`: a flow fitted to an unnormalised log-density by stochastic gradients of the evidence lower bound.

`pushforward.training` provides everything but the gradient: the optimiser, its schedule and limits, averaged weights,
recovery from non-finite steps, metrics, progress and Ctrl-C.
"""

from __future__ import annotations

import contextlib
import math
import os
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from pushforward.errors import OptionError
from pushforward.flow import Flow
from pushforward.inference.gradients import choose_route, reached
from pushforward.inference.importance_sampling import importance
from pushforward.inference.options import InferenceOptions
from pushforward.inference.result import InferenceResult
from pushforward.inputs import TensorLike
from pushforward.objectives.path_elbo import Draw, PathELBO, draw
from pushforward.objectives.target import LogDensity, require_exact
from pushforward.precision import evaluation
from pushforward.threads import suit_threads, usable_threads
from pushforward.training.averaging import Snapshot
from pushforward.training.batches import context_rows
from pushforward.training.interrupt import Interrupt
from pushforward.training.metrics import Metrics
from pushforward.training.progress import Status, make_progress
from pushforward.training.result import StopReason
from pushforward.training.run import GradientRun, Reporting
from pushforward.training.schedule import ROUNDS, Budget, Cadence
from pushforward.training.stepper import Stepper

# Importance sampling takes about this fraction of the time of a training step per sample. The time limit reserves that
# much for the final figures, up to a fraction of the whole.
_WEIGHING, _MOST_RESERVED = 0.4, 0.2


def fit(
    flow: Flow,
    log_density: LogDensity,
    *,
    context: TensorLike | None = None,
    options: InferenceOptions | None = None,
    progress: bool | None = None,
    out: str | os.PathLike[str] | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> InferenceResult:
    """Fit ``flow`` in place to an unnormalised log-density.

    It maximises the evidence lower bound E_q[log p~(x) - log q(x)] = log Z - KL(q | p), with q the flow, p~ the density
    and Z its integral, over samples of the flow in evaluation mode; no data are needed. log_density: maps ``x: (B,
    *event_shape)`` to ``(B,)`` by torch operations, each row independently. If its support is not the whole space, the
    flow's support should lie inside it: samples outside, where it is -inf, are excluded from the gradient.

    context: rows that the flow is conditioned on, also the second argument of ``log_density``; each step draws rows at
    random, and the bound is the mean over them. progress: False for silence; otherwise stderr gets a live line on a
    terminal and plain lines elsewhere. out: a directory for ``metrics.jsonl`` and, with each of its entries, the
    weights in ``weights.safetensors``. An entry, also in the result's ``history``, has ``step``, ``seconds``, ``elbo``
    (mean over the steps since the last entry, without excluded samples), ``gradient_norm``, ``lr``,
    ``samples_per_second``, and the totals ``skipped`` (non-finite steps) and ``left_out`` (excluded samples). clock:
    returns the seconds that ``minutes`` limits, as in `pushforward.training.fit`.

    The fit only sees the regions where the flow draws samples: it can converge to one mode of many, and its figures do
    not show that. The option ``anneal`` helps: during that fraction of the run it maximises E_q[b log p~(x) - log q(x)]
    with b rising from 0.01 to 1 (Rezende & Mohamed, 2015, eq. 20). The ``elbo`` of an entry always has b = 1.

    On a CPU a fit uses no more threads than torch is set to, and fewer if a step has too little work for them. The
    setting of torch is restored afterwards.

    Ctrl-C ends the run after the current step; a second Ctrl-C raises KeyboardInterrupt. On a CPU the same seed gives
    bitwise equal weights, unless ``minutes`` limits the run. Raises ShapeError, ContextError, DataError or OptionError
    for invalid arguments, and FitFailed (a NumericsError) if the fit keeps diverging.

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
    folder = None if out is None else Path(out)
    with (
        contextlib.closing(Metrics(folder)) as metrics,
        make_progress(progress) as shown,
        Interrupt() as interrupt,
        usable_threads(),
    ):
        run = _DensityRun(flow, log_density, rows, options, folder, Reporting(metrics, shown, clock))
        flow.eval()
        with evaluation(flow), torch.enable_grad():
            return run.go(interrupt)


class _DensityRun(GradientRun[InferenceResult]):
    """A fit to a log-density."""

    def __init__(
        self,
        flow: Flow,
        log_density: LogDensity,
        context: Tensor | None,
        options: InferenceOptions,
        folder: Path | None,
        reporting: Reporting,
    ) -> None:
        super().__init__(flow, reporting, InferenceResult())
        self.log_density, self.context, self.options, self.folder = log_density, context, options, folder
        self.generator = torch.Generator(flow.device).manual_seed(options.seed)
        self.budget = Budget(options.step_limit, None, None if options.minutes is None else 60 * options.minutes)
        self.cadence = self._cadence()
        one = None if context is None else context[:1]
        with evaluation(flow), torch.enable_grad():
            suit_threads(self._draw_once, flow.device)
            parameters = self._parameters(one)
            route, message = choose_route(flow, options.gradient, one)
        if message is not None:
            self._note(message)
        self.result.gradient = "reparameterised" if route is None else "path"
        flow.initialise_context(context)
        self.objective = PathELBO(flow, log_density, route)
        self.stepper = Stepper(flow, parameters, options, self.objective.shown, self.clock)
        self.left_out = 0
        self._kept = Snapshot(flow)

    @property
    def kept(self) -> Snapshot | None:
        return self._kept

    def _train(self, interrupt: Interrupt) -> StopReason:
        reason = self._loop(interrupt)
        self._round()
        if reason == "interrupted":
            self.progress.note("stopping: evaluating the weights (Ctrl-C again aborts)")
        self._weigh()
        return reason

    def _cadence(self) -> Cadence:
        if self.budget.last_step is None:
            return Cadence(None, (self.budget.seconds or 0.0) / ROUNDS)
        return Cadence(math.ceil(self.budget.last_step / ROUNDS))

    def _parameters(self, context: Tensor | None) -> list[nn.Parameter]:
        """The parameters that the samples depend on; raises OptionError where there are none."""
        parameters, without = reached(self.flow, context)
        if without:
            named = ", ".join(without[:3]) + (", ..." if len(without) > 3 else "")
            self._note(f"samples carry no gradient to {named}: the fit leaves them as they are")
        if not parameters:
            raise OptionError("the flow has no parameters to fit: its samples depend on none")
        return parameters

    def _draw_once(self) -> Draw:
        """Samples of a step, from a separate generator."""
        size = self.options.batch_size
        context = None if self.context is None else self.context[:1].expand(size, *self.context.shape[1:])
        return draw(self.flow, size, context, torch.Generator(self.flow.device).manual_seed(self.options.seed))

    def _step(self, fraction: float) -> str | None:
        context = self._some_context()
        z, noise = self.objective.draw(self.options.batch_size, context, self.generator)
        weight = self.options.target_weight(fraction)
        message = self.stepper.advance(
            lambda: self.objective(z, context, noise, weight),
            fraction,
            lambda: self.objective.nonfinite(z, context, noise),
        )
        self.left_out += int(self.stepper.parts["left_out"])
        return message

    def _some_context(self) -> Tensor | None:
        """A row of context for each sample of a step."""
        if self.context is None:
            return None
        device, n = self.context.device, self.options.batch_size
        chosen = torch.randint(len(self.context), (n,), generator=self.generator, device=device)
        return self.context.index_select(0, chosen)

    def _round(self) -> StopReason | None:
        """Record the round and copy the present weights, or their average."""
        stepper, window = self.stepper, self.stepper.window
        if stepper.step == window.first:
            return None
        window.close(stepper.step)
        with stepper.averaged():
            self._kept = Snapshot(self.flow)
        if self.folder is not None:
            self._kept.write(self.folder / "weights.safetensors")
        speed = self._samples_per_second()
        if speed:
            weighing = _WEIGHING * self.options.samples / speed
            self.budget.reserve = min(weighing, _MOST_RESERVED * (self.budget.seconds or 0.0))
        self.metrics.add(
            {
                "step": stepper.step,
                "seconds": self._elapsed(),
                "elbo": window.value(),
                "gradient_norm": window.norm(),
                "lr": stepper.lr,
                "samples_per_second": speed,
                "skipped": stepper.recovery.skipped,
                "left_out": self.left_out,
            }
        )
        window.restart(stepper.step)
        return None

    def _weigh(self) -> None:
        """Importance-sampling figures of the kept weights, from fresh samples, with notes on their problems."""
        self._kept.restore()
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
                "correct log_density there, or return -inf to exclude that region"
            )
        if found.outside:
            self._note(
                f"log_density is -inf at {found.outside:,} of {total:,} samples, so that the ELBO is -inf: "
                "use a flow whose last step maps onto the support (Logit, Log)"
            )
        if self.left_out:
            fraction = self.left_out / (self.stepper.step * options.batch_size)
            self._note(
                f"{self.left_out:,} samples of the steps ({fraction:.2g} of all) were excluded from the gradient, "
                "because log_density or a gradient is not finite there"
            )

    def _conclude(self) -> list[str]:
        return self.stepper.recovery.notes(self.stepper.step)

    def _status(self) -> Status:
        stepper, elapsed = self.stepper, self._elapsed()
        elbo = stepper.window.recent()
        return Status(
            step=stepper.step,
            fraction=self.budget.fraction(stepper.step, elapsed),
            figures=() if elbo is None else (f"ELBO {elbo:.3f} nats",),
            gradient_norm=stepper.gradient_norm,
            rate=self._samples_per_second(),
            rows="samples",
            left=self.budget.left(stepper.step, elapsed),
        )

    def _samples_per_second(self) -> float | None:
        steps = self.stepper.window.steps_per_second(self.stepper.step)
        return None if steps is None else steps * self.options.batch_size
