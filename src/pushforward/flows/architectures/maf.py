"""Masked autoregressive flow: affine maps conditioned by a residual MADE.

Source: Papamakarios, Pavlakou & Murray, "Masked Autoregressive Flow for Density Estimation", 2017.
"""

from __future__ import annotations

from pushforward.events import Shape
from pushforward.flows.options import Architecture, Recipe, Steps
from pushforward.flows.parts.autoregressive import autoregressive_steps
from pushforward.flows.parts.fields import LogScale, Transforms
from pushforward.flows.parts.maps import affine_map
from pushforward.flows.parts.steps import NetOptions


class MAFOptions(NetOptions):
    """Options of `maf`."""

    transforms: Transforms = 5
    log_scale: LogScale = "soft-clamp"


def steps(event_shape: Shape, context_dim: int, options: MAFOptions) -> Steps:
    """Shifts and scales, autoregressive."""
    return autoregressive_steps(
        event_shape, context_dim, options, lambda: affine_map(event_shape, options, options.log_scale)
    )


ARCHITECTURE = Architecture(
    name="maf",
    summary="autoregressive shifts and scales",
    when="When a small and fast model suffices: each step makes every coordinate Gaussian given those before it.",
    source="Papamakarios, Pavlakou & Murray, 2017",
    vectors=Recipe(MAFOptions, steps),
)
