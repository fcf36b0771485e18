"""Flows that are fitted step by step, without gradients: their options and their steps."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from pushforward.errors import OptionError
from pushforward.events import Shape
from pushforward.flows.data_layers import DataOptions
from pushforward.flows.options import Steps, refuse_unused
from pushforward.flows.parts.fields import Bins, Transforms
from pushforward.flows.parts.steps import MakeStep
from pushforward.transforms.base import Transform
from pushforward.transforms.whitening import Whiten

GreedySteps = Annotated[
    Transforms, Field(description="largest number of steps; those after the best validation remain the identity")
]


class GreedyOptions(DataOptions):
    """Options of every flow that is fitted step by step. The base is the standard normal."""

    transforms: GreedySteps = 40
    whiten: Annotated[
        bool, Field(description="make the data uncorrelated and of unit variance before the first step")
    ] = True


class MarginalOptions(GreedyOptions):
    """Options of the flows whose steps make marginals normal by splines."""

    transforms: GreedySteps = 200
    bins: Annotated[Bins, Field(le=200)] = 32
    damping: Annotated[
        float, Field(ge=0, lt=1, description="weight of the identity in each spline; larger weights need more steps")
    ] = 0.5


def greedy_steps(event_shape: Shape, context_dim: int, options: GreedyOptions, make_step: MakeStep) -> Steps:
    """Whitening, then ``options.transforms`` greedy steps ``make_step(i)``, which `fit` fits one after the other."""
    refuse_unused(options, ("dequantisation",), "a learned one needs gradients, and these steps are fitted without")
    whiten: list[Transform] = [Whiten(event_shape[0], context_dim)] if options.whiten else []
    return Steps([*whiten, *(make_step(i) for i in range(options.transforms))])


def refuse_context(name: str, context_dim: int) -> None:
    """Raise OptionError for a flow whose steps look at marginals of all rows, whatever their contexts."""
    if context_dim:
        raise OptionError(
            f"{name} cannot be conditional: its steps make the marginals of all rows normal, whatever their contexts; "
            "use tabak_turner, whose steps are local in the context too, or nsf_ar"
        )
