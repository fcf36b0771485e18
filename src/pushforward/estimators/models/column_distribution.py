"""The distribution of one encoded column given others: probabilities of its states, and a mixture for its value."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from pushforward.estimators.models.mixture_head import MixtureHead


@dataclass(frozen=True, eq=False)
class ColumnDistribution:
    """N distributions of a column. log_states: ``(N, S)``. value: ``(N, K)``, in state 0; None if it has no value."""

    log_states: Tensor
    value: MixtureHead | None

    def take(self, rows: Tensor) -> Self:
        """The distributions numbered ``rows``, in that order."""
        value = None if self.value is None else self.value.at(rows)
        return type(self)(self.log_states[rows], value)

    def pit(self, states: Tensor, values: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Probability integral transforms ``(N,)`` of states, and of states and values in this order.

        Those of a right distribution are uniform: a state, which has a mass, gets a random one between its two limits.
        """
        below = self.log_states.exp().cumsum(1)
        first, last = (torch.cat([torch.zeros(len(below), 1), below], 1)[:, i:][:, : below.shape[1]] for i in (0, 1))
        low, high = (each.gather(1, states[:, None].clamp(min=0))[:, 0] for each in (first, last))
        within = torch.rand(len(below), dtype=torch.float64, generator=generator)
        of_states = low + (high - low) * within
        if self.value is not None:
            within = torch.where(states == 0, self.value.log_tails(values)[0].exp(), within)
        return of_states, low + (high - low) * within

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """Those of all ``parts``, one after the other."""
        heads = [part.value for part in parts if part.value is not None]
        value = MixtureHead(*(torch.cat(tensors) for tensors in zip(*heads, strict=True))) if heads else None
        return cls(torch.cat([part.log_states for part in parts]), value)

    @classmethod
    def blended(cls, parts: Sequence[Self], state_weights: Tensor, value_weights: Tensor) -> Self:
        """The weighted mean of the states, and that of the values, of several, with log-weights ``(M,)``.

        Weights whose sum is 0 count as equal.
        """
        state_weights, value_weights = (_normalised(each) for each in (state_weights, value_weights))
        log_states = (torch.stack([part.log_states for part in parts]) + state_weights[:, None, None]).logsumexp(0)
        pairs = [
            (part.value, weight) for part, weight in zip(parts, value_weights, strict=True) if part.value is not None
        ]
        # Components of no weight would only slow down whatever is computed of the mixture.
        heads = [(value, weight) for value, weight in pairs if weight > -torch.inf]
        if not heads:
            return cls(log_states, None)
        log_weights = torch.stack([weight for _, weight in heads])[:, None].expand(-1, len(log_states))
        return cls(log_states, mixed([value for value, _ in heads], log_weights))


def _normalised(log_weights: Tensor) -> Tensor:
    if (log_weights == -torch.inf).all():
        log_weights = torch.zeros_like(log_weights)
    return log_weights.log_softmax(0)


def mixed(heads: Sequence[MixtureHead], log_weights: Tensor) -> MixtureHead:
    """The mixture of mixtures, with log-weights ``(M, N)``, all components side by side."""
    logs = [head.log_weights + each[:, None] for head, each in zip(heads, log_weights, strict=True)]
    return MixtureHead(
        torch.cat(logs, 1), torch.cat([head.means for head in heads], 1), torch.cat([h.log_scales for h in heads], 1)
    )
