"""The blend of several densities of one table: their weighted mean, with weights that validation rows choose."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor

from pushforward.estimators.encoded import EncodedRows, joined
from pushforward.estimators.models.column_distribution import ColumnDistribution
from pushforward.estimators.models.members import Member, StateMember, ValueMember, hide
from pushforward.estimators.models.mixture_head import MixtureHead
from pushforward.estimators.models.recalibration import Recalibration, recalibration

# Steps of the EM algorithm for the weights, the weight below which a member is dropped, and that of one that is needed.
_STEPS, _NEGLIGIBLE, _LEAST = 200, 0.01, 1e-9


M = TypeVar("M", bound=Member)


@dataclass(frozen=True, eq=False)
class Weighted(Generic[M]):
    """Members and their weights ``(K,)``, which sum to 1."""

    members: list[M]
    weights: Tensor

    @classmethod
    def chosen(
        cls, members: Sequence[M], log_densities: Tensor, row_weights: Tensor | None, needed: int | None = None
    ) -> Weighted[M]:
        """The members with the weights of the highest likelihood, without those of little weight but for ``needed``."""
        weights = mixing_weights(log_densities, row_weights).clamp_min(_LEAST)
        kept = [k for k, weight in enumerate(weights.tolist()) if weight >= _NEGLIGIBLE or k == needed]
        return cls([members[k] for k in kept], weights[kept] / weights[kept].sum())

    def mean(self, scores: Sequence[Tensor]) -> Tensor:
        """``(N,)``: the log of the weighted mean of densities; a member that gives NaN is left out for that row."""
        each = torch.stack(list(scores))
        log_weights = self.weights.log()[:, None].expand_as(each).masked_fill(each.isnan(), -torch.inf)
        return (each.nan_to_num(neginf=-torch.inf) + log_weights).logsumexp(0) - log_weights.logsumexp(0)

    def draw(
        self, rows: EncodedRows, draw: Callable[[M, EncodedRows], EncodedRows], generator: torch.Generator
    ) -> EncodedRows:
        """Each row as ``draw`` completes it with a member that its weight chooses."""
        if len(rows) == 0:
            return rows
        chosen = torch.multinomial(self.weights, len(rows), replacement=True, generator=generator)
        places = [(chosen == k).nonzero()[:, 0] for k in range(len(self.members))]
        drawn = [draw(m, rows.take(place)) for m, place in zip(self.members, places, strict=True) if len(place)]
        return joined(drawn).take(torch.cat(places).argsort())


class Blend:
    """``P(states) p(values | states)``, each the weighted mean of those of several members.

    recalibrations: of the value of the only target of a model, by its column.
    """

    def __init__(
        self,
        states: Weighted[StateMember],
        values: Weighted[ValueMember],
        recalibrations: Mapping[int, Recalibration] | None = None,
    ) -> None:
        self.states, self.values = states, values
        self.recalibrations = dict(recalibrations or {})
        # The order of the states is that of all members, which a saved model keeps.
        order = sorted(range(len(states.members)), key=lambda k: self.members.index(states.members[k]))
        self.states = Weighted([states.members[k] for k in order], states.weights[order])

    @classmethod
    def choose(
        cls,
        states: Sequence[StateMember],
        values: Sequence[ValueMember],
        rows: EncodedRows,
        row_weights: Tensor | None = None,
    ) -> Blend:
        """The blend with the highest mean log-likelihood of the validation rows."""
        of_states = torch.stack([member.log_states(rows) for member in states])
        of_values = torch.stack([member.log_values(rows) for member in values])
        chosen = Weighted.chosen(values, of_values, row_weights)
        if not any(member.marginal for member in chosen.members):
            # Rows with unknown content need a member that can integrate it out.
            needed = next(k for k, member in enumerate(values) if member.marginal)
            chosen = Weighted.chosen(values, of_values, row_weights, needed)
        return cls(Weighted.chosen(states, of_states, row_weights), chosen)

    @property
    def members(self) -> list[Member]:
        """Each member once."""
        return list(dict.fromkeys([*self.values.members, *self.states.members]))

    def weights_of(self, member: Member) -> tuple[float, float]:
        """The weights of a member for states and for values."""
        return _weight(self.states, member), _weight(self.values, member)

    def log_states(self, rows: EncodedRows) -> Tensor:
        """``(N,)``: log-probabilities of the states; unknown ones are summed over."""
        return self.states.mean([member.log_states(rows) for member in self.states.members])

    def log_values(self, rows: EncodedRows) -> Tensor:
        """``(N,)``: log-densities of the values given the states.

        Members that cannot score a row with unknown content are left out for it. The density of such a row therefore
        is not exactly the integral of that of complete rows, where a flow has a weight.
        """
        column = self._recalibrated
        if column is None:
            return self.values.mean([member.log_values(rows) for member in self.values.members])
        value = rows.values[:, column]
        there = (rows.states[:, column] == 0) & value.isfinite()
        return self._value_of(rows, column).log_density(value.nan_to_num()).where(there, 0.0)

    @property
    def _recalibrated(self) -> int | None:
        """The column with a recalibration of its own, the only target."""
        return next(iter(self.recalibrations), None)

    def _value_of(self, rows: EncodedRows, column: int) -> MixtureHead:
        """The distribution of the value of a column given the others."""
        predicted = self.conditional(hide(rows, [column]), column)
        assert predicted is not None  # no member is a flow
        assert predicted.value is not None
        return predicted.value

    def recalibrate(self, rows: EncodedRows, weights: Tensor, column: int) -> None:
        """Choose the recalibration of the value of a column, the only target, by rows that no member has seen."""
        some = ((rows.states[:, column] == 0) & rows.values[:, column].isfinite()).nonzero()[:, 0]
        if len(some):
            rows = rows.take(some)
            factors = recalibration(self._value_of(rows, column).at(None), rows.values[:, column], weights[some])
            self.recalibrations = {} if factors is None else {column: factors}

    def conditional(self, given: EncodedRows, column: int) -> ColumnDistribution | None:
        """The distribution of one column given the others, of the members that have it in closed form.

        None without any such member.
        """
        known = {m: part for m in self.members if (part := m.conditional(given, column)) is not None}
        if not known:
            return None
        log_states, log_values = (
            torch.tensor([self.weights_of(member)[i] for member in known], dtype=torch.float64).log() for i in (0, 1)
        )
        blended = ColumnDistribution.blended(list(known.values()), log_states, log_values)
        factors = self.recalibrations.get(column)
        if factors is None or blended.value is None:
            return blended
        return replace(blended, value=factors.of_one(blended.value))

    def draw(self, given: EncodedRows, generator: torch.Generator) -> EncodedRows:
        """Complete rows: unknown states first, then unknown values."""
        rows = self.states.draw(given, lambda member, part: member.draw_states(part, generator), generator)
        column = self._recalibrated
        if column is None:
            return self.values.draw(rows, lambda member, part: member.draw_values(part, generator), generator)
        needed = (rows.states[:, column] == 0) & rows.values[:, column].isnan()
        values = rows.values.clone()
        values[:, column] = torch.where(needed, self._value_of(rows, column).sample(generator), values[:, column])
        return replace(rows, values=values)


def _weight(weighted: Weighted[Any], member: Member) -> float:
    return next((float(w) for m, w in zip(weighted.members, weighted.weights, strict=True) if m is member), 0.0)


def mixing_weights(log_densities: Tensor, row_weights: Tensor | None = None) -> Tensor:
    """The weights ``(K,)`` of a mixture of K given densities with the highest likelihood, by the EM algorithm.

    log_densities: ``(K, N)``; NaN and -inf count as density zero.

    >>> import torch
    >>> from pushforward.estimators.models.blend import mixing_weights
    >>> mixing_weights(torch.tensor([[0.0, 0.0], [-9.0, -9.0]])).round(decimals=2)
    tensor([1., 0.], dtype=torch.float64)
    """
    log_densities = log_densities.double().nan_to_num(nan=-torch.inf, neginf=-torch.inf)
    count, rows = log_densities.shape
    each = torch.ones(rows, dtype=torch.float64) if row_weights is None else row_weights.double()
    log_weights = torch.full((count, 1), 1 / count, dtype=torch.float64).log()
    usable = log_densities.isfinite().any(0)
    log_densities, each = log_densities[:, usable], each[usable]
    if not usable.any():
        return log_weights.exp()[:, 0]
    for _ in range(_STEPS):
        responsibilities = (log_densities + log_weights).softmax(0)
        log_weights = ((responsibilities * each).sum(1, keepdim=True) / each.sum()).log()
    return log_weights.exp()[:, 0]
