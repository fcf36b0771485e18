"""The blend of several densities of one table: their weighted mean, with weights that validation rows choose."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from pushforward.estimators.encoded import EncodedRows, joined
from pushforward.estimators.models.column_distribution import ColumnDistribution
from pushforward.estimators.models.members import Member, Scores

# Steps of the EM algorithm for the weights, and the weight below which a member is dropped.
_STEPS, _NEGLIGIBLE = 200, 0.01


class Blend:
    """``p(row) = sum_k w_k p_k(row)``. weights: ``(K,)``, of the members in their order; they sum to 1."""

    def __init__(self, members: Sequence[Member], weights: Tensor) -> None:
        self.members, self.weights = list(members), weights.double()

    @classmethod
    def choose(cls, members: Sequence[Member], rows: EncodedRows, row_weights: Tensor | None = None) -> Blend:
        """The blend with the highest mean log-likelihood of the validation rows, without members of little weight."""
        members = list(members)
        scores = torch.stack([member.score(rows).total for member in members])
        weights = mixing_weights(scores, row_weights)
        kept = (weights >= _NEGLIGIBLE).nonzero()[:, 0].tolist()
        return cls([members[k] for k in kept], weights[kept] / weights[kept].sum())

    def score(self, rows: EncodedRows) -> Scores:
        """The scores of rows; members that cannot score a row with unknown content are left out for it."""
        total, states = (torch.stack(parts) for parts in zip(*(m.score(rows) for m in self.members), strict=True))
        log_weights = self.weights.log()[:, None].expand_as(total).masked_fill(total.isnan(), -torch.inf)
        log_weights = log_weights - log_weights.logsumexp(0)
        impossible = rows.impossible
        blended = ((part.nan_to_num() + log_weights).logsumexp(0) for part in (total, states))
        return Scores(*(part.masked_fill(impossible, -torch.inf) for part in blended))

    def conditional(self, given: EncodedRows, column: int) -> ColumnDistribution | None:
        """The distribution of one column given the others, of the members that have it in closed form.

        None without any such member.
        """
        parts = [
            (member.conditional(given, column), weight)
            for member, weight in zip(self.members, self.weights, strict=True)
        ]
        known = [(part, weight) for part, weight in parts if part is not None]
        if not known:
            return None
        weights = torch.stack([weight for _, weight in known])
        return ColumnDistribution.blended([part for part, _ in known], weights.log() - weights.sum().log())

    def draw(self, given: EncodedRows, generator: torch.Generator) -> EncodedRows:
        """Complete rows, each drawn by a member that its weight chooses."""
        if len(given) == 0:
            return given
        chosen = torch.multinomial(self.weights, len(given), replacement=True, generator=generator)
        places = [(chosen == k).nonzero()[:, 0] for k in range(len(self.members))]
        drawn = [
            member.draw(given.take(place), generator)
            for member, place in zip(self.members, places, strict=True)
            if len(place)
        ]
        return joined(drawn).take(torch.cat(places).argsort())


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
