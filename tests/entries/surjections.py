"""Surjections and stochastic transforms: what loses something on the way to the latent, or draws something on it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, HalfNormal

from entries.transforms import coupling
from entry import LABELS, Entry, flow_entry, transform_entry
from pushforward.bases import as_base
from pushforward.events import Shape
from pushforward.flow import Flow
from pushforward.maps import Affine, SoftClampScale
from pushforward.nets import MLP
from pushforward.transforms import (
    Abs,
    ActNorm,
    Argmax,
    Channelwise,
    ConditionalFlow,
    Elementwise,
    HalfLine,
    Identity,
    InverseSoftplus,
    Log,
    LULinear,
    MaxPool2d,
    MultiScale,
    Product,
    Slice,
    Sort,
    Squeeze,
    Standardise,
    StochasticPermutation,
)
from pushforward.transforms.base import Chain, Transform
from pushforward.transforms.conditional import conditional_gaussian
from pushforward.transforms.partition import half
from pushforward.transforms.sort import ordered_to_real

_IMAGE = (1, 2, 2)


def _shuffled(features: int, context: int = 0) -> Chain:
    """A random order, then a density that minds it."""
    return Chain([StochasticPermutation((features,)), coupling(half(features), context=context), ActNorm((features,))])


def _argmax(features: int, categories: int, binary: bool = False) -> Transform:
    """Categories, then a coupling that correlates the numbers they become."""
    width = (categories - 1).bit_length() if binary else categories
    size = features * width
    first = Argmax((features,), categories, conditional_gaussian((size,), size, hidden=(8,), law="logistic"), binary)
    return Chain([first, coupling(half(size)), LULinear(size)])


def _half_normal(dtype: torch.dtype, shape: Shape) -> Distribution:
    return HalfNormal(torch.ones(shape, dtype=dtype))


class _FlatNet(nn.Module):
    """A net of all pixels, for images so small that a convolution's taps would see nothing but their border."""

    def __init__(self, inputs: int, outputs: int, context: int = 0) -> None:
        super().__init__()
        self.net = MLP(inputs, outputs, (8,), context, activation="tanh")

    def forward(self, h: Tensor, context: Tensor | None = None) -> Tensor:
        out: Tensor = self.net(h.flatten(1), context)
        return out


def _sliced(features: int, kept: int, context: int = 0) -> Chain:
    rest = conditional_gaussian((features - kept,), kept, context, hidden=(8,))
    last = Elementwise(Affine(SoftClampScale()), (kept,))
    return Chain([LULinear(features), Slice((features,), kept, rest), last])


def _positive_rest() -> Slice:
    return Slice((3,), 1, HalfLine((2,), "exponential", MLP(1, 2, (8,), activation="tanh")))


def _signed(features: int, context: int = 0) -> Chain:
    net = MLP(features, features, (8,), context, activation="tanh")
    return Chain([Abs((features,), net), Log((features,)), ActNorm((features,))])


def _sorted(features: int) -> Chain:
    real = ordered_to_real(features)
    return Chain([Sort((features,)), real, *([coupling(half(features))] if features > 1 else []), ActNorm((features,))])


def _pooled(context: int = 0) -> Chain:
    """Pooling whose differences depend on the maximum, between steps on either side."""
    rest = HalfLine((3, 1, 1), net=_FlatNet(1, 3, context))
    scale = Elementwise(Affine(SoftClampScale()), _IMAGE)
    return Chain([scale, MaxPool2d(_IMAGE, rest), ActNorm((1, 1, 1))])


def _pooled_flow() -> MaxPool2d:
    """Pooling with differences of which a bijection makes normal numbers."""
    shape = (3, 1, 1)
    rest = Chain([InverseSoftplus(shape), Elementwise(Affine(SoftClampScale()), shape)])
    return MaxPool2d(_IMAGE, ConditionalFlow(rest))


