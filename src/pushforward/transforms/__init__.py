"""Transforms: the steps that a flow is a chain of."""

from pushforward.transforms.angles import Angles
from pushforward.transforms.autoregressive import Autoregressive
from pushforward.transforms.block_autoregressive import BlockAutoregressive
from pushforward.transforms.coupling import Coupling, Elementwise
from pushforward.transforms.dequantisation import Dequantisation, Dequantize, VariationalDequantize
from pushforward.transforms.linear import DenseLinear, LULinear, QRLinear, Rotation, SVDLinear, Triangular
from pushforward.transforms.normalisation import ActNorm, BatchNorm, Standardise
from pushforward.transforms.partition import Channelwise, Checkerboard, Partition, VectorPartition
from pushforward.transforms.permutation import Permutation
from pushforward.transforms.positive import InverseSoftplus, Log
from pushforward.transforms.preprocessing import Flatten, Identity, Logit
from pushforward.transforms.product import Product
from pushforward.transforms.reshape import Reshape
from pushforward.transforms.reversible import Reversible
from pushforward.transforms.spatial import MultiScale, Squeeze

__all__ = [
    "ActNorm",
    "Angles",
    "Autoregressive",
    "BatchNorm",
    "BlockAutoregressive",
    "Channelwise",
    "Checkerboard",
    "Coupling",
    "DenseLinear",
    "Dequantisation",
    "Dequantize",
    "Elementwise",
    "Flatten",
    "Identity",
    "InverseSoftplus",
    "LULinear",
    "Log",
    "Logit",
    "MultiScale",
    "Partition",
    "Permutation",
    "Product",
    "QRLinear",
    "Reshape",
    "Reversible",
    "Rotation",
    "SVDLinear",
    "Squeeze",
    "Standardise",
    "Triangular",
    "VariationalDequantize",
    "VectorPartition",
]
