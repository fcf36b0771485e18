"""Continuous-time steps, which follow a learned velocity, and their options."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from pushforward.events import Shape
from pushforward.flows.data_layers import DataOptions
from pushforward.flows.parts.estimates import exact_by_default
from pushforward.flows.parts.fields import Hidden
from pushforward.nets import ConcatSquashConvNet, ConcatSquashMLP, VectorField
from pushforward.transforms import Continuous
from pushforward.transforms.continuous import Trace


class ContinuousOptions(DataOptions):
    """Options of a flow that solves a differential equation."""

    hidden: Annotated[
        Hidden, Field(description="widths of the velocity's net, or for images channels of its convolutions")
    ] = (64, 64, 64)
    activation: Annotated[Literal["softplus", "tanh", "silu"], Field(description="activation of the net")] = "softplus"
    trace: Annotated[
        Literal["auto", Trace],
        Field(description="trace of the Jacobian: exact, estimated (hutchinson), or auto: exact up to 8 values"),
    ] = "auto"
    tolerance: Annotated[
        float,
        Field(gt=0, lt=1, description="tolerance of the solver, relative and absolute, for likelihoods and samples"),
    ] = 1e-5


def continuous(
    event_shape: Shape,
    context_dim: int,
    options: ContinuousOptions,
    training_tolerance: float | None = None,
    kinetic: float = 0.0,
    jacobian: float = 0.0,
    adjoint: bool = True,
) -> Continuous:
    """The step that follows the velocity of a net, on events ``(D,)`` or ``(C, H, W)``."""
    shared = options.hidden, context_dim, options.activation
    field: VectorField
    if len(event_shape) == 1:
        field = ConcatSquashMLP(event_shape[0], *shared)
    else:
        field = ConcatSquashConvNet(event_shape, *shared)
    trace = options.trace
    if trace == "auto":
        trace = "exact" if exact_by_default(event_shape) else "hutchinson"
    looser = options.tolerance if training_tolerance is None else training_tolerance
    return Continuous(field, trace, options.tolerance, looser, adjoint, kinetic, jacobian)
