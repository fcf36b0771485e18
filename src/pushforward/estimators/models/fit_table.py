"""The fit of a `TableModel`: members are trained side by side within a time limit, then weighted by validation."""

from __future__ import annotations

import copy
import math
import threading
import time
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor

from pushforward import flows, processors
from pushforward.errors import DataError, DegenerateDataWarning, ReducedFitWarning
from pushforward.estimators.encoded import ColumnShape, EncodedRows
from pushforward.estimators.models.blend import Blend
from pushforward.estimators.models.column_chain import Chain
from pushforward.estimators.models.column_net import ColumnNet
from pushforward.estimators.models.fit_columns import ColumnNetOptions, fit_columns
from pushforward.estimators.models.fit_limit import FitLimit
from pushforward.estimators.models.folds import FEW, Folds
from pushforward.estimators.models.members import (
    ChainMember,
    FlowMember,
    MixtureMember,
    StateMember,
    StatesMember,
    ValueMember,
    context_size,
    discrete_columns,
    has_values,
    state_context,
)
from pushforward.estimators.models.mixture import MixedMixture
from pushforward.estimators.models.table_model import TableModel
from pushforward.flow import Flow
from pushforward.threads import lower_threads, one_thread
from pushforward.training import FitFailed, fit
from pushforward.training.random_state import own_random_state

_T = TypeVar("_T")

# With fewer rows nets are narrower and batches smaller.
_SMALL = 2000
# Validation rows that weigh the members, at most.
_BLEND_ROWS = 5000
# Fraction of the time for the mixture, for that of the states alone, and for all training.
_MIXTURE_TIME, _STATES_TIME, _TRAINING_TIME = 0.4, 0.05, 0.9
# Columns of a wide table, whose training takes few, long steps.
_WIDE = 64
# Fraction of the time for the recalibration of all targets, and its least seconds.
_RECALIBRATION_TIME, _LEAST_RECALIBRATION = 0.2, 2.0
# A flow is left out if its context, which has a place for each state, is wider; narrower nets overfit a wide one less.
_MOST_CONTEXT, _WIDE_CONTEXT = 512, 100
# Seconds beyond any limit of time.
_BEYOND = 1e9
# A score by the chain rule needs a pass of the net for each part: with more parts it is left out of the blend.
_LONGEST_CHAIN = 150
# A flow has columns of which all have values in at least such a fraction of the rows.
_WHOLE_ROWS = 0.6
# Passes over the rows of the training of one net.
_EPOCHS = 120


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
    start: TableModel | None = None,
    seed: int = 0,
    tell: Callable[[Progress], None] = lambda progress: None,
    clock: Callable[[], float] = time.monotonic,
) -> TableModel:
    """A model of encoded rows, all possible, with one weight each.

    targets: numbers of the columns that are modelled given the others; by default all. seconds: the time limit; by
    default `default_seconds`. steps: the limit of the steps of each net and flow; without ``seconds`` it replaces the
    time limit, and equal seeds give equal models. architectures: of the flows for the columns that have values in most
    rows.
    """
    for name in architectures:
        flows.describe(name)
    if rows.impossible.any():
        raise DataError("a row of the training data has density zero under its column plan")
    if weights is not None:
        rows, weights = rows.take(weights > 0), weights[weights > 0].double()
    if len(rows) == 0:
        raise DataError("no rows are left to fit; at least one is needed")
    limit = FitLimit(default_seconds(len(rows), len(shapes)) if seconds is None and steps is None else seconds, steps)
    nets = [] if start is None else start.chain.nets
    job = _Job(rows, tuple(shapes), weights, targets, limit, tuple(architectures), nets, seed, tell, clock)
    with one_thread():
        return job.run()


def block_of_flow(rows: EncodedRows, shapes: Sequence[ColumnShape]) -> list[int]:
    """The columns of a flow: those that have values in most rows, as long as enough rows have all of them."""
    valued = [j for j, shape in enumerate(shapes) if shape.value]
    # With many columns only those without gaps: the rows with one would have to pass the nets column by column.
    least = _WHOLE_ROWS if len(valued) <= _LONGEST_CHAIN else 1.0
    there = (rows.states == 0)[:, valued]
    block, whole = list[int](), torch.ones(len(rows), dtype=torch.bool)
    for place in there.double().mean(0).argsort(descending=True, stable=True).tolist():
        whole = whole & there[:, place]
        if float(whole.double().mean()) < least:
            break
        block.append(valued[place])
    return sorted(block)


