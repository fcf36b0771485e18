"""What the flows share that are fitted step by step: their options, and the chain of pre-processing and steps."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from pushforward.bases import StandardNormal
from pushforward.errors import OptionError
from pushforward.events import Shape
from pushforward.flow import Flow
from pushforward.flows.data_layers import DataOptions, data_layers
from pushforward.flows.options import refuse_unused
from pushforward.flows.parts.vectors import Step, require_vectors
from pushforward.transforms.base import Chain
from pushforward.transforms.whitening import Whiten


class GreedyOptions(DataOptions):
    """Options of every flow that is fitted step by step. The base is the standard normal."""

    transforms: Annotated[
        int, Field(ge=1, description="steps at most; those after the best validation stay the identity")
    ] = 40
    whiten: Annotated[
        bool, Field(description="make the data uncorrelated and of unit variance before the first step")
    ] = True


class MarginalOptions(GreedyOptions):
    """Options of the flows whose steps make marginals normal by splines."""

    transforms: Annotated[
        int, Field(ge=1, description="steps at most; those after the best validation stay the identity")
    ] = 200
    bins: Annotated[int, Field(ge=2, le=200, description="pieces of a spline")] = 32
    damping: Annotated[
        float, Field(ge=0, lt=1, description="share of the identity in each spline: more and smaller steps")
    ] = 0.5


def greedy_flow(event_shape: Shape, context_dim: int, options: GreedyOptions, step: Step) -> Flow:
    """Pre-processing, then ``options.transforms`` greedy steps ``step(i)``, which `fit` fits one after the other."""
    require_vectors(event_shape)
    refuse_unused(options, ("dequantisation",), "a learned one needs gradients, and these steps are fitted without")
    layers = data_layers(event_shape, context_dim, options)
    if options.whiten:
        layers.append(Whiten(event_shape[0], context_dim))
    layers += [step(i) for i in range(options.transforms)]
    return Flow(StandardNormal(event_shape), Chain(layers))


def refuse_context(name: str, context_dim: int) -> None:
    """Raise OptionError for a flow whose steps look at marginals of all rows, whatever their contexts."""
    if context_dim:
        raise OptionError(
            f"{name} cannot be conditional: its steps make the marginals of all rows normal, whatever their contexts; "
            "use tabak_turner, whose steps are local in the context too, or nsf_ar"
        )
