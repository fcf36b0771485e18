"""Log-likelihoods with their kind, as `Flow.likelihood` returns them, and how draws and probes become one value."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

import torch
from torch import Tensor

Kind: TypeAlias = Literal["exact", "bound", "estimate"]

_STRENGTH: tuple[Kind, ...] = ("exact", "bound", "estimate")


def weakest(*kinds: Kind) -> Kind:
    """The weakest of several likelihood kinds: an estimate is weaker than a bound, a bound than an exact value."""
    return max(kinds, key=_STRENGTH.index, default="exact")


@dataclass(frozen=True)
class Estimator:
    """How a log term of kind ``estimate`` is computed.

    text: the method in a few words. unbiased: whether the mean over probes is the exact log term, within the tolerance
    that ``text`` states; None for a method without probes.
    """

    text: str
    unbiased: bool | None

    def __str__(self) -> str:
        return f"unbiased, {self.text}" if self.unbiased else self.text


@dataclass(frozen=True)
class Likelihood:
    """Log-likelihoods in nats, with their kind.

    value: (B,); kind: ``exact``, ``bound`` (a lower bound) or ``estimate``; samples: number of draws averaged per row
    (draws of a bound, or of an estimate of one; probes of an estimate); probes: number of probes for each draw, 1 where
    none is needed; standard_error: (B,) of ``value`` over the draws, over the probes where there is one draw, None
    where there is one of both; in_words: the kind as printed, which for an estimate names its method and its quantity.
    """

    value: Tensor
    kind: Kind
    samples: int
    standard_error: Tensor | None = None
    in_words: str = ""
    probes: int = 1

    def to_cpu(self) -> Likelihood:
        """The same values in float64 on the CPU."""
        error = None if self.standard_error is None else self.standard_error.cpu().double()
        return replace(self, value=self.value.cpu().double(), standard_error=error)


def joined(parts: Sequence[Likelihood]) -> Likelihood:
    """The likelihoods of consecutive batches of rows as one."""
    errors = [part.standard_error for part in parts if part.standard_error is not None]
    value = torch.cat([part.value for part in parts])
    return replace(parts[0], value=value, standard_error=torch.cat(errors) if errors else None)


def combined(values: Tensor) -> tuple[Tensor, Tensor]:
    """Values ``(draws, probes, B)`` to the log-mean-exp over draws of the mean over probes, and its standard error."""
    weights = values.mean(1)
    if values.shape[0] > 1:
        return log_mean_exp(weights)
    # Where every probe says that the density is 0, that is certain: -inf - -inf would be NaN.
    spread = torch.where(weights == -math.inf, 0.0, values - weights).square().sum(1)
    probes = values.shape[1]
    return weights[0], (spread[0] / max(1, probes - 1) / probes).sqrt()


def log_mean_exp(values: Tensor) -> tuple[Tensor, Tensor]:
    """The log of the mean of exp(values) over the first axis, of two or more, and its delta-method standard error."""
    samples = values.shape[0]
    mean = torch.logsumexp(values, 0) - math.log(samples)
    # Where every draw says that the density is 0, that is certain: -inf - -inf would be NaN.
    weights = torch.where(mean == -math.inf, 0.0, values - mean).exp()
    # Written out: torch's own standard deviation warns where there are no rows.
    variance = (weights - weights.mean(0)).square().sum(0) / (samples - 1)
    return mean, (variance / samples).sqrt()
