"""FFJORD: data follow a learned velocity to the latent, trained by likelihood.

Source: Grathwohl, Chen, Bettencourt, Sutskever & Duvenaud, "FFJORD: Free-form continuous dynamics for scalable
reversible generative models", 2019; the regularisation: Finlay, Jacobsen, Nurbekyan & Oberman, "How to train your
neural ODE", 2020.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from pushforward.bases import build_base
from pushforward.events import Shape
from pushforward.flow import Flow
from pushforward.flows.data_layers import data_layers
from pushforward.flows.options import Architecture
from pushforward.flows.parts.continuous import ContinuousOptions, continuous
from pushforward.flows.parts.scales import MultiScaleOptions, refuse_other_events, squeezed_flow
from pushforward.objectives import RegularisedLikelihood
from pushforward.transforms.base import Chain, Transform


class FFJORDOptions(ContinuousOptions, MultiScaleOptions):
    """Options of `ffjord`."""

    transforms: Annotated[int, Field(ge=1, description="velocities, one after the other; images: of every scale")] = 1
    training_tolerance: Annotated[float, Field(gt=0, lt=1, description="the solver's in training")] = 1e-4
    kinetic: Annotated[
        float, Field(ge=0, description="weight of the mean squared velocity on the way, in training")
    ] = 0.01
    jacobian: Annotated[
        float, Field(ge=0, description="weight of the mean squared entry of the velocity's Jacobian, in training")
    ] = 0.01
    adjoint: Annotated[
        bool,
        Field(description="gradients by solving backwards, in constant memory; no: through the steps, faster"),
    ] = True


def build(event_shape: Shape, context_dim: int, options: FFJORDOptions) -> Flow:
    """FFJORD for events ``(D,)`` or ``(C, H, W)``."""
    refuse_other_events(event_shape, options, (), ("scales",))

    def steps(shape: Shape) -> list[Transform]:
        regularised = options.training_tolerance, options.kinetic, options.jacobian, options.adjoint
        return [continuous(shape, context_dim, options, *regularised) for _ in range(options.transforms)]

    if len(event_shape) != 1:
        return squeezed_flow(event_shape, context_dim, options, steps, objective=RegularisedLikelihood)
    layers = [*data_layers(event_shape, context_dim, options), *steps(event_shape)]
    return Flow(build_base(options.base, event_shape, context_dim), Chain(layers), objective=RegularisedLikelihood)


ARCHITECTURE = Architecture(
    name="ffjord",
    options=FFJORDOptions,
    build=build,
    summary="data follow a learned velocity; exact trace up to 8 dimensions, above them an unbiased estimate",
    when="Where one smooth, free-form motion should do; every likelihood and sample solves an equation.",
    source="Grathwohl, Chen, Bettencourt, Sutskever & Duvenaud, 2019",
)
