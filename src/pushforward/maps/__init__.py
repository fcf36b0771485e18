"""Element-wise monotone maps, which couplings, autoregressive and element-wise transforms apply to each coordinate."""

from pushforward.maps.affine import Additive as Additive
from pushforward.maps.affine import Affine as Affine
from pushforward.maps.affine import LogScale as LogScale
from pushforward.maps.affine import Scale as Scale
from pushforward.maps.affine import ShiftedScale as ShiftedScale
from pushforward.maps.affine import SigmoidScale as SigmoidScale
from pushforward.maps.affine import SoftClampScale as SoftClampScale
from pushforward.maps.affine import TanhScale as TanhScale
from pushforward.maps.bend import Bend as Bend
from pushforward.maps.bernstein import Bernstein as Bernstein
from pushforward.maps.composed import Composed as Composed
from pushforward.maps.cubic_spline import CubicSpline as CubicSpline
from pushforward.maps.deep_sigmoidal import DeepSigmoidal as DeepSigmoidal
from pushforward.maps.distribution import DistributionCDF as DistributionCDF
from pushforward.maps.logistic_mixture import LogisticMixture as LogisticMixture
from pushforward.maps.map import Map as Map
from pushforward.maps.probit_mixture import ProbitMixture as ProbitMixture
from pushforward.maps.spline import RationalQuadraticSpline as RationalQuadraticSpline
from pushforward.maps.stored_spline import StoredSpline as StoredSpline
from pushforward.maps.sum_of_squares import SumOfSquares as SumOfSquares
from pushforward.maps.unconstrained_monotone import UnconstrainedMonotone as UnconstrainedMonotone
