"""Transforms: the steps that a flow is a chain of."""

from pushforward.transforms.absolute import Abs
from pushforward.transforms.angles import Angles
from pushforward.transforms.argmax import Argmax
from pushforward.transforms.augmentation import Augment
from pushforward.transforms.autoregressive import Autoregressive
from pushforward.transforms.base import Chain, Inverse, Transform
from pushforward.transforms.block_autoregressive import BlockAutoregressive
from pushforward.transforms.conditional import Conditional, ConditionalFlow, HalfLine
from pushforward.transforms.continuous import Continuous
from pushforward.transforms.continuously_indexed import ContinuouslyIndexed
from pushforward.transforms.coupling import Coupling
from pushforward.transforms.dequantisation import Dequantisation, Dequantize, VariationalDequantize
from pushforward.transforms.elementwise import Elementwise
from pushforward.transforms.greedy import GreedyTransform
from pushforward.transforms.linear import DenseLinear, Householder, LULinear
from pushforward.transforms.marginal import MarginalGaussianization, SlicedGaussianization
from pushforward.transforms.max_pool import MaxPool2d
from pushforward.transforms.normalisation import ActNorm, BatchNorm, Standardise
from pushforward.transforms.orthonormal import FixedOrder, HouseholderColumns, QRColumns
from pushforward.transforms.partition import Channelwise, Checkerboard, Partition, VectorPartition
from pushforward.transforms.permutation import Permutation
from pushforward.transforms.planar import Planar
from pushforward.transforms.positive import InverseSoftplus, Log
from pushforward.transforms.power_series import ExactLogDet, LogDet, RouletteLogDet, TruncatedLogDet
from pushforward.transforms.preprocessing import Flatten, Identity, Logit
from pushforward.transforms.product import Product
from pushforward.transforms.radial import Radial
from pushforward.transforms.residual import Residual
from pushforward.transforms.reversible import Reversible
from pushforward.transforms.slice import Slice
from pushforward.transforms.sort import Differences, Sort
from pushforward.transforms.spatial import MultiScale, Squeeze
from pushforward.transforms.stochastic_log_det import StochasticLogDet, exactly
from pushforward.transforms.stochastic_permutation import StochasticPermutation
from pushforward.transforms.sylvester import Sylvester
from pushforward.transforms.tabak_turner import LocalMaps
from pushforward.transforms.vae import VAE
from pushforward.transforms.whitening import Whiten

__all__ = [
    "VAE",
    "Abs",
    "ActNorm",
    "Angles",
    "Argmax",
    "Augment",
    "Autoregressive",
    "BatchNorm",
    "BlockAutoregressive",
    "Chain",
    "Channelwise",
    "Checkerboard",
    "Conditional",
    "ConditionalFlow",
    "Continuous",
    "ContinuouslyIndexed",
    "Coupling",
    "DenseLinear",
    "Dequantisation",
    "Dequantize",
    "Differences",
    "Elementwise",
    "ExactLogDet",
    "FixedOrder",
    "Flatten",
    "GreedyTransform",
    "HalfLine",
    "Householder",
    "HouseholderColumns",
    "Identity",
    "Inverse",
    "InverseSoftplus",
    "LULinear",
    "LocalMaps",
    "Log",
    "LogDet",
    "Logit",
    "MarginalGaussianization",
    "MaxPool2d",
    "MultiScale",
    "Partition",
    "Permutation",
    "Planar",
    "Product",
    "QRColumns",
    "Radial",
    "Residual",
    "Reversible",
    "RouletteLogDet",
    "Slice",
    "SlicedGaussianization",
    "Sort",
    "Squeeze",
    "Standardise",
    "StochasticLogDet",
    "StochasticPermutation",
    "Sylvester",
    "Transform",
    "TruncatedLogDet",
    "VariationalDequantize",
    "VectorPartition",
    "Whiten",
    "exactly",
]
