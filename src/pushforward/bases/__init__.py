"""Base distributions: the simple densities that a flow pushes forward."""

from pushforward.bases.base import Base, Source
from pushforward.bases.circle import UniformCircle, VonMises
from pushforward.bases.learned import ConditionalNormal, DiagonalNormal, StudentT
from pushforward.bases.mixture import GaussianMixture
from pushforward.bases.product import ProductBase
from pushforward.bases.registry import BASES, RealBase, build_base, is_registered
from pushforward.bases.standard import StandardLogistic, StandardNormal, UniformBox
from pushforward.bases.torch_base import TorchBase, as_base

__all__ = [
    "BASES",
    "Base",
    "ConditionalNormal",
    "DiagonalNormal",
    "GaussianMixture",
    "ProductBase",
    "RealBase",
    "Source",
    "StandardLogistic",
    "StandardNormal",
    "StudentT",
    "TorchBase",
    "UniformBox",
    "UniformCircle",
    "VonMises",
    "as_base",
    "build_base",
    "is_registered",
]
