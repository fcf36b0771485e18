"""Neural autoregressive flow: deep sigmoidal maps conditioned by a residual MADE.

Source: Huang, Krueger, Lacoste & Courville, "Neural Autoregressive Flows", 2018.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from pushforward.events import Shape
from pushforward.flow import Flow
from pushforward.flows.options import Architecture
from pushforward.flows.parts.vectors import VectorOptions, autoregressive, vector_flow
from pushforward.maps import DeepSigmoidal
from pushforward.transforms.base import Transform


class NAFOptions(VectorOptions):
    """Options of `naf`."""

    components: Annotated[int, Field(ge=1, description="sigmoids of a map")] = 8


def build(event_shape: Shape, context_dim: int, options: NAFOptions) -> Flow:
    """Neural autoregressive flow on vectors (D,)."""

    def step(i: int) -> Transform:
        return autoregressive(event_shape, context_dim, DeepSigmoidal(options.components), options)

    return vector_flow(event_shape, context_dim, options, step)


ARCHITECTURE = Architecture(
    name="naf",
    options=NAFOptions,
    build=build,
    summary="autoregressive mixtures of sigmoids",
    when="When density is all that counts: first on most tables measured; sampling needs a numeric root a coordinate.",
    source="Huang, Krueger, Lacoste & Courville, 2018",
)
