"""The chain rule over the columns of a row: scores, draws and Gaussian latents of a `ColumnNet`.

The order is: the states of all columns, then the values of all columns, each in the order of the table. Content that is
not known is skipped by a score, which then is that of the marginal distribution, and filled in by a draw.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from pushforward.estimators.encoded import UNKNOWN, EncodedRows, joined
from pushforward.estimators.models.column_net import ColumnNet, Known, Part
from pushforward.estimators.models.mixture_head import MixtureHead

_BLOCK = 4096


class Chain:
    """The parts of a row in the order of the chain rule, and the pass over them.

    nets: an ensemble; each conditional density is the mean of theirs.
    """

    def __init__(self, nets: Sequence[ColumnNet]) -> None:
        self.nets = nets
        first = nets[0]
        self.parts: list[Part] = [("state", j) for j in first.state_targets]
        self.parts += [("value", j) for j in first.value_targets]

    @torch.no_grad()
    def log_terms(self, rows: EncodedRows, parts: Sequence[Part] | None = None) -> Tensor:
        """``(N, len(parts))``: the log-probability of each part of the rows given the parts before it, 0 if unknown.

        parts: by default all; otherwise the first ones, which are scored given everything outside the targets.
        """
        parts = self.parts if parts is None else list(parts)
        blocks = [self._log_terms(rows.take(block), parts) for block in torch.arange(len(rows)).split(_BLOCK)]
        return torch.cat(blocks) if blocks else torch.zeros(0, len(parts), dtype=torch.float64)

    def _log_terms(self, rows: EncodedRows, parts: Sequence[Part]) -> Tensor:
        shapes = self.nets[0].shapes
        complete = Known.of(rows, shapes)
        known = self._before(complete)
        terms = torch.zeros(len(rows), len(parts), dtype=torch.float64)
        for place, (kind, j) in enumerate(parts):
            there = complete.states[:, j] if kind == "state" else complete.values[:, j]
            each = [self._term(net, rows, known, (kind, j)) for net in self.nets]
            mean = torch.stack(each).double().logsumexp(0) - torch.tensor(float(len(each))).log()
            terms[:, place] = mean.where(there, 0.0)
            known = _revealed(known, (kind, j), there)
        return terms

    def _before(self, complete: Known) -> Known:
        """What is known before the first part: everything outside the targets."""
        targets = list(self.nets[0].targets)
        states, values = complete.states.clone(), complete.values.clone()
        multiple = [j for j in targets if self.nets[0].shapes[j].states > 1]
        states[:, multiple] = False
        values[:, targets] = False
        return Known(states, values)

    def _term(self, net: ColumnNet, rows: EncodedRows, known: Known, part: Part) -> Tensor:
        params = net.output(net.hidden(net.features(rows, known)), part)
        kind, j = part
        if kind == "state":
            return params.log_softmax(1).gather(1, rows.states[:, j].clamp(min=0)[:, None])[:, 0]
        return MixtureHead.of(params.double()).log_density(torch.nan_to_num(rows.values[:, j]))

    @torch.no_grad()
    def draw(
        self,
        given: EncodedRows,
        generator: torch.Generator | None,
        allowed: Mapping[int, Tensor] | None = None,
    ) -> tuple[EncodedRows, Tensor]:
        """Fill in what the rows do not know, and the log-probability ``(N,)`` of what was filled in.

        allowed: for columns by number, a mask of the states that may be drawn; the others get probability 0.
        """
        parts = [self._draw(given.take(block), generator, allowed or {}) for block in _blocks(len(given))]
        return joined([rows for rows, _ in parts]), torch.cat([log_q for _, log_q in parts])

    def _draw(
        self, given: EncodedRows, generator: torch.Generator | None, allowed: Mapping[int, Tensor]
    ) -> tuple[EncodedRows, Tensor]:
        shapes = self.nets[0].shapes
        single = torch.tensor([shape.states == 1 for shape in shapes])
        states = torch.where(single & (given.states == UNKNOWN), 0, given.states)
        values = torch.where((given.states == UNKNOWN) & single, torch.nan, given.values)
        rows = replace(given, states=states, values=values)
        log_q = torch.zeros(len(rows), dtype=torch.float64)
        for part in self.parts:
            kind, j = part
            known = Known.of(rows, shapes)
            if kind == "state":
                missing = rows.states[:, j] == UNKNOWN
            else:
                missing = (rows.states[:, j] == 0) & rows.values[:, j].isnan()
            if not missing.any():
                continue
            which = missing.nonzero()[:, 0]
            drawn, log_term = self._drawn(rows.take(which), _take(known, which), part, generator, allowed)
            log_q[which] += log_term
            if kind == "state":
                rows.states[which, j] = drawn
                if shapes[j].value:
                    rows.values[which, j] = torch.where(drawn == 0, torch.nan, 0.0).double()
            else:
                rows.values[which, j] = drawn.double()
        return rows, log_q

    def _drawn(
        self,
        rows: EncodedRows,
        known: Known,
        part: Part,
        generator: torch.Generator | None,
        allowed: Mapping[int, Tensor],
    ) -> tuple[Tensor, Tensor]:
        """A draw of one part of each row, and its log-probability under the mean of the nets."""
        kind, j = part
        params = torch.stack([net.output(net.hidden(net.features(rows, known)), part) for net in self.nets])
        # A member drawn anew for each part gives a draw from the mean of the members' conditional densities.
        member = torch.randint(len(self.nets), (len(rows),), generator=generator)
        own = params[member, torch.arange(len(rows))]
        if kind == "state":
            logits = params
            if j in allowed:
                barred = torch.where(allowed[j], 0.0, -torch.inf)
                own, logits = own + barred, params + barred
            drawn = torch.multinomial(own.softmax(1), 1, generator=generator)
            each = logits.log_softmax(2).gather(2, drawn.expand(len(self.nets), -1, 1))[..., 0]
            return drawn[:, 0], _mean(each)
        value = MixtureHead.of(own.double()).sample(generator)
        return value, _mean(MixtureHead.of(params.double()).log_density(value.expand(len(self.nets), -1)))


def _revealed(known: Known, part: Part, there: Tensor) -> Known:
    """The known contents with one part more, in the rows that have it."""
    kind, j = part
    mask = known.states if kind == "state" else known.values
    mask = mask.clone()
    mask[:, j] |= there
    return replace(known, states=mask) if kind == "state" else replace(known, values=mask)


def _take(known: Known, rows: Tensor) -> Known:
    return Known(known.states[rows], known.values[rows])


def _mean(log_terms: Tensor) -> Tensor:
    """The log of the mean over the first axis."""
    return log_terms.double().logsumexp(0) - torch.tensor(float(len(log_terms)), dtype=torch.float64).log()


def _blocks(count: int) -> Iterator[Tensor]:
    yield from torch.arange(count).split(_BLOCK)
