"""Base distributions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Beta, Distribution, Gamma, Laplace, LogNormal, MultivariateNormal, StudentT

from entries.known import mixture
from entry import Entry, Reason, base_entry
from pushforward.bases import StandardLogistic, StandardNormal, TorchBase, UniformBox
from pushforward.transform import Shape


def entries() -> list[Entry]:
    def torch_base(name: str, event_shape: Shape, make: Callable[[torch.dtype], Distribution], **more: Any) -> Entry:
        skips = {"i": Reason.FROM_TORCH}
        return base_entry(f"torch, {name}", event_shape, lambda dtype: TorchBase(make(dtype)), skips=skips, **more)

    def two(value: float, dtype: torch.dtype) -> Tensor:
        return torch.tensor([value, 1.5 * value], dtype=dtype)

    def covariance(dtype: torch.dtype) -> Tensor:
        return torch.tensor([[2.0, 0.6, 0.0], [0.6, 1.0, -0.3], [0.0, -0.3, 0.5]], dtype=dtype)

    return [
        base_entry("normal", (3,), lambda dtype: StandardNormal((3,)), golden=True),
        base_entry("normal, one number", (), lambda dtype: StandardNormal(()), golden=True),
        base_entry("logistic", (2,), lambda dtype: StandardLogistic((2,)), golden=True),
        base_entry("uniform", (2,), lambda dtype: UniformBox((2,), -1.0, 2.0)),
        torch_base("laplace", (2,), lambda d: Laplace(two(0.2, d), two(1.0, d))),
        torch_base("gamma", (2,), lambda d: Gamma(two(2.0, d), two(1.0, d))),
        torch_base("beta", (2,), lambda d: Beta(two(2.0, d), two(3.0, d))),
        torch_base("log-normal", (1,), lambda d: LogNormal(two(0.1, d)[:1], two(0.5, d)[:1])),
        torch_base("student t", (2,), lambda d: StudentT(two(3.0, d))),
        torch_base("multivariate normal", (3,), lambda d: MultivariateNormal(two(0.0, d)[:1].expand(3), covariance(d))),
        torch_base("mixture", (2,), mixture),
    ]
