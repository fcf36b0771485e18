"""Published architectures, built by name: ``build("real_nvp", event_shape=(2,))``."""

from pushforward.flows.registry import FlowConfig, build, describe, names

__all__ = ["FlowConfig", "build", "describe", "names"]
