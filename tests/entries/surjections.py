"""Surjections and stochastic transforms: what loses something on the way to the latent, or draws something on it."""

from __future__ import annotations

from entries.transforms import coupling
from entry import Entry, transform_entry
from pushforward.transform import Chain, Transform
from pushforward.transforms import ActNorm, Argmax, LULinear, StochasticPermutation
from pushforward.transforms.conditional import located
from pushforward.transforms.partition import half


def _shuffled(features: int, context: int = 0) -> Chain:
    """A random order, then a density that minds it."""
    return Chain([StochasticPermutation((features,)), coupling(half(features), context=context), ActNorm((features,))])


def _argmax(features: int, categories: int, binary: bool = False) -> Transform:
    """Categories, then a coupling that correlates the numbers they become."""
    width = (categories - 1).bit_length() if binary else categories
    size = features * width
    first = Argmax((features,), categories, located((size,), size, hidden=(8,), law="logistic"), binary)
    return Chain([first, coupling(half(size)), LULinear(size)])


def entries() -> list[Entry]:
    return [
        transform_entry("stochastic permutation", (2,), lambda: _shuffled(2), golden=True),
        transform_entry("stochastic permutation, context", (3,), lambda: _shuffled(3, 2), context=(2,)),
        transform_entry("stochastic permutation, image", (2, 2, 2), lambda: StochasticPermutation((2, 2, 2))),
        transform_entry("argmax", (1,), lambda: _argmax(1, 3), golden=True),
        transform_entry("argmax, 2 features", (2,), lambda: _argmax(2, 3)),
        transform_entry("argmax, signs", (2,), lambda: _argmax(2, 3, True), golden=True),
        transform_entry("argmax, signs, image", (1, 2, 2), lambda: Argmax((1, 2, 2), 4, binary=True)),
    ]
