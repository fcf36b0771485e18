"""Calibration of latents and samples: quantiles, probability integral transforms (PIT), coverage."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pushforward.array_types import Array
from pushforward.bases import Base, StandardNormal
from pushforward.errors import OptionError
from pushforward.flow import Flow
from pushforward.precision import in_float64
from pushforward.rows import Rows, row_likelihoods

_DRAWS = 20_000
# Draws for each of so many contexts at once.
_DRAWS_EACH, _ROWS_EACH = 200, 50
LEVELS = (0.5, 0.8, 0.95)


@dataclass(frozen=True)
class LatentFit:
    """A comparison of held-out latents with the flow's base distribution.

    name: of the base. levels: (Q,) probabilities of the quantiles. expected: (K, Q) quantiles of the base, for the
    coordinates with the numbers ``shown: (K,)``; observed: (K, Q) quantiles of the latents. means, deviations,
    distances (Kolmogorov-Smirnov): (D,) of all coordinates. norm_expected, norm_observed: (Q,) quantiles of ``|z|^2``;
    norm_distance: Kolmogorov-Smirnov distance of ``|z|^2``. exact: whether the base's quantiles are computed by
    formula; otherwise they come from 20,000 draws. rows: the number of rows used; dropped: the number of rows with
    non-finite latents.
    """

    name: str
    exact: bool
    levels: Array
    expected: Array
    observed: Array
    shown: Array
    means: Array
    deviations: Array
    distances: Array
    norm_expected: Array
    norm_observed: Array
    norm_distance: float
    rows: int
    dropped: int


def latent_fit(base: Base, z: Array, seed: int, most: int = 64) -> LatentFit | None:
    """Compare latents ``z: (N, *latent)`` with ``base``; None if no row is finite or the base is conditional.

    most: the number of coordinates to show.
    """
    z = z.reshape(len(z), -1)
    finite = np.isfinite(z).all(1)
    dropped, z = int((~finite).sum()), z[finite]
    if len(z) == 0 or base.conditional:
        return None
    levels = (np.arange(1, 100) if len(z) >= 100 else np.arange(1, 20) * 5) / 100
    shown = np.unique(np.linspace(0, z.shape[1] - 1, min(most, z.shape[1])).astype(int))
    reference = _Reference(base, z.shape[1], seed)
    expected, exact = reference.quantiles(levels)
    norms = np.square(z).sum(1)
    norm_expected, norm_probabilities = reference.norm(levels, norms)
    return LatentFit(
        name=base.label,
        exact=exact,
        levels=levels,
        expected=expected[shown],
        observed=np.quantile(z[:, shown], levels, axis=0).T,
        shown=shown,
        means=z.mean(0),
        deviations=z.std(0),
        distances=np.array([kolmogorov(column) for column in reference.cumulative(z).T]),
        norm_expected=norm_expected,
        norm_observed=np.quantile(norms, levels),
        norm_distance=kolmogorov(norm_probabilities),
        rows=len(z),
        dropped=dropped,
    )


class _Reference:
    """The distribution of a base's coordinates and of its squared norm, by formula if it has one, else from draws."""

    def __init__(self, base: Base, dimensions: int, seed: int) -> None:
        self.base, self.dimensions, self.seed = copy.deepcopy(base).cpu().double(), dimensions, seed
        self._draws: Array | None = None

    @property
    def draws(self) -> Array:
        """Draws of the base, ``(M, D)``."""
        if self._draws is None:
            rows = min(_DRAWS, max(1000, 40_000_000 // self.dimensions))
            generator = torch.Generator().manual_seed(self.seed)
            with torch.no_grad():
                drawn = self.base.sample(rows, generator=generator, dtype=torch.float64)
            self._draws = drawn.reshape(rows, -1).numpy()
        return self._draws

    @torch.no_grad()
    def quantiles(self, levels: Array) -> tuple[Array, bool]:
        """Quantiles ``(D, Q)`` of the coordinates, and whether they are exact."""
        quantiles = self.base.quantiles(torch.as_tensor(levels))
        if quantiles is None:
            return np.quantile(self.draws, levels, axis=0).T, False
        return np.broadcast_to(quantiles.numpy(), (self.dimensions, len(levels))), True

    @torch.no_grad()
    def cumulative(self, z: Array) -> Array:
        """The distribution function of each coordinate at ``z: (N, D)``."""
        try:
            values = self.base.cumulative(torch.as_tensor(z).reshape(-1, *self.base.event_shape))
        except OptionError:
            return np.stack([_fraction_up_to(self.draws[:, i], z[:, i]) for i in range(self.dimensions)], 1)
        return values.reshape(len(z), -1).numpy()

    def norm(self, levels: Array, norms: Array) -> tuple[Array, Array]:
        """Quantiles of ``|z|^2`` under the base, and its distribution function at ``norms``."""
        if isinstance(self.base, StandardNormal):  # the only one whose squared norm has a simple distribution
            from scipy.stats import chi2  # scikit-learn brings scipy

            return chi2.ppf(levels, self.dimensions), chi2.cdf(norms, self.dimensions)
        expected = np.square(self.draws).sum(1)
        return np.quantile(expected, levels), _fraction_up_to(expected, norms)


def _fraction_up_to(draws: Array, values: Array) -> Array:
    return np.searchsorted(np.sort(draws), values, "right") / len(draws)


def kolmogorov(probabilities: Array) -> float:
    """The Kolmogorov-Smirnov distance of values in [0, 1] from the uniform distribution."""
    ordered, count = np.sort(probabilities), len(probabilities)
    steps = np.arange(count + 1) / count
    return float(max((steps[1:] - ordered).max(), (ordered - steps[:-1]).max()))


def kolmogorov_band(rows: int) -> float:
    """The Kolmogorov-Smirnov distance that one column of ``rows`` uniform values exceeds in 1 % of cases."""
    return 1.63 / math.sqrt(max(1, rows))


def uniformity(probabilities: Tensor) -> float:
    """The p-value of the Kolmogorov-Smirnov test that ``probabilities: (N,)`` are uniform on (0, 1)."""
    from scipy.stats import kstest

    return float(kstest(probabilities.detach().cpu().numpy(), "uniform").pvalue)


@torch.no_grad()
def latent_pit(flow: Flow, x: Tensor, context: Tensor | None = None) -> Tensor:
    """Probability integral transforms ``(B, D)`` of the latents of ``x: (B, *event)`` under the base.

    Uniform on (0, 1) and independent of each other if the flow is right. Raises OptionError for a base without a
    cumulative distribution function for each coordinate.
    """
    contexts = flow.prepare_context(context, x.shape[0])
    return in_float64(flow.base.cumulative(flow.encode(x, context), contexts).reshape(x.shape[0], -1))


def marginal_pit(flow: Flow, part: Rows, seed: int, rows: int = 5000, conditional_rows: int = 400) -> Array | None:
    """Probability integral transforms ``(N, D)`` of the columns of a table, uniform if the marginals are right.

    Each is the rank of a held-out value among samples of the flow, ties broken at random: 20,000 samples for all rows,
    or, of a conditional flow, 200 samples for each row's own context. None where samples are not finite.
    """
    generator = torch.Generator(device=flow.device).manual_seed(seed)
    rng = np.random.default_rng(seed)
    part = part.sample(rows if part.context is None else conditional_rows, seed)
    values = part.values()
    draws = _DRAWS if part.context is None else _DRAWS_EACH
    ranks = _ranks(flow, values, generator) if part.context is None else _ranks_given(flow, part, values, generator)
    if ranks is None:
        return None
    pits = np.empty(values.shape)
    for column, (below, up_to) in enumerate(zip(ranks[0].T, ranks[1].T, strict=True)):
        pits[:, column] = (below + rng.random(len(values)) * (up_to - below + 1)) / (draws + 1)
    return pits


def _ranks(flow: Flow, values: Array, generator: torch.Generator) -> tuple[Array, Array] | None:
    """The number of draws below each of ``values: (N, D)``, and of those not above it; None for draws not finite."""
    with torch.no_grad():
        drawn = flow.sample(_DRAWS, generator=generator).reshape(_DRAWS, -1).cpu().numpy()
    if not np.isfinite(drawn).all():
        return None
    below, up_to = np.empty(values.shape, dtype=np.int64), np.empty(values.shape, dtype=np.int64)
    for column, x in enumerate(values.T):
        ordered = np.sort(drawn[:, column]).astype(np.float64)
        below[:, column], up_to[:, column] = (np.searchsorted(ordered, x, side) for side in ("left", "right"))
    return below, up_to


def _ranks_given(flow: Flow, part: Rows, values: Array, generator: torch.Generator) -> tuple[Array, Array] | None:
    """`_ranks` among draws for each row's own context, a block of rows at a time, which bounds the memory."""
    below, up_to = np.empty(values.shape, dtype=np.int64), np.empty(values.shape, dtype=np.int64)
    for start, _, context in part.batches(flow, _ROWS_EACH):
        with torch.no_grad():
            drawn = flow.sample(_DRAWS_EACH, context, generator=generator).cpu().double().numpy()
        if not np.isfinite(drawn).all():
            return None
        rows = slice(start, start + drawn.shape[1])
        drawn = drawn.reshape(*drawn.shape[:2], -1)
        below[rows], up_to[rows] = (drawn < values[rows]).sum(0), (drawn <= values[rows]).sum(0)
    return below, up_to


def coverage(
    flow: Flow,
    rows: Rows,
    seed: int = 0,
    levels: Sequence[float] = LEVELS,
    samples: int = 4000,
    log_densities: Array | None = None,
) -> tuple[float, ...] | None:
    """The fraction of rows inside the flow's highest-density region of each level.

    The rank of a row's log-density among those of ``samples`` draws decides whether it is inside (`region_coverage`).
    Coverage therefore has an error of about ``0.5 / sqrt(samples)``. log_densities: (N,) of the rows, if they are known
    already. Returns None for a conditional flow, a bound or an estimate, if a log-density is NaN, or if that of a draw
    is not finite.
    """
    if flow.kind != "exact" or flow.context_shape is not None:
        return None
    if log_densities is None:
        log_densities = row_likelihoods(flow, rows, seed).value.numpy()
    generator = torch.Generator(device=flow.device).manual_seed(seed)
    with torch.no_grad():
        drawn = Rows(flow.sample(samples, generator=generator))
    # Draws are scored like the rows: log-densities from the sampling pass differ by rounding, which would break ties.
    of_draws = row_likelihoods(flow, drawn, seed).value.numpy()
    if np.isnan(log_densities).any() or not np.isfinite(of_draws).all():
        return None
    return region_coverage(log_densities, of_draws, levels)


def region_coverage(log_densities: Array, of_draws: Array, levels: Sequence[float] = LEVELS) -> tuple[float, ...]:
    """The fraction of ``log_densities: (N,)`` inside highest-density regions, whose bounds come from ``of_draws:
    (M,)``.

    If both have the same distribution and ties have random order, the rank of a value among the M + 1 is uniform. A
    value counts with the probability, over these orders, that it ranks in the upper ``level``. A uniform density, whose
    values are all tied, then covers each level exactly. A density of 0 (-inf) is outside every region.
    """
    ordered = np.sort(of_draws)
    below, up_to = np.searchsorted(ordered, log_densities, "left"), np.searchsorted(ordered, log_densities, "right")
    ties = up_to - below + 1
    inside = [np.clip((up_to + 1 - (1 - level) * (len(ordered) + 1)) / ties, 0, 1) for level in levels]
    return tuple(float(np.where(np.isneginf(log_densities), 0.0, fraction).mean()) for fraction in inside)
