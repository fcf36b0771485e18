"""The density of a base and a transform: `Flow` without its objective and its architecture's name."""

from __future__ import annotations

import math
from abc import ABC

import torch
from torch import Tensor, nn

from pushforward import noise as noise_source
from pushforward.bases import Base
from pushforward.errors import ContextError, OptionError
from pushforward.events import Shape
from pushforward.inputs import Inputs, TensorLike, as_rows, as_tensor, inner
from pushforward.noise import NoiseValue
from pushforward.precision import evaluation
from pushforward.transforms.base import Direction, Transform

# Beyond this a finite input may overflow on its way to the latent; what is not finite then is a density of zero.
_OVERFLOW = 1e6


class Density(nn.Module, ABC):
    """``base`` pushed forward from the latent to the data through ``transform``, with its log-density and its samples.

    `Flow` is the class to instantiate; objectives and ``torch.distributions`` take it as a Density. Arguments and
    errors are as there. Calling the module is `log_prob`.
    """

    def __init__(
        self, base: Base, transform: Transform, context_shape: Shape | None, embedding: nn.Embedding | None
    ) -> None:
        super().__init__()
        if not base.support.within(transform.codomain):
            raise OptionError(
                f"the base lies on {base.support}, but the transforms reach only {transform.codomain}: "
                "part of its mass would be lost"
            )
        self.base, self.transform, self.embedding = base, transform, embedding
        self.event_shape = transform.data_shape
        self.context_shape = None if context_shape is None else tuple(context_shape)
        self._anchor = nn.Buffer(torch.zeros(()), persistent=False)

    @property
    def dtype(self) -> torch.dtype:
        return self._anchor.dtype

    @property
    def device(self) -> torch.device:
        return self._anchor.device

    def forward(
        self,
        x: TensorLike,
        context: TensorLike | None = None,
        noise: NoiseValue = None,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """The same as `log_prob`."""
        x, context, noise = self.prepare(x, context, noise, generator)
        z, log_term = self.transform.to_latent(x, context, noise)
        value = self.base.log_prob(z, context) + log_term
        far = (x.abs() > _OVERFLOW) & x.isfinite()
        far = far.flatten(1).any(1) if far.ndim > 1 else far
        broken = x.isnan().flatten(1).any(1) if x.ndim > 1 else x.isnan()
        return torch.where(far & ~broken & ~value.isfinite(), -math.inf, value)

    def log_prob(
        self,
        x: TensorLike,
        context: TensorLike | None = None,
        noise: NoiseValue = None,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Log-density in nats, (B,), of ``x: (B, *event_shape)``; see ``kind`` for what sort of number it is.

        context: ``(B, *context_shape)``, or one context for all rows, or integer labels (B,) where the flow has an
        embedding. In training mode, in which a flow is built, normalisations may use the batch's own moments and
        dropout drops: call ``eval()`` for the density, or `likelihood`, which does. noise: what stochastic transforms
        use; drawn from ``generator`` where it is not given. Nets run in the precision that is in force, which on CUDA
        devices is TensorFloat-32 for torch's convolutions; those of `likelihood`, `sample`, `latent` and `data` never
        in less than the weights' own. Outside the support the value is -inf. Raises ShapeError, ContextError.
        """
        value: Tensor = self(x, context, noise, generator)
        return value

    def prepare(
        self,
        x: TensorLike,
        context: TensorLike | None = None,
        noise: NoiseValue = None,
        generator: torch.Generator | None = None,
        direction: Direction = "to_latent",
    ) -> Inputs:
        """A batch as `transform` takes it: checked, in the dtype of the weights, with embedded context and noise.

        x: data ``(B, *event_shape)``, or latents ``(B, *latent_shape)`` for the direction ``to_data``. noise: drawn
        from ``generator`` where it is not given. A tensor has the flow's dtype, or is of integers; numpy arrays are
        converted. Raises ShapeError, DtypeError, ContextError.
        """
        back = direction == "to_data"
        shape = self.transform.latent_shape if back else self.event_shape
        rows = as_rows(x, "z" if back else "x", shape, self._anchor)
        embedded = self.prepare_context(context, rows.shape[0])
        spec = self.transform.noise_to_data if back else self.transform.noise_to_latent
        if noise is None:
            noise = noise_source.draw(spec, rows.shape[0], rows.dtype, rows.device, generator)
        else:
            noise_source.require(noise, spec, rows.shape[0])
        return Inputs(rows, embedded, noise)

    def prepare_context(self, context: TensorLike | None, rows: int | None = None) -> Tensor | None:
        """A context as `transform` takes it, ``(B, *context_shape)``, in the dtype of the weights; labels are embedded.

        rows: how many rows are wanted; a single context is expanded to them. Raises ContextError, DtypeError.
        """
        if self.context_shape is None:
            if context is not None:
                raise ContextError(
                    "this flow was built without a context, but one was given; build it with context_dim"
                )
            return None
        wanted = f"context of shape (B, {inner(self.context_shape)})"
        if context is None:
            raise ContextError(f"this flow needs a {wanted}, none was given")
        value = as_tensor(context, "context")
        if not isinstance(context, Tensor):
            value = value.to(self.device)
        if self.embedding is not None and not value.is_floating_point():
            value = self.embedding(value.long())
        if tuple(value.shape[1:]) != self.context_shape or value.ndim == 0:
            raise ContextError(f"{wanted} expected, got {tuple(value.shape)}")
        value = value.to(self.dtype)
        if rows is None or value.shape[0] == rows:
            return value
        if value.shape[0] != 1:
            raise ContextError(f"context for {rows} rows expected (or one for all), got {value.shape[0]}")
        return value.expand(rows, *value.shape[1:])

    def sample(
        self,
        n: int,
        context: TensorLike | None = None,
        temperature: float = 1.0,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """``n`` events: ``(n, *event_shape)``, or ``(n, B, *event_shape)`` for a context of ``B`` rows.

        temperature (> 0) scales the base's deviations; below 1 it changes how samples look, not the model. Gradients
        reach the weights through them; under ``torch.no_grad()`` many take far less memory.
        """
        return self._sample(n, context, temperature, generator)[0]

    def sample_and_log_prob(
        self, n: int, context: TensorLike | None = None, generator: torch.Generator | None = None
    ) -> tuple[Tensor, Tensor]:
        """Samples as `sample` gives them, and the log-density of each, ``(n,)`` or ``(n, B)``, from the same pass.

        For a flow of kind ``bound`` the second lies above the log-density on average (where no value was clamped at the
        ends of its range): it serves variational objectives and is not a likelihood.
        """
        return self._sample(n, context, 1.0, generator)

    def _sample(
        self, n: int, context: TensorLike | None, temperature: float, generator: torch.Generator | None
    ) -> tuple[Tensor, Tensor]:
        if n < 0:
            raise OptionError(f"the number of samples must not be negative, got {n}")
        if not temperature > 0:
            raise OptionError(f"temperature must be above 0, got {temperature}")
        with evaluation(self):
            each = self.prepare_context(context)
            groups: tuple[int, ...] = (n,)
            if each is not None:
                groups = (n, each.shape[0])
                each = each.repeat(n, *(1,) * (each.ndim - 1))
            count = math.prod(groups)
            z = self.base.sample(
                count, each, temperature=temperature, generator=generator, dtype=self.dtype, device=self.device
            )
            noise = noise_source.draw(self.transform.noise_to_data, count, self.dtype, self.device, generator)
            x, log_term = self.transform.to_data(z, each, noise)
            value = self.base.log_prob(z, each) - log_term
        return x.reshape(*groups, *self.event_shape), value.reshape(groups)
