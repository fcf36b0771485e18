"""Tabak-Turner flow: many small local maps, each raising the likelihood a little; the first normalising flows.

Sources: Tabak & Vanden-Eijnden, "Density estimation by dual ascent of the log-likelihood", 2010; Tabak & Turner, "A
family of nonparametric density estimation algorithms", 2013.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from pushforward.events import Shape
from pushforward.flows.options import Architecture, Recipe, Steps
from pushforward.flows.parts.greedy import GreedyOptions, greedy_steps
from pushforward.transforms.base import Transform
from pushforward.transforms.tabak_turner import LocalMaps, LocalMapShape


class TabakTurnerOptions(GreedyOptions):
    """Options of `tabak_turner`."""

    block: Annotated[int, Field(ge=1, description="local maps per step")] = 25
    maps: Annotated[
        Literal["radial", "marginal", "both"],
        Field(description="maps about centres, of single coordinates after random rotations, or both in turn"),
    ] = "radial"


def steps(event_shape: Shape, context_dim: int, options: TabakTurnerOptions) -> Steps:
    """Blocks of local maps."""
    kinds: tuple[LocalMapShape, ...] = ("marginal", "radial") if options.maps == "both" else (options.maps,)

    def step(i: int) -> Transform:
        return LocalMaps(event_shape[0], options.block, kinds[i % len(kinds)], context_dim)

    return greedy_steps(event_shape, context_dim, options, step)


ARCHITECTURE = Architecture(
    name="tabak_turner",
    summary="many small local maps, fitted without gradients",
    when="To study the first normalizing flows; for two or three columns, with or without a context.",
    source="Tabak & Vanden-Eijnden, 2010; Tabak & Turner, 2013",
    vectors=Recipe(TabakTurnerOptions, steps),
)
