"""The layers between data as the user has them and the first coupling, the same for every architecture."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from pushforward.errors import OptionError, ShapeError
from pushforward.flows.options import Options, refuse_unused
from pushforward.transform import Shape, Transform
from pushforward.transforms import Dequantize, Logit, Standardise


class DataOptions(Options):
    """What an architecture is told about its data. Integer data have ``levels``; others are standardised."""

    levels: Annotated[
        int | None, Field(ge=2, description="data are the integers 0..levels-1: dequantise, then logit")
    ] = None
    alpha: Annotated[float, Field(ge=0, lt=0.5, description="margin of the logit")] = 0.05
    standardise: Annotated[bool, Field(description="centre and scale data without levels, from the first batch")] = True


def data_layers(event_shape: Shape, options: DataOptions) -> list[Transform]:
    """Dequantisation and logit for data with levels; standardisation, or nothing, for others."""
    if len(event_shape) not in (1, 3):
        raise ShapeError(f"event_shape (D,) or (channels, height, width) expected, got {tuple(event_shape)}")
    if options.levels is not None:
        if options.alpha == 0:
            # At alpha = 0 a dequantised 0 would sit on the logit's pole.
            raise OptionError("alpha must be above 0 for data with levels")
        return [Dequantize(event_shape, options.levels), Logit(event_shape, options.alpha)]
    refuse_unused(options, ("alpha",), "there is a logit only for data with levels")
    return [Standardise(event_shape)] if options.standardise else []
