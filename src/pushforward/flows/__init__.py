"""Published architectures, built by name: ``build("real_nvp", event_shape=(2,))``; and those of your own."""

from pushforward.flow import FlowConfig
from pushforward.flows.data_layers import DataOptions, FlowOptions
from pushforward.flows.options import Architecture, Options, Recipe, Steps
from pushforward.flows.registry import build, describe, names, register

__all__ = [
    "Architecture",
    "DataOptions",
    "FlowConfig",
    "FlowOptions",
    "Options",
    "Recipe",
    "Steps",
    "build",
    "describe",
    "names",
    "register",
]
