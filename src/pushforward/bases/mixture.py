"""Mixtures as bases: of Gaussians with full covariances, and of any bases and flows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pushforward.bases.base import Base, Source
from pushforward.errors import OptionError, ShapeError
from pushforward.events import Shape, log_dtype
from pushforward.maps.affine import SoftClampScale
from pushforward.precision import full_precision
from pushforward.transforms.linear import StrictTriangle

if TYPE_CHECKING:
    from pushforward.flow import Flow

_LIMIT = 10.0  # of a log-scale
_MOST = 1024  # coordinates: a component has half their square as parameters


class GaussianMixture(Base):
    """A learned mixture of ``components`` Gaussians with full covariances.

    Each component's precision matrix is kept as its Cholesky factor, ``A^T A`` with ``A`` lower triangular, so that
    scoring is one matrix product. At the start the covariances are the unit matrix, the weights equal and the means
    drawn at random: equal components would stay equal for ever. A temperature scales the deviations from the
    component's own mean. Samples carry gradients to means and covariances, not to weights.

    Source: Papamakarios, Pavlakou & Murray, "Masked autoregressive flow for density estimation", 2017, use mixtures as
    conditionals; Izmailov et al., "Semi-supervised learning with normalizing flows", 2020, as the base.
    """

    def __init__(self, event_shape: Shape, components: int = 8) -> None:
        super().__init__()
        if components < 1:
            raise OptionError(f"components of a mixture must be at least 1, got {components}")
        self.event_shape, self.components = tuple(event_shape), components
        self.size = math.prod(self.event_shape)
        if self.size > _MOST:
            raise OptionError(
                f"a mixture with full covariances is for events of at most {_MOST:,} numbers, got {self.size:,}"
            )
        self.logits = nn.Parameter(torch.zeros(components))
        self.means = nn.Parameter(torch.randn(components, self.size))
        self.raw_scale = nn.Parameter(torch.zeros(components, self.size))
        self.below = StrictTriangle(self.size, components)
        self.scale = SoftClampScale(_LIMIT)

    def _factors(self) -> tuple[Tensor, Tensor]:
        """The factors ``A: (K, D, D)`` and the logs of their diagonals ``(K, D)``."""
        log_diagonal = -self.scale(self.raw_scale)
        factors: Tensor = self.below() + log_diagonal.exp().diag_embed()
        return factors, log_diagonal

    def log_prob(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        with full_precision(z):
            z = z.reshape(-1, self.size).to(log_dtype(z))
            factors, log_diagonal = self._factors()
            centres = (factors @ self.means[:, :, None]).reshape(-1)
            y = F.linear(z, factors.reshape(-1, self.size), -centres).reshape(-1, self.components, self.size)
            # Bounded, so that far outside the components are compared and not inf with inf.
            squares = y.square().sum(2).clamp(max=torch.finfo(z.dtype).max / 8)
            each = log_diagonal.sum(1) - 0.5 * squares - 0.5 * self.size * math.log(2 * math.pi)
            value: Tensor = torch.logsumexp(self.logits.log_softmax(0) + each, 1)
            return value

    def _draw(self, n: int, context: Tensor | None, temperature: float, source: Source) -> Tensor:
        chosen = _choose(self.logits, n, source)
        factors, _ = self._factors()
        noise = source.normal(n, self.size, 1)
        deviations: Tensor = torch.linalg.solve_triangular(source.take(factors)[chosen], noise, upper=False)[..., 0]
        return (source.take(self.means)[chosen] + temperature * deviations).reshape(n, *self.event_shape)


class MixtureBase(Base):
    """A mixture of bases and flows, with learned weights. Under the identity it is a mixture of flows.

    components: bases, or flows of kind ``exact`` without labels, on one event shape and support. A flow among them that
    takes a context is given the mixture's. Flows are initialised from data before they are put in. Samples are drawn
    from every component and picked from, so that shapes do not depend on chance; they carry no gradient to the weights.

    It works in memory and cannot be saved with a model.
    """

    def __init__(self, components: Sequence[Base | Flow]) -> None:
        super().__init__()
        if not components:
            raise OptionError("a mixture needs at least one component, got none")
        parts = [c if isinstance(c, Base) else FlowBase(c) for c in components]
        for i, part in enumerate(parts):
            if part.event_shape != parts[0].event_shape:
                raise ShapeError(
                    f"component {i} of the mixture has events of shape {part.event_shape}, "
                    f"component 0 of {parts[0].event_shape}"
                )
            if part.support != parts[0].support:
                raise OptionError(
                    f"component {i} of the mixture lies on {part.support}, component 0 on {parts[0].support}"
                )
        self.event_shape, self.support = parts[0].event_shape, parts[0].support
        self.tempered = all(part.tempered for part in parts)
        self.conditional = any(part.conditional for part in parts)
        self.logits = nn.Parameter(torch.zeros(len(parts)))
        self.parts = nn.ModuleList(parts)

    def log_prob(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        each = torch.stack([cast(Base, part).log_prob(z, context) for part in self.parts], 1)
        weighted = self.logits.log_softmax(0) + each
        # Outside of all supports: logsumexp of -inf alone has no gradient.
        outside = (weighted == -math.inf).all(1)
        return torch.where(outside, -math.inf, torch.where(outside[:, None], 0.0, weighted).logsumexp(1))

    def _draw(self, n: int, context: Tensor | None, temperature: float, source: Source) -> Tensor:
        chosen = _choose(self.logits, n, source).reshape(1, n, *(1,) * len(self.event_shape))
        drawn = torch.stack([cast(Base, part)._draw(n, context, temperature, source) for part in self.parts])
        return drawn.gather(0, chosen.expand(1, *drawn.shape[1:]))[0]


class FlowBase(Base):
    """A flow as a base: a component of a mixture."""

    def __init__(self, flow: Flow) -> None:
        super().__init__()
        if flow.kind != "exact" or flow.transform.noise_to_data is not None:
            raise OptionError(f"a mixture takes flows of kind exact, got one of kind {flow.kind}")
        if flow.embedding is not None:
            raise OptionError("a mixture takes flows without labels; give labels to the flow around the mixture")
        self.flow = flow
        self.event_shape, self.support = flow.event_shape, flow.transform.domain
        self.tempered, self.conditional = flow.base.tempered, flow.context_shape is not None

    def _own(self, context: Tensor | None) -> Tensor | None:
        return context if self.conditional else None

    def log_prob(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        return self.flow.log_prob(z, self._own(context))

    def _draw(self, n: int, context: Tensor | None, temperature: float, source: Source) -> Tensor:
        from pushforward.flow import evaluation  # which imports the bases

        own, context = self.flow, self._own(context)
        generator = source.generator
        with evaluation(own):
            z = own.base.sample(
                n, context, temperature=temperature, generator=generator, dtype=own.dtype, device=own.device
            )
            return source.take(own.transform.to_data(z, context)[0])


def _choose(logits: Tensor, n: int, source: Source) -> Tensor:
    """Which component each of ``n`` samples comes from: ``(n,)``."""
    ends = source.take(logits.detach().softmax(0).cumsum(0))
    return (source.uniform(n, 1) >= ends).sum(1).clamp(max=len(logits) - 1)
