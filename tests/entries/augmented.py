"""What draws something beside the data: augmentation, autoencoder and continuously indexed steps, and their flows."""

from __future__ import annotations

from entries.transforms import coupling
from entry import LABELS, Entry, flow_entry, transform_entry
from pushforward.flows.parts.conditional import conditional_density
from pushforward.maps import Affine, SoftClampScale
from pushforward.transforms import VAE, ActNorm, Augment, ContinuouslyIndexed, Elementwise, LULinear
from pushforward.transforms.base import Chain
from pushforward.transforms.conditional import conditional_gaussian
from pushforward.transforms.partition import half


def _augmented(features: int, extra: int, context: int = 0) -> Chain:
    drawn = conditional_density((extra,), (features,), context, hidden=(8,), couplings=2)
    total = features + extra
    return Chain([Augment((features,), drawn), LULinear(total), coupling(half(total), context=context)])


def _vae(features: int, latent: int, context: int = 0) -> Chain:
    encoder = conditional_gaussian((latent,), features, context, hidden=(8,))
    return Chain([VAE(encoder, conditional_gaussian((features,), latent, context, hidden=(8,))), ActNorm((latent,))])


def _indexed(features: int, index: int, context: int = 0) -> Chain:
    inner = (
        coupling(half(features), context=context)
        if features > 1
        else Elementwise(Affine(SoftClampScale()), (features,))
    )
    by_index = conditional_density((features,), (index,), context, hidden=(8,))
    prior, posterior = (conditional_density((index,), (features,), context, hidden=(4,), couplings=2) for _ in range(2))
    return Chain([ContinuouslyIndexed(inner, by_index, prior, posterior), ActNorm((features,))])


def entries() -> list[Entry]:
    small, image = {"transforms": 1, "hidden": (8,)}, {"transforms": 1, "channels": 4, "scales": 1}
    return [
        transform_entry("augment, 1 feature", (1,), lambda: _augmented(1, 1)),
        transform_entry("augment", (2,), lambda: _augmented(2, 2)),
        transform_entry("augment, context", (2,), lambda: _augmented(2, 1, 2), context=(2,)),
        transform_entry("autoencoder step", (2,), lambda: _vae(2, 1), golden=True),
        transform_entry("autoencoder step, context", (1,), lambda: _vae(1, 2, 2), context=(2,)),
        transform_entry("continuously indexed, 1 feature", (1,), lambda: _indexed(1, 1), golden=True),
        transform_entry("continuously indexed", (2,), lambda: _indexed(2, 1), golden=True),
        transform_entry("continuously indexed, context", (2,), lambda: _indexed(2, 2, 2), context=(2,)),
        flow_entry("vflow", "vector", (2,), extra=1, **{**small, "transforms": 3}),
        flow_entry("vflow", "splines, context", (2,), 2, map="spline", bins=4, extra=1, **small),
        flow_entry("vflow", "1 feature", (1,), **small),
        flow_entry("vflow", "image, labels", (1, 4, 4), 0, LABELS, levels=17, extra=1, posterior=1, **image),
        flow_entry("anf", "vector", (2,), **{**small, "transforms": 4, "hidden": (16, 16)}),
        flow_entry("anf", "vector, context", (3,), 2, **small),
        flow_entry("anf", "1 feature", (1,), **small),
        flow_entry("anf", "image, labels", (1, 4, 4), 0, LABELS, levels=17, extra=2, **image),
        flow_entry("cif", "couplings", (2,), index=1, inner_steps=2, **small),
        flow_entry("cif", "splines, context", (2,), 2, inner="nsf", bins=4, index=1, inner_steps=1, **small),
        flow_entry("cif", "autoregressive", (2,), inner="maf", index=1, **{**small, "transforms": 3}),
        flow_entry("cif", "autoregressive splines, context", (3,), 2, inner="nsf_ar", bins=4, **small),
        flow_entry("cif", "1 feature", (1,), inner_steps=1, **small),
        flow_entry("cif", "image, labels", (1, 4, 4), 0, LABELS, levels=17, **image),
    ]
