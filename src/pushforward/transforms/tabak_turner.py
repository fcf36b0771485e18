"""Blocks of small local expansions and contractions of the latent space, each raising the likelihood a little.

Sources: Tabak & Vanden-Eijnden, "Density estimation by dual ascent of the log-likelihood", 2010; Tabak & Turner, "A
family of nonparametric density estimation algorithms", 2013.
"""

from __future__ import annotations

import math
from typing import Literal, TypeAlias, get_args

import torch
from torch import Tensor, nn

from pushforward.channel_moments import channel_moments
from pushforward.errors import OptionError
from pushforward.events import zero_log_term
from pushforward.option_checks import at_least_one
from pushforward.precision import full_precision, in_float64
from pushforward.transforms.greedy import GreedyTransform
from pushforward.transforms.reflections import householder, reflections

LocalMapShape: TypeAlias = Literal["radial", "marginal"]
# Upper limit of distances in radii: a local map is the identity there, and powers of larger ones would overflow.
_FURTHEST = 1e7
# Largest amplitude of a map, which is the log of its expansion at the centre.
_LARGEST = 1.0
# Number of candidate centres of a radial map, or of each coordinate of a marginal one.
_CANDIDATES = {"radial": 16, "marginal": 6}
# Smallest gain of a map, in nats of the total log-likelihood of the rows.
_LEAST_GAIN = 3.0
# Number of rows on which candidates are compared; the amplitude of the chosen one is fitted on all rows.
_ROWS = 2000
# Smallest number and largest fraction of the rows within a candidate's radius.
_FEWEST_ROWS, _LARGEST_PART = 20, 0.5
_HALVINGS = 6


