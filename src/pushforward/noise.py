"""The noise that stochastic transforms declare, and how it is drawn: from a generator, or keyed by (seed, row).

Keyed noise makes a score a function of the row alone: the same row gets the same noise in any batch, on any device and
after reloading.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias

import numpy as np
import torch
from torch import Tensor

from pushforward.errors import OptionError, ShapeError
from pushforward.events import Shape


@dataclass(frozen=True)
class Noise:
    """The noise that a stochastic transform needs in one direction.

    shape: of one event; a batch of noise is ``(B, *shape)``. law: ``uniform`` on [0, 1), ``normal`` (standard) or
    ``rademacher`` (-1 or 1). role: a ``draw`` determines the values, and makes the log term a bound; a ``probe``
    affects the estimate of the log term only. displaced: whether a transform also takes `DisplacedNoise`.
    """

    shape: Shape
    law: Literal["uniform", "normal", "rademacher"]
    role: Literal["draw", "probe"] = "draw"
    displaced: bool = False


class DisplacedNoise(NamedTuple):
    """Noise, and a displacement of the values that it becomes, for values that no noise gives.

    A transform whose `to_data` clamps returns it as the path noise of clamped values, and declares that by
    ``Noise.displaced``. Both tensors are ``(B, *shape)``.
    """

    noise: Tensor
    displacement: Tensor


# The noise that a transform declares and then gets: none, one tensor, or a tuple with one entry per part.
NoiseSpec: TypeAlias = "Noise | tuple[NoiseSpec, ...] | None"
NoiseValue: TypeAlias = "Tensor | tuple[NoiseValue, ...] | None"


def has_role(spec: NoiseSpec, role: Literal["draw", "probe"]) -> bool:
    """Whether any of the noise that ``spec`` declares has that role."""
    return spec.role == role if isinstance(spec, Noise) else any(has_role(part, role) for part in spec or ())


def join_noise(specs: Sequence[NoiseSpec]) -> NoiseSpec:
    """The noise of several parts as one declaration: None where no part needs any."""
    return tuple(specs) if any(s is not None for s in specs) else None


def part_noise(noise: NoiseValue, parts: int) -> Sequence[NoiseValue]:
    """The noise of each of ``parts`` parts, from what `join_noise` declared."""
    if noise is None:
        return (None,) * parts
    if isinstance(noise, tuple) and not isinstance(noise, DisplacedNoise) and len(noise) == parts:
        return noise
    raise ShapeError(f"noise for {parts} parts expected as a tuple with one entry each, got {type(noise).__name__}")


def required_noise(noise: NoiseValue, owner: object, use: str) -> Tensor:
    """The noise as one tensor; raises OptionError, with the owner's class and the use, for anything else."""
    if not isinstance(noise, Tensor):
        raise OptionError(f"{type(owner).__name__} needs its noise, {use}")
    return noise


def map_noise(noise: NoiseValue, function: Callable[[Tensor], Tensor]) -> NoiseValue:
    """The noise with ``function`` applied to each tensor in it."""
    if noise is None:
        return None
    if isinstance(noise, DisplacedNoise):
        return DisplacedNoise(*map(function, noise))
    return function(noise) if isinstance(noise, Tensor) else tuple(map_noise(part, function) for part in noise)


def generator_of(generator: torch.Generator | None, seed: int | None, device: torch.device) -> torch.Generator | None:
    """The generator to draw from: the one given, one of ``seed``, or None for torch's own. Raises OptionError."""
    _require_one_source(generator, seed)
    if seed is None:
        return generator
    return torch.Generator(device).manual_seed(seed)


def key_of(generator: torch.Generator | None, seed: int | None) -> int:
    """The seed that keys noise: the one given, one drawn from ``generator``, or 0. Raises OptionError."""
    _require_one_source(generator, seed)
    if generator is None:
        return seed or 0
    return int(torch.randint(2**63 - 1, (), generator=generator, device=generator.device))


def _require_one_source(generator: torch.Generator | None, seed: int | None) -> None:
    if generator is not None and seed is not None:
        raise OptionError("a seed and a generator were given; give one of them")


