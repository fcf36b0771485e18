"""The density of a table: a blend of a mixture, nets of conditional densities and flows of the real columns."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from pushforward.errors import DataError
from pushforward.estimators.encoded import UNKNOWN, ColumnShape, EncodedRows, distinct_rows, joined
from pushforward.estimators.models.blend import Blend
from pushforward.estimators.models.column_chain import Chain
from pushforward.estimators.models.column_distribution import ColumnDistribution
from pushforward.threads import one_thread

# Proposals for each draw that is resampled by importance.
_PROPOSALS = 16
# Proposals at least, where one row is given.
_LEAST_PROPOSALS = 1000
_BLOCK = 50_000
# Rows whose proposals are computed together, and copies of a row of which the proposals are compared.
_PROPOSAL_BLOCK, _PROBES = 4096, 4


class RowScores(NamedTuple):
    """Log-probabilities ``discrete: (N,)`` of the states, and log-densities ``continuous: (N,)`` of the values."""

    discrete: Tensor
    continuous: Tensor

    @property
    def total(self) -> Tensor:
        """The sum of both."""
        return self.discrete + self.continuous


@dataclass(frozen=True, eq=False)
class WeightedDraws:
    """Draws with importance weights: ``rows`` holds n draws for each given row, ``log_weights`` is ``(B, n)``.

    The weights of each row are normalised to sum to 1.
    """

    rows: EncodedRows
    log_weights: Tensor

    @property
    def effective(self) -> Tensor:
        """``(B,)``: the effective number of draws of each row, between 1 and n."""
        return (-(2 * self.log_weights).logsumexp(1)).exp()


def proposals(n: int, rows: int) -> int:
    """How often the unknown content of each of the given rows is proposed, for n draws by importance resampling."""
    return max(_PROPOSALS * n, _LEAST_PROPOSALS if rows == 1 else 0)


class TableModel:
    """A density of encoded rows, or of its ``targets`` given the other columns.

    blend: of members that score and draw the targets. chain: the nets of conditional densities, which propose draws
    given any subset of the columns. notes: remarks on the fit, for people.
    """

    def __init__(
        self,
        shapes: Sequence[ColumnShape],
        targets: Sequence[int],
        blend: Blend,
        chain: Chain,
        notes: Sequence[str] = (),
    ) -> None:
        self.shapes, self.targets = tuple(shapes), tuple(targets)
        self.blend, self.chain, self.notes = blend, chain, list(notes)

    @property
    def conditional(self) -> bool:
        """Whether the model is a density of some columns given the others."""
        return len(self.targets) < len(self.shapes)

    def log_prob(self, rows: EncodedRows) -> RowScores:
        """The scores of rows in encoded units; unknown content of the targets is integrated out."""
        discrete = self._in_blocks(self._log_states, rows).masked_fill(rows.impossible, -torch.inf)
        # A row of probability zero has no continuous part.
        return RowScores(discrete, self.log_values(rows).masked_fill(discrete == -torch.inf, 0.0))

    def log_values(self, rows: EncodedRows) -> Tensor:
        """``(N,)``: the continuous part alone of the scores, given the states of each row."""
        return self._in_blocks(self.blend.log_values, rows)

    def _log_states(self, rows: EncodedRows) -> Tensor:
        if self.conditional:
            return self.blend.log_states(rows)
        # The probability of all states depends on nothing else, and many rows may have the same ones.
        first, inverse = (torch.from_numpy(part) for part in distinct_rows(rows.states.numpy().astype(np.int32)))
        distinct = replace(rows.take(first), impossible=torch.zeros(len(first), dtype=torch.bool))
        return self.blend.log_states(distinct)[inverse]

    def _in_blocks(self, score: Callable[[EncodedRows], Tensor], rows: EncodedRows) -> Tensor:
        with one_thread():
            parts = [score(rows.take(block)) for block in torch.arange(len(rows)).split(_BLOCK)]
        return torch.cat(parts) if parts else torch.zeros(0, dtype=torch.float64)

    def column_given(self, given: EncodedRows, column: int) -> ColumnDistribution:
        """The distribution of one column given the others, from the members that have it in closed form."""
        return self.blend.conditional(given, column) or self.chain.conditional(given, column)

    def sample(self, n: int, *, given: EncodedRows | None = None, generator: torch.Generator) -> EncodedRows:
        """``n`` draws, or n draws for each row of ``given``, one after the other.

        A model of all columns resamples the draws that `draws_given` proposes; their distribution is that of the model
        up to the error of their effective number.
        """
        if given is None:
            given = EncodedRows.unknown(self.shapes, 1)
        if self.conditional or self._empty(given):
            with one_thread():
                return self.blend.draw(given.repeat(n), generator)
        parts = []
        count = proposals(n, len(given))
        for row in range(len(given)):
            parts.append(self.sample_given(given.take(torch.tensor([row])).repeat(count), n, generator))
        return _joined(parts, given)

    def sample_given(self, copies: EncodedRows, n: int, generator: torch.Generator) -> EncodedRows:
        """``n`` draws given one row. copies: the row, as often as the unknown content is proposed."""
        draws = self.draws_given(copies, len(copies), generator, repeated=True)
        chosen = torch.multinomial(draws.log_weights[0].exp(), n, replacement=True, generator=generator)
        return draws.rows.take(chosen)

    def draws_given(
        self,
        given: EncodedRows,
        n: int,
        generator: torch.Generator,
        *,
        allowed: Mapping[int, Tensor] | None = None,
        repeated: bool = False,
    ) -> WeightedDraws:
        """``n`` weighted draws of the unknown content of each row of ``given``.

        The nets and the mixture propose, and draws of a column that alone is unknown are stratified. The weights are
        the ratio of the model's density and theirs. allowed: for columns by number, a mask of the states that may be
        drawn; the weights then are those of the model restricted to them.
        repeated: whether ``given`` has each row n times, dequantised anew.
        """
        given = given if repeated else given.repeat(n)
        with one_thread():
            column = None if self.conditional else _only_unknown(given)
            if column is None:
                rows, log_weights = self._propose(given, generator, allowed or {})
            else:
                rows, log_weights = self._stratified(given, n, column, generator, (allowed or {}).get(column))
        log_weights = log_weights.nan_to_num(nan=-torch.inf).reshape(-1, n)
        if not log_weights.isfinite().any(1).all():
            row = int((~log_weights.isfinite().any(1)).nonzero()[0])
            raise DataError(f"row {row} of what is given has density zero under the model, so that nothing follows it")
        return WeightedDraws(rows, log_weights - log_weights.logsumexp(1, keepdim=True))

    def _propose(
        self, repeated: EncodedRows, generator: torch.Generator, allowed: Mapping[int, Tensor]
    ) -> tuple[EncodedRows, Tensor]:
        """A draw for each row, and the logs of their weights, ``(B * n,)``, not normalised."""
        if self.conditional or (self._empty(repeated) and not allowed):
            return self.blend.draw(repeated, generator), torch.zeros(len(repeated), dtype=torch.float64)
        rows, log_q = self.chain.draw(repeated, generator, allowed=allowed)
        # Places within the cell of a known integer count by their density in the units of the table.
        known = repeated.jacobian()
        proposer = next((member for member in self.blend.members if member.proposes), None)
        if proposer is None or allowed:
            return rows, self.log_prob(rows).total + known - log_q
        # A random half comes from a member whose conditional distributions are exact. The density of both proposals
        # together weighs every draw, so that each covers where the other fails.
        theirs = torch.rand(len(rows), generator=generator) < 0.5
        other = proposer.propose(repeated.take(theirs), generator)
        log_q[theirs] = self.chain.log_drawn(other, repeated.take(theirs))
        places = torch.arange(len(rows))
        rows = joined([rows.take(~theirs), other]).take(torch.cat([places[~theirs], places[theirs]]).argsort())
        both = torch.logaddexp(log_q, proposer.log_proposed(rows, repeated)) - math.log(2)
        return rows, self.log_prob(rows).total + known - both

    def _stratified(
        self, repeated: EncodedRows, n: int, column: int, generator: torch.Generator, allowed: Tensor | None
    ) -> tuple[EncodedRows, Tensor]:
        """Draws of one column, n for each row and one in each of n parts of equal probability, and their weights."""
        states, values = repeated.states.clone(), repeated.values.clone()
        log_q = torch.zeros(len(repeated), dtype=torch.float64)
        part = (torch.arange(n) + torch.rand(len(repeated) // n, n, generator=generator, dtype=torch.float64)) / n
        for block, each in self._proposals(repeated, n, column):
            proposal = each if allowed is None else each.restricted(allowed)
            drawn = proposal.draws(part.flatten()[block])
            states[block, column], values[block, column] = drawn
            log_q[block] = proposal.log_density(*drawn)
        rows = replace(repeated, states=states, values=values)
        return rows, self.log_prob(rows).total + repeated.jacobian() - log_q

    def _proposals(self, repeated: EncodedRows, n: int, column: int) -> Iterator[tuple[Tensor, ColumnDistribution]]:
        """Blocks of the rows numbered ``(b,)``, and a distribution of one column given the others for each.

        Copies of a row, at different places within the cells of integers, share one if it hardly depends on the place.
        """
        every = torch.arange(len(repeated)).reshape(-1, n)
        probes = every[:, torch.linspace(0, n - 1, _PROBES).long()].flatten()
        of_probes = self._proposal(repeated.take(probes), column)
        alike = of_probes.alike(_PROBES)
        for block in every[alike].flatten().split(_PROPOSAL_BLOCK):
            yield block, of_probes.take(block // n * _PROBES)
        for block in every[~alike].flatten().split(_PROPOSAL_BLOCK):
            yield block, self._proposal(repeated.take(block), column)

    def _proposal(self, given: EncodedRows, column: int) -> ColumnDistribution:
        """The distribution of one column given the others, even of members with a closed form that have no weight."""
        of_members = (member.conditional(given, column) for member in self.blend.members if member.proposes)
        each = [self.chain.conditional(given, column), *(part for part in of_members if part is not None)]
        even = torch.zeros(len(each), dtype=torch.float64)
        return ColumnDistribution.blended(each, even, even)

    def _empty(self, given: EncodedRows) -> bool:
        return bool((given.states == UNKNOWN).all())

    @property
    def members(self) -> list[tuple[str, float, float]]:
        """The name of each member of the blend, and its weights for states and for values."""
        return [(member.name, *self.blend.weights_of(member)) for member in self.blend.members]

    @property
    def members_in_words(self) -> str:
        """The members with their weights, in a phrase."""
        values = [f"{name} {weight:.2f}" for name, _, weight in self.members if weight]
        states = [f"{name} {weight:.2f}" for name, weight, _ in self.members if weight]
        if all(shape.states == 1 for shape in self.shapes):
            return f"weights of its members: {', '.join(values)}"
        if not any(shape.value for shape in self.shapes):
            return f"weights of its members: {', '.join(states)}"
        return f"weights of its members for values: {', '.join(values)}; for states: {', '.join(states)}"


def _only_unknown(rows: EncodedRows) -> int | None:
    """The number of the column that alone is unknown, in all rows; None if there is no such column."""
    unknown = rows.states == UNKNOWN
    columns = unknown.any(0).nonzero()[:, 0].tolist()
    alone = len(columns) == 1 and bool(unknown[:, columns[0]].all()) and not rows.values.isnan().any()
    return columns[0] if alone else None


def _joined(parts: Sequence[EncodedRows], like: EncodedRows) -> EncodedRows:
    return joined(parts) if parts else like.take(torch.zeros(0, dtype=torch.long))
