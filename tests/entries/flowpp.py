"""Flow++: its coupling, variational dequantisation, and the flow on vectors and on images."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.distributions import Beta

from entry import LABELS, Entry, Reason, flow_entry, transform_entry, vector_entry
from pushforward.flows.data_layers import variational
from pushforward.maps import LogisticMixture
from pushforward.nets import GatedAttentionNet
from pushforward.transforms import Checkerboard, Coupling


def gated_coupling() -> Coupling:
    """A coupling as on images: it keeps one colour of a chess-board and sees a context."""
    partition, map = Checkerboard((1, 1, 4)), LogisticMixture(3)
    net = GatedAttentionNet(1, map.n_params, (1, 4), 4, 1, 2, context_channels=2, mask=partition.mask)
    return Coupling(partition, map, net)


def _logistics(flow: nn.Module) -> list[Tensor]:
    """The logistics of every map, by component: of an unconditional flow's last layers, all are biases."""
    found = []
    for coupling in flow.modules():
        if isinstance(coupling, Coupling) and isinstance(coupling.map, LogisticMixture):
            map, bias = coupling.map, coupling.net.last.bias
            assert isinstance(bias, Tensor)
            raw = bias.reshape(map.n_params, -1) + map.start[:, None]
            found.append(raw[: 3 * map.components].unflatten(0, (3, -1)).movedim(1, 0).detach())
    return found


def entries() -> list[Entry]:
    beta = {"base": lambda dtype, shape: Beta(torch.full(shape, 2.0, dtype=dtype), torch.full(shape, 3.0, dtype=dtype))}
    compiled = {"skips": {"i": Reason.COMPILED_ALREADY}}
    small = {"components": 3, "transforms": 2, "hidden": (16, 16)}
    image = {"components": 3, "channels": 4, "blocks": 1, "heads": 2}
    learned, mixtures = {"levels": 4, "dequantisation": "variational"}, {"mixtures": _logistics}
    # On fewer pixels some filters have taps that never see a kept one, and would not move.
    return [
        transform_entry("coupling, gated attention", (1, 1, 4), gated_coupling, context=(2,), golden=True),
        transform_entry(
            "variational dequantise", (2,), lambda: variational((2,), 0, 4), **beta, **compiled, golden=True
        ),
        transform_entry("variational dequantise, image", (1, 1, 4), lambda: variational((1, 1, 4), 0, 3), **beta),
        vector_entry("flowpp", "2 features", more={**mixtures, **compiled}, **{**small, "transforms": 4}),
        vector_entry("flowpp", "1 feature", 1, more={**mixtures, **compiled}, **small),
        vector_entry("flowpp", "3 features, labels", 3, classes=LABELS, more=compiled, **small, **learned),
        flow_entry("flowpp", "image 1 x 2 x 8", (1, 2, 8), **image),
        # Random matrices besides push samples so far beyond the ends of the pixel range that the sigmoid has no float32
        # digits left to return by.
        flow_entry("flowpp", "image, levels", (1, 2, 8), classes=LABELS, linear="reverse", **image, **learned),
    ]
