"""Transforms: the steps that a flow is a chain of."""

from pushforward.transforms.autoregressive import Autoregressive
from pushforward.transforms.coupling import Coupling, Elementwise
from pushforward.transforms.linear import LULinear, QRLinear, Rotation, SVDLinear, Triangular
from pushforward.transforms.normalisation import ActNorm, BatchNorm, Standardise
from pushforward.transforms.partition import Channelwise, Checkerboard, Partition, VectorPartition
from pushforward.transforms.permutation import Permutation
from pushforward.transforms.preprocessing import Dequantize, Flatten, Identity, Logit
from pushforward.transforms.spatial import MultiScale, Squeeze

__all__ = [
    "ActNorm",
    "Autoregressive",
    "BatchNorm",
    "Channelwise",
    "Checkerboard",
    "Coupling",
    "Dequantize",
    "Elementwise",
    "Flatten",
    "Identity",
    "LULinear",
    "Logit",
    "MultiScale",
    "Partition",
    "Permutation",
    "QRLinear",
    "Rotation",
    "SVDLinear",
    "Squeeze",
    "Standardise",
    "Triangular",
    "VectorPartition",
]
