"""Inverse autoregressive flow: a masked autoregressive flow turned round, so that sampling is the one pass.

Source: Kingma, Salimans, Jozefowicz, Chen, Sutskever & Welling, "Improved Variational Inference with Inverse
Autoregressive Flow", 2016.
"""

from __future__ import annotations

from pushforward.events import Shape
from pushforward.flow import Flow
from pushforward.flows.options import Architecture
from pushforward.flows.parts.vectors import AffineOptions, affine_map, autoregressive, vector_flow
from pushforward.transforms.base import Inverse, Transform


class IAFOptions(AffineOptions):
    """Options of `iaf`."""


def build(event_shape: Shape, context_dim: int, options: IAFOptions) -> Flow:
    """Inverse autoregressive flow on vectors (D,)."""

    def step(i: int) -> Transform:
        return Inverse(autoregressive(event_shape, context_dim, affine_map(event_shape, options), options))

    return vector_flow(event_shape, context_dim, options, step)


ARCHITECTURE = Architecture(
    name="iaf",
    options=IAFOptions,
    build=build,
    summary="autoregressive shifts and scales of the latent, for fast sampling",
    when="When samples and their own densities are needed, as in variational inference; scoring other data is slower.",
    source="Kingma, Salimans, Jozefowicz, Chen, Sutskever & Welling, 2016",
)
