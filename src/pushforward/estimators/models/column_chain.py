"""The chain rule over the columns of a row: scores and draws by nets of conditional densities.

The order is: the states of all columns, then the values that every row has, then the others, each in the order of the
table. A score skips content that is not known, and then is that of the marginal distribution. A draw fills it in.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from pushforward.estimators.encoded import UNKNOWN, ColumnShape, EncodedRows, joined
from pushforward.estimators.models.column_distribution import ColumnDistribution, mixed
from pushforward.estimators.models.column_net import ColumnNet, Known, Part
from pushforward.estimators.models.mixture_head import MixtureHead
from pushforward.estimators.models.recalibration import Recalibration, recalibration

_BLOCK = 4096


class Chain:
    """The parts of a row in the order of the chain rule, and passes over them.

    nets: an ensemble of nets with the same shapes and targets; each conditional density is the mean of theirs.
    recalibrations: of the mixtures of values, by column.
    """

    def __init__(self, nets: Sequence[ColumnNet], recalibrations: Mapping[int, Recalibration] | None = None) -> None:
        self.nets = list(nets)
        self.recalibrations = dict(recalibrations or {})
        self.shapes, self.targets = nets[0].shapes, nets[0].targets
        self.state_parts: list[Part] = [("state", j) for j in nets[0].state_targets]
        self.value_parts: list[Part] = [("value", j) for j in nets[0].value_targets]
        self.parts = self.state_parts + self.value_parts

    @torch.no_grad()
    def log_terms(self, rows: EncodedRows, parts: Sequence[Part] | None = None, before: Sequence[Part] = ()) -> Tensor:
        """``(N, len(parts))``: the log-probability of each part given those before it, 0 where it is not known.

        parts: parts of the chain in its order, by default all. The first is given all columns outside the targets,
        the parts ``before``, and, for values, all states.
        """
        parts = self.parts if parts is None else list(parts)
        if not parts:
            return torch.zeros(len(rows), 0, dtype=torch.float64)
        blocks = [self._log_terms(rows.take(block), parts, before) for block in torch.arange(len(rows)).split(_BLOCK)]
        return torch.cat(blocks) if blocks else torch.zeros(0, len(parts), dtype=torch.float64)

    def _log_terms(self, rows: EncodedRows, parts: Sequence[Part], before: Sequence[Part]) -> Tensor:
        complete = Known.of(rows, self.shapes)
        known = self.outside_targets(complete)
        for part in [*(self.state_parts if parts[0][0] == "value" else ()), *before]:
            known.reveal(part, complete)
        terms = torch.zeros(len(rows), len(parts), dtype=torch.float64)
        for place, part in enumerate(parts):
            terms[:, place] = _mean(self._terms(rows, known, part)).where(complete.has(part), 0.0)
            known.reveal(part, complete)
        return terms

    def outside_targets(self, complete: Known) -> Known:
        """The known contents without the parts of the chain."""
        states, values = complete.states.clone(), complete.values.clone()
        states[:, self.nets[0].state_targets] = False
        values[:, self.nets[0].value_targets] = False
        return Known(states, values)

    def _terms(self, rows: EncodedRows, known: Known, part: Part) -> Tensor:
        """``(nets, N)``: the log-probability of one part given the known contents, by each net."""
        params = self._params(rows, part, known)
        kind, j = part
        if kind == "state":
            places = rows.states[:, j].clamp(min=0)[:, None].expand(len(params), -1, 1)
            return params.log_softmax(2).gather(2, places)[..., 0]
        value = torch.nan_to_num(rows.values[:, j]).expand(params.shape[:2])
        return self._heads(params, j).log_density(value)

    def _heads(self, params: Tensor, column: int) -> MixtureHead:
        """The mixtures of a value by each net, recalibrated, from parameters ``(nets, N, P)``."""
        heads = MixtureHead.of(params.double())
        factors = self.recalibrations.get(column)
        return heads if factors is None else factors.of(heads)

    @torch.no_grad()
    def recalibrate(self, rows: EncodedRows, weights: Tensor, over: Callable[[], bool] = lambda: False) -> list[int]:
        """Choose recalibrations of all values by rows, with weights, that none of the nets has seen.

        over: whether no time is left. Returns the columns that then keep the distributions of the nets.
        """
        complete = Known.of(rows, self.shapes)
        known = self.outside_targets(complete)
        for place, part in enumerate(self.parts):
            if over():
                return [j for kind, j in self.parts[place:] if kind == "value"]
            kind, j = part
            some = complete.has(part).nonzero()[:, 0]
            if kind == "value" and len(some):
                given = Known(known.states[some], known.values[some])
                heads = MixtureHead.of(self._params(rows.take(some), part, given).double())
                factors = recalibration(heads, rows.values[some, j], weights[some])
                if factors is not None:
                    self.recalibrations[j] = factors
            known.reveal(part, complete)
        return []

    @torch.no_grad()
    def conditional(self, given: EncodedRows, column: int) -> ColumnDistribution:
        """The distribution of a target given all that the rows know of the other columns."""
        blocks = torch.arange(len(given)).split(_BLOCK)
        return ColumnDistribution.joined([self._conditional(given.take(block), column) for block in blocks])

    def _conditional(self, given: EncodedRows, column: int) -> ColumnDistribution:
        shape = self.shapes[column]
        states, values = given.states.clone(), given.values.clone()
        states[:, column], values[:, column] = UNKNOWN, 0.0
        log_states = torch.zeros(len(given), 1, dtype=torch.float64)
        if shape.states > 1:
            log_states = _mean(
                self._params(replace(given, states=states, values=values), ("state", column)).log_softmax(2)
            )
        if not shape.value:
            return ColumnDistribution(log_states, None)
        states[:, column], values[:, column] = 0, torch.nan
        params = self._params(replace(given, states=states, values=values), ("value", column))
        of_nets = self._heads(params, column)
        heads = [of_nets.at(net) for net in range(len(params))]
        return ColumnDistribution(log_states, mixed(heads, torch.full((len(heads), 1), -math.log(len(heads))).double()))

    def _params(self, rows: EncodedRows, part: Part, known: Known | None = None) -> Tensor:
        """``(nets, N, P)``: the parameters of one part given the known contents, by default all that the rows know."""
        known = Known.of(rows, self.shapes) if known is None else known
        return torch.stack([net.params(rows, known, part) for net in self.nets])

    @torch.no_grad()
    def draw(
        self,
        given: EncodedRows,
        generator: torch.Generator | None,
        *,
        parts: Sequence[Part] | None = None,
        allowed: Mapping[int, Tensor] | None = None,
    ) -> tuple[EncodedRows, Tensor]:
        """Draw unknown content; returns the complete rows, and the log-probability ``(N,)`` of the drawn content.

        parts: the parts to fill in, by default all. allowed: for columns by number, a mask of the states that may be
        drawn; the others have probability 0.
        """
        parts = self.parts if parts is None else list(parts)
        blocks = torch.arange(len(given)).split(_BLOCK)
        drawn = [self._draw(given.take(block), generator, parts, allowed or {}) for block in blocks]
        if not drawn:
            return given, torch.zeros(0, dtype=torch.float64)
        return joined([rows for rows, _ in drawn]), torch.cat([log_q for _, log_q in drawn])

    @torch.no_grad()
    def log_drawn(self, drawn: EncodedRows, given: EncodedRows) -> Tensor:
        """``(N,)``: the log-probability with which `draw` fills in what ``drawn`` has and ``given`` does not know."""
        total = torch.zeros(len(given), dtype=torch.float64)
        for block in torch.arange(len(given)).split(_BLOCK):
            total[block] = self._log_drawn(drawn.take(block), given.take(block))
        return total

    def _log_drawn(self, drawn: EncodedRows, given: EncodedRows) -> Tensor:
        rows = _with_single_states(given, self.shapes)
        known, complete = Known.of(rows, self.shapes), Known.of(drawn, self.shapes)
        total = torch.zeros(len(rows), dtype=torch.float64)
        for part in self.parts:
            which = (complete.has(part) & ~known.has(part)).nonzero()[:, 0]
            if len(which):
                some, seen = drawn.take(which), Known(known.states[which], known.values[which])
                total[which] += _mean(self._terms(some, seen, part))
            known.reveal(part, complete)
        return total

    def _draw(
        self,
        given: EncodedRows,
        generator: torch.Generator | None,
        parts: Sequence[Part],
        allowed: Mapping[int, Tensor],
    ) -> tuple[EncodedRows, Tensor]:
        rows = _with_single_states(given, self.shapes)
        log_q = torch.zeros(len(rows), dtype=torch.float64)
        for part in parts:
            kind, j = part
            if kind == "state":
                missing = rows.states[:, j] == UNKNOWN
            else:
                missing = (rows.states[:, j] == 0) & rows.values[:, j].isnan()
            which = missing.nonzero()[:, 0]
            if len(which) == 0:
                continue
            some = rows.take(which)
            params = self._params(some, part)
            if kind == "state":
                drawn, log_term = _draw_state(params, allowed.get(j), generator)
                rows.states[which, j] = drawn
                if self.shapes[j].value:
                    rows.values[which, j] = torch.where(drawn == 0, torch.nan, 0.0).double()
            else:
                value, log_term = _draw_value(self._heads(params, j), generator)
                rows.values[which, j] = value
            log_q[which] += log_term
        return rows, log_q


def _with_single_states(given: EncodedRows, shapes: Sequence[ColumnShape]) -> EncodedRows:
    """A copy in which an unknown column with one state is in this state, without a value."""
    unknown = torch.tensor([shape.states == 1 for shape in shapes]) & (given.states == UNKNOWN)
    states = torch.where(unknown, 0, given.states)
    return replace(given, states=states, values=torch.where(unknown, torch.nan, given.values))


def _chosen(each: Tensor, generator: torch.Generator | None) -> tuple[Tensor, Tensor]:
    """A random net for each row of ``(nets, N, ...)``, and the row: a draw of its density is one of the nets' mean."""
    nets, rows = each.shape[:2]
    return torch.randint(nets, (rows,), generator=generator), torch.arange(rows)


def _draw_state(params: Tensor, allowed: Tensor | None, generator: torch.Generator | None) -> tuple[Tensor, Tensor]:
    if allowed is not None:
        params = params + torch.where(allowed, 0.0, -torch.inf)
    of_members = params[_chosen(params, generator)]
    drawn = torch.multinomial(of_members.softmax(1), 1, generator=generator)
    return drawn[:, 0], _mean(params.log_softmax(2).gather(2, drawn.expand(len(params), -1, 1))[..., 0])


def _draw_value(heads: MixtureHead, generator: torch.Generator | None) -> tuple[Tensor, Tensor]:
    value = heads.at(_chosen(heads.means, generator)).sample(generator)
    return value, _mean(heads.log_density(value.expand(heads.means.shape[:2])))


def _mean(log_terms: Tensor) -> Tensor:
    """The log of the mean over the first axis, float64."""
    return log_terms.double().logsumexp(0) - math.log(len(log_terms))
