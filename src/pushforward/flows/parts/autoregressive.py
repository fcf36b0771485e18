"""Autoregressive steps on vectors: a map conditioned by a residual MADE."""

from __future__ import annotations

from collections.abc import Callable

from pushforward.events import Shape
from pushforward.flows.options import Steps
from pushforward.flows.parts.steps import NetOptions, alternating
from pushforward.maps import Map
from pushforward.nets import MADE
from pushforward.nets.masks import full_adjacency
from pushforward.transforms import Autoregressive


def autoregressive(event_shape: Shape, context_dim: int, options: NetOptions, map: Map) -> Autoregressive:
    """The map conditioned by a residual MADE, coordinates in their order."""
    net = MADE(full_adjacency(event_shape[0]), map.n_params, options.hidden, context_dim, options.activation)
    return Autoregressive(map, net)


def autoregressive_steps(
    event_shape: Shape, context_dim: int, options: NetOptions, make_map: Callable[[], Map]
) -> Steps:
    """Autoregressive steps with linear layers between them."""
    return alternating(event_shape, options, lambda i: autoregressive(event_shape, context_dim, options, make_map()))