class _Job:
    """The state of one fit."""

    def __init__(
        self,
        rows: EncodedRows,
        shapes: tuple[ColumnShape, ...],
        weights: Tensor | None,
        targets: Sequence[int] | None,
        limit: FitLimit,
        architectures: tuple[str, ...],
        nets: Sequence[ColumnNet],
        seed: int,
        tell: Callable[[Progress], None],
        clock: Callable[[], float],
    ) -> None:
        self.shapes, self.seed, self.tell, self.clock = shapes, seed, tell, clock
        self.targets = tuple(range(len(shapes)) if targets is None else targets)
        self.architectures, self.nets = architectures, nets
        self.limit = limit
        self.started, self.stop, self.notes = clock(), threading.Event(), list[str]()
        weights = torch.ones(len(rows), dtype=torch.float64) if weights is None else weights
        self.few, self.small = len(rows) < FEW, len(rows) < _SMALL
        self.folds = Folds(rows, weights, seed, conditional=len(self.targets) < len(shapes))
        self.first = first = self.folds.split(0)
        self.rows, self.weights = first.rows, first.weights
        self.validation, self.validation_weights = first.validation, first.validation_weights
        self.block = block_of_flow(self.rows, shapes)

    def run(self) -> TableModel:
        """Train the members and weigh them."""
        self.tell(Progress("mixture, nets and flows", 0.0))
        (mixture, of_states), nets, trained = self._train_side_by_side()
        if self.small:
            # Scores then do not depend on the rows that are scored together, at a price that few rows can pay.
            nets, trained = [net.double() for net in nets], [(name, flow.double()) for name, flow in trained]
        # The weights are chosen with the net that has not seen the validation rows, or with all, by rows for all.
        rows, weights = self.folds.recalibrating
        recalibrated = len(rows) > 0
        chain = Chain(nets if recalibrated else nets[:1])
        if recalibrated:
            self._recalibrate(chain, rows, weights)
        else:
            rows, weights = self.validation, self.validation_weights
        joint, conditionals = MixtureMember(mixture, self.targets), ChainMember(chain)
        states: list[StateMember] = [joint, *of_states]
        values: list[ValueMember] = [joint]
        if not self.few:
            states += [conditionals] if len(chain.state_parts) <= _LONGEST_CHAIN else []
            values += [conditionals] if len(chain.parts) <= _LONGEST_CHAIN else []
            self._tell_left_out(chain)
            values += [FlowMember(flow, name, self.block, chain) for name, flow in trained]
        else:
            self.notes.append(f"{len(self.rows)} rows are too few to hold some out: the model is a Gaussian")
        self.tell(Progress("weights of the members", _TRAINING_TIME))
        if len(rows) > _BLEND_ROWS:
            rows, weights = rows.take(torch.arange(_BLEND_ROWS)), weights[:_BLEND_ROWS]
        blend = Blend.choose(states, values, rows, weights)
        if recalibrated and len(self.targets) == 1 and self.shapes[self.targets[0]].value:
            blend.recalibrate(rows, weights, self.targets[0])
        chain.nets[:] = nets
        return TableModel(self.shapes, self.targets, blend, chain, self.notes)

    def _recalibrate(self, chain: Chain, rows: EncodedRows, weights: Tensor) -> None:
        """Recalibrate the values of the targets, as many as there is time for."""
        seconds = self.limit.part(_RECALIBRATION_TIME)
        end = math.inf if seconds is None else self.clock() + max(_LEAST_RECALIBRATION, seconds)
        left = chain.recalibrate(rows, weights, lambda: self._stoppable() >= end)
        if left:
            many = f"{len(left):,} of {len(chain.value_parts):,} targets"
            self.notes.append(f"{many} are not recalibrated: the time limit left none for them")

    def _tell_left_out(self, chain: Chain) -> None:
        """Warn that nets and flows are left out of the blend, wholly or for values, because the columns are many."""
        nets, of_flows = len(chain.parts) > _LONGEST_CHAIN, context_size(self.shapes) > _MOST_CONTEXT
        if nets or (of_flows and self.architectures):
            out = " and ".join(["the nets"] * nets + ["the flows"] * (of_flows and len(self.architectures) > 0))
            rest = "a mixture scores" if nets else "a mixture and nets score"
            self.notes.append(f"{len(self.shapes):,} columns are many: {out} are left out, {rest} values")
            warnings.warn(self.notes[-1], ReducedFitWarning, stacklevel=2)

    def _mixture(
        self, shapes: Sequence[ColumnShape], fraction: float, columns: Sequence[int] | None = None
    ) -> MixedMixture:
        """A mixture of some columns, by default all, within a fraction of the time."""
        rows, validation = self.rows, self.validation
        if columns is not None:
            rows, validation = rows.columns(columns), validation.columns(columns)
        return MixedMixture.fit(
            rows,
            shapes,
            weights=self.weights,
            validation=(validation, self.validation_weights),
            leave_one_out=self.few,
            seconds=self.limit.part(fraction),
            max_components=1 if self.few else 100,
            seed=self.seed,
            clock=self._stoppable,
        )

    def _mixtures(self) -> tuple[MixedMixture, list[StatesMember]]:
        """The mixture, and that of the states alone."""
        lower_threads(1)
        return self._mixture(self.shapes, _MIXTURE_TIME), self._mixture_of_states()

    def _mixture_of_states(self) -> list[StatesMember]:
        """A mixture of the states alone, of a model of all columns of which several have states."""
        columns = discrete_columns(self.shapes)
        if self.few or len(columns) < 2 or len(self.targets) < len(self.shapes):
            return []
        shapes = [ColumnShape(self.shapes[j].states, value=False) for j in columns]
        return [StatesMember(self._mixture(shapes, _STATES_TIME, columns), self.shapes)]

    def _train_side_by_side(
        self,
    ) -> tuple[tuple[MixedMixture, list[StatesMember]], list[ColumnNet], list[tuple[str, Flow]]]:
        """The mixtures and nets, trained on one processor, and the flows, on the other.

        Without flows both processors train nets.
        """
        wanted = [(name, self._built(name)) for name in self._flows_to_train()]
        workers = 2 if processors.available() > 1 else 1
        trainers = workers if not wanted else 1
        # On one processor nets and flows take turns.
        turns = 1 + len(wanted) if workers == 1 else 1
        with ThreadPoolExecutor(workers) as pool, warnings.catch_warnings():
            # The column plan has said what such columns are.
            warnings.simplefilter("ignore", DegenerateDataWarning)
            mixtures: Future[tuple[MixedMixture, list[StatesMember]]] = Future()

            def mixtures_and_nets() -> list[ColumnNet]:
                mixtures.set_result(self._mixtures())
                return self._train_nets(0, trainers, self._left() / turns)

            nets = [pool.submit(mixtures_and_nets)]
            nets += [pool.submit(self._train_nets, i, trainers, self._left()) for i in range(1, trainers)]
            each = self._left() / max(turns, len(wanted))
            futures = [(name, pool.submit(self._train_flow, name, flow, each)) for name, flow in wanted]
            try:
                trained = [self._wait(future) for future in nets]
                of_block = [(name, flow) for name, f in futures if (flow := self._wait(f)) is not None]
            except BaseException:
                self.stop.set()
                raise
        # The first net is that of the first fold.
        return mixtures.result(), [net for group in trained for net in group], of_block

    def _left(self) -> float:
        """The seconds that are left for training."""
        seconds = self.limit.part(_TRAINING_TIME)
        return math.inf if seconds is None else max(0.5, self.started + seconds - self.clock())

    def _wait(self, future: Future[_T]) -> _T:
        """The result of a training; the first Ctrl-C ends all trainings early, which the model then is made of."""
        while True:
            try:
                return future.result(timeout=0.5)
            except TimeoutError:
                seconds = self.limit.seconds
                done = 0.0 if seconds is None else (self.clock() - self.started) / max(seconds, 1e-9)
                self.tell(Progress("mixture, nets and flows", min(done, _TRAINING_TIME)))
            except KeyboardInterrupt:
                if self.stop.is_set():
                    raise
                self.stop.set()
                self.notes.append("the fit was interrupted: its members had less time to train")

    def _flows_to_train(self) -> tuple[str, ...]:
        joint = len(self.targets) == len(self.shapes)
        usable = joint and not self.few and len(self.block) > 1 and context_size(self.shapes) <= _MOST_CONTEXT
        return self.architectures if usable and bool(has_values(self.validation, self.block).any()) else ()

    def _train_nets(self, first: int, stride: int, seconds: float) -> list[ColumnNet]:
        """Nets for the folds ``first``, ``first + stride``, ... while time is left: few rows are soon learned."""
        lower_threads(1)
        end = self.clock() + seconds
        nets: list[ColumnNet] = []
        for fold in range(first, self.limit.nets(self.folds.count), stride):
            start = self.clock()
            nets.append(self._train_net(fold, end - start))
            if self.few or end - self.clock() < self.clock() - start or self.stop.is_set():
                break
        return nets

    def _train_net(self, fold: int, seconds: float) -> ColumnNet:
        fresh = fold >= len(self.nets)
        if fresh:
            net = ColumnNet(self.shapes, targets=self.targets, hidden=64 if self.small else 128)
            net.reset(torch.Generator().manual_seed(self.seed + fold))
        else:
            net = copy.deepcopy(self.nets[fold]).float()
        split = self.first if fold == 0 else self.folds.split(fold)
        if self.few:
            net.start_from(split.rows, split.weights)
            return net.eval()
        size = min(512, max(32, len(split.rows) // 20))
        epochs = math.ceil(_EPOCHS * len(split.rows) / size)
        fit_columns(
            net,
            split.rows,
            split.validation,
            weights=split.weights,
            validation_weights=split.validation_weights,
            options=ColumnNetOptions(
                optimiser="adamw",
                weight_decay=0.05,
                lr=4e-3,
                batch_size=size,
                steps=min(self.limit.steps or epochs, epochs),
            ),
            seconds=None if math.isinf(seconds) else seconds,
            seed=self.seed + fold,
            clock=self.clock,
            asked_to_stop=self.stop.is_set,
            fresh=fresh,
        )
        return net

    def _built(self, name: str) -> Flow:
        """An untrained flow of the block, given the states of all columns."""
        width = context_size(self.shapes)
        wide = width > _WIDE_CONTEXT
        wanted: dict[str, Any] = {"hidden": (64, 64) if self.small or wide else (128, 128), "bins": 16 if wide else 8}
        recipe = flows.describe(name).vectors
        options: dict[str, Any] = (
            {} if recipe is None else {k: v for k, v in wanted.items() if k in recipe.options.model_fields}
        )
        # Weights are drawn from the global generator, which other fits may use meanwhile.
        with own_random_state(torch.device("cpu"), self.seed, compiled=True):
            return flows.build(name, (len(self.block),), context_dim=width, **options)

    def _train_flow(self, name: str, flow: Flow, seconds: float) -> Flow | None:
        lower_threads(1)
        if len(self.shapes) > _WIDE:
            # Mixtures and nets, which one processor trained before, may have taken more than their part of the time.
            seconds = min(seconds, self._left())
        of_rows, of_validation = (has_values(rows, self.block) for rows in (self.rows, self.validation))
        rows, validation = self.rows.take(of_rows), self.validation.take(of_validation)
        try:
            result = fit(
                flow,
                rows.values[:, self.block].float(),
                validation=validation.values[:, self.block].float(),
                context=state_context(rows, self.shapes),
                validation_context=state_context(validation, self.shapes),
                weights=self.weights[of_rows],
                validation_weights=self.validation_weights[of_validation],
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
        """The time, which is beyond every limit once the fit is interrupted."""
        return self.clock() + (_BEYOND if self.stop.is_set() else 0.0)
