"""FFJORD: data follow a learned velocity to the latent, trained by likelihood.

Source: Grathwohl, Chen, Bettencourt, Sutskever & Duvenaud, "FFJORD: Free-form continuous dynamics for scalable
reversible generative models", 2019; the regularisation: Finlay, Jacobsen, Nurbekyan & Oberman, "How to train your
neural ODE", 2020.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from pushforward.events import Shape
from pushforward.flows.options import Architecture, Recipe, Steps
from pushforward.flows.parts.continuous import ContinuousOptions, continuous
from pushforward.flows.parts.fields import BaseName, Scales, Transforms
from pushforward.flows.parts.scales import squeezed_scales
from pushforward.objectives import RegularisedLikelihood
from pushforward.transforms.base import Transform


class FFJORDVectorOptions(ContinuousOptions):
    """Options of `ffjord` on vectors."""

    transforms: Annotated[Transforms, Field(description="velocity fields, applied in sequence")] = 1
    base: BaseName = "normal"
    training_tolerance: Annotated[float, Field(gt=0, lt=1, description="tolerance of the solver in training")] = 1e-4
    kinetic: Annotated[
        float, Field(ge=0, description="weight of the mean squared velocity along the path, in training")
    ] = 0.01
    jacobian: Annotated[
        float, Field(ge=0, description="weight of the mean squared entry of the velocity's Jacobian, in training")
    ] = 0.01
    adjoint: Annotated[
        bool,
        Field(
            description="gradients by the adjoint method, in constant memory; no: through the solver's steps, faster"
        ),
    ] = True


class FFJORDImageOptions(FFJORDVectorOptions):
    """Options of `ffjord` on images."""

    transforms: Annotated[Transforms, Field(description="velocities of every scale, one after the other")] = 1
    scales: Scales = None


def vector_steps(event_shape: Shape, context_dim: int, options: FFJORDVectorOptions) -> Steps:
    """Continuous-time steps with a velocity field each."""
    return Steps(_velocities(event_shape, context_dim, options), options.base, RegularisedLikelihood)


def image_steps(event_shape: Shape, context_dim: int, options: FFJORDImageOptions) -> Steps:
    """Continuous-time steps in squeezed scales."""

    def make_steps(shape: Shape) -> list[Transform]:
        return _velocities(shape, context_dim, options)

    scales = squeezed_scales(event_shape, context_dim, options.scales, make_steps)
    return Steps([scales], options.base, RegularisedLikelihood)


def _velocities(shape: Shape, context_dim: int, options: FFJORDVectorOptions) -> list[Transform]:
    training = options.training_tolerance, options.kinetic, options.jacobian, options.adjoint
    return [continuous(shape, context_dim, options, *training) for _ in range(options.transforms)]


ARCHITECTURE = Architecture(
    name="ffjord",
    summary="data follow a learned velocity; exact trace up to 8 dimensions, above that an unbiased estimate",
    when="When one smooth, free-form map is wanted; every likelihood and sample solves a differential equation.",
    source="Grathwohl, Chen, Bettencourt, Sutskever & Duvenaud, 2019",
    vectors=Recipe(FFJORDVectorOptions, vector_steps),
    images=Recipe(FFJORDImageOptions, image_steps),
)
