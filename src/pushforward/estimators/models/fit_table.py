"""The fit of a `TableModel`: members are trained side by side within a time limit, then weighted by validation."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor

from pushforward import flows, processors
from pushforward.errors import DataError
from pushforward.estimators.encoded import ColumnShape, EncodedRows
from pushforward.estimators.models.blend import Blend
from pushforward.estimators.models.column_chain import Chain
from pushforward.estimators.models.column_net import ColumnNet
from pushforward.estimators.models.fit_columns import ColumnNetOptions, fit_columns
from pushforward.estimators.models.members import (
    ChainMember,
    FlowMember,
    Member,
    MixtureMember,
    context_size,
    state_context,
)
from pushforward.estimators.models.mixture import MixedMixture
from pushforward.estimators.models.table_model import TableModel
from pushforward.flow import Flow
from pushforward.threads import lower_threads, one_thread
from pushforward.training import FitFailed, fit

_T = TypeVar("_T")

# With fewer rows nothing is held out: the mixture has one component, and the nets keep the columns' marginals.
_FEW = 20
# With fewer rows nets are narrower and batches smaller.
_SMALL = 2000
_VALIDATION, _MOST_VALIDATION, _BLEND_ROWS = 10, 20_000, 5000
# Fraction of the time for the mixture, and for the nets and flows that are trained side by side.
_MIXTURE_TIME, _JOINT_TIME = 0.15, 0.75
_MOST_CONTEXT = 512


@dataclass(frozen=True)
class Progress:
    """What a fit tells while it runs: ``stage`` in words, and the completed ``fraction``."""

    stage: str
    fraction: float


def default_seconds(rows: int, columns: int) -> float:
    """The time limit of a fit without one: 5 seconds for 1,000 rows of 5 columns, at most 5 minutes."""
    return min(300.0, 4.0 + 4e-4 * rows * math.sqrt(max(1, columns) / 5))


def fit_table(
    rows: EncodedRows,
    shapes: Sequence[ColumnShape],
    *,
    weights: Tensor | None = None,
    targets: Sequence[int] | None = None,
    seconds: float | None = None,
    steps: int | None = None,
    architectures: Sequence[str] = ("nsf_ar",),
    seed: int = 0,
    tell: Callable[[Progress], None] = lambda progress: None,
    clock: Callable[[], float] = time.monotonic,
) -> TableModel:
    """A model of encoded rows, all possible, with one weight each.

    targets: numbers of the columns that are modelled given the others; by default all. seconds: the time limit; by
    default `default_seconds`. steps: the limit of the steps of each net and flow; without ``seconds`` it replaces the
    time limit, and equal seeds give equal models. architectures: of the flows for the columns in which every row has a
    value.
    """
    if rows.impossible.any():
        raise DataError("a row of the training data has density zero under its column plan")
    if weights is not None:
        rows, weights = rows.take(weights > 0), weights[weights > 0].double()
    if len(rows) == 0:
        raise DataError("no rows are left to fit; at least one is needed")
    limit = _Limit(default_seconds(len(rows), len(shapes)) if seconds is None and steps is None else seconds, steps)
    job = _Job(rows, tuple(shapes), weights, targets, limit, tuple(architectures), seed, tell, clock)
    with one_thread():
        return job.run()


@dataclass(frozen=True)
class _Limit:
    """The limits of a fit: ``seconds`` of the whole, ``steps`` of each net and flow; None for no limit."""

    seconds: float | None
    steps: int | None

    def part(self, fraction: float) -> float | None:
        """A fraction of the seconds."""
        return None if self.seconds is None else fraction * self.seconds


class _Job:
    """The state of one fit."""

    def __init__(
        self,
        rows: EncodedRows,
        shapes: tuple[ColumnShape, ...],
        weights: Tensor | None,
        targets: Sequence[int] | None,
        limit: _Limit,
        architectures: tuple[str, ...],
        seed: int,
        tell: Callable[[Progress], None],
        clock: Callable[[], float],
    ) -> None:
        self.shapes, self.seed, self.tell, self.clock = shapes, seed, tell, clock
        self.targets = tuple(range(len(shapes)) if targets is None else targets)
        self.architectures = architectures
        self.limit = limit
        self.started, self.stop, self.notes = clock(), threading.Event(), list[str]()
        weights = torch.ones(len(rows), dtype=torch.float64) if weights is None else weights
        self.few, self.small = len(rows) < _FEW, len(rows) < _SMALL
        order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(seed))
        held_out = 0 if self.few else min(_MOST_VALIDATION, max(4, len(rows) // _VALIDATION))
        train, validation = order[held_out:], order[:held_out]
        self.rows, self.weights = rows.take(train), weights[train]
        self.validation = self.rows if self.few else rows.take(validation)
        self.validation_weights = self.weights if self.few else weights[validation]

    def run(self) -> TableModel:
        """Train the members and weigh them."""
        self.tell(Progress("mixture", 0.0))
        mixture = MixedMixture.fit(
            self.rows,
            self.shapes,
            weights=self.weights,
            validation=(self.validation, self.validation_weights),
            seconds=self.limit.part(_MIXTURE_TIME),
            max_components=1 if self.few else 100,
            seed=self.seed,
        )
        net, trained = self._train_side_by_side()
        chain = Chain([net])
        members: list[Member] = [MixtureMember(mixture, self.targets), ChainMember(chain)]
        members += [FlowMember(flow, name, self._block(), chain) for name, flow in trained]
        self.tell(Progress("weights of the members", _MIXTURE_TIME + _JOINT_TIME))
        if self.few:
            self.notes.append(f"{len(self.rows)} rows are too few to hold some out: the model is a Gaussian")
            return TableModel(self.shapes, self.targets, Blend(members[:1], torch.ones(1)), chain, self.notes)
        blend_rows, blend_weights = self.validation, self.validation_weights
        if len(blend_rows) > _BLEND_ROWS:
            blend_rows, blend_weights = blend_rows.take(torch.arange(_BLEND_ROWS)), blend_weights[:_BLEND_ROWS]
        blend = Blend.choose(members, blend_rows, blend_weights)
        return TableModel(self.shapes, self.targets, blend, chain, self.notes)

    def _train_side_by_side(self) -> tuple[ColumnNet, list[tuple[str, Flow]]]:
        """The net of conditional densities and the flows, one on each processor."""
        joint_time = self.limit.part(_MIXTURE_TIME + _JOINT_TIME)
        wanted = [(name, self._built(name)) for name in self._flows_to_train()]
        parallel = processors.available() > 1
        jobs = 1 + len(wanted)
        with ThreadPoolExecutor(max_workers=2 if parallel else 1) as pool:
            left = math.inf if joint_time is None else max(0.5, self.started + joint_time - self.clock())
            # The flows share one processor, the net has the other.
            each = left / max(1, len(wanted)) if parallel else left / jobs
            net = pool.submit(self._train_net, left if parallel else each)
            futures = [(name, pool.submit(self._train_flow, name, flow, each)) for name, flow in wanted]
            try:
                return self._wait(net), [(name, flow) for name, f in futures if (flow := self._wait(f)) is not None]
            except BaseException:
                self.stop.set()
                raise

    def _wait(self, future: Future[_T]) -> _T:
        while True:
            try:
                return future.result(timeout=0.5)
            except TimeoutError:
                seconds = self.limit.seconds
                done = 0.0 if seconds is None else (self.clock() - self.started) / max(seconds, 1e-9)
                self.tell(Progress("nets and flows", min(done, _MIXTURE_TIME + _JOINT_TIME)))

    def _flows_to_train(self) -> tuple[str, ...]:
        joint = len(self.targets) == len(self.shapes)
        usable = joint and not self.few and len(self._block()) > 1 and context_size(self.shapes) <= _MOST_CONTEXT
        return self.architectures if usable else ()

    def _block(self) -> list[int]:
        """The columns in which every row has a value, and nothing else."""
        return [j for j, shape in enumerate(self.shapes) if shape.states == 1]

    def _train_net(self, seconds: float) -> ColumnNet:
        lower_threads(1)
        net = ColumnNet(self.shapes, targets=self.targets, hidden=64 if self.small else 128)
        net.reset(torch.Generator().manual_seed(self.seed))
        if self.few:
            net.start_from(self.rows, self.weights)
            return net.eval()
        options = ColumnNetOptions(lr=4e-3, batch_size=min(512, max(32, len(self.rows) // 20)), steps=self.limit.steps)
        fit_columns(
            net,
            self.rows,
            self.validation,
            weights=self.weights,
            validation_weights=self.validation_weights,
            options=options,
            seconds=None if math.isinf(seconds) else seconds,
            seed=self.seed,
            clock=self.clock,
            asked_to_stop=self.stop.is_set,
        )
        return net

    def _built(self, name: str) -> Flow:
        """An untrained flow of the columns in which every row has a value, given the states of the others."""
        hidden = (64, 64) if self.small else (128, 128)
        # Weights are drawn from the global generator, whose state other code may rely on.
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(self.seed)
            return flows.build(name, (len(self._block()),), context_dim=context_size(self.shapes), hidden=hidden)

    def _train_flow(self, name: str, flow: Flow, seconds: float) -> Flow | None:
        lower_threads(1)
        block = self._block()
        try:
            result = fit(
                flow,
                self.rows.values[:, block].float(),
                validation=self.validation.values[:, block].float(),
                context=state_context(self.rows, self.shapes),
                validation_context=state_context(self.validation, self.shapes),
                weights=self.weights,
                validation_weights=self.validation_weights,
                batch_size=64 if self.small else 256,
                lr=5e-3,
                ema=0.99,
                warmup_steps=50,
                steps=self.limit.steps,
                minutes=None if math.isinf(seconds) else seconds / 60,
                seed=self.seed,
                progress=False,
                clock=self._stoppable,
            )
        except FitFailed as error:
            self.notes.append(f"{name} was left out: {error}")
            return None
        return flow if result.best_step else None

    def _stoppable(self) -> float:
        """The time, which ends at once when the fit is interrupted."""
        return math.inf if self.stop.is_set() else self.clock()
