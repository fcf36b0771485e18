"""Fields of option schemas that several architectures have: their types, ranges and descriptions.

A schema that means something narrower adds a description of its own: ``Annotated[Hidden, Field(description=...)]``.
"""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import Field

from pushforward.bases import RealBase

BaseName: TypeAlias = Annotated[RealBase, Field(description="the latent's distribution")]
Transforms: TypeAlias = Annotated[int, Field(ge=1, description="steps, each changing every coordinate")]
Hidden: TypeAlias = Annotated[
    tuple[Annotated[int, Field(ge=1)], ...], Field(min_length=1, description="widths of a net")
]
Activation: TypeAlias = Annotated[
    Literal["relu", "tanh", "silu", "gelu", "elu"], Field(description="of the nets' hidden layers")
]
Dropout: TypeAlias = Annotated[float, Field(ge=0, lt=1, description="fraction of hidden units dropped in training")]
PartitionName: TypeAlias = Literal["random", "half", "odd-even"]
Partition: TypeAlias = Annotated[
    PartitionName, Field(description="which coordinates a coupling changes; the next one changes the others")
]
LinearName: TypeAlias = Literal["lu", "dense", "permutation", "reverse", "none"]
Linear: TypeAlias = Annotated[
    LinearName,
    Field(description="between steps: a learned matrix (lu, dense), or the order shuffled, reversed, or kept"),
]
LinearBefore: TypeAlias = Annotated[
    LinearName,
    Field(description="before a coupling: a learned matrix (lu, dense), or the order shuffled, reversed, or kept"),
]

LogScale: TypeAlias = Annotated[
    Literal["tanh", "sigmoid", "soft-clamp"], Field(description="function that bounds the log-scales")
]
MapName: TypeAlias = Annotated[Literal["affine", "spline"], Field(description="map that the couplings apply")]
Bins: TypeAlias = Annotated[int, Field(ge=2, description="pieces of a spline")]
Bound: TypeAlias = Annotated[
    float, Field(gt=0, description="a spline bends on [-bound, bound] and is the identity outside")
]
PolynomialBound: TypeAlias = Annotated[
    float, Field(gt=0, description="polynomials hold on [-bound, bound] and continue linearly outside")
]

Channels: TypeAlias = Annotated[int, Field(ge=1, description="of the nets")]
Blocks: TypeAlias = Annotated[int, Field(ge=0, description="residual blocks in a net")]
NetNorm: TypeAlias = Annotated[Literal["batch", "instance", "none"], Field(description="normalisation inside the nets")]
Scales: TypeAlias = Annotated[
    int | None,
    Field(ge=1, le=16, description="scales, each half as wide and high; None: down to 4, or to odd sides"),
]
MemorySaving: TypeAlias = Annotated[
    bool, Field(description="keep no activations for the gradients; one more pass either way instead")
]
