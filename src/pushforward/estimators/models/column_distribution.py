"""The distribution of one encoded column given others: probabilities of its states, and a mixture for its value."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import Tensor

from pushforward.estimators.models.mixture_head import MixtureHead

# The least probability of a tail from which a value is drawn.
_TINY = 1e-300
# Differences of probabilities, and of means in deviations, that are small beside the error of draws.
_ALIKE = 0.1


@dataclass(frozen=True, eq=False)
class ColumnDistribution:
    """N distributions of a column. log_states: ``(N, S)``. value: ``(N, K)``, in state 0; None if it has no value."""

    log_states: Tensor
    value: MixtureHead | None

    def take(self, rows: Tensor) -> Self:
        """The distributions numbered ``rows``, in that order."""
        value = None if self.value is None else self.value.at(rows)
        return type(self)(self.log_states[rows], value)

    def restricted(self, allowed: Tensor) -> Self:
        """The distributions given that the state is one of those that a mask ``(S,)`` allows."""
        return replace(self, log_states=self.log_states.masked_fill(~allowed, -torch.inf).log_softmax(1))

    def alike(self, count: int) -> Tensor:
        """``(N / count,)`` bool: whether each ``count`` distributions in a row nearly have the same states and mean."""
        probabilities = self.log_states.exp().unflatten(0, (-1, count))
        same = _range(probabilities).amax(1) < _ALIKE
        if self.value is None:
            return same
        weights = self.value.log_weights.exp()
        means = (weights * self.value.means).sum(1)
        variances = (weights * ((self.value.means - means[:, None]).square() + (2 * self.value.log_scales).exp())).sum(
            1
        )
        deviations = variances.unflatten(0, (-1, count)).amin(1).sqrt()
        near: Tensor = _range(means.unflatten(0, (-1, count))) < _ALIKE * deviations
        return same & near

    def log_density(self, states: Tensor, values: Tensor) -> Tensor:
        """``(N,)``: the log-density of contents, under one distribution for each or one for all."""
        own = self.log_states.expand(len(states), -1).gather(1, states.clamp(min=0)[:, None])[:, 0]
        if self.value is None:
            return own
        return own + self.value.expand(len(states)).log_density(values.nan_to_num()).where(states == 0, 0.0)

    def draws(self, uniform: Tensor) -> tuple[Tensor, Tensor]:
        """States and values, ``(N,)`` each, that uniform numbers of (0, 1) choose; evenly spread ones spread draws."""
        states, within = _chosen(self.log_states.exp(), uniform)
        if self.value is None:
            return states, torch.zeros_like(within)
        component, within = _chosen(self.value.log_weights.exp(), within)
        means, log_scales = (part.gather(1, component[:, None])[:, 0] for part in self.value[1:])
        within = within.clamp(_TINY, 1 - torch.finfo(within.dtype).eps)
        return states, (means + log_scales.exp() * torch.special.ndtri(within)).where(states == 0, 0.0)

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


def _range(numbers: Tensor) -> Tensor:
    return numbers.amax(1) - numbers.amin(1)


def _chosen(probabilities: Tensor, uniform: Tensor) -> tuple[Tensor, Tensor]:
    """For each row the number of a probability ``(N, K)`` that ``uniform: (N,)`` chooses, and its place within it."""
    upper = probabilities.cumsum(1)
    target = uniform[:, None] * upper[:, -1:]
    number = (upper < target).sum(1, keepdim=True)
    own = probabilities.gather(1, number)
    within = (target - upper.gather(1, number) + own) / own
    return number[:, 0], within[:, 0].clamp(0.0, 1.0)


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
