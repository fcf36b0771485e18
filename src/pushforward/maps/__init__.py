"""Element-wise monotone maps: what couplings, autoregressive and element-wise transforms do to a coordinate."""

from pushforward.maps.affine import Additive, Affine, LogScale, Scale, SigmoidScale, SoftClampScale, TanhScale
from pushforward.maps.map import Map
from pushforward.maps.spline import RationalQuadraticSpline

__all__ = [
    "Additive",
    "Affine",
    "LogScale",
    "Map",
    "RationalQuadraticSpline",
    "Scale",
    "SigmoidScale",
    "SoftClampScale",
    "TanhScale",
]
