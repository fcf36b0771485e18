"""The configuration that rebuilds a flow."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pushforward.events import Shape


@dataclass(frozen=True)
class FlowConfig:
    """The architecture and options that rebuild a flow without its weights; ``options`` includes the defaults."""

    name: str
    event_shape: Shape
    context_dim: int
    classes: int
    options: dict[str, Any]
