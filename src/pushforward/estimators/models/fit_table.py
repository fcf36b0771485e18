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
from typing import TypeVar

import torch
from torch import Tensor

from pushforward import flows, processors
from pushforward.errors import DataError, DegenerateDataWarning, ReducedFitWarning
from pushforward.estimators.encoded import ColumnShape, EncodedRows
from pushforward.estimators.models.blend import Blend
from pushforward.estimators.models.column_chain import Chain
from pushforward.estimators.models.column_net import ColumnNet
from pushforward.estimators.models.fit_columns import ColumnNetOptions, fit_columns
from pushforward.estimators.models.members import (
    ChainMember,
    FlowMember,
    MixtureMember,
    StateMember,
    StatesMember,
    ValueMember,
    context_size,
    discrete_columns,
    state_context,
)
from pushforward.estimators.models.mixture import MixedMixture
from pushforward.estimators.models.table_model import TableModel
from pushforward.flow import Flow
from pushforward.threads import lower_threads, one_thread
from pushforward.training import FitFailed, fit
from pushforward.training.random_state import own_random_state

_T = TypeVar("_T")

# With fewer rows nothing is held out: the mixture has one component, and the nets keep the columns' marginals.
_FEW = 20
# With fewer rows nets are narrower and batches smaller.
_SMALL = 2000
# One row in so many validates, but at least and at most so many rows; so many of them weigh the members.
_VALIDATION, _LEAST_VALIDATION, _MOST_VALIDATION, _BLEND_ROWS = 10, 20, 20_000, 5000
# Fraction of the time for the mixture, for that of the states alone, and for all training.
_MIXTURE_TIME, _STATES_TIME, _TRAINING_TIME = 0.4, 0.05, 0.9
_MOST_CONTEXT = 512
# Seconds beyond any limit of time.
_BEYOND = 1e9
# A score by the chain rule needs a pass of the net for each part: with more parts it is left out of the blend.
_LONGEST_CHAIN = 150
# Nets in an ensemble, and passes over the rows of the training of one.
_MOST_NETS, _EPOCHS = 4, 120
# Without a time limit there is a net for so many of the steps.
_STEPS_OF_NET = 100


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
    time limit, and equal seeds give equal models. architectures: of the flows for the columns in which every row has a
    value.
    """
    for name in architectures:
        flows.describe(name)
    if rows.impossible.any():
        raise DataError("a row of the training data has density zero under its column plan")
    if weights is not None:
        rows, weights = rows.take(weights > 0), weights[weights > 0].double()
    if len(rows) == 0:
        raise DataError("no rows are left to fit; at least one is needed")
    limit = _Limit(default_seconds(len(rows), len(shapes)) if seconds is None and steps is None else seconds, steps)
    nets = [] if start is None else start.chain.nets
    job = _Job(rows, tuple(shapes), weights, targets, limit, tuple(architectures), nets, seed, tell, clock)
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

    def nets(self, most: int) -> int:
        """The number of nets, at most: a few steps are those of one net."""
        return most if self.seconds is not None else max(1, min(most, (self.steps or 0) // _STEPS_OF_NET))


@dataclass(frozen=True, eq=False)
class _Split:
    """Training rows and validation rows with their weights."""

    rows: EncodedRows
    weights: Tensor
    validation: EncodedRows
    validation_weights: Tensor


class _Folds:
    """Splits of rows into training and validation rows: the validation rows of different folds are different.

    Of few rows nothing is held out: they validate themselves.
    """

    def __init__(self, rows: EncodedRows, weights: Tensor, seed: int) -> None:
        self.rows, self.weights = rows, weights
        self.order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(seed))
        count = max(len(rows) // _VALIDATION, min(len(rows) // 3, _LEAST_VALIDATION))
        self.held_out = 0 if len(rows) < _FEW else min(_MOST_VALIDATION, count)
        self.count = _MOST_NETS if self.held_out else 1

    def split(self, fold: int) -> _Split:
        """The split whose validation rows are those of a fold."""
        start, end = fold * self.held_out, (fold + 1) * self.held_out
        train, validation = torch.cat([self.order[:start], self.order[end:]]), self.order[start:end]
        validation = validation if self.held_out else train
        rows, weights = self.rows, self.weights
        return _Split(rows.take(train), weights[train], rows.take(validation), weights[validation])


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
        self.few, self.small = len(rows) < _FEW, len(rows) < _SMALL
        self.folds = _Folds(rows, weights, seed)
        self.first = first = self.folds.split(0)
        self.rows, self.weights = first.rows, first.weights
        self.validation, self.validation_weights = first.validation, first.validation_weights

    def run(self) -> TableModel:
        """Train the members and weigh them."""
        self.tell(Progress("mixture, nets and flows", 0.0))
        (mixture, of_states), nets, trained = self._train_side_by_side()
        if self.small:
            # Scores then do not depend on the rows that are scored together, at a price that few rows can pay.
            nets, trained = [net.double() for net in nets], [(name, flow.double()) for name, flow in trained]
        # The weights are chosen with the net that has not seen the validation rows.
        chain = Chain(nets[:1])
        joint, conditionals = MixtureMember(mixture, self.targets), ChainMember(chain)
        states: list[StateMember] = [joint, *of_states]
        values: list[ValueMember] = [joint]
        if not self.few:
            states += [conditionals] if len(chain.state_parts) <= _LONGEST_CHAIN else []
            values += [conditionals] if len(chain.parts) <= _LONGEST_CHAIN else []
            self._tell_left_out(chain)
            values += [FlowMember(flow, name, self._block(), chain) for name, flow in trained]
        else:
            self.notes.append(f"{len(self.rows)} rows are too few to hold some out: the model is a Gaussian")
        self.tell(Progress("weights of the members", _TRAINING_TIME))
        rows, weights = self.validation, self.validation_weights
        if len(rows) > _BLEND_ROWS:
            rows, weights = rows.take(torch.arange(_BLEND_ROWS)), weights[:_BLEND_ROWS]
        blend = Blend.choose(states, values, rows, weights)
        chain.nets[:] = nets
        return TableModel(self.shapes, self.targets, blend, chain, self.notes)

    def _tell_left_out(self, chain: Chain) -> None:
        """Warn that nets and flows are left out of the blend, wholly or for values, because the columns are many."""
        nets, of_flows = len(chain.parts) > _LONGEST_CHAIN, context_size(self.shapes) > _MOST_CONTEXT
        if nets or (of_flows and self.architectures):
            out = " and ".join(["the nets"] * nets + ["the flows"] * (of_flows and len(self.architectures) > 0))
            self.notes.append(f"{len(self.shapes):,} columns are many: {out} are left out, a mixture scores values")
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
        usable = joint and not self.few and len(self._block()) > 1 and context_size(self.shapes) <= _MOST_CONTEXT
        return self.architectures if usable else ()

    def _block(self) -> list[int]:
        """The columns in which every row has a value, and nothing else."""
        return [j for j, shape in enumerate(self.shapes) if shape.states == 1]

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
        """An untrained flow of the columns in which every row has a value, given the states of the others."""
        hidden = (64, 64) if self.small else (128, 128)
        # Weights are drawn from the global generator, which other fits may use meanwhile.
        with own_random_state(torch.device("cpu"), self.seed, compiled=True):
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
        """The time, which is beyond every limit once the fit is interrupted."""
        return self.clock() + (_BEYOND if self.stop.is_set() else 0.0)
