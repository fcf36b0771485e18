"""Invertible residual blocks: ``z = x + g(x)`` with a contractive net g.

Sources: Behrmann, Grathwohl, Chen, Duvenaud & Jacobsen, "Invertible residual networks", 2019; Chen, Behrmann, Duvenaud
& Jacobsen, "Residual flows for invertible generative modeling", 2019.
"""

from __future__ import annotations

import torch
from torch import Tensor

from pushforward.differentiation import (
    implicit_gradient,
    outside_inference_mode,
    pullback,
)
from pushforward.errors import OptionError
from pushforward.events import Shape, leading_axis
from pushforward.nets.lipschitz import Contraction, ContractiveNet
from pushforward.noise import NoiseValue
from pushforward.precision import full_precision, strict_precision
from pushforward.transforms.fixed_point import solve
from pushforward.transforms.power_series import ExactLogDet, LogDet
from pushforward.transforms.stochastic_log_det import StochasticLogDet

_EXACT = ExactLogDet()
_FIRST_ORDER = (
    "the inverse of a residual block has derivatives of the first order only, in reverse mode; use log_prob, "
    "which has them in any order and in both modes where the log-determinant is exact"
)


class Residual(StochasticLogDet):
    """A residual block ``z = x + g(x; context)`` of events of any shape with an axis, with a `ContractiveNet` g.

    The inverse is the fixed point of ``x = z - g(x)``, certified as in `fixed_point.solve`. Its derivatives with
    respect to the input, the parameters and the context are those of the implicit function theorem, to the first order.
    log_det: how the log-determinant is computed, which decides the kind; probes are the same in both directions.

    >>> import torch
    >>> from pushforward.nets import contractive_mlp
    >>> from pushforward.transforms import Residual
    >>> step, x = Residual((2,), contractive_mlp(2, hidden=(8,))).eval(), torch.randn(3, 2)
    >>> torch.allclose(step.to_data(step.to_latent(x)[0])[0], x, atol=1e-4)
    True
    """

    eager = "its inverse and its log-determinant iterate until they converge"

    def __init__(self, event_shape: Shape, net: ContractiveNet, log_det: LogDet = _EXACT) -> None:
        super().__init__()
        if not event_shape:
            raise OptionError("Residual needs an event with at least one axis, got shape ()")
        self.data_shape = self.latent_shape = tuple(event_shape)
        self.net, self.log_det = net, log_det
        self.kind = log_det.kind
        self.estimators = () if log_det.estimator is None else (log_det.estimator,)
        self.noise_to_latent = self.noise_to_data = log_det.noise(self.data_shape)

    def extra_repr(self) -> str:
        return "; ".join(map(str, self.estimators))

    def to_latent(self, x: Tensor, context: Tensor | None = None, noise: NoiseValue = None) -> tuple[Tensor, Tensor]:
        with full_precision(x), outside_inference_mode(x, context, noise) as (x, context, noise):
            y, log_det = self._log_det(self.net.at(context), x, noise)
            return x + y, log_det

    def to_data(self, z: Tensor, context: Tensor | None = None, noise: NoiseValue = None) -> tuple[Tensor, Tensor]:
        with strict_precision(z), outside_inference_mode(z, context, noise) as (z, context, noise):
            g = self.net.at(context)
            x = _inverse(g, z, self.net.lipschitz)
            return x, -self._log_det(g, x, noise)[1]

    def _log_det(self, g: Contraction, x: Tensor, noise: NoiseValue) -> tuple[Tensor, Tensor]:
        how = _EXACT if self.exact else self.log_det
        return how.value(g, x, noise, self.net.lipschitz, self.training)


def _inverse(g: Contraction, z: Tensor, lipschitz: float) -> Tensor:
    """The x with ``x + g(x) = z``, differentiable with respect to z and to all that g closes over."""
    fixed = solve(g, z.detach(), lipschitz)

    # With gradient u at x, the implicit function theorem gives (I + J)^-T u at z, and at minus g of the fixed point.
    def through(gradient: Tensor) -> Tensor:
        # Scaled to unit size, because the accuracy of the solution is relative to 1.
        size = gradient.abs().flatten(1).amax(1).clamp(min=torch.finfo(gradient.dtype).tiny)
        size = leading_axis(size, gradient.ndim)
        with strict_precision(gradient), torch.no_grad():
            solution = solve(pullback(g, fixed)[1], gradient / size, lipschitz)
        return solution * size

    return implicit_gradient(z - g(fixed), through, _FIRST_ORDER)
