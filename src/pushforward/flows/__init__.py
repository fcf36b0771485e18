"""Published architectures, built by name: ``build("real_nvp", event_shape=(2,))``; and your own architectures."""

from pushforward.flow import FlowConfig as FlowConfig
from pushforward.flows.data_layers import DataOptions as DataOptions
from pushforward.flows.data_layers import FlowOptions as FlowOptions
from pushforward.flows.options import Architecture as Architecture
from pushforward.flows.options import Options as Options
from pushforward.flows.options import Recipe as Recipe
from pushforward.flows.options import Steps as Steps
from pushforward.flows.registry import build as build
from pushforward.flows.registry import describe as describe
from pushforward.flows.registry import names as names
from pushforward.flows.registry import register as register