def draw(
    spec: NoiseSpec, batch: int, dtype: torch.dtype, device: torch.device, generator: torch.Generator | None = None
) -> NoiseValue:
    """Noise for a batch of ``batch`` events, as ``spec`` declares: each tensor has the shape ``(batch, *shape)``."""

    def one(noise: Noise) -> Tensor:
        shape = (batch, *noise.shape)
        if noise.law == "uniform":
            return torch.rand(shape, dtype=dtype, device=device, generator=generator)
        if noise.law == "normal":
            return torch.randn(shape, dtype=dtype, device=device, generator=generator)
        signs = torch.randint(0, 2, shape, device=device, generator=generator)
        return (2 * signs - 1).to(dtype)

    return _each(spec, one)


def keyed(
    spec: NoiseSpec,
    seed: int,
    rows: Tensor,
    dtype: torch.dtype,
    device: torch.device,
    repetition: int | Tensor = 0,
    probe: int | Tensor = 0,
) -> NoiseValue:
    """Noise for the rows numbered ``rows: (B,)``: a function of (seed, row number, repetition) alone.

    repetition: 0 or more, of all rows or one of each, (B,). probe: the index of the trace probe, on which the
    noise of role ``probe`` alone depends.
    """
    if spec is None:
        return None
    # One counter-based stream a row and repetition; the parts of a row's noise are consecutive stretches of its stream.
    # The dtype is explicit, because numpy makes floats of a list with a number beyond 2**63, and seeds would coincide.
    numbers = [torch.as_tensor(value).expand(rows.shape).tolist() for value in (rows, repetition, probe)]
    words, counter = np.array([seed & (2**64 - 1), 0], dtype=np.uint64), np.zeros(4, dtype=np.uint64)
    streams: dict[str, list[np.random.Generator]] = {role: [] for role in ("draw", "probe") if has_role(spec, role)}
    for row, repeated, probed in zip(*numbers, strict=True):
        words[1], counter[3] = row, repeated
        for role, generators in streams.items():
            counter[2] = 0 if role == "draw" else 1 + probed
            generators.append(np.random.Generator(np.random.Philox(key=words, counter=counter)))

    def one(noise: Noise) -> Tensor:
        values = np.empty((len(rows), *noise.shape), dtype=np.float64)
        for i, stream in enumerate(streams[noise.role]):
            if noise.law == "uniform":
                # Multiples of 2**-24, so that float32 holds them exactly and never rounds up to 1.
                values[i] = stream.random(noise.shape, dtype=np.float32)
            elif noise.law == "normal":
                values[i] = stream.standard_normal(noise.shape)
            else:
                values[i] = 2 * stream.integers(0, 2, noise.shape) - 1
        return torch.from_numpy(values).to(dtype=dtype, device=device)

    return _each(spec, one)


def require(noise: NoiseValue, spec: NoiseSpec, batch: int) -> None:
    """Raise ShapeError where ``noise`` does not match ``spec`` for ``batch`` rows: it would be broadcast."""
    if isinstance(spec, tuple):
        if not isinstance(noise, tuple) or isinstance(noise, DisplacedNoise) or len(noise) != len(spec):
            raise ShapeError(f"noise: a tuple of {len(spec)} parts expected, got {_described(noise)}")
        for part, declared in zip(noise, spec, strict=True):
            require(part, declared, batch)
        return
    if spec is not None and spec.displaced and isinstance(noise, DisplacedNoise):
        for part in noise:
            require(part, spec, batch)
        return
    wanted = "none" if spec is None else f"shape {(batch, *spec.shape)}"
    if _described(noise) != wanted:
        raise ShapeError(f"noise: {wanted} expected, got {_described(noise)}")


def _described(noise: NoiseValue) -> str:
    if isinstance(noise, DisplacedNoise):
        return "displaced noise"
    if isinstance(noise, tuple):
        return f"a tuple of {len(noise)} parts"
    return "none" if noise is None else f"shape {tuple(noise.shape)}"


def _each(spec: NoiseSpec, one: Callable[[Noise], Tensor]) -> NoiseValue:
    if spec is None:
        return None
    if isinstance(spec, Noise):
        return one(spec)
    return tuple(_each(part, one) for part in spec)
