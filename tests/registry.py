"""Every map, transform, base and flow of the library, as entries that all checks in `tests/checks` run over.

To have something new checked, add an entry to `ENTRIES`: no test has to be written. What a check cannot apply to says
so with a `Reason`, either by rule (`subjects.reason_against`) or in the entry's own ``skips``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.distributions import (
    Beta,
    Categorical,
    Distribution,
    Gamma,
    Laplace,
    LogNormal,
    MixtureSameFamily,
    MultivariateNormal,
    Normal,
    StudentT,
)

from pushforward.bases import Base, StandardLogistic, StandardNormal, TorchBase, UniformBox
from pushforward.flow import Flow
from pushforward.flows import build
from pushforward.maps import Additive, Affine, LogScale, Map, Scale, SigmoidScale, SoftClampScale, TanhScale
from pushforward.nets import MLP, ResidualConvNet
from pushforward.transform import Chain, Inverse, Shape, Transform
from pushforward.transforms import (
    ActNorm,
    BatchNorm,
    Channelwise,
    Checkerboard,
    Coupling,
    Dequantize,
    Elementwise,
    Flatten,
    Identity,
    Logit,
    MultiScale,
    Partition,
    Permutation,
    Squeeze,
    Standardise,
)
from pushforward.transforms.partition import half, odd_even, random_half
from pushforward.transforms.permutation import random_permutation, reverse


class Reason(Enum):
    """The closed list of reasons for which a check does not apply to an entry."""

    BASE_ONLY = "a base has no transform"
    NO_PARAMETERS = "nothing to learn"
    TOO_LARGE = "more than 8 dimensions"
    COMPILE_SIZE = "compiled at 4 dimensions or fewer"
    EXACT = "exact, not a bound"
    BOUND_SIZE = "exact value by quadrature at 2 dimensions or fewer"
    NO_KNOWN_TRUTH = "not constructed to equal a known density"
    NO_GOLDEN_VALUE = "built of parts that have golden values"
    EAGER = "declares itself eager"
    FROM_TORCH = "torch's own distributions do not compile into one graph"


@dataclass(frozen=True)
class Entry:
    """One thing to check.

    make: builds it, given the dtype that tensors outside modules should have. base: the density on the codomain with
    which a map or a transform is made a flow. context: the shape of one context, ``"labels"``, or None. rows: data to
    check on, ``(n, generator) -> (n, *event)`` in float64; None draws structured data in the domain. skips: checks
    that do not apply and why. differences: its backward is written by hand, so that Jacobians are taken by central
    differences. inverse_tolerance: what a numeric inverse promises in place of the bars of check a. mixtures: finds the
    tensors whose first axis runs over the components of a mixture. smooth: a second order is promised. truth: draws
    from the density that the untrained entry is constructed to equal. golden: has golden values in tests/golden.
    """

    name: str
    kind: Literal["map", "transform", "base", "flow"]
    make: Callable[[torch.dtype], nn.Module]
    event_shape: Shape
    base: Callable[[torch.dtype, Shape], Base | Distribution] = lambda dtype, shape: StandardNormal(shape)
    context: Shape | Literal["labels"] | None = None
    rows: Callable[[int, torch.Generator], Tensor] | None = None
    skips: Mapping[str, Reason] = field(default_factory=dict)
    differences: bool = False
    inverse_tolerance: float | None = None
    mixtures: Callable[[nn.Module], list[Tensor]] | None = None
    smooth: bool = False
    truth: Callable[[int, int], Tensor] | None = None
    golden: bool = False

    @property
    def size(self) -> int:
        """How many values one event has."""
        return math.prod(self.event_shape)

    def __str__(self) -> str:
        return self.name


LABELS = 3  # classes of the entries that are conditional on labels


def _partition_net(partition: Partition, map: Map, context: int = 0) -> nn.Module:
    """A small net that fits: an MLP for vectors, the residual conv net for images."""
    if len(partition.event_shape) == 1:
        outputs = map.n_params * partition.changed_shape[0]
        return MLP(partition.kept_shape[0], outputs, (12, 12), context, activation="tanh")
    mask = partition.mask if isinstance(partition, Checkerboard) else None
    outputs = map.n_params * partition.changed_shape[0]
    return ResidualConvNet(partition.kept_shape[0], outputs, 4, 1, "none", context, mask)


def _coupling(
    partition: Partition, map: Map | None = None, after: Transform | None = None, context: int = 0
) -> Coupling:
    map = Affine(TanhScale()) if map is None else map
    return Coupling(partition, map, _partition_net(partition, map, context), after)


def _vector_chain(features: int) -> Chain:
    first, second = half(features), half(features).complement()
    return Chain(
        [
            Standardise((features,)),
            _coupling(first),
            reverse((features,)),
            _coupling(second, Affine(SoftClampScale())),
            ActNorm((features,)),
        ]
    )


def _multi_scale() -> MultiScale:
    shape = (1, 4, 4)
    first = Chain([_coupling(Checkerboard(shape)), Squeeze(shape, ordered=True)])
    return MultiScale([first, _coupling(Channelwise((2, 2, 2)))])


def _gaussian(dtype: torch.dtype) -> Flow:
    """x0 ~ N(1, 2^2); x1 given x0 ~ N(0.5 + 0.6 (x0 - 1), 0.5^2), by known weights of known transforms."""
    standardise = Standardise((2,))
    standardise.mean.copy_(torch.tensor([1.0, 0.5]))
    standardise.std.copy_(torch.tensor([2.0, 0.5]))
    standardise.initialised.fill_(True)
    partition = half(2)
    net = MLP(1, 1, (2,))
    coupling = Coupling(partition, Additive(), net)
    with torch.no_grad():
        # relu(h) - relu(-h) = h, so the shift of z1 is -0.6 * 2 / 0.5 times z0.
        net.layers[0].weight.copy_(torch.tensor([[1.0], [-1.0]]))
        net.layers[0].bias.zero_()
        net.layers[2].weight.copy_(torch.tensor([[-2.4, 2.4]]))
    return Flow(StandardNormal((2,)), Chain([standardise, coupling]))


def _gaussian_truth(n: int, seed: int) -> Tensor:
    rng = np.random.default_rng(seed)
    x0 = 1 + 2 * rng.standard_normal(n)
    x1 = 0.5 + 0.6 * (x0 - 1) + 0.5 * rng.standard_normal(n)
    return torch.from_numpy(np.stack([x0, x1], 1))


def _standardised(base: Base | Distribution, mean: float, std: float, features: int) -> Flow:
    standardise = Standardise((features,))
    standardise.mean.fill_(mean)
    standardise.std.fill_(std)
    standardise.initialised.fill_(True)
    return Flow(base, standardise)


def _mixture(dtype: torch.dtype) -> Distribution:
    """0.3 N(-2, 0.5^2) + 0.7 N(1, 1) on each of two coordinates."""
    weights = torch.tensor([[0.3, 0.7]] * 2, dtype=dtype)
    means, deviations = torch.tensor([[-2.0, 1.0]] * 2, dtype=dtype), torch.tensor([[0.5, 1.0]] * 2, dtype=dtype)
    return MixtureSameFamily(Categorical(weights), Normal(means, deviations))


def _mixture_truth(n: int, seed: int) -> Tensor:
    rng = np.random.default_rng(seed)
    first = rng.random((n, 2)) < 0.3
    noise = rng.standard_normal((n, 2))
    return torch.from_numpy(3 + 2 * np.where(first, -2 + 0.5 * noise, 1 + noise))


def _box_truth(n: int, seed: int) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).uniform(-3.0, 5.0, (n, 1)))


def _student_truth(n: int, seed: int) -> Tensor:
    return torch.from_numpy(-1 + 0.5 * np.random.default_rng(seed).standard_t(3.0, (n, 2)))


def _flow(name: str, event_shape: Shape, context: int = 0, classes: int = 0, **options: object) -> Callable[..., Flow]:
    return lambda dtype: build(name, event_shape, context, classes, **options)


def _map_entries() -> list[Entry]:
    makes: dict[str, Callable[[torch.dtype], Map]] = {"additive": lambda dtype: Additive()}
    scales: dict[str, type[LogScale]] = {"tanh": TanhScale, "sigmoid": SigmoidScale, "soft-clamp": SoftClampScale}
    for name, scale in scales.items():
        makes[f"scale, {name}"] = lambda dtype, scale=scale: Scale(scale())
        makes[f"affine, {name}"] = lambda dtype, scale=scale: Affine(scale())
    return [Entry(f"map: {name}", "map", make, (2,), smooth=True, golden=True) for name, make in makes.items()]


def _transform_entries() -> list[Entry]:
    def of(name: str, event_shape: Shape, make: Callable[[], Transform], **more: Any) -> Entry:
        return Entry(f"transform: {name}", "transform", lambda dtype: make(), event_shape, **more)

    seeded = torch.Generator().manual_seed
    image, unit = (2, 2, 2), {"base": lambda dtype, shape: UniformBox(shape)}
    beta = {"base": lambda dtype, shape: Beta(torch.full(shape, 2.0, dtype=dtype), torch.full(shape, 3.0, dtype=dtype))}
    partitions: dict[str, Callable[[], Partition]] = {
        "half": lambda: half(3),
        "odd/even": lambda: odd_even(3),
        "random half": lambda: random_half(4, seeded(3)),
        "checkerboard": lambda: Checkerboard(image),
        "channel-wise": lambda: Channelwise(image),
    }
    entries = []
    for name, make in partitions.items():
        shape = make().event_shape
        golden = name == "half"
        entries.append(of(f"coupling, {name}", shape, lambda make=make: _coupling(make()), smooth=True, golden=golden))
        complement = lambda make=make: _coupling(make().complement())  # noqa: E731
        entries.append(of(f"coupling, {name}, complement", shape, complement, smooth=True))
    return [
        *entries,
        of("coupling, after batch norm", (3,), lambda: _coupling(half(3), after=BatchNorm((2,)))),
        of("coupling, after activation norm", image, lambda: _coupling(Checkerboard(image), after=ActNorm((2, 2)))),
        of("coupling, additive", (4,), lambda: _coupling(half(4), Additive())),
        of("coupling, context", (3,), lambda: _coupling(half(3), context=2), context=(2,)),
        of("elementwise, image", image, lambda: Elementwise(Affine(SigmoidScale()), image)),
        of(
            "elementwise, context",
            (3,),
            lambda: Elementwise(Affine(TanhScale()), (3,), _ContextNet(2, 6)),
            context=(2,),
        ),
        of("permutation, reverse", (4,), lambda: reverse((4,))),
        of("permutation, random", image, lambda: random_permutation(image, seeded(1))),
        of("permutation, given", (3,), lambda: Permutation((3,), (2, 0, 1))),
        of("batch norm", (3,), lambda: BatchNorm((3,)), golden=True),
        of("batch norm, image, plain average", image, lambda: BatchNorm(image, momentum=None)),
        of("batch norm, lagged", (1,), lambda: BatchNorm((1,), lag=True)),
        of("activation norm", (3,), lambda: ActNorm((3,)), smooth=True),
        of("activation norm, image", image, lambda: ActNorm(image)),
        of("standardise", (2,), lambda: Standardise((2,)), smooth=True),
        of("standardise, image", image, lambda: Standardise(image)),
        of("squeeze", (2, 2, 2), lambda: Squeeze((2, 2, 2)), golden=True),
        of("squeeze, ordered", (3, 4, 6), lambda: Squeeze((3, 4, 6), ordered=True), golden=True),
        of("multi-scale", (1, 4, 4), _multi_scale),
        of("multi-scale, one scale", (1, 2, 2), lambda: MultiScale([_coupling(Checkerboard((1, 2, 2)))])),
        of("dequantise", (2,), lambda: Dequantize((2,), 4), **beta, golden=True),
        of("dequantise, image", (1, 4, 4), lambda: Dequantize((1, 4, 4), 256), **unit),
        of("dequantise, logit", (2,), lambda: Chain([Dequantize((2,), 5), Logit((2,))]), golden=True),
        of("logit", (2,), lambda: Logit((2,)), smooth=True, golden=True),
        of("logit, alpha 0", (1,), lambda: Logit((1,), 0.0), smooth=True, golden=True),
        of("flatten", (1, 2, 2), lambda: Flatten((1, 2, 2))),
        of("identity", (), lambda: Identity(())),
        of("chain", (4,), lambda: _vector_chain(4)),
        of("inverse of a coupling", (3,), lambda: Inverse(_coupling(half(3)))),
        of("inverse of a chain", (4,), lambda: Inverse(_vector_chain(4))),
        of(
            "inverse of a logit",
            (2,),
            lambda: Inverse(Logit((2,))),
            base=lambda dtype, shape: UniformBox(shape, Logit((2,)).domain.low, Logit((2,)).domain.high),
        ),
    ]


class _ContextNet(nn.Module):
    """What `Elementwise` calls: parameters from the context alone."""

    def __init__(self, context: int, outputs: int) -> None:
        super().__init__()
        self.net = MLP(0, outputs, (8,), context, activation="tanh")

    def forward(self, context: Tensor) -> Tensor:
        out: Tensor = self.net(context[:, :0], context)
        return out


def _base_entries() -> list[Entry]:
    def of(name: str, event_shape: Shape, make: Callable[[torch.dtype], nn.Module], **more: Any) -> Entry:
        return Entry(f"base: {name}", "base", make, event_shape, **more)

    def torch_base(name: str, event_shape: Shape, make: Callable[[torch.dtype], Distribution], **more: Any) -> Entry:
        skips = {"i": Reason.FROM_TORCH}
        return of(f"torch, {name}", event_shape, lambda dtype: TorchBase(make(dtype)), skips=skips, **more)

    def two(value: float, dtype: torch.dtype) -> Tensor:
        return torch.tensor([value, 1.5 * value], dtype=dtype)

    def covariance(dtype: torch.dtype) -> Tensor:
        return torch.tensor([[2.0, 0.6, 0.0], [0.6, 1.0, -0.3], [0.0, -0.3, 0.5]], dtype=dtype)

    return [
        of("normal", (3,), lambda dtype: StandardNormal((3,)), golden=True),
        of("normal, one number", (), lambda dtype: StandardNormal(()), golden=True),
        of("logistic", (2,), lambda dtype: StandardLogistic((2,)), golden=True),
        of("uniform", (2,), lambda dtype: UniformBox((2,), -1.0, 2.0)),
        torch_base("laplace", (2,), lambda d: Laplace(two(0.2, d), two(1.0, d))),
        torch_base("gamma", (2,), lambda d: Gamma(two(2.0, d), two(1.0, d))),
        torch_base("beta", (2,), lambda d: Beta(two(2.0, d), two(3.0, d))),
        torch_base("log-normal", (1,), lambda d: LogNormal(two(0.1, d)[:1], two(0.5, d)[:1])),
        torch_base("student t", (2,), lambda d: StudentT(two(3.0, d))),
        torch_base("multivariate normal", (3,), lambda d: MultivariateNormal(two(0.0, d)[:1].expand(3), covariance(d))),
        torch_base("mixture", (2,), _mixture),
    ]


def _flow_entries() -> list[Entry]:
    def of(name: str, event_shape: Shape, make: Callable[[torch.dtype], Flow], **more: Any) -> Entry:
        return Entry(f"flow: {name}", "flow", make, event_shape, **more)

    def vector(name: str, features: int = 2, flow: str = "real_nvp", **options: Any) -> Entry:
        context, classes = options.pop("context", 0), options.pop("classes", 0)
        options = {"transforms": 4, "hidden": (16, 16), **options}
        seen = "labels" if classes else (context,) if context else None
        return of(f"{flow}, {name}", (features,), _flow(flow, (features,), context, classes, **options), context=seen)

    def image(name: str, shape: Shape, classes: int = 0, **options: Any) -> Entry:
        options = {"channels": 4, "blocks": 1, **options}
        seen: Literal["labels"] | None = "labels" if classes else None
        return of(f"real_nvp, {name}", shape, _flow("real_nvp", shape, 0, classes, **options), context=seen)

    norms = ("batch", "lagged-batch", "activation")
    return [
        vector("2 features"),
        vector("1 feature", 1, activation="tanh"),
        vector("5 features, context", 5, context=2),
        vector("3 features, labels", 3, classes=LABELS),
        vector("64 features", 64),
        *(vector(f"partition {partition}", 3, partition=partition) for partition in ("half", "odd-even")),
        *(vector(f"norm {norm}", norm=norm) for norm in norms),
        # Glow's scales are below 1: alone they only contract, and cannot give a density above the base's highest.
        vector("log-scale sigmoid, norm activation", log_scale="sigmoid", norm="activation"),
        vector("log-scale soft-clamp", log_scale="soft-clamp"),
        vector("logistic base, silu", base="logistic", activation="silu"),
        vector("not standardised, dropout", standardise=False, dropout=0.2),
        vector("levels", levels=4),
        image("image 2 x 2", (1, 2, 2)),
        image("image 2 x 2 x 2, norm none", (2, 2, 2), norm="none", net_norm="none"),
        image("image 8 x 8, levels", (1, 8, 8), levels=17),
        image("image 8 x 8, labels", (1, 8, 8), LABELS, levels=17),
        image("image 3 x 4 x 4, one scale", (3, 4, 4)),
        image("image 2 x 6 x 10", (2, 6, 10), levels=256),
        image("image 5 x 7, no squeeze", (1, 5, 7)),
        *(image(f"image, norm {norm}", (1, 4, 4), scales=2, norm=norm) for norm in ("lagged-batch", "activation")),
        *(image(f"image, net norm {norm}", (1, 4, 4), scales=2, net_norm=norm) for norm in ("instance", "none")),
        *(image(f"image, log-scale {s}", (1, 4, 4), scales=2, log_scale=s) for s in ("sigmoid", "soft-clamp")),
        vector("2 features", flow="nice"),
        vector("1 feature", 1, flow="nice", base="normal"),
        vector("5 features, context", 5, flow="nice", context=2, base="normal"),
        vector("64 features", 64, flow="nice"),
        of(
            "nice, image, levels",
            (1, 4, 4),
            _flow("nice", (1, 4, 4), classes=LABELS, levels=17, hidden=(16,)),
            context="labels",
        ),
        of("known Gaussian", (2,), _gaussian, truth=_gaussian_truth, golden=True),
        of(
            "known mixture",
            (2,),
            lambda d: _standardised(_mixture(d), 3.0, 2.0, 2),
            truth=_mixture_truth,
        ),
        of("known box", (1,), lambda d: _standardised(UniformBox((1,)), -3.0, 8.0, 1), truth=_box_truth, golden=True),
        of(
            "known heavy tail",
            (2,),
            lambda d: _standardised(StudentT(torch.full((2,), 3.0, dtype=d)), -1.0, 0.5, 2),
            truth=_student_truth,
        ),
    ]


ENTRIES: tuple[Entry, ...] = (*_map_entries(), *_transform_entries(), *_base_entries(), *_flow_entries())
BY_NAME: dict[str, Entry] = {entry.name: entry for entry in ENTRIES}
assert len(BY_NAME) == len(ENTRIES), "two entries have the same name"
