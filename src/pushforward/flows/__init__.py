"""Published architectures, built by name: ``build("real_nvp", event_shape=(2,))``."""

from pushforward.flow_config import FlowConfig
from pushforward.flows.registry import build, describe, names

__all__ = ["FlowConfig", "build", "describe", "names"]
