"""Four test energies in the plane: a ring with two modes, a wave, and two waves that split in two.

Source: Rezende & Mohamed, "Variational Inference with Normalizing Flows", 2015, table 1. All but the first extend along
an endless wave, so that their densities have no integral. Here they are restricted to the box (-4, 4) x (-4, 4) of the
paper's figures. The box is part of the target: outside, the density is 0.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torch.distributions import Uniform

from pushforward.errors import OptionError, ShapeError
from pushforward.flow import Flow
from pushforward.maps import DistributionCDF
from pushforward.support import zero_outside
from pushforward.transforms import Chain, Elementwise, Logit

# Each coordinate has its absolute value below this.
EDGE = 4.0
# Gauss-Legendre quadrature: points in each panel of an axis. A panel border at the origin avoids the only kink of the
# first energy.
_PANELS, _POINTS = 32, 16


def _ring(z: Tensor) -> Tensor:
    first = z[:, 0]
    distance = torch.linalg.vector_norm(z, dim=1)
    sides = torch.logaddexp(-0.5 * ((first - 2) / 0.6).square(), -0.5 * ((first + 2) / 0.6).square())
    energy: Tensor = 0.5 * ((distance - 2) / 0.4).square() - sides
    return energy


def _wave(z: Tensor) -> Tensor:
    return 0.5 * ((z[:, 1] - _w1(z)) / 0.4).square()


def _split_wave(z: Tensor) -> Tensor:
    above = z[:, 1] - _w1(z)
    second = 3 * (-0.5 * ((z[:, 0] - 1) / 0.6).square()).exp()
    return -torch.logaddexp(-0.5 * (above / 0.35).square(), -0.5 * ((above + second) / 0.35).square())


def _forked_wave(z: Tensor) -> Tensor:
    above = z[:, 1] - _w1(z)
    third = 3 * ((z[:, 0] - 1) / 0.3).sigmoid()
    return -torch.logaddexp(-0.5 * (above / 0.4).square(), -0.5 * ((above + third) / 0.35).square())


def _w1(z: Tensor) -> Tensor:
    return (2 * math.pi * z[:, 0] / 4).sin()


ENERGIES: dict[str, Callable[[Tensor], Tensor]] = {
    "U1": _ring,
    "U2": _wave,
    "U3": _split_wave,
    "U4": _forked_wave,
}


def log_density(name: str) -> Callable[[Tensor], Tensor]:
    """``-U(z)`` in the box and -inf outside, for ``z: (B, 2)``: the unnormalised log-density of the energy ``name``.

    >>> import torch
    >>> from pushforward.inference import energies
    >>> energies.log_density("U1")(torch.zeros(3, 2)).shape
    torch.Size([3])
    """
    energy = _named(name)

    def value(z: Tensor) -> Tensor:
        return zero_outside((z.abs() <= EDGE).all(1), -energy(z), z.sum(1))

    return value


@functools.cache
def log_normaliser(name: str) -> float:
    """The log of the integral of the density over the box, by quadrature; accurate to 1e-8.

    >>> from pushforward.inference import energies
    >>> round(energies.log_normaliser("U1"), 2)
    1.88
    """
    energy = _named(name)
    points, weights = (torch.from_numpy(a) for a in np.polynomial.legendre.leggauss(_POINTS))
    width = 2 * EDGE / _PANELS
    starts = torch.arange(_PANELS, dtype=torch.float64) * width - EDGE
    axis = (starts[:, None] + width * (points + 1) / 2).reshape(-1)
    lengths = (width * weights / 2).repeat(_PANELS)
    z = torch.cartesian_prod(axis, axis)
    return float(torch.logsumexp(-energy(z) + torch.cartesian_prod(lengths, lengths).log().sum(1), 0))


def on_box(flow: Flow) -> Flow:
    """``flow`` followed by a map from the plane onto the box; it shares the weights of ``flow``.

    If ``flow`` is the identity with a logistic base, the result is the uniform distribution on the box. Raises
    ShapeError for another event shape.

    >>> from pushforward import flows
    >>> from pushforward.inference import energies
    >>> flow = energies.on_box(flows.build("nice", event_shape=(2,), hidden=(8,), base="logistic"))
    >>> flow.sample(5).shape
    torch.Size([5, 2])
    """
    if flow.event_shape != (2,):
        raise ShapeError(f"the energies have two coordinates: event_shape (2,) expected, got {flow.event_shape}")
    low, high = (torch.tensor(end, dtype=flow.dtype, device=flow.device) for end in (-EDGE, EDGE))
    to_unit = Elementwise(DistributionCDF(Uniform(low, high)), (2,))
    chain = Chain([to_unit, Logit((2,), alpha=0.0), flow.transform])
    boxed = flow.with_transform(chain)
    return boxed.to(dtype=flow.dtype, device=flow.device).train(flow.training)


def _named(name: str) -> Callable[[Tensor], Tensor]:
    if name not in ENERGIES:
        raise OptionError(f"energy {name!r} is not known; expected one of {', '.join(ENERGIES)}")
    return ENERGIES[name]