def _scales() -> MultiScale:
    """Half of the channels leave; the others are pooled and sliced."""
    shape = (1, 4, 4)
    first = Chain([Squeeze(shape), coupling(Channelwise((4, 2, 2)))])
    second = Chain([MaxPool2d((2, 2, 2)), Slice((2, 1, 1), 1, ConditionalFlow(Identity((1, 1, 1))))])
    return MultiScale([first, second])


def _beside() -> Product:
    """What is lossy beside what is not, each on its own coordinates."""
    sign = Chain([Abs((1,)), InverseSoftplus((1,))])
    return Product([sign, Standardise((1,)), Slice((2,), 1, conditional_gaussian((1,), 1, hidden=(4,)))])


def _normal(dtype: torch.dtype) -> Flow:
    """A standard normal number by its absolute value."""
    return Flow(as_base(_half_normal(dtype, (1,)), (1,)), Abs((1,)))


def _normal_truth(n: int, seed: int) -> Tensor:
    return torch.randn(n, 1, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def entries() -> list[Entry]:
    known: dict[str, Any] = {"truth": _normal_truth, "golden": True}
    small: dict[str, Any] = {"transforms": 1, "channels": 4, "scales": 2}
    packed: dict[str, Any] = {"levels": 17, "memory_saving": True, "given_maximum": False}
    splines: dict[str, Any] = {"map": "spline", "bins": 4, "rest": "exponential"}
    return [
        transform_entry("slice", (2,), lambda: _sliced(2, 1), golden=True),
        transform_entry("slice, context", (3,), lambda: _sliced(3, 2, 2), context=(2,)),
        transform_entry("slice, positive rest", (3,), _positive_rest, golden=True),
        transform_entry("absolute value", (2,), lambda: Abs((2,)), base=_half_normal),
        transform_entry("absolute value, scalar", (), lambda: Abs(()), base=_half_normal),
        transform_entry("absolute value, learned sign", (1,), lambda: _signed(1), golden=True),
        transform_entry("absolute value, learned sign, context", (2,), lambda: _signed(2, 2), context=(2,)),
        Entry("flow: absolute value, a normal", "flow", _normal, (1,), **known),
        transform_entry("sort", (2,), lambda: _sorted(2), golden=True),
        transform_entry("sort, 1 feature", (1,), lambda: _sorted(1)),
        transform_entry("sort, 3 features", (3,), lambda: _sorted(3), golden=True),
        transform_entry("ordered to real, 2 features", (2,), lambda: ordered_to_real(2)),
        transform_entry("ordered to real", (3,), lambda: ordered_to_real(3), golden=True),
        transform_entry("max pool", _IMAGE, _pooled, golden=True),
        transform_entry("max pool, context", _IMAGE, lambda: _pooled(2), context=(2,)),
        transform_entry("max pool, bijection", _IMAGE, _pooled_flow),
        transform_entry("max pool, 2 channels", (2, 2, 4), lambda: MaxPool2d((2, 2, 4))),
        transform_entry("surjections in scales", (1, 4, 4), _scales),
        transform_entry("surjections side by side", (4,), _beside),
        transform_entry("stochastic permutation", (2,), lambda: _shuffled(2), golden=True),
        transform_entry("stochastic permutation, context", (3,), lambda: _shuffled(3, 2), context=(2,)),
        transform_entry("stochastic permutation, image", (2, 2, 2), lambda: StochasticPermutation((2, 2, 2))),
        transform_entry("argmax", (1,), lambda: _argmax(1, 3), golden=True),
        transform_entry("argmax, 2 features", (2,), lambda: _argmax(2, 3)),
        transform_entry("argmax, signs", (2,), lambda: _argmax(2, 3, True), golden=True),
        transform_entry("argmax, signs, image", (1, 2, 2), lambda: Argmax((1, 2, 2), 4, binary=True)),
        flow_entry("survae_maxpool", "image 8 x 8, labels", (1, 8, 8), 0, LABELS, **small, **packed),
        flow_entry("survae_maxpool", "image 2 x 8 x 8, context", (2, 8, 8), 2, **small, **splines),
    ]
