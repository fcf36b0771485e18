"""Base distributions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.distributions import Beta, Distribution, Gamma, Laplace, LogNormal, MultivariateNormal
from torch.distributions import StudentT as TorchStudentT

from entries.known import mixture
from entry import Entry, Reason, base_entry
from pushforward.bases import (
    Base,
    ConditionalNormal,
    DiagonalNormal,
    GaussianMixture,
    ProductBase,
    StandardLogistic,
    StandardNormal,
    StudentT,
    TorchBase,
    UniformBox,
    UniformCircle,
    VonMises,
)
from pushforward.events import Shape
from pushforward.flow import Flow


def _placed(base: nn.Module, **weights: list[float]) -> nn.Module:
    """A base with its parameters set: the density that draws from it are known to have."""
    with torch.no_grad():
        for name, value in weights.items():
            base.get_parameter(name).copy_(torch.tensor(value))
    return base


def _student_truth(n: int, seed: int) -> Tensor:
    return torch.from_numpy(0.5 + 2 * np.random.default_rng(seed).standard_t(2.5, (n, 2)))


def _von_mises_truth(n: int, seed: int) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).vonmises([2.5, -1.0], [3.0, 0.5], (n, 2)))


def _raw_scale(scale: float, limit: float = 10.0) -> float:
    """What bounds to ``log(scale)`` within ``limit``."""
    log_scale = float(np.log(scale))
    return log_scale / (1 - abs(log_scale) / limit)


def _product() -> ProductBase:
    """Two angles, a positive number and two real ones, not in this order."""
    bases: list[Base] = [VonMises((2,)), UniformBox((1,), 0.0, 2.0), DiagonalNormal((2,))]
    return ProductBase(bases, indices=[(3, 0), (2,), (1, 4)])


def entries() -> list[Entry]:
    def torch_base(name: str, event_shape: Shape, make: Callable[[torch.dtype], Distribution], **more: Any) -> Entry:
        skips = {"i": Reason.FROM_TORCH}
        return base_entry(f"torch, {name}", event_shape, lambda dtype: TorchBase(make(dtype)), skips=skips, **more)

    def components(flow: nn.Module) -> list[Tensor]:
        assert isinstance(flow, Flow)
        assert isinstance(flow.base, GaussianMixture)
        return [flow.base.means]

    def two(value: float, dtype: torch.dtype) -> Tensor:
        return torch.tensor([value, 1.5 * value], dtype=dtype)

    def covariance(dtype: torch.dtype) -> Tensor:
        return torch.tensor([[2.0, 0.6, 0.0], [0.6, 1.0, -0.3], [0.0, -0.3, 0.5]], dtype=dtype)

    return [
        base_entry("normal", (3,), lambda dtype: StandardNormal((3,)), golden=True),
        base_entry("normal, one number", (), lambda dtype: StandardNormal(()), golden=True),
        base_entry("logistic", (2,), lambda dtype: StandardLogistic((2,)), golden=True),
        base_entry("uniform", (2,), lambda dtype: UniformBox((2,), -1.0, 2.0)),
        base_entry(
            "learned normal",
            (2,),
            lambda dtype: _placed(DiagonalNormal((2,)), mean=[1.0, -2.0], raw_scale=[_raw_scale(0.5), _raw_scale(3.0)]),
            golden=True,
        ),
        base_entry("conditional normal", (2,), lambda dtype: ConditionalNormal((2,), 2, (6,)), context=(2,)),
        base_entry("Gaussian mixture", (2,), lambda dtype: GaussianMixture((2,), 3), mixtures=components, golden=True),
        base_entry("Gaussian mixture, 1 number", (), lambda dtype: GaussianMixture((), 2), mixtures=components),
        base_entry(
            "Student t",
            (2,),
            lambda dtype: _placed(
                StudentT((2,), df=2.5), location=[0.5, 0.5], raw_scale=[_raw_scale(2.0), _raw_scale(2.0)]
            ),
            truth=_student_truth,
            golden=True,
        ),
        base_entry("uniform circle", (2,), lambda dtype: UniformCircle((2,))),
        base_entry(
            "von Mises",
            (2,),
            lambda dtype: _placed(
                VonMises((2,)),
                location=[2.5, -1.0],
                raw_concentration=[float(np.log(np.expm1(3.0))), float(np.log(np.expm1(0.5)))],
            ),
            truth=_von_mises_truth,
            golden=True,
        ),
        base_entry("product", (5,), lambda dtype: _product()),
        torch_base("laplace", (2,), lambda d: Laplace(two(0.2, d), two(1.0, d))),
        torch_base("gamma", (2,), lambda d: Gamma(two(2.0, d), two(1.0, d))),
        torch_base("beta", (2,), lambda d: Beta(two(2.0, d), two(3.0, d))),
        torch_base("log-normal", (1,), lambda d: LogNormal(two(0.1, d)[:1], two(0.5, d)[:1])),
        torch_base("student t", (2,), lambda d: TorchStudentT(two(3.0, d))),
        torch_base("multivariate normal", (3,), lambda d: MultivariateNormal(two(0.0, d)[:1].expand(3), covariance(d))),
        torch_base("mixture", (2,), mixture),
    ]
