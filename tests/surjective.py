"""The log term of a way back that draws, by another route: the Jacobian in the latent and in the noise."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from pushforward.noise import NoiseSpec, NoiseValue
from pushforward.transforms import HalfLine
from pushforward.transforms.base import Transform


def jacobian_of_latent_and_noise(
    transform: Transform, z: Tensor, back: NoiseValue, row: int, context: Tensor | None = None
) -> tuple[Tensor, float]:
    """``ln |det d x / d (z, normal noise)|`` of a row, and the log-density of that noise."""
    normal, rebuild = _normal_leaves(transform.noise_to_data, back, row)
    sizes = [z.numel(), *(leaf.numel() for leaf in normal)]

    def data(flat: Tensor) -> Tensor:
        first, *rest = flat.split(sizes)
        leaves = [part.reshape(leaf.shape) for part, leaf in zip(rest, normal, strict=True)]
        return transform.to_data(first.reshape(1, *z.shape), context, rebuild(leaves))[0].flatten()

    flat = torch.cat([z.flatten(), *(leaf.flatten() for leaf in normal)])
    jacobian = torch.autograd.functional.jacobian(data, flat)
    noise = flat[z.numel() :]
    log_noise = -0.5 * float(noise.square().sum()) - 0.5 * len(noise) * math.log(2 * math.pi)
    # Noise of either sign makes the same half-normal number.
    folded = sum(leaf.numel() for leaf in normal) if any(isinstance(m, HalfLine) for m in transform.modules()) else 0
    return torch.linalg.slogdet(jacobian)[1], log_noise + folded * math.log(2)


def _normal_leaves(
    spec: NoiseSpec, back: NoiseValue, row: int
) -> tuple[list[Tensor], Callable[[list[Tensor]], NoiseValue]]:
    """The normal noise of a row, and what puts other noise in its place."""
    found: list[Tensor] = []

    def collect(spec: object, value: NoiseValue) -> None:
        if isinstance(value, tuple):
            for part, own in zip(spec, value, strict=True):  # type: ignore[call-overload]
                collect(part, own)
        elif isinstance(value, Tensor) and spec.law == "normal":  # type: ignore[attr-defined]
            found.append(value[row : row + 1])

    def rebuild(leaves: list[Tensor]) -> NoiseValue:
        given = iter(leaves)

        def put(spec: object, value: NoiseValue) -> NoiseValue:
            if isinstance(value, tuple):
                return tuple(put(part, own) for part, own in zip(spec, value, strict=True))  # type: ignore[call-overload]
            if not isinstance(value, Tensor):
                return None
            return next(given) if spec.law == "normal" else value[row : row + 1]  # type: ignore[attr-defined]

        return put(spec, back)

    collect(spec, back)
    return found, rebuild
