"""Fields of option schemas that several architectures have: their types, ranges and descriptions.

A schema with a narrower meaning adds its own description: ``Annotated[Hidden, Field(description=...)]``.
"""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import Field

from pushforward.bases import RealBase

BaseName: TypeAlias = Annotated[RealBase, Field(description="base distribution")]
Transforms: TypeAlias = Annotated[int, Field(ge=1, description="steps, each changing every coordinate")]
Hidden: TypeAlias = Annotated[
    tuple[Annotated[int, Field(ge=1)], ...], Field(min_length=1, description="widths of a net")
]
Activation: TypeAlias = Annotated[
    Literal["relu", "tanh", "silu", "gelu", "elu"], Field(description="activation of the nets")
]
Dropout: TypeAlias = Annotated[float, Field(ge=0, lt=1, description="fraction of hidden units dropped in training")]
PartitionName: TypeAlias = Literal["random", "half", "odd-even"]
Partition: TypeAlias = Annotated[
    PartitionName, Field(description="the coordinates that a coupling changes; the next coupling changes the others")
]
LinearName: TypeAlias = Literal["lu", "dense", "permutation", "reverse", "none"]
Linear: TypeAlias = Annotated[
    LinearName,
    Field(description="layer between steps: learned matrix (lu, dense), or the order shuffled, reversed, or kept"),
]
LinearBefore: TypeAlias = Annotated[
    LinearName,
    Field(description="layer before a coupling: learned matrix (lu, dense), or the order shuffled, reversed, or kept"),
]

LogScale: TypeAlias = Annotated[
    Literal["tanh", "sigmoid", "soft-clamp"], Field(description="function that bounds the log-scales")
]
MapName: TypeAlias = Annotated[Literal["affine", "spline"], Field(description="map of the couplings")]
Bins: TypeAlias = Annotated[int, Field(ge=2, description="bins of a spline")]
Bound: TypeAlias = Annotated[
    float, Field(gt=0, description="interval [-bound, bound] of a spline, which is the identity outside")
]
PolynomialBound: TypeAlias = Annotated[
    float, Field(gt=0, description="interval [-bound, bound] of a polynomial, which continues linearly outside")
]

Channels: TypeAlias = Annotated[int, Field(ge=1, description="channels of the nets")]
Blocks: TypeAlias = Annotated[int, Field(ge=0, description="residual blocks in a net")]
NetNorm: TypeAlias = Annotated[Literal["batch", "instance", "none"], Field(description="normalisation inside the nets")]
Scales: TypeAlias = Annotated[
    int | None,
    Field(ge=1, le=16, description="number of scales, each halving the sides; None: until they are 4 or odd"),
]
MemorySaving: TypeAlias = Annotated[
    bool,
    Field(description="recompute activations for the gradients instead of storing them; steps take longer"),
]
