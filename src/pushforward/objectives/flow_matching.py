"""Flow matching: the velocity of a flow in continuous time, learned by regression."""

from __future__ import annotations

import math
from typing import ClassVar, Literal, TypeAlias

import torch
from torch import Tensor

from pushforward import noise as noise_source
from pushforward.density import Density
from pushforward.errors import OptionError
from pushforward.events import leading_axis, zero_log_term
from pushforward.inputs import TensorLike, as_tensor
from pushforward.noise import Noise, NoiseSpec, NoiseValue
from pushforward.objectives.objective import Loss, Objective
from pushforward.transforms.base import Transform
from pushforward.transforms.continuous import Continuous

# The path from a datum to its noise, and the pairing of the data of a batch with noise.
Interpolant: TypeAlias = Literal["optimal-transport", "variance-preserving"]
Pairing: TypeAlias = Literal["independent", "optimal"]
# Standard deviation of the Gaussian around a datum where its path begins.
_NARROW = 1e-4


class FlowMatching(Objective):
    """The flow-matching loss: the mean squared difference between the velocity and that of a path from datum to noise.

    The loss is evaluated at a random time for each row, without solving an equation. It trains the flow's single
    `Continuous`; the transforms before it are applied and not trained. path: straight lines, the ``optimal-transport``
    path of Lipman, Chen, Ben-Hamu, Nickel & Le, "Flow matching for generative modeling", 2023, eq. 20 to 23; or
    ``cos(pi t / 2) x + sin(pi t / 2) e``, which keeps the variance, Albergo & Vanden-Eijnden, "Building normalizing
    flows with stochastic interpolants", 2023, eq. 8. coupling: the pairing of the data of a batch with noise,
    ``independent``, or the ``optimal`` assignment in squared distance, whose paths are straighter: Tong et al.,
    "Improving and generalizing flow-based generative models with minibatch optimal transport", 2024.

    The noise of a batch is a tuple: that of the transforms, a standard normal event, and a time in [0, 1) for each row.
    Raises OptionError.

    >>> import torch
    >>> from pushforward import flows
    >>> flow = flows.build("flow_matching", event_shape=(2,), hidden=(8,))
    >>> type(flow.objective).__name__
    'FlowMatching'
    """

    shown: ClassVar[str] = "flow_matching"
    loss_name: ClassVar[str | None] = "flow-matching loss"

    def __init__(
        self, flow: Density, path: Interpolant = "optimal-transport", coupling: Pairing = "independent"
    ) -> None:
        super().__init__(flow)
        steps = [module for module in flow.transform.modules() if isinstance(module, Continuous)]
        if len(steps) != 1:
            raise OptionError(f"flow matching trains one Continuous in a chain, got {len(steps)}")
        self.path, self.coupling = path, coupling
        self._event_shape = steps[0].data_shape

    @property
    def noise(self) -> NoiseSpec:
        return self.flow.transform.noise_to_latent, Noise(self._event_shape, "normal"), Noise((), "uniform")

    def transform_noise(self, noise: NoiseValue) -> NoiseValue:
        return _split(noise)[0]

    @property
    def eager(self) -> str | None:
        # The equation is not solved; only the assignment runs outside torch.
        return "its optimal pairing of data and noise is found outside of torch" if self.coupling == "optimal" else None

    def forward(self, x: TensorLike, context: TensorLike | None = None, noise: NoiseValue = None) -> Loss:
        x = as_tensor(x, "x")
        if noise is None:
            noise = noise_source.draw(self.noise, len(x), self.flow.dtype, self.flow.device)
        noise_source.require(noise, self.noise, len(x))
        before, e, t = _split(noise)
        inputs = self.flow.prepare(x, context, noise=before)
        step, y = _before(self.flow.transform, *inputs)
        if self.coupling == "optimal":
            e = e[assigned(y, e)]
        at, velocity = along(self.path, y, e, leading_axis(t, y.ndim))
        error: Tensor = step.field(t, at, inputs.context) - velocity
        loss = error.square().flatten(1).mean()
        return Loss(loss, {"flow_matching": loss.detach()})


def along(path: Interpolant, x: Tensor, e: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
    """The position at time t on the path from data x, at time 0, to noise e, and its velocity there."""
    if path == "optimal-transport":
        return (1 - t) * x + (_NARROW + (1 - _NARROW) * t) * e, (1 - _NARROW) * e - x
    angle = t * (math.pi / 2)
    return angle.cos() * x + angle.sin() * e, (math.pi / 2) * (angle.cos() * e - angle.sin() * x)


def assigned(x: Tensor, e: Tensor) -> Tensor:
    """The row of e for each row of x in the assignment with the least sum of squared distances: indices (B,)."""
    from scipy.optimize import linear_sum_assignment

    distances = torch.cdist(x.flatten(1), e.flatten(1)).square()
    return torch.as_tensor(linear_sum_assignment(distances.cpu().numpy())[1], device=e.device)


def _split(noise: NoiseValue) -> tuple[NoiseValue, Tensor, Tensor]:
    """The noise of the transforms, the end points of the paths, and the times."""
    assert isinstance(noise, tuple)
    before, e, t = noise
    assert isinstance(e, Tensor)
    assert isinstance(t, Tensor)
    return before, e, t


@torch.no_grad()
def _before(transform: Transform, x: Tensor, context: Tensor | None, noise: NoiseValue) -> tuple[Continuous, Tensor]:
    """The one `Continuous` inside ``transform``, and the values that reach it."""
    reached: list[tuple[Continuous, Tensor]] = []

    def run(part: Transform, x: Tensor, context: Tensor | None, noise: NoiseValue) -> tuple[Tensor, Tensor]:
        if not isinstance(part, Continuous):
            return part.to_latent_through(run, x, context, noise)
        reached.append((part, x))
        return x, zero_log_term(x)

    run(transform, x, context, noise)
    if not reached:
        raise OptionError("flow matching needs its Continuous in a Chain or a MultiScale; it lies inside another step")
    return reached[0]
