"""Whether a flow's latents and samples follow the laws they should: quantiles, distances, PIT, coverage."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch

from pushforward.array_types import Array
from pushforward.bases import Base, StandardLogistic, StandardNormal, UniformBox
from pushforward.evaluation.scores import Part, contexts, draw, score
from pushforward.flow import Flow

_DRAWS = 20_000
_LEVELS = (0.5, 0.8, 0.95)


@dataclass(frozen=True)
class LatentFit:
    """Held-out latents against the flow's own base.

    name: of the base. levels: (Q,) probabilities of the quantiles. expected: of one coordinate, (Q,), or (K, Q) where
    coordinates have laws of their own. found: (K, Q) of the coordinates numbered ``shown: (K,)``. means, deviations,
    distances (Kolmogorov-Smirnov): (D,) of all coordinates. norm_expected, norm_found: (Q,) of ``|z|^2``.
    norm_distance: Kolmogorov-Smirnov, of ``|z|^2``. exact: whether laws are formulas, or 20,000 draws from the base.
    rows: used; dropped: left out because they are not finite.
    """

    name: str
    exact: bool
    levels: Array
    expected: Array
    found: Array
    shown: Array
    means: Array
    deviations: Array
    distances: Array
    norm_expected: Array
    norm_found: Array
    norm_distance: float
    rows: int
    dropped: int


def latent_fit(base: Base, z: Array, seed: int, most: int = 64) -> LatentFit | None:
    """Compare latents ``z: (N, *latent)`` with ``base``; None where no row is finite, or where each row has a
    base of its own. most: coordinates to show."""
    z = z.reshape(len(z), -1)
    finite = np.isfinite(z).all(1)
    dropped, z = int((~finite).sum()), z[finite]
    if len(z) == 0 or base.conditional:
        return None
    levels = (np.arange(1, 100) if len(z) >= 100 else np.arange(1, 20) * 5) / 100
    shown = np.unique(np.linspace(0, z.shape[1] - 1, min(most, z.shape[1])).astype(int))
    law = _Law(base, z.shape[1], seed)
    norms = np.square(z).sum(1)
    norm_expected, norm_shares = law.norm(levels, norms)
    return LatentFit(
        name=law.name,
        exact=law.exact,
        levels=levels,
        expected=law.quantiles(levels, shown),
        found=np.quantile(z[:, shown], levels, axis=0).T,
        shown=shown,
        means=z.mean(0),
        deviations=z.std(0),
        distances=np.array([kolmogorov(law.share(z[:, i], i)) for i in range(z.shape[1])]),
        norm_expected=norm_expected,
        norm_found=np.quantile(norms, levels),
        norm_distance=kolmogorov(norm_shares),
        rows=len(z),
        dropped=dropped,
    )


class _Law:
    """The law of a base's coordinates and of its squared norm: by formula for the known ones, else by drawing."""

    def __init__(self, base: Base, dimensions: int, seed: int) -> None:
        self.base, self.dimensions = base, dimensions
        self.exact = isinstance(base, StandardNormal | StandardLogistic | UniformBox)
        names = {StandardNormal: "standard normal", StandardLogistic: "standard logistic", UniformBox: "uniform"}
        distribution = getattr(base, "distribution", base)
        self.name = names.get(type(base), type(distribution).__name__)
        self._draws: Array | None = None
        if not isinstance(base, StandardNormal):
            # Coordinates of the named bases are drawn too: their squared norm has no simple law.
            rows = min(_DRAWS, max(1000, 40_000_000 // dimensions))
            generator = torch.Generator().manual_seed(seed)
            with torch.no_grad():
                drawn = base.sample(rows, generator=generator, dtype=torch.float64)
            self._draws = np.sort(drawn.reshape(rows, -1).numpy(), 0) if not self.exact else None
            self._norms = np.sort(drawn.reshape(rows, -1).square().sum(1).numpy())

    def quantiles(self, levels: Array, shown: Array) -> Array:
        """Quantiles (Q,) of any coordinate, or (K, Q) of those numbered ``shown``."""
        if self._draws is not None:
            return np.quantile(self._draws[:, shown], levels, axis=0).T
        if isinstance(self.base, StandardNormal):
            return np.asarray(torch.special.ndtri(torch.as_tensor(levels)).numpy())
        if isinstance(self.base, UniformBox):
            return self.base.low + (self.base.high - self.base.low) * levels
        return np.asarray(np.log(levels) - np.log1p(-levels))

    def share(self, z: Array, coordinate: int) -> Array:
        """The law's distribution function at values ``z: (N,)`` of one coordinate."""
        if self._draws is not None:
            return np.searchsorted(self._draws[:, coordinate], z, "right") / len(self._draws)
        values = torch.as_tensor(z)
        if isinstance(self.base, StandardNormal):
            return np.asarray(torch.special.ndtr(values).numpy())
        if isinstance(self.base, UniformBox):
            return np.clip((z - self.base.low) / (self.base.high - self.base.low), 0, 1)
        return np.asarray(values.sigmoid().numpy())

    def norm(self, levels: Array, norms: Array) -> tuple[Array, Array]:
        """Quantiles of ``|z|^2`` under the base, and its distribution function at ``norms``."""
        if isinstance(self.base, StandardNormal):
            from scipy.stats import chi2  # scikit-learn brings scipy

            return chi2.ppf(levels, self.dimensions), chi2.cdf(norms, self.dimensions)
        return np.quantile(self._norms, levels), np.searchsorted(self._norms, norms, "right") / len(self._norms)


def kolmogorov(shares: Array) -> float:
    """The Kolmogorov-Smirnov distance of values in [0, 1] from the uniform law."""
    ordered, count = np.sort(shares), len(shares)
    steps = np.arange(count + 1) / count
    return float(max((steps[1:] - ordered).max(), (ordered - steps[:-1]).max()))


def marginal_pit(flow: Flow, part: Part, seed: int, rows: int = 5000, conditional_rows: int = 400) -> Array | None:
    """Probability integral transforms ``(N, D)`` of the columns of a table, uniform where the margins are right.

    Each is the rank of a held-out value among the model's samples, ties broken by chance: among 20,000 for all rows,
    or, for a conditional flow, among 200 of the row's own context. None where samples are not finite.
    """
    generator = torch.Generator(device=flow.device).manual_seed(seed)
    chance = np.random.default_rng(seed)
    part = part.first(rows if part.context is None else conditional_rows)
    with torch.no_grad():
        if part.context is None:
            samples = flow.sample(_DRAWS, generator=generator)[:, None]
        else:
            samples = torch.cat(
                [
                    flow.sample(200, contexts(flow, part, i, i + 50), generator=generator)
                    for i in range(0, len(part), 50)
                ],
                1,
            )
    drawn = samples.double().cpu().numpy()
    if not np.isfinite(drawn).all():
        return None
    pits = np.empty(part.x.shape)
    for column in range(part.x.shape[1]):
        x = part.x[:, column].astype(np.float64)
        if part.context is None:
            ordered = np.sort(drawn[:, 0, column])
            below, upto = np.searchsorted(ordered, x, "left"), np.searchsorted(ordered, x, "right")
        else:
            below, upto = (drawn[..., column] < x).sum(0), (drawn[..., column] <= x).sum(0)
        pits[:, column] = (below + chance.random(len(x)) * (upto - below + 1)) / (len(drawn) + 1)
    return pits


def coverage(flow: Flow, part: Part, nats: Array, seed: int, n: int = 4000) -> dict[str, float] | None:
    """The share of held-out rows within the model's highest-density regions of 50, 80 and 95 %.

    ``nats: (N,)`` are the rows' log-likelihoods. A region's edge is a quantile of the log-density of samples, so this
    needs an exact, unconditional flow: None for others.
    """
    if flow.kind != "exact" or part.context is not None or np.isnan(nats).any():
        return None
    samples, _ = draw(flow, n, part, seed)
    own = score(flow, Part(samples, None), seed).nats
    if not np.isfinite(own).all():
        return None
    return {f"{level:g}": float((nats >= np.quantile(own, 1 - level)).mean()) for level in _LEVELS}


def kolmogorov_band(rows: int) -> float:
    """The Kolmogorov-Smirnov distance that one column of ``rows`` right values exceeds in 1 % of cases."""
    return 1.63 / math.sqrt(max(1, rows))
