"""Activation checkpoints: the backward pass computes the activations of each step again, from the step's input."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.utils.checkpoint import checkpoint

from pushforward.differentiation import uses_plain_formulas
from pushforward.events import zero_log_term
from pushforward.noise import NoiseValue, part_noise
from pushforward.precision import present_mode
from pushforward.transforms.base import Chain, Direction, Transform


class ActivationCheckpoints(Transform):
    """A chain of transforms that stores the inputs of its steps for the gradients, and none of their activations.

    The backward pass runs one step at a time again. So it needs memory for the activations of one step instead of all,
    and one more pass. Values and gradients are those of a `Chain`, also with batch normalisation and dropout, which
    `Reversible` refuses. Inside torch.func the steps run as in a `Chain`.

    Source: Chen, Xu, Zhang & Guestrin, "Training deep nets with sublinear memory cost", 2016.

    >>> import torch
    >>> from pushforward.transforms import ActivationCheckpoints, BatchNorm, LULinear
    >>> step = ActivationCheckpoints([LULinear(2), BatchNorm((2,))])
    >>> step.to_latent(torch.randn(3, 2))[1].sum().backward()
    """

    def __init__(self, steps: Sequence[Transform]) -> None:
        super().__init__()
        self.chain = chain = Chain(steps)
        self.data_shape, self.latent_shape = chain.data_shape, chain.latent_shape
        self.domain, self.codomain, self.clamps = chain.domain, chain.codomain, chain.clamps
        self.kind, self.estimators = chain.kind, chain.estimators
        self.noise_to_latent, self.noise_to_data = chain.noise_to_latent, chain.noise_to_data
        self.eager = chain.eager or "its backward pass runs its steps again"

    def parts(self) -> Sequence[Transform]:
        return self.chain.parts()

    def to_latent(self, x: Tensor, context: Tensor | None = None, noise: NoiseValue = None) -> tuple[Tensor, Tensor]:
        if not torch.is_grad_enabled() or uses_plain_formulas():
            return self.chain.to_latent(x, context, noise)
        return self.chain.to_latent_through(_checkpointed_to_latent, x, context, noise)

    def to_data(self, z: Tensor, context: Tensor | None = None, noise: NoiseValue = None) -> tuple[Tensor, Tensor]:
        if not torch.is_grad_enabled() or uses_plain_formulas():
            return self.chain.to_data(z, context, noise)
        log_term = zero_log_term(z)
        for step, part in list(zip(self.chain, part_noise(noise, len(self.chain)), strict=True))[::-1]:
            z, term = _checkpointed(step, "to_data", z, context, part)
            log_term = log_term + term
        return z, log_term

    def initialise(self, x: Tensor, context: Tensor | None = None, noise: NoiseValue = None) -> None:
        self.chain.initialise(x, context, noise)

    def path_noise(self, x: Tensor, z: Tensor, context: Tensor | None = None, back: NoiseValue = None) -> NoiseValue:
        return self.chain.path_noise(x, z, context, back)


def _checkpointed_to_latent(
    step: Transform, x: Tensor, context: Tensor | None, noise: NoiseValue
) -> tuple[Tensor, Tensor]:
    return _checkpointed(step, "to_latent", x, context, noise)


def _checkpointed(
    step: Transform, direction: Direction, value: Tensor, context: Tensor | None, noise: NoiseValue
) -> tuple[Tensor, Tensor]:
    out: tuple[Tensor, Tensor] = checkpoint(
        _Runs(step, direction), value, context, noise, use_reentrant=False, preserve_rng_state=True
    )
    return out


class _Runs:
    """A step in one direction: the first call runs it, and the later ones run it as it was before the first.

    The later calls have the parameters, the buffers and the modes of the first, because the module may hold others in
    the backward pass, and they leave its buffers as they are: running moments count a batch once.
    """

    def __init__(self, step: Transform, direction: Direction) -> None:
        self.step = _Step(step, direction)
        self.mode = present_mode(step)
        self.parameters = dict(self.step.named_parameters())
        self.buffers: dict[str, Tensor] = {name: buffer.clone() for name, buffer in self.step.named_buffers()}
        self.first = True

    def __call__(self, value: Tensor, context: Tensor | None, noise: NoiseValue) -> tuple[Tensor, Tensor]:
        if self.first:
            self.first = False
            out: tuple[Tensor, Tensor] = self.step(value, context, noise)
            return out
        buffers = {name: buffer.clone() for name, buffer in self.buffers.items()}
        with self.mode():
            again: tuple[Tensor, Tensor] = functional_call(
                self.step, self.parameters | buffers, (value, context, noise)
            )
        return again


class _Step(nn.Module):
    """A transform as a function of one direction, so that `functional_call` can run it."""

    def __init__(self, transform: Transform, direction: Direction) -> None:
        super().__init__()
        self.transform, self.direction = transform, direction

    def forward(self, value: Tensor, context: Tensor | None, noise: NoiseValue) -> tuple[Tensor, Tensor]:
        run: Callable[..., tuple[Tensor, Tensor]] = (
            self.transform.to_latent if self.direction == "to_latent" else self.transform.to_data
        )
        return run(value, context, noise)
