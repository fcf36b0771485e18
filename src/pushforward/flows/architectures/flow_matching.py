"""Flow matching: the velocity of FFJORD, learned by regression on paths from data to noise, without solving an
equation.

Source: Lipman, Chen, Ben-Hamu, Nickel & Le, "Flow matching for generative modeling", 2023.
"""

from __future__ import annotations

from functools import partial
from typing import Annotated

from pydantic import Field

from pushforward.errors import OptionError
from pushforward.events import Shape
from pushforward.flows.options import Architecture, Recipe, Steps
from pushforward.flows.parts.continuous import ContinuousOptions, continuous
from pushforward.objectives import FlowMatching, Interpolant, Pairing
from pushforward.transforms import Flatten, Transform


class FlowMatchingOptions(ContinuousOptions):
    """Options of `flow_matching`. The base is the standard normal."""

    path: Annotated[
        Interpolant, Field(description="path from datum to noise: a straight line, or one that keeps the variance")
    ] = "optimal-transport"
    coupling: Annotated[
        Pairing, Field(description="pairing of data and noise: independent, or minibatch optimal transport")
    ] = "independent"


def steps(event_shape: Shape, context_dim: int, options: FlowMatchingOptions) -> Steps:
    """One continuous-time step, whose velocity a regression learns."""
    if options.coupling == "optimal" and context_dim:
        # The pairs would make the noise depend on the context, and another conditional density would be learned.
        raise OptionError("coupling='optimal' has no use here: noise must not be chosen by the context; leave it out")
    if options.dequantisation == "variational":
        raise OptionError("dequantisation='variational' has no use here: a regression does not train it; leave it out")
    transforms: list[Transform] = [continuous(event_shape, context_dim, options)]
    if len(event_shape) != 1:
        transforms.append(Flatten(event_shape))
    return Steps(transforms, objective=partial(FlowMatching, path=options.path, coupling=options.coupling))


ARCHITECTURE = Architecture(
    name="flow_matching",
    summary="a velocity learned by regression on paths from data to noise; likelihoods as in ffjord",
    when="When ffjord would take too long to train; needs data, and cannot be fitted to an unnormalised density.",
    source="Lipman, Chen, Ben-Hamu, Nickel & Le, 2023",
    vectors=Recipe(FlowMatchingOptions, steps),
    images=Recipe(FlowMatchingOptions, steps),
)
