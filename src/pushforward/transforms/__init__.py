"""Transforms: the steps that a flow is a chain of."""

from pushforward.transforms.angles import Angles
from pushforward.transforms.autoregressive import Autoregressive
from pushforward.transforms.block_autoregressive import BlockAutoregressive
from pushforward.transforms.coupling import Coupling, Elementwise
from pushforward.transforms.linear import Householder, LULinear, QRLinear, Rotation, SVDLinear, Triangular
from pushforward.transforms.normalisation import ActNorm, BatchNorm, Standardise
from pushforward.transforms.partition import Channelwise, Checkerboard, Partition, VectorPartition
from pushforward.transforms.permutation import Permutation
from pushforward.transforms.positive import InverseSoftplus, Log
from pushforward.transforms.preprocessing import Dequantize, Flatten, Identity, Logit
from pushforward.transforms.product import Product
from pushforward.transforms.reshape import Reshape
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
    "Dequantize",
    "Elementwise",
    "Flatten",
    "Householder",
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
    "Rotation",
    "SVDLinear",
    "Squeeze",
    "Standardise",
    "Triangular",
    "VectorPartition",
]
