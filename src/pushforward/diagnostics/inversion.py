"""Round trips of a transform: relative errors of data and latents after both directions."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from pushforward.noise import NoiseValue, has_role
from pushforward.precision import in_float64
from pushforward.transforms.base import Transform


def relative_error(got: Tensor, wanted: Tensor) -> Tensor:
    """``|got - wanted| / max(1, |wanted|)``, the largest over each row: ``(B,)`` in float64. NaN counts as inf."""
    got, wanted = in_float64(got), in_float64(wanted)
    error = (got - wanted).abs() / wanted.abs().clamp(min=1)
    # Equal infinities agree; other non-finite values do not.
    error = torch.where(got == wanted, 0.0, torch.where(error.isnan(), torch.inf, error))
    return error.flatten(1).amax(1) if error.ndim > 1 else error


def returns_to_data(transform: Transform) -> bool:
    """Whether x -> z -> x returns x: false if `to_latent` discards information that `to_data` samples."""
    return not has_role(transform.noise_to_data, "draw")


def has_square_jacobian(transform: Transform) -> bool:
    """Whether the log term is the log-determinant of a Jacobian: of a bijection, or of one after a dequantisation."""
    return returns_to_data(transform) and math.prod(transform.data_shape) == math.prod(transform.latent_shape)


@torch.no_grad()
def data_round_trip(
    transform: Transform,
    x: Tensor,
    context: Tensor | None = None,
    noise: NoiseValue = None,
    noise_back: NoiseValue = None,
) -> Tensor:
    """Relative error ``(B,)`` of x -> z -> x, with the noise that each direction declares."""
    return relative_error(data_returned(transform, x, context, noise, noise_back), x)


@torch.no_grad()
def data_returned(
    transform: Transform,
    x: Tensor,
    context: Tensor | None = None,
    noise: NoiseValue = None,
    noise_back: NoiseValue = None,
) -> Tensor:
    """The data ``(B, *event)`` that x -> z -> x returns, with the noise that each direction declares."""
    z, _ = transform.to_latent(x, context, noise)
    return transform.to_data(z, context, noise_back)[0]


@torch.no_grad()
def latent_round_trip(
    transform: Transform, z: Tensor, context: Tensor | None = None, noise_back: NoiseValue = None
) -> Tensor:
    """Relative error ``(B,)`` of z -> x -> z, with the noise that leads from that x to that z."""
    x, _ = transform.to_data(z, context, noise_back)
    noise = transform.path_noise(x, z, context, noise_back)
    return relative_error(transform.to_latent(x, context, noise)[0], z)
