"""Residual blocks, with their log-determinants exact, truncated and by roulette, and the flows that they make."""

from __future__ import annotations

from typing import Any

from entry import LABELS, Entry, flow_entry, transform_entry, vector_entry
from pushforward.nets import ContractiveNet, contractive_conv_net, contractive_mlp
from pushforward.transforms import LogDet, Residual, RouletteLogDet, TruncatedLogDet
from pushforward.transforms.base import Inverse

_IMAGE = (1, 2, 2)


def entries() -> list[Entry]:
    # Their inverses have gradients that are written by hand.
    by_hand: dict[str, Any] = {"differences": True, "golden": True}
    flow: dict[str, Any] = {"differences": True}
    small: dict[str, Any] = {"transforms": 2, "hidden": (8, 8), "more": flow}
    image: dict[str, Any] = {"transforms": 1, "channels": 4, "more": flow}

    def mlp(context: int = 0) -> ContractiveNet:
        return contractive_mlp(3, (8, 8), context, coefficient=0.98)

    def block(name: str, net: Any, log_det: LogDet, **more: Any) -> Entry:
        return transform_entry(f"residual, {name}", (3,), lambda: Residual((3,), net(), log_det), **by_hand, **more)

    return [
        transform_entry("residual, exact", (3,), lambda: Residual((3,), mlp()), **by_hand),
        block("truncated", mlp, TruncatedLogDet(4), bias=0.05),
        block("roulette, context", lambda: mlp(2), RouletteLogDet(evaluation_terms=2), context=(2,)),
        transform_entry(
            "residual, image",
            _IMAGE,
            lambda: Residual(_IMAGE, contractive_conv_net(_IMAGE, 4, coefficient=0.98), RouletteLogDet()),
            **by_hand,
        ),
        transform_entry(
            "inverse of residual, roulette",
            (3,),
            lambda: Inverse(Residual((3,), mlp(), RouletteLogDet())),
            differences=True,
        ),
        vector_entry("iresnet", "2 features", **{**small, "transforms": 4, "hidden": (16, 16)}),
        vector_entry("iresnet", "12 features", 12, **small),
        vector_entry("residual_flow", "2 features", **{**small, "transforms": 4, "hidden": (16, 16)}),
        vector_entry("residual_flow", "1 feature", 1, **small),
        vector_entry("residual_flow", "3 features, context, roulette", 3, context=2, log_det="roulette", **small),
        vector_entry("residual_flow", "2 features, levels, roulette", 2, levels=4, log_det="roulette", **small),
        vector_entry("residual_flow", "64 features", 64, **{**small, "transforms": 1}),
        flow_entry("iresnet", "image 1 x 4 x 4", (1, 4, 4), **image),
        flow_entry("residual_flow", "image 1 x 4 x 4, labels", (1, 4, 4), 0, LABELS, scales=2, **image),
    ]
