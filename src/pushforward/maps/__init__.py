"""Element-wise monotone maps: what couplings, autoregressive and element-wise transforms do to a coordinate."""

from pushforward.maps.affine import Additive, Affine, LogScale, Scale, SigmoidScale, SoftClampScale, TanhScale
from pushforward.maps.bend import Bend
from pushforward.maps.bernstein import Bernstein
from pushforward.maps.composed import Composed
from pushforward.maps.cubic_spline import CubicSpline
from pushforward.maps.deep_sigmoidal import DeepSigmoidal
from pushforward.maps.distribution import DistributionCDF
from pushforward.maps.logistic_mixture import LogisticMixture
from pushforward.maps.map import Map
from pushforward.maps.probit_mixture import ProbitMixture
from pushforward.maps.spline import RationalQuadraticSpline
from pushforward.maps.stored_spline import StoredSpline
from pushforward.maps.sum_of_squares import SumOfSquares
from pushforward.maps.unconstrained_monotone import UnconstrainedMonotone

__all__ = [
    "Additive",
    "Affine",
    "Bend",
    "Bernstein",
    "Composed",
    "CubicSpline",
    "DeepSigmoidal",
    "DistributionCDF",
    "LogScale",
    "LogisticMixture",
    "Map",
    "ProbitMixture",
    "RationalQuadraticSpline",
    "Scale",
    "SigmoidScale",
    "SoftClampScale",
    "StoredSpline",
    "SumOfSquares",
    "TanhScale",
    "UnconstrainedMonotone",
]
