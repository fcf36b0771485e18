"""Flow matching: FFJORD's motion, learned by regression on paths from data to noise, without solving anything.

Source: Lipman, Chen, Ben-Hamu, Nickel & Le, "Flow matching for generative modeling", 2023.
"""

from __future__ import annotations

from functools import partial
from typing import Annotated

from pydantic import Field

from pushforward.bases import build_base
from pushforward.errors import OptionError
from pushforward.events import Shape
from pushforward.flow import Flow
from pushforward.flows.data_layers import data_layers
from pushforward.flows.options import Architecture
from pushforward.flows.parts.continuous import ContinuousOptions, continuous
from pushforward.objectives import FlowMatching, Interpolant, Pairing
from pushforward.transforms import Flatten
from pushforward.transforms.base import Chain


class FlowMatchingOptions(ContinuousOptions):
    """Options of `flow_matching`."""

    path: Annotated[
        Interpolant, Field(description="from datum to noise: a straight line, or one that keeps the variance")
    ] = "optimal-transport"
    coupling: Annotated[
        Pairing, Field(description="which noise belongs to which datum of a batch: any, or the nearest on the whole")
    ] = "independent"


def build(event_shape: Shape, context_dim: int, options: FlowMatchingOptions) -> Flow:
    """Flow matching for events ``(D,)`` or ``(C, H, W)``."""
    if options.coupling == "optimal" and context_dim:
        # The pairs would make the noise depend on the context, and what is learned is then another conditional.
        raise OptionError("coupling='optimal' has no use here: noise must not be chosen by the context; leave it out")
    if options.dequantisation == "variational":
        raise OptionError("dequantisation='variational' has no use here: a regression does not train it; leave it out")
    layers = data_layers(event_shape, context_dim, options)
    layers.append(continuous(event_shape, context_dim, options))
    if len(event_shape) != 1:
        layers.append(Flatten(event_shape))
    chain = Chain(layers)
    objective = partial(FlowMatching, path=options.path, coupling=options.coupling)
    return Flow(build_base("normal", chain.latent_shape, context_dim), chain, objective=objective)


ARCHITECTURE = Architecture(
    name="flow_matching",
    options=FlowMatchingOptions,
    build=build,
    summary="a velocity learned by regression on paths from data to noise; likelihoods as those of ffjord",
    when="Where ffjord would do and takes too long to train; needs data, and cannot be fitted to an energy.",
    source="Lipman, Chen, Ben-Hamu, Nickel & Le, 2023",
)
