"""Neural autoregressive flow: deep sigmoidal maps conditioned by a residual MADE.

Source: Huang, Krueger, Lacoste & Courville, "Neural Autoregressive Flows", 2018.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from pushforward.events import Shape
from pushforward.flows.options import Architecture, Recipe, Steps
from pushforward.flows.parts.autoregressive import autoregressive_steps
from pushforward.flows.parts.steps import NetOptions
from pushforward.maps import DeepSigmoidal, Map


class NAFOptions(NetOptions):
    """Options of `naf`."""

    components: Annotated[int, Field(ge=1, description="sigmoids in a map")] = 8


def steps(event_shape: Shape, context_dim: int, options: NAFOptions) -> Steps:
    """Deep sigmoidal maps, autoregressive."""

    def make_map() -> Map:
        return DeepSigmoidal(options.components)

    return autoregressive_steps(event_shape, context_dim, options, make_map)


ARCHITECTURE = Architecture(
    name="naf",
    summary="autoregressive mixtures of sigmoids",
    when="When only the density matters: best on most measured tables; sampling needs a numeric root per coordinate.",
    source="Huang, Krueger, Lacoste & Courville, 2018",
    vectors=Recipe(NAFOptions, steps),
)
