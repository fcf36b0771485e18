"""Conditioners: nets that compute the parameters of maps from kept coordinates and from a context."""

from pushforward.nets.act_norm_conv import ActNormConvNet as ActNormConvNet
from pushforward.nets.context import ContextParameters as ContextParameters
from pushforward.nets.conv import ResidualConvNet as ResidualConvNet
from pushforward.nets.data_init import DataInitialisedNet as DataInitialisedNet
from pushforward.nets.gated import GatedAttentionNet as GatedAttentionNet
from pushforward.nets.gated import GatedFeatures as GatedFeatures
from pushforward.nets.lipschitz import ContractiveNet as ContractiveNet
from pushforward.nets.lipschitz import contractive_conv_net as contractive_conv_net
from pushforward.nets.lipschitz import contractive_mlp as contractive_mlp
from pushforward.nets.made import MADE as MADE
from pushforward.nets.mlp import MLP as MLP
from pushforward.nets.row_conv import RowConvNet as RowConvNet
from pushforward.nets.staged import StagedNet as StagedNet
from pushforward.nets.vector_field import ConcatSquashConvNet as ConcatSquashConvNet
from pushforward.nets.vector_field import ConcatSquashMLP as ConcatSquashMLP
from pushforward.nets.vector_field import VectorField as VectorField
