"""Conditioners: nets that compute the parameters of maps from kept coordinates and from a context."""

from pushforward.nets.act_norm_conv import ActNormConvNet
from pushforward.nets.context import ContextParameters
from pushforward.nets.conv import ResidualConvNet
from pushforward.nets.data_init import DataInitialisedNet
from pushforward.nets.gated import GatedAttentionNet, GatedFeatures
from pushforward.nets.lipschitz import ContractiveNet, contractive_conv_net, contractive_mlp
from pushforward.nets.made import MADE
from pushforward.nets.mlp import MLP
from pushforward.nets.row_conv import RowConvNet
from pushforward.nets.staged import StagedNet
from pushforward.nets.vector_field import ConcatSquashConvNet, ConcatSquashMLP, VectorField

__all__ = [
    "MADE",
    "MLP",
    "ActNormConvNet",
    "ConcatSquashConvNet",
    "ConcatSquashMLP",
    "ContextParameters",
    "ContractiveNet",
    "DataInitialisedNet",
    "GatedAttentionNet",
    "GatedFeatures",
    "ResidualConvNet",
    "RowConvNet",
    "StagedNet",
    "VectorField",
    "contractive_conv_net",
    "contractive_mlp",
]
