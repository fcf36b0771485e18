"""Monotone maps whose inverses are numeric, and distribution functions."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, Gamma, Normal, Uniform

from entries.known import mixture
from entry import Entry, map_entry
from pushforward.bases import UniformBox
from pushforward.maps import (
    Bernstein,
    DeepSigmoidal,
    DistributionCDF,
    LogisticMixture,
    SumOfSquares,
    UnconstrainedMonotone,
)

_COMPONENTS = 3


def _params(flow: nn.Module) -> Tensor:
    return flow.transform.map.with_start(flow.transform.weight)


def _components(flow: nn.Module, blocks: int) -> list[Tensor]:
    """The components of an element-wise map whose first rows of parameters are ``blocks`` of one row a component."""
    return [_params(flow)[: blocks * _COMPONENTS].unflatten(0, (blocks, _COMPONENTS)).movedim(1, 0)]


def _polynomials(flow: nn.Module, polynomials: int, coefficients: int) -> list[Tensor]:
    return [_params(flow)[:-1].unflatten(0, (polynomials, coefficients))]


def _cdf(law: str, make: Callable[[torch.dtype], Distribution], **more: Any) -> Entry:
    return map_entry(
        f"distribution function, {law}",
        lambda dtype: DistributionCDF(make(dtype)),
        base=lambda dtype, shape: UniformBox(shape),
        smooth=True,
        **more,
    )


def entries() -> list[Entry]:
    triples = functools.partial(_components, blocks=3)
    polynomials = functools.partial(_polynomials, polynomials=2, coefficients=3)
    return [
        map_entry("deep sigmoidal", lambda d: DeepSigmoidal(_COMPONENTS), mixtures=triples, smooth=True, golden=True),
        map_entry(
            "logistic mixture", lambda d: LogisticMixture(_COMPONENTS), mixtures=triples, smooth=True, golden=True
        ),
        map_entry("sum of squares", lambda d: SumOfSquares(2, 2, 1.5), mixtures=polynomials, smooth=True, golden=True),
        map_entry("bernstein", lambda d: Bernstein(4, 1.5), smooth=True, golden=True),
        map_entry(
            "unconstrained monotone",
            lambda d: UnconstrainedMonotone((4, 4), 2, 25, 3.0),
            event_shape=(1,),
            smooth=True,
            golden=True,
        ),
        _cdf("normal", lambda d: Normal(torch.tensor(0.5, dtype=d), torch.tensor(1.5, dtype=d)), golden=True),
        _cdf("gamma", lambda d: Gamma(torch.tensor(2.0, dtype=d), torch.tensor(1.5, dtype=d)), golden=True),
        _cdf("uniform", lambda d: Uniform(torch.tensor(-1.0, dtype=d), torch.tensor(2.0, dtype=d))),
        _cdf("mixture", mixture, golden=True),
    ]
