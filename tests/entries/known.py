"""Flows that are constructed to equal a known density."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.distributions import Categorical, Distribution, MixtureSameFamily, Normal, StudentT

from entry import Entry
from pushforward.bases import Base, StandardNormal, UniformBox
from pushforward.events import Shape
from pushforward.flow import Flow
from pushforward.maps import Additive
from pushforward.nets import MLP
from pushforward.transforms import Coupling, Standardise
from pushforward.transforms.base import Chain
from pushforward.transforms.partition import half


def _gaussian(dtype: torch.dtype) -> Flow:
    """x0 ~ N(1, 2^2); x1 given x0 ~ N(0.5 + 0.6 (x0 - 1), 0.5^2), by known weights of known transforms."""
    standardise = Standardise((2,))
    standardise.mean.copy_(torch.tensor([1.0, 0.5]))
    standardise.std.copy_(torch.tensor([2.0, 0.5]))
    standardise.initialised.fill_(True)
    partition = half(2)
    net = MLP(1, 1, (2,))
    coupling = Coupling(partition, Additive(), net)
    with torch.no_grad():
        # relu(h) - relu(-h) = h, so the shift of z1 is -0.6 * 2 / 0.5 times z0.
        net.layers[0].weight.copy_(torch.tensor([[1.0], [-1.0]]))
        net.layers[0].bias.zero_()
        net.last.weight.copy_(torch.tensor([[-2.4, 2.4]]))
    return Flow(StandardNormal((2,)), Chain([standardise, coupling]))


def _gaussian_truth(n: int, seed: int) -> Tensor:
    rng = np.random.default_rng(seed)
    x0 = 1 + 2 * rng.standard_normal(n)
    x1 = 0.5 + 0.6 * (x0 - 1) + 0.5 * rng.standard_normal(n)
    return torch.from_numpy(np.stack([x0, x1], 1))


def _standardised(base: Base | Distribution, mean: float, std: float, features: int) -> Flow:
    standardise = Standardise((features,))
    standardise.mean.fill_(mean)
    standardise.std.fill_(std)
    standardise.initialised.fill_(True)
    return Flow(base, standardise)


def mixture(dtype: torch.dtype) -> Distribution:
    """0.3 N(-2, 0.5^2) + 0.7 N(1, 1) on each of two coordinates."""
    weights = torch.tensor([[0.3, 0.7]] * 2, dtype=dtype)
    means, deviations = torch.tensor([[-2.0, 1.0]] * 2, dtype=dtype), torch.tensor([[0.5, 1.0]] * 2, dtype=dtype)
    return MixtureSameFamily(Categorical(weights), Normal(means, deviations))


def _mixture_truth(n: int, seed: int) -> Tensor:
    rng = np.random.default_rng(seed)
    first = rng.random((n, 2)) < 0.3
    noise = rng.standard_normal((n, 2))
    return torch.from_numpy(3 + 2 * np.where(first, -2 + 0.5 * noise, 1 + noise))


def _box_truth(n: int, seed: int) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).uniform(-3.0, 5.0, (n, 1)))


def _student_truth(n: int, seed: int) -> Tensor:
    return torch.from_numpy(-1 + 0.5 * np.random.default_rng(seed).standard_t(3.0, (n, 2)))


def entries() -> list[Entry]:
    def known(name: str, event_shape: Shape, make: Callable[[torch.dtype], Flow], **more: Any) -> Entry:
        return Entry(f"flow: {name}", "flow", make, event_shape, **more)

    return [
        known("known Gaussian", (2,), _gaussian, truth=_gaussian_truth, golden=True),
        known(
            "known mixture",
            (2,),
            lambda d: _standardised(mixture(d), 3.0, 2.0, 2),
            truth=_mixture_truth,
        ),
        known(
            "known box", (1,), lambda d: _standardised(UniformBox((1,)), -3.0, 8.0, 1), truth=_box_truth, golden=True
        ),
        known(
            "known heavy tail",
            (2,),
            lambda d: _standardised(StudentT(torch.full((2,), 3.0, dtype=d)), -1.0, 0.5, 2),
            truth=_student_truth,
        ),
    ]
