"""Maximum likelihood: with an L2 penalty on scale parameters, or with the regularisation of neural ODEs."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pushforward.density import Density
from pushforward.errors import OptionError
from pushforward.inputs import TensorLike
from pushforward.module_state import HasScaleParameters
from pushforward.noise import NoiseValue
from pushforward.objectives.objective import Loss, Objective
from pushforward.transforms.base import Transform
from pushforward.transforms.continuous import Continuous, Regularisation


class MaximumLikelihood(Objective):
    """Minus the mean log-likelihood in nats, plus ``l2`` times the sum of squares of the flow's scale parameters.

    The scale parameters are those of `HasScaleParameters` modules. Source of the penalty: Dinh, Sohl-Dickstein &
    Bengio, "Density estimation using Real NVP", 2017, section 4.1. Raises OptionError for an l2 below 0.

    >>> import torch
    >>> from pushforward import flows
    >>> from pushforward.objectives import MaximumLikelihood
    >>> flow, x = flows.build("nice", event_shape=(2,), hidden=(8,)), torch.randn(16, 2)
    >>> flow.initialise(x)
    >>> loss = MaximumLikelihood(flow)(x).value
    >>> torch.allclose(loss, -flow(x).mean())
    True
    """

    def __init__(self, flow: Density, l2: float = 0.0) -> None:
        super().__init__(flow)
        if not 0 <= l2 < float("inf"):
            raise OptionError(f"l2 must be finite and not negative, got {l2}")
        self.l2 = l2
        self._scaled = [part for part in flow.modules() if isinstance(part, HasScaleParameters)] if l2 else []

    def forward(self, x: TensorLike, context: TensorLike | None = None, noise: NoiseValue = None) -> Loss:
        log_likelihood: Tensor = self.flow(x, context, noise=noise).mean()
        parts = {"log_likelihood": log_likelihood.detach()}
        parameters = self.scale_parameters()
        if not parameters:
            return Loss(-log_likelihood, parts)
        penalty = self.l2 * torch.cat([p.flatten() for p in parameters]).square().sum()
        return Loss(penalty - log_likelihood, parts | {"l2": penalty.detach()})

    def scale_parameters(self) -> list[nn.Parameter]:
        """The parameters that the penalty acts on, none where ``l2`` is 0."""
        return [p for module in self._scaled for p in module.scale_parameters() if p.requires_grad]


class RegularisedLikelihood(Objective):
    """Minus the mean log-likelihood in nats, plus the kinetic and the Jacobian term of every `Continuous` (RNODE).

    Source: Finlay, Jacobsen, Nurbekyan & Oberman, "How to train your neural ODE", 2020. Raises OptionError for a
    `Continuous` inside a transform that does not expose its parts.

    >>> from pushforward import flows
    >>> flow = flows.build("ffjord", event_shape=(2,), hidden=(8,), kinetic=0.01)
    >>> type(flow.objective).__name__
    'RegularisedLikelihood'
    """

    def __init__(self, flow: Density) -> None:
        super().__init__(flow)
        self._steps = sum(isinstance(module, Continuous) for module in flow.transform.modules())

    def forward(self, x: TensorLike, context: TensorLike | None = None, noise: NoiseValue = None) -> Loss:
        inputs = self.flow.prepare(x, context, noise=noise)
        visited: dict[Continuous, Regularisation] = {}

        def run(part: Transform, x: Tensor, context: Tensor | None, noise: NoiseValue) -> tuple[Tensor, Tensor]:
            if not isinstance(part, Continuous):
                return part.to_latent_through(run, x, context, noise)
            z, log_term, visited[part] = part.to_latent_with_regularisation(x, context, noise)
            return z, log_term

        z, log_term = run(self.flow.transform, *inputs)
        if len(visited) != self._steps:
            raise OptionError(
                f"{self._steps - len(visited)} of {self._steps} Continuous steps lie inside transforms that do not "
                "pass their parts on, so that they cannot be regularised; put them into a Chain or a MultiScale"
            )
        log_likelihood = (self.flow.base.log_prob(z, inputs.context) + log_term).mean()
        kinetic, jacobian = (
            sum((terms[i].mean() for terms in visited.values()), log_term.new_zeros(())) for i in (0, 1)
        )
        parts = {"log_likelihood": log_likelihood, "kinetic": kinetic, "jacobian": jacobian}
        return Loss(kinetic + jacobian - log_likelihood, {name: part.detach() for name, part in parts.items()})
