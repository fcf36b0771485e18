"""Sylvester flow: steps that bend space across several planes at once.

Source: van den Berg, Hasenclever, Tomczak & Welling, "Sylvester normalizing flows for variational inference", 2018.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from pushforward.events import Shape
from pushforward.flows.options import Architecture, Recipe, Steps, refuse_unused
from pushforward.flows.parts.fields import Transforms
from pushforward.flows.parts.mixing import refuse_mixing
from pushforward.flows.parts.steps import AmortisedOptions, alternating, directed
from pushforward.transforms import Sylvester, Transform
from pushforward.transforms.orthonormal import FixedOrder, HouseholderColumns, OrthonormalColumns, QRColumns

_MOST_COLUMNS = 16


class SylvesterOptions(AmortisedOptions):
    """Options of `sylvester`."""

    transforms: Annotated[Transforms, Field(description="steps, each bending space across several planes")] = 8
    variant: Annotated[
        Literal["orthogonal", "householder", "triangular"],
        Field(description="form of Q: any orthonormal columns, reflections, or axes kept and reversed in turn"),
    ] = "orthogonal"
    columns: Annotated[
        int | None,
        Field(ge=1, description="columns of Q, the planes of a step; None: as many as coordinates, at most 16"),
    ] = None


def steps(event_shape: Shape, context_dim: int, options: SylvesterOptions) -> Steps:
    """Sylvester transforms."""
    refuse_mixing(event_shape, options, ("variant",))
    if options.variant == "triangular":
        refuse_unused(options, ("columns",), "a triangular step that left out a column would never change a coordinate")

    def step(i: int) -> Transform:
        columns = _columns(event_shape[0], i, options)
        return directed(Sylvester(columns, context_dim, options.hidden, options.activation), options.direction)

    return alternating(event_shape, options, step)


def _columns(features: int, i: int, options: SylvesterOptions) -> OrthonormalColumns:
    # In the other direction every column costs a numeric root, one after the other.
    columns = options.columns or min(features, _MOST_COLUMNS)
    # The only orthonormal column of a single coordinate is 1: there is nothing to learn.
    if options.variant == "triangular" or features == columns == 1:
        return FixedOrder(features, reverse=i % 2 == 1)
    return (QRColumns if options.variant == "orthogonal" else HouseholderColumns)(features, columns)


ARCHITECTURE = Architecture(
    name="sylvester",
    summary="steps that bend space across several planes at once, with a numeric inverse",
    when="For posteriors in variational inference, with a net of the context: stronger than planar at equal depth.",
    source="van den Berg, Hasenclever, Tomczak & Welling, 2018",
    vectors=Recipe(SylvesterOptions, steps),
)
