"""The density of a base and a transform: `Flow` without its objective and its architecture's name."""

from __future__ import annotations

import math
import warnings
from abc import ABC

import torch
from torch import Tensor, nn

from pushforward import noise as noise_source
from pushforward.bases import Base
from pushforward.context_scale import ContextScale
from pushforward.errors import ContextError, DtypeError, OptionError, UninitialisedWarning
from pushforward.events import Shape
from pushforward.inputs import Inputs, TensorLike, as_rows, as_tensor, inner
from pushforward.module_state import InitialisedByData
from pushforward.noise import NoiseValue, generator_of
from pushforward.precision import evaluation
from pushforward.row_blocks import TO_DATA, TO_LATENT, in_blocks
from pushforward.transforms.base import Direction, Inverse, Transform

# Beyond this a finite input may overflow on its way to the latent; a density that is not finite then is zero, as it is
# at infinity.
_OVERFLOW = 1e6
# A batch of so many rows in training mode, with gradients, is taken for the first step of a training loop.
_TRAINING_ROWS = 16
# Samples without gradients are drawn in blocks of at most so many events and values, so that memory stays bounded.
_BLOCK_EVENTS, _BLOCK_VALUES = 2**14, 2**22


class Density(nn.Module, ABC):
    """``base`` pushed forward from the latent to the data through ``transform``, with its log-density and its samples.

    `Flow` is the class to instantiate; objectives and ``torch.distributions`` take it as a Density. Arguments and
    errors are as there. Calling the module is `log_prob`.
    """

    def __init__(
        self,
        base: Base,
        transform: Transform,
        context_shape: Shape | None,
        embedding: nn.Embedding | None,
        context_scale: ContextScale | None = None,
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
        # An embedding is learned, and needs no standardisation.
        if context_scale is None and self.context_shape is not None and embedding is None:
            context_scale = ContextScale(self.context_shape)
        self.context_scale = context_scale
        self._anchor = nn.Buffer(torch.zeros(()), persistent=False)
        self._trained_before = False

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
        *,
        noise: NoiseValue = None,
        generator: torch.Generator | None = None,
        seed: int | None = None,
    ) -> Tensor:
        """The same as `log_prob`."""
        inputs = self.prepare(x, context, noise=noise, generator=generator, seed=seed)
        if self.training and torch.is_grad_enabled():
            self._warn_of_missing_initialisation(inputs.x.shape[0])
        if self.training:  # normalisations may take the moments of all rows
            return self.log_density(inputs)
        return in_blocks(lambda *block: (self.log_density(Inputs(*block)),), inputs, TO_LATENT)[0]

    def log_density(self, inputs: Inputs) -> Tensor:
        """Log-density in nats, (B,), of a batch that `prepare` returned; see `log_prob`.

        >>> import torch
        >>> from pushforward import flows
        >>> flow = flows.build("nice", event_shape=(2,), hidden=(8,))
        >>> flow.log_density(flow.prepare(torch.zeros(3, 2))).shape
        torch.Size([3])
        """
        x, context, _ = inputs
        # Normalisations in training mode take the moments of all rows.
        z, log_term = self.transform.to_latent(*inputs)
        value = self.base.log_prob(z, context) + log_term
        values = x.reshape(x.shape[0], -1) if x.shape[0] else x.new_zeros(0, 1)
        far, infinite = (values.abs() > _OVERFLOW).any(1), values.isinf().any(1)
        zero = (infinite | (far & ~value.isfinite())) & ~values.isnan().any(1)
        return torch.where(zero, -math.inf, value)

    def log_prob(
        self,
        x: TensorLike,
        context: TensorLike | None = None,
        *,
        noise: NoiseValue = None,
        generator: torch.Generator | None = None,
        seed: int | None = None,
    ) -> Tensor:
        """Log-density in nats, (B,), of ``x: (B, *event_shape)``; ``kind`` says whether it is exact.

        context: ``(B, *context_shape)``, or one context for all rows, or integer labels (B,) where the flow has an
        embedding. In training mode, in which a flow is built, normalisations may use the batch's own moments and
        dropout drops: call ``eval()`` for the density, or `likelihood`, which does. noise: that of the stochastic
        transforms; drawn by ``generator`` or ``seed`` where it is not given. Nets run in the precision that is in
        force, which on CUDA devices is TensorFloat-32 for torch's convolutions; those of `likelihood`, `sample`,
        `encode` and `decode` never in less than the weights' own. Outside the support the value is -inf. Raises
        ShapeError, ContextError, DtypeError.

        >>> import torch
        >>> from pushforward import flows
        >>> flow = flows.build("nice", event_shape=(2,), context_dim=1, hidden=(8,))
        >>> flow.log_prob(torch.zeros(3, 2), torch.tensor([[2024.0]])).shape
        torch.Size([3])
        """
        value: Tensor = self(x, context, noise=noise, generator=generator, seed=seed)
        return value

    def prepare(
        self,
        x: TensorLike,
        context: TensorLike | None = None,
        *,
        noise: NoiseValue = None,
        generator: torch.Generator | None = None,
        seed: int | None = None,
        direction: Direction = "to_latent",
    ) -> Inputs:
        """A batch as `transform` takes it: checked, in the dtype of the weights, with its context and noise.

        x: data ``(B, *event_shape)``, or latents ``(B, *latent_shape)`` for the direction ``to_data``. noise: drawn
        by ``generator`` or ``seed`` where it is not given. A tensor has the flow's dtype, or is of integers; arrays
        and tables are converted. Raises ShapeError, DtypeError, ContextError.
        """
        back = direction == "to_data"
        shape = self.transform.latent_shape if back else self.event_shape
        rows = as_rows(x, "z" if back else "x", shape, self._anchor)
        embedded = self.prepare_context(context, rows.shape[0])
        spec = self.transform.noise_to_data if back else self.transform.noise_to_latent
        if noise is None:
            source = generator_of(generator, seed, rows.device)
            noise = noise_source.draw(spec, rows.shape[0], rows.dtype, rows.device, source)
        else:
            noise_source.require(noise, spec, rows.shape[0])
        return Inputs(rows, embedded, noise)

    def _warn_of_missing_initialisation(self, rows: int) -> None:
        if self._trained_before or torch.compiler.is_compiling() or rows < _TRAINING_ROWS:
            return
        self._trained_before = True
        # `initialise` does not reach into an Inverse.
        inverted = {part for module in self.modules() if isinstance(module, Inverse) for part in module.modules()}
        parts = (part for part in self.modules() if isinstance(part, InitialisedByData) and part not in inverted)
        waiting = [type(part).__name__ for part in parts if part.awaits_data]
        if waiting:
            warnings.warn(
                f"training begins before flow.initialise(x, context) has set {', '.join(sorted(set(waiting)))} from "
                "data; call it once with the training rows, before the first step (pushforward.fit does)",
                UninitialisedWarning,
                stacklevel=5,
            )

    def prepare_context(self, context: TensorLike | None, rows: int | None = None) -> Tensor | None:
        """A context as `transform` takes it: `context_values`, standardised, in the dtype of the weights."""
        value = self.context_values(context, rows)
        if value is None or self.context_scale is None:
            return None if value is None else value.to(self.dtype)
        scaled: Tensor = self.context_scale(value, self.dtype, self.device)
        return scaled

    @torch.no_grad()
    def initialise_context(self, context: TensorLike | None) -> None:
        """Set the moments of contexts from ``(B, *context_shape)``, once; nothing where contexts are not standardised.

        `Flow.initialise` does this for a fit to data. Raises ContextError, DtypeError.

        >>> import torch
        >>> from pushforward import flows
        >>> flow = flows.build("nice", event_shape=(2,), context_dim=1, hidden=(8,))
        >>> flow.initialise_context(torch.tensor([[1990.0], [2010.0]]))
        >>> flow.prepare_context(torch.tensor([[2010.0]]))
        tensor([[1.]])
        """
        values = self.context_values(context)
        if self.context_scale is not None and values is not None and len(values):
            self.context_scale.initialise(values)

    def context_values(self, context: TensorLike | None, rows: int | None = None) -> Tensor | None:
        """A context as numbers in the user's units, ``(B, *context_shape)``, in its own precision; labels are embedded.

        rows: the number of rows wanted; a single context is expanded to them. Raises ContextError, DtypeError.
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
        if value.is_complex():
            raise DtypeError(f"context must be real numbers, got {value.dtype}")
        if self.embedding is not None and not value.is_floating_point():
            value = self.embedding(value.to(self.device).long())
        if tuple(value.shape[1:]) != self.context_shape or value.ndim == 0:
            raise ContextError(f"{wanted} expected, got {tuple(value.shape)}")
        if not isinstance(context, Tensor) and self.embedding is not None:
            value = value.to(self.device)
        if rows is None or value.shape[0] == rows:
            return value
        if value.shape[0] != 1:
            raise ContextError(f"context for {rows} rows expected (or one for all), got {value.shape[0]}")
        return value.expand(rows, *value.shape[1:])

    def sample(
        self,
        n: int,
        context: TensorLike | None = None,
        *,
        temperature: float = 1.0,
        generator: torch.Generator | None = None,
        seed: int | None = None,
        gradients: bool = False,
    ) -> Tensor:
        """``n`` events: ``(n, *event_shape)``, or ``(n, B, *event_shape)`` for a context of ``B`` rows.

        temperature (> 0) scales the base's standard deviations; below 1 it changes how samples look, not the model.
        gradients: whether gradients reach the weights and the context through the samples, which takes the memory of
        one pass over all of them. Raises OptionError, ContextError.

        >>> import torch
        >>> from pushforward import flows
        >>> flow = flows.build("nice", event_shape=(2,), context_dim=1, hidden=(8,))
        >>> flow.sample(5, torch.zeros(3, 1)).shape
        torch.Size([5, 3, 2])
        """
        with torch.set_grad_enabled(gradients and torch.is_grad_enabled()):
            return self._sample(n, context, temperature, generator_of(generator, seed, self.device))[0]

    def sample_and_log_prob(
        self,
        n: int,
        context: TensorLike | None = None,
        *,
        generator: torch.Generator | None = None,
        seed: int | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Samples as `sample` returns them, and the log-density of each, ``(n,)`` or ``(n, B)``, from the same pass.

        Both carry gradients where these are enabled. For a flow of kind ``bound`` the second lies above the log-density
        on average (where no value was clamped at the ends of its range): it serves variational objectives and is not a
        likelihood. Raises OptionError, ContextError.

        >>> from pushforward import flows
        >>> x, log_prob = flows.build("nice", event_shape=(2,), hidden=(8,)).sample_and_log_prob(5)
        >>> x.shape, log_prob.shape
        (torch.Size([5, 2]), torch.Size([5]))
        """
        return self._sample(n, context, 1.0, generator_of(generator, seed, self.device))

    def _sample(
        self, n: int, context: TensorLike | None, temperature: float, generator: torch.Generator | None
    ) -> tuple[Tensor, Tensor]:
        if not isinstance(n, int) or n < 0:
            raise OptionError(f"the number of samples must be a whole number of at least 0, got {n!r}")
        if not temperature > 0:
            raise OptionError(f"temperature must be above 0, got {temperature}")
        with evaluation(self):
            each = self.prepare_context(context)
            groups = (n,) if each is None else (n, each.shape[0])
            count = math.prod(groups)
            parts = [self._sample_block(*block, each, temperature, generator) for block in self.sample_blocks(count)]
            x, value = parts[0] if len(parts) == 1 else (torch.cat(column) for column in zip(*parts, strict=True))
        return x.reshape(*groups, *self.event_shape), value.reshape(groups)

    def sample_blocks(self, count: int) -> list[tuple[int, int]]:
        """First number and end of the samples that `sample` draws in each pass; a single pass with gradients.

        >>> import torch
        >>> from pushforward import flows
        >>> with torch.no_grad():
        ...     flows.build("nice", event_shape=(2,), hidden=(8,)).sample_blocks(20_000)
        [(0, 16384), (16384, 20000)]
        """
        block = max(1, count)
        if not torch.is_grad_enabled():
            block = max(1, min(_BLOCK_EVENTS, _BLOCK_VALUES // max(1, math.prod(self.event_shape))))
        return [(start, min(start + block, count)) for start in range(0, max(1, count), block)]

    def _sample_block(
        self, start: int, stop: int, each: Tensor | None, temperature: float, generator: torch.Generator | None
    ) -> tuple[Tensor, Tensor]:
        """The samples numbered ``start`` to ``stop`` with their log-densities; contexts follow each other in turn."""
        count, context = stop - start, None
        if each is not None:
            context = each[torch.arange(start, stop, device=each.device) % max(1, len(each))]
        z = self.base.sample(
            count, context, temperature=temperature, generator=generator, dtype=self.dtype, device=self.device
        )
        noise = noise_source.draw(self.transform.noise_to_data, count, self.dtype, self.device, generator)
        x, log_term = in_blocks(self.transform.to_data, Inputs(z, context, noise), TO_DATA)
        return x, self.base.log_prob(z, context) - log_term