class LocalMaps(GreedyTransform):
    """A composition of ``maps`` local maps, each ``z + f(r) (z - z0)`` with ``r = |z - z0|``.

    With ``v = (r / radius)^p`` the map takes ``v`` to ``v (v + b) / (v + 1)``: at the centre it expands by ``b^(1/p)``,
    and far away it is the identity. It increases in ``r`` for every ``b = exp(amplitude)`` and is inverted by solving a
    quadratic; ``p`` is 2, or 4 from 3 dimensions on, where it has to fall off faster to be local. The log term is
    ``(D - p) / p log(1 + (b - 1) w) + log(1 + (b - 1) w^2)`` with ``w = 1 / (1 + v)``.

    shape: ``radial``, in all coordinates at once; ``marginal``, in each coordinate by itself after a random rotation.
    context_dim: the amplitude then also decreases with the distance of the context from the map's own centre among
    contexts, as ``1 / (1 + distance^2)``, so that a map is local in the latent and in the context.

    Centres are drawn from the latents and from a normal; the candidate with the largest predicted gain is chosen. The
    radius of each is the distance to a random number of neighbours. The amplitude follows from the gradient and second
    derivative of the log-likelihood of the rows. It is bounded, and halved until the likelihood rises, as in Tabak &
    Turner. The form of ``f`` is not from them: it has an inverse in closed form and is smooth at the centre.

    >>> import torch
    >>> from pushforward.transforms import LocalMaps
    >>> LocalMaps(2, maps=3).to_latent(torch.randn(4, 2))[0].shape
    torch.Size([4, 2])
    """

    def __init__(self, features: int, maps: int = 50, shape: LocalMapShape = "radial", context_dim: int = 0) -> None:
        super().__init__(features)
        if shape not in get_args(LocalMapShape):
            raise OptionError(f"shape {shape!r} of local maps is not known; expected radial or marginal")
        self.maps, self.shape, self.context_dim = at_least_one(maps, "maps"), shape, context_dim
        # A radial map moves one group of all coordinates, marginal maps move as many groups of one.
        groups = 1 if shape == "radial" else features
        self.size = features // groups
        self.power = 2 if self.size <= 2 else 4
        self.centre = nn.Buffer(torch.zeros(maps, features))
        self.radius = nn.Buffer(torch.ones(maps, groups))
        self.amplitude = nn.Buffer(torch.zeros(maps, groups))
        self.place = nn.Buffer(torch.zeros(maps, context_dim))
        self.reach = nn.Buffer(torch.ones(maps, context_dim))
        self.packed = nn.Buffer(torch.zeros(maps, features, features)) if shape == "marginal" else None

    def extra_repr(self) -> str:
        return f"maps={self.maps}, {self.shape}"

    def run(self, v: Tensor, context: Tensor | None, back: bool) -> tuple[Tensor, Tensor]:
        log_term = zero_log_term(v)
        with full_precision(v):
            v = v.to(self.centre.dtype)
            frames = None if self.packed is None else householder(self.packed)
            for i in reversed(range(self.maps)) if back else range(self.maps):
                v, term = self._one(i, v, context, None if frames is None else frames[i], back)
                log_term = log_term + term
        return v, log_term

    def _one(
        self, i: int, z: Tensor, context: Tensor | None, frame: Tensor | None, back: bool
    ) -> tuple[Tensor, Tensor]:
        """Map ``i``, or its inverse."""
        amplitude = self.amplitude[i]
        if self.context_dim and context is not None:
            amplitude = amplitude * context_kernel(context.to(z.dtype), self.place[i], self.reach[i])
        turned = z if frame is None else z @ frame
        offset = turned - self.centre[i]
        ratio, log_term = expansion(offset / self.radius[i], amplitude, self.size, self.power, back)
        moved = offset * ratio
        return z + (moved if frame is None else moved @ frame.T), log_term.sum(1)

    def fit_layer(self, z: Tensor, context: Tensor | None, generator: torch.Generator) -> None:
        z = in_float64(z)
        context = in_float64(context) if self.context_dim and context is not None else None
        for i in range(self.maps):
            frame = None
            if self.packed is not None:
                axes = torch.linalg.qr(torch.randn(self.features, self.features, generator=generator).double()).Q
                self.packed[i].copy_(reflections(axes))
                frame = householder(in_float64(self.packed[i]))
            self._choose(i, z if frame is None else z @ frame, context, generator)
            z = self._moved(i, z, context, frame)

    def _moved(self, i: int, z: Tensor, context: Tensor | None, frame: Tensor | None) -> Tensor:
        """The rows after the stored map ``i``, in float64."""
        near = 1.0 if context is None else context_kernel(context, in_float64(self.place[i]), in_float64(self.reach[i]))
        offset = (z if frame is None else z @ frame) - in_float64(self.centre[i])
        ratio, _ = expansion(
            offset / in_float64(self.radius[i]), in_float64(self.amplitude[i]) * near, self.size, self.power, False
        )
        moved = offset * ratio
        return z + (moved if frame is None else moved @ frame.T)

    def _choose(self, i: int, z: Tensor, context: Tensor | None, generator: torch.Generator) -> None:
        """Store the best of some candidates as map ``i``; with amplitude 0 where no candidate gains enough."""
        rows = torch.randperm(len(z), generator=generator)[:_ROWS].to(z.device)
        some, nearby = z[rows], None if context is None else context[rows]
        count = _CANDIDATES[self.shape]
        centre_rows = rows[torch.randint(len(rows), (count,), generator=generator).to(z.device)]
        normal = torch.randn(count // 2, self.features, dtype=torch.float64, generator=generator)
        centres = torch.cat([normal.to(z.device), z[centre_rows][count // 2 :]])
        places = None if context is None else context[centre_rows]
        spread = None if context is None else channel_moments(context)[1]
        square = _squares(some, centres, self.size)
        apart = square
        if nearby is not None and places is not None and spread is not None:
            apart = square + torch.cdist(places / spread, nearby / spread).square()[..., None]
        radius = _radii(apart, generator)
        reach = None if spread is None else radius.amin(1, keepdim=True) * spread
        near = torch.ones_like(square)
        if nearby is not None and places is not None and reach is not None:
            near = torch.stack([context_kernel(nearby, *pair) for pair in zip(places, reach, strict=True)])
        first, second = derivatives(some, centres, radius, near, square, self.size, self.power)
        step = torch.where(second < 0, -first / second, first.sign() * _LARGEST).clamp(-_LARGEST, _LARGEST)
        predicted = len(z) * (first * step + 0.5 * second * step.square())
        # Where even the predicted gain is too small, no amplitude is tried.
        step = torch.where(predicted >= _LEAST_GAIN, step, 0.0)
        best = predicted.argmax(0)
        groups = torch.arange(best.numel(), device=z.device)
        columns = best.repeat_interleave(self.size)
        self.centre[i].copy_(centres[columns, torch.arange(self.features, device=z.device)])
        self.radius[i].copy_(radius[best, groups])
        if places is not None and reach is not None:
            # All coordinates of a row share its context, so that one centre serves all of them.
            self.place[i].copy_(places[best[0]])
            self.reach[i].copy_(reach[best[0]])
        self.amplitude[i].copy_(self._amplitude(i, z, context, step[best, groups]))

    def _amplitude(self, i: int, z: Tensor, context: Tensor | None, step: Tensor) -> Tensor:
        """``step``, halved until it raises the log-likelihood of all rows; 0 where it never does by enough."""
        centre, radius = in_float64(self.centre[i]), in_float64(self.radius[i])
        near = 1.0 if context is None else context_kernel(context, in_float64(self.place[i]), in_float64(self.reach[i]))
        offset = z - centre
        before = z.square().unflatten(1, (-1, self.size)).sum(2)
        accepted = torch.zeros_like(step)
        for _ in range(_HALVINGS):
            if not bool(((accepted == 0) & (step != 0)).any()):
                break
            # In the precision of the flow, which stores the amplitude.
            step = step.to(self.amplitude.dtype).to(z.dtype)
            ratio, log_term = expansion(offset / radius, step * near, self.size, self.power, False)
            after = (z + offset * ratio).square().unflatten(1, (-1, self.size)).sum(2)
            gain = (log_term + 0.5 * (before - after)).sum(0)
            accepted = torch.where((accepted == 0) & (gain >= _LEAST_GAIN), step, accepted)
            step = step / 2
        return accepted


def expansion(offset: Tensor, amplitude: Tensor, size: int, power: int, back: bool) -> tuple[Tensor, Tensor]:
    """The displacement away from the centre as a fraction of the distance from it, (B, D), and the log terms.

    offset: (B, D), from the centre, in radii; coordinates in groups of ``size``, which move together. amplitude:
    (groups,) or (B, groups), the log of ``b``. Log terms are (B, groups). back: the inverse.
    """
    offset = offset.clamp(-_FURTHEST, _FURTHEST)
    v = offset.square() if size == 1 else offset.square().unflatten(1, (-1, size)).sum(2)
    v = (v * v if power == 4 else v).clamp(max=_FURTHEST**2)
    grown = amplitude.expm1()
    if back:
        v = _solved(v, grown + 1)
    near = 1 / (1 + v)
    log_ratio = (grown * near).log1p() / power
    log_term = (size - power) * log_ratio + (grown * near * near).log1p()
    log_ratio, log_term = (-log_ratio, -log_term) if back else (log_ratio, log_term)
    ratio = log_ratio.expm1()
    return ratio if size == 1 else ratio.repeat_interleave(size, 1), log_term


def _solved(moved: Tensor, b: Tensor) -> Tensor:
    """The ``v >= 0`` with ``v (v + b) / (v + 1) = moved``: a root of ``v^2 + (b - moved) v - moved``, without
    cancellation."""
    gap = b - moved
    root = gap.abs() + (gap * gap + 4 * moved).sqrt()
    low = gap >= 0
    return torch.where(low, 2 * moved, root) / torch.where(low, root, 2.0)


def context_kernel(context: Tensor, place: Tensor, reach: Tensor) -> Tensor:
    """The weight in (0, 1] of a map's amplitude at each context ``(B, C)``: (B, 1), 1 at the map's centre."""
    away = ((context - place) / reach).clamp(-_FURTHEST, _FURTHEST)
    return 1 / (1 + away.square().sum(1, keepdim=True))


def derivatives(
    z: Tensor, centres: Tensor, radius: Tensor, near: Tensor, square: Tensor, size: int, power: int
) -> tuple[Tensor, Tensor]:
    """First and second derivative of the mean log-likelihood in the amplitude at 0, each (candidates, groups).

    z: (B, D); centres: (C, D); radius: (C, groups); near: (C, B, 1 or groups), the weights of the amplitude; square:
    (C, B, groups), squared distances.
    """
    v = square / radius[:, None].square()
    w = 1 / (1 + (v * v if power == 4 else v))
    # z . (z - z0), by groups.
    along = _products(z, centres, size)
    rest = (size - power) / power
    first = rest * w + w * w - along * w / power
    bend = square / power**2 + along * (1 - power) / power**2
    second = first - (rest + w * w + bend) * w * w
    return (near * first).mean(1), (near * near * second).mean(1)


def _squares(z: Tensor, centres: Tensor, size: int) -> Tensor:
    """Squared distances (C, B, groups) of rows from centres."""
    if size == z.shape[1]:
        return torch.cdist(centres, z).square()[..., None]
    return (z - centres[:, None]).square()


def _products(z: Tensor, centres: Tensor, size: int) -> Tensor:
    """``z . (z - centre)``: (C, B, groups)."""
    if size == z.shape[1]:
        return (z.square().sum(1) - centres @ z.T)[..., None]
    return z * (z - centres[:, None])


def _radii(square: Tensor, generator: torch.Generator) -> Tensor:
    """For each candidate the distance to a random number of neighbours, of all sizes: (C, groups)."""
    count = square.shape[1]
    fewest, most = min(_FEWEST_ROWS, count), max(1, math.floor(_LARGEST_PART * count))
    fractions = torch.rand(len(square), dtype=torch.float64, generator=generator)
    neighbours = (math.log(fewest) + (math.log(max(most, fewest)) - math.log(fewest)) * fractions).exp().long()
    ordered = square.sort(1).values
    index = neighbours.clamp(1, count).to(square.device)[:, None, None] - 1
    distances = ordered.gather(1, index.expand(-1, 1, square.shape[2]))[:, 0]
    return distances.sqrt().clamp(min=1e-3)
