"""The choice of an element-wise map: affine maps and splines."""

from __future__ import annotations

from collections.abc import Callable

from pushforward.events import Shape
from pushforward.flows.options import Options, refuse_unused
from pushforward.maps import Affine, Map, RationalQuadraticSpline, SoftClampScale
from pushforward.maps.affine import LOG_SCALES


def affine_map(event_shape: Shape, options: Options, log_scale: str) -> Map:
    """A shift and a scale; a spline where there is one coordinate only (see `bendable`)."""
    if event_shape == (1,):
        refuse_unused(options, ("log_scale",), "a single coordinate is changed by a spline, which has no log-scale")
    return bendable(Affine(LOG_SCALES[log_scale]()), event_shape)


def bendable(map: Map, event_shape: Shape) -> Map:
    """``map``, or for a single coordinate a spline.

    A single coordinate has no other to be conditioned on, and a chain of shifts and scales is one shift and scale: the
    flow would remain a Gaussian.
    """
    return map if event_shape != (1,) else RationalQuadraticSpline()


def affine_or_spline(
    options: Options, spline: bool, bins: int, bound: float, limit: float, reason: str
) -> Callable[[], Map]:
    """A factory of rational-quadratic splines, or of affine maps whose log-scales do not exceed ``limit``.

    reason: why the options ``bins`` and ``bound`` are refused where the maps are affine.
    """
    if spline:
        return lambda: RationalQuadraticSpline(bins, bound)
    refuse_unused(options, ("bins", "bound"), reason)
    return lambda: Affine(SoftClampScale(limit))
