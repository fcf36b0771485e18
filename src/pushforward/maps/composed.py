"""Composition of element-wise maps."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from pushforward.errors import OptionError
from pushforward.events import Shape
from pushforward.maps.map import Map


class Composed(Map):
    """The composition of ``maps``, applied from the data to the latent; their parameters are in the same order.

    An `Affine` before a spline lets a net shift and scale the spline's input, which sharp conditional densities need.
    Raises OptionError where the codomain of a map does not fit the domain of the next, or where event shapes differ.

    >>> from pushforward.maps import Affine, Composed, RationalQuadraticSpline, SoftClampScale
    >>> Composed([Affine(SoftClampScale()), RationalQuadraticSpline(bins=4)]).n_params
    13
    """

    def __init__(self, maps: Sequence[Map]) -> None:
        super().__init__()
        if not maps:
            raise OptionError("Composed needs at least one map")
        for before, after in itertools.pairwise(maps):
            if before.codomain != after.domain:
                names = type(after).__name__, type(before).__name__
                raise OptionError(f"{names[0]} takes {after.domain}, but {names[1]} before it gives {before.codomain}")
        self.maps = nn.ModuleList(maps)
        self.shape = _shape([map.shape for map in maps if map.shape is not None])
        self.domain, self.codomain = maps[0].domain, maps[-1].codomain
        self._sizes = tuple(map.n_params for map in maps)
        self.n_params = sum(self._sizes)
        self.start = nn.Buffer(torch.cat([map.start for map in maps]), persistent=False)

    def extra_repr(self) -> str:
        return " then ".join(type(map).__name__ for map in self.maps)

    def _parts(self, params: Tensor) -> Iterator[tuple[Map, Tensor]]:
        for map, part in zip(self.maps, params.split(self._sizes), strict=True):
            assert isinstance(map, Map)
            yield map, part

    def forward(self, x: Tensor, params: Tensor) -> tuple[Tensor, Tensor]:
        log_slope = torch.zeros_like(x)
        for map, part in self._parts(params):
            x, slope = map(x, part)
            log_slope = log_slope + slope
        return x, log_slope

    def inverse(self, y: Tensor, params: Tensor) -> tuple[Tensor, Tensor]:
        log_slope = torch.zeros_like(y)
        for map, part in list(self._parts(params))[::-1]:
            y, slope = map.inverse(y, part)
            log_slope = log_slope + slope
        return y, log_slope


def _shape(shapes: Sequence[Shape]) -> Shape | None:
    """The common event shape of maps with the event shapes ``shapes``; None if no map has one."""
    try:
        return tuple(torch.broadcast_shapes(*shapes)) if shapes else None
    except RuntimeError:
        listed = ", ".join(map(str, shapes))
        raise OptionError(f"the maps of Composed must be made for events of one shape, got {listed}") from None
