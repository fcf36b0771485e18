"""Glow and the neural spline flow on images, with the parts that they brought: linear layers on images, priors."""

from __future__ import annotations

from typing import Any

from entries.linear import logistic, skewed
from entry import LABELS, Entry, Reason, flow_entry, transform_entry, vector_entry
from pushforward.flows.parts.scales import split_prior, top_prior
from pushforward.maps import Affine, SoftClampScale
from pushforward.nets import ActNormConvNet
from pushforward.transforms import ActNorm, Channelwise, Coupling, DenseLinear, LULinear, Reversible
from pushforward.transforms.base import Chain, Transform

_IMAGE = (2, 2, 2)


def step(context: int = 0) -> list[Transform]:
    """Glow's step on a small image."""
    net = ActNormConvNet(1, 2, 4, context)
    return [
        ActNorm(_IMAGE),
        LULinear(_IMAGE, "orthogonal"),
        Coupling(Channelwise(_IMAGE), Affine(SoftClampScale()), net),
    ]


def entries() -> list[Entry]:
    more: dict[str, Any] = {"base": logistic, "smooth": True, "golden": True}
    compiled = {"skips": {"i": Reason.COMPILED_ALREADY}}
    small: dict[str, Any] = {"transforms": 2, "channels": 4}
    spline: dict[str, Any] = {**small, "bins": 4, "blocks": 1}
    return [
        transform_entry("linear, dense", (3,), lambda: DenseLinear(3), rows=skewed, **more),
        transform_entry("linear, dense, image", _IMAGE, lambda: DenseLinear(_IMAGE, "identity", False), **more),
        transform_entry("linear, LU, image", _IMAGE, lambda: LULinear(_IMAGE, "orthogonal"), **more),
        transform_entry("split prior, context", _IMAGE, lambda: split_prior(_IMAGE, 2), context=(2,), golden=True),
        transform_entry("top prior, context", _IMAGE, lambda: top_prior(_IMAGE, 2), context=(2,), golden=True),
        transform_entry("Glow step", _IMAGE, lambda: Chain(step()), golden=True),
        transform_entry("Glow step, context", _IMAGE, lambda: Chain(step(2)), context=(2,), golden=True),
        transform_entry("Glow step, reversible", _IMAGE, lambda: Reversible(step(2)), context=(2,), differences=True),
        vector_entry("glow", "2 features", transforms=2, more=compiled),
        vector_entry("glow", "1 feature", 1, transforms=2, more=compiled),
        vector_entry("glow", "3 features, context", 3, context=2, transforms=2, more=compiled),
        vector_entry("glow", "64 features", 64, transforms=1, linear="dense"),
        flow_entry("glow", "image 4 x 4", (1, 4, 4), **small),
        # Two scales, the second of 2 x 2 pixels: of a single one a filter would see its middle only.
        flow_entry(
            "glow", "image 8 x 8, labels", (1, 8, 8), 0, LABELS, scales=2, memory_saving=True, linear="dense", **small
        ),
        flow_entry("nsf", "image 4 x 4", (1, 4, 4), **spline),
        flow_entry("nsf", "image 2 x 4 x 4, labels", (2, 4, 4), 0, LABELS, levels=17, net_norm="none", **spline),
    ]
