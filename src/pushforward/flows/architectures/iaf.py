"""Inverse autoregressive flow: the inverse of a masked autoregressive flow, so that sampling is one pass.

Source: Kingma, Salimans, Jozefowicz, Chen, Sutskever & Welling, "Improved Variational Inference with Inverse
Autoregressive Flow", 2016.
"""

from __future__ import annotations

from pushforward.events import Shape
from pushforward.flows.options import Architecture, Recipe, Steps
from pushforward.flows.parts.autoregressive import autoregressive
from pushforward.flows.parts.fields import LogScale, Transforms
from pushforward.flows.parts.maps import affine_map
from pushforward.flows.parts.steps import NetOptions, alternating
from pushforward.transforms.base import Inverse, Transform


class IAFOptions(NetOptions):
    """Options of `iaf`."""

    transforms: Transforms = 5
    log_scale: LogScale = "soft-clamp"


def steps(event_shape: Shape, context_dim: int, options: IAFOptions) -> Steps:
    """Inverses of autoregressive shifts and scales."""

    def step(i: int) -> Transform:
        map = affine_map(event_shape, options, options.log_scale)
        return Inverse(autoregressive(event_shape, context_dim, options, map))

    return alternating(event_shape, options, step)


ARCHITECTURE = Architecture(
    name="iaf",
    summary="autoregressive shifts and scales of the latent, for fast sampling",
    when="When samples and their densities are needed, as in variational inference; scoring other data is slower.",
    source="Kingma, Salimans, Jozefowicz, Chen, Sutskever & Welling, 2016",
    vectors=Recipe(IAFOptions, steps),
)
