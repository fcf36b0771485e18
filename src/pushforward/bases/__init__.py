"""Base distributions: the simple densities that a flow pushes forward."""

from pushforward.bases.base import Base as Base
from pushforward.bases.base import Source as Source
from pushforward.bases.circle import UniformCircle as UniformCircle
from pushforward.bases.circle import VonMises as VonMises
from pushforward.bases.learned import ConditionalNormal as ConditionalNormal
from pushforward.bases.learned import DiagonalNormal as DiagonalNormal
from pushforward.bases.learned import StudentT as StudentT
from pushforward.bases.mixture import GaussianMixture as GaussianMixture
from pushforward.bases.product import ProductBase as ProductBase
from pushforward.bases.registry import BASES as BASES
from pushforward.bases.registry import RealBase as RealBase
from pushforward.bases.registry import build_base as build_base
from pushforward.bases.registry import is_registered as is_registered
from pushforward.bases.standard import StandardLogistic as StandardLogistic
from pushforward.bases.standard import StandardNormal as StandardNormal
from pushforward.bases.standard import UniformBox as UniformBox
from pushforward.bases.torch_base import TorchBase as TorchBase
from pushforward.bases.torch_base import as_base as as_base
