"""Transforms: the steps that a flow is a chain of."""

from pushforward.transforms.absolute import Abs
from pushforward.transforms.angles import Angles
from pushforward.transforms.argmax import Argmax
from pushforward.transforms.augmentation import Augment
from pushforward.transforms.autoregressive import Autoregressive
from pushforward.transforms.block_autoregressive import BlockAutoregressive
from pushforward.transforms.conditional import Conditional, ConditionalFlow, HalfLine
from pushforward.transforms.continuous import Continuous
from pushforward.transforms.continuously_indexed import ContinuouslyIndexed
from pushforward.transforms.coupling import Coupling, Elementwise
from pushforward.transforms.dequantisation import Dequantisation, Dequantize, VariationalDequantize
from pushforward.transforms.estimated import Estimated, exactly
from pushforward.transforms.expansion import Expansions
from pushforward.transforms.frames import HouseholderFrame, OrderFrame, OrthogonalFrame
from pushforward.transforms.greedy import GreedyTransform
from pushforward.transforms.linear import DenseLinear, Householder, LULinear, QRLinear, Rotation, SVDLinear, Triangular
from pushforward.transforms.marginal import MarginalGaussianisation, SlicedGaussianisation
from pushforward.transforms.masked_conv import MaskedConv
from pushforward.transforms.max_pool import MaxPool2d
from pushforward.transforms.normalisation import ActNorm, BatchNorm, Standardise
from pushforward.transforms.partition import Channelwise, Checkerboard, Partition, VectorPartition
from pushforward.transforms.permutation import Permutation
from pushforward.transforms.planar import Planar
from pushforward.transforms.positive import InverseSoftplus, Log
from pushforward.transforms.power_series import ExactLogDet, LogDet, RouletteLogDet, TruncatedLogDet
from pushforward.transforms.preprocessing import Flatten, Identity, Logit
from pushforward.transforms.product import Product
from pushforward.transforms.radial import Radial
from pushforward.transforms.reshape import Reshape
from pushforward.transforms.residual import Residual
from pushforward.transforms.reversible import Reversible
from pushforward.transforms.slice import Slice
from pushforward.transforms.sort import Differences, Sort
from pushforward.transforms.spatial import MultiScale, Squeeze
from pushforward.transforms.stochastic_permutation import StochasticPermutation
from pushforward.transforms.sylvester import Sylvester
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
    "Estimated",
    "ExactLogDet",
    "Expansions",
    "Flatten",
    "GreedyTransform",
    "HalfLine",
    "Householder",
    "HouseholderFrame",
    "Identity",
    "InverseSoftplus",
    "LULinear",
    "Log",
    "LogDet",
    "Logit",
    "MarginalGaussianisation",
    "MaskedConv",
    "MaxPool2d",
    "MultiScale",
    "OrderFrame",
    "OrthogonalFrame",
    "Partition",
    "Permutation",
    "Planar",
    "Product",
    "QRLinear",
    "Radial",
    "Reshape",
    "Residual",
    "Reversible",
    "Rotation",
    "RouletteLogDet",
    "SVDLinear",
    "Slice",
    "SlicedGaussianisation",
    "Sort",
    "Squeeze",
    "Standardise",
    "StochasticPermutation",
    "Sylvester",
    "Triangular",
    "TruncatedLogDet",
    "VariationalDequantize",
    "VectorPartition",
    "Whiten",
    "exactly",
]
