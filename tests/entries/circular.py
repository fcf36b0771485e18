"""Structure: products and shapes; positive numbers and angles; the flow on circles."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.distributions import LogNormal

from entry import LABELS, Entry, flow_entry, transform_entry
from pushforward.bases import Base, ProductBase, StandardNormal, VonMises
from pushforward.domain import CIRCLE
from pushforward.events import Shape
from pushforward.flow import Flow
from pushforward.maps import Affine, RationalQuadraticSpline, TanhScale
from pushforward.nets import MLP
from pushforward.nets.circular import CircularFeatures, circular_inputs
from pushforward.transforms import (
    Angles,
    Bounds,
    Coupling,
    Elementwise,
    Identity,
    InverseSoftplus,
    Log,
    Logit,
    LULinear,
    Permutation,
    Product,
    Standardise,
)
from pushforward.transforms.base import Chain, Inverse
from pushforward.transforms.partition import VectorPartition, half


def _von_mises(dtype: torch.dtype, shape: Shape) -> Base:
    # Not uniform: under a uniform density a rotation has nothing to learn.
    return VonMises(shape)


def _log_normal(dtype: torch.dtype, shape: Shape) -> LogNormal:
    return LogNormal(torch.zeros(shape, dtype=dtype), torch.ones(shape, dtype=dtype))


def _known_torus() -> Flow:
    """Degrees (a, b): a von Mises about 30; b, turned by 40 + 45 cos a degrees, von Mises about 0."""
    partition = half(2)
    map = RationalQuadraticSpline(2, tails="circular")
    net = MLP(circular_inputs(1, 1), map.n_params, (2,))
    base = VonMises((2,))
    with torch.no_grad():
        # relu(h) - relu(-h) = h, of the cosine; the rotation is the last parameter.
        net.layers[0].weight.copy_(torch.tensor([[1.0, 0.0], [-1.0, 0.0]]))  # type: ignore[operator]
        net.layers[0].bias.zero_()  # type: ignore[operator]
        net.last.weight[-1] = torch.tensor([math.pi / 4, -math.pi / 4])
        net.last.bias[-1] = math.radians(40)
        base.location[0] = math.radians(30) - math.pi
        base.raw_concentration.copy_(torch.tensor([2.0, 4.0]).expm1().log())
    coupling = Coupling(partition, map, CircularFeatures(1, [0], net))
    return Flow(base, Chain([Angles((2,), 0.0, 360.0), coupling]))


def _torus_truth(n: int, seed: int) -> Tensor:
    rng = np.random.default_rng(seed)
    # Degrees 0..360 become angles by turning half a circle: -pi stands for 0.
    first = rng.vonmises(np.radians(30), 2.0, n)
    second = rng.vonmises(0.0, 4.0, n) + np.pi - np.radians(40) - np.pi / 4 * np.cos(first - np.pi)
    return torch.from_numpy(np.degrees(np.stack([first, second], 1)) % 360)


def _bounds() -> Bounds:
    """An interval, two half-lines and a real coordinate."""
    infinite = math.inf
    return Bounds([-1.0, 0.0, -infinite, -infinite], [3.0, infinite, 2.0, infinite])


def _side_by_side() -> Product:
    """An angle in degrees, two real numbers, one of an interval and one positive, in mixed order."""
    parts = [
        Chain([Angles((1,), 0.0, 360.0), Elementwise(RationalQuadraticSpline(2, tails="circular"), (1,))]),
        Chain([Standardise((2,)), LULinear(2)]),
        Logit((1,), 0.0),
        Log((1,)),
    ]
    return Product(parts, [(3,), (0, 4), (2,), (1,)])


def _side_by_side_base(dtype: torch.dtype, shape: Shape) -> Base:
    return ProductBase([VonMises((1,)), StandardNormal((4,))], [(3,), (0, 1, 2, 4)])


def _mixed_coupling() -> Coupling:
    """Changes one real coordinate, given an angle and another real one."""
    transform = _side_by_side_domain()
    map = Affine(TanhScale())
    net = CircularFeatures(2, [1], MLP(circular_inputs(2, 1), map.n_params, (8,), activation="tanh"))
    return Coupling(VectorPartition(3, (1,)), map, net, domain=transform)


def _side_by_side_domain() -> Any:
    return Product([Identity((1,)), Identity((1,), CIRCLE), Identity((1,))], [(0,), (2,), (1,)]).domain


def _mixed_base(dtype: torch.dtype, shape: Shape) -> Base:
    return ProductBase([StandardNormal((2,)), VonMises((1,))])


def entries() -> list[Entry]:
    def circular(name: str, features: int = 2, **options: Any) -> Entry:
        context, classes = options.pop("context", 0), options.pop("classes", 0)
        small = {"transforms": 2, "hidden": (12,), "bins": 3, "activation": "tanh", **options}
        return flow_entry("circular_nsf", name, (features,), context, classes, **small)

    return [
        transform_entry("product, blocks", (4,), lambda: Product([Permutation((2,), (1, 0)), Standardise((2,))])),
        transform_entry("product, side by side", (5,), _side_by_side, base=_side_by_side_base),
        transform_entry("logarithm", (2,), lambda: Log((2,), -1.0), smooth=True, golden=True),
        transform_entry("inverse softplus", (2,), lambda: InverseSoftplus((2,)), smooth=True, golden=True),
        transform_entry("bounds", (4,), _bounds, smooth=True, golden=True),
        transform_entry("inverse of a logarithm", (1,), lambda: Inverse(Log((1,))), base=_log_normal),
        transform_entry("angles", (2,), lambda: Angles((2,), 0.0, 24.0), base=_von_mises, golden=True),
        transform_entry("coupling, mixed domain", (3,), _mixed_coupling, base=_mixed_base, smooth=True),
        Entry("flow: known torus", "flow", lambda dtype: _known_torus(), (2,), truth=_torus_truth, golden=True),
        circular("torus", 3, transforms=1),
        circular("1 angle, context", 1, transforms=1, low=0.0, high=24.0, context=2),
        circular("1 angle, wrapped", 1, transforms=1, low=0.0, high=24.0, wrap=True),
        circular("angle and 1 real", 2, transforms=1, circular=(0,)),
        circular(
            "2 periods and 3 real, labels",
            5,
            circular=(2, 0),
            low=(0.0, -180.0),
            high=(24.0, 180.0),
            classes=LABELS,
            standardise=False,
            dropout=0.2,
        ),
        circular("64 features", 64, circular=tuple(range(0, 64, 2))),
    ]
