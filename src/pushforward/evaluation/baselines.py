"""Classical densities as baselines of a flow: Gaussian, Gaussian mixture, kernel density.

A flow that does not beat them has learned nothing beyond textbook statistics. They get the same rows and contexts as
the flow, and the same dequantisation noise on held-out rows. For images they model the pixels, or the pixels after the
flow's logit with the Jacobian of the logit. All values are in nats of the original data.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch

from pushforward.array_types import Array
from pushforward.channel_moments import channel_moments
from pushforward.mixtures.growth import grow
from pushforward.mixtures.mixture import Mixture
from pushforward.mixtures.rows import MixtureRows

_MAX_FULL = 100  # features up to which a mixture has full covariances over all of them
_LEADING = 48  # principal directions that a mixture covers beyond that
_FRAME_ROWS = 2000  # validation rows that choose the shrinkage of a full covariance
_MAX_DENSE = 4096  # features up to which a full covariance is estimated
_MAX_COMPONENTS = 100
_SHRINKAGES = (1e-8, 1e-6, 1e-4, 1e-3, 1e-2, 0.03, 0.1, 0.3, 0.6, 0.9)
# Seconds for a mixture of few values, values for each further second, and the most seconds.
_LEAST_SECONDS, _VALUES_PER_SECOND, _MOST_SECONDS = 5.0, 10_000, 60.0
_MAX_KERNEL_ROWS = 10_000
_MAX_KERNEL_WORK = 4e8  # pairs of rows times features
_CONSTANT = 1e-24  # variance of a column that does not vary, in its own unit


Role = Literal["gaussian", "mixture", "kernels", "truth"]
# Names for use inside a sentence.
NAMES: dict[Role, str] = {
    "gaussian": "Gaussian, full covariance",
    "mixture": "Gaussian mixture",
    "kernels": "kernel density",
    "truth": "true density",
}
_RIVALS: dict[Role, str] = {"gaussian": "Gaussian", "mixture": "Gaussian mixture", "kernels": "kernel density"}


@dataclass(frozen=True)
class BaselineData:
    """The training, validation and test rows for a baseline, after one kind of preprocessing.

    name: the preprocessing, empty for none. train, validation, test: ``(N, D)`` float64. log_terms: of ``validation``
    and ``test``, ``(N,)``, added to a log-density of these values to give that of the data. contexts: ``(N, K)`` for
    the three parts, K may be 0. same_unit: whether all columns have one unit, as pixels have.
    """

    name: str
    train: Array
    validation: Array
    test: Array
    log_terms: tuple[Array, Array]
    contexts: tuple[Array, Array, Array]
    same_unit: bool = False

    def in_own_units(self) -> BaselineData:
        """The same view with training columns, and contexts, of mean 0 and variance 1.

        A baseline that is fitted to this view does not depend on the units of the data. Columns of one unit are divided
        by one number.
        """
        mean, scale = _location_and_scale(self.train)
        if self.same_unit:
            scale = np.full_like(scale, np.sqrt(np.square(scale).mean()))
        train, validation, test = ((x - mean) / scale for x in (self.train, self.validation, self.test))
        place, unit = _location_and_scale(self.contexts[0])
        first, second, third = ((c - place) / unit for c in self.contexts)
        of_validation, of_test = (terms - np.log(scale).sum() for terms in self.log_terms)
        return replace(
            self,
            train=train,
            validation=validation,
            test=test,
            log_terms=(of_validation, of_test),
            contexts=(first, second, third),
        )


@dataclass(frozen=True)
class Baseline:
    """Log-likelihoods ``nats: (N,)`` of the held-out rows under one baseline, and its hyperparameters.

    role: the kind of density; ``truth`` is the density that the data were drawn from, an upper bound and no competitor.
    validation: mean log-likelihood of the validation rows. seconds: processor time of the fit.
    """

    role: Role
    detail: str
    nats: Array
    validation: float
    notes: tuple[str, ...] = ()
    seconds: float = 0.0

    @property
    def rival(self) -> str | None:
        """The name in a comparison with a model; None for the true density, which is no rival."""
        return _RIVALS.get(self.role)

    @property
    def name(self) -> str:
        """The name as a heading, with a capital."""
        return NAMES[self.role][0].upper() + NAMES[self.role][1:]


# From rows ``(M, D)`` and contexts ``(M, K)`` to log-densities ``(M,)`` given the context.
Density = Callable[[Array, Array], Array]


def _location_and_scale(x: Array) -> tuple[Array, Array]:
    """Mean and standard deviation of each column; 1 for one that does not vary."""
    mean, std = channel_moments(torch.from_numpy(x))
    return mean.numpy(), std.numpy()


def gaussian(views: list[BaselineData]) -> Baseline:
    """A Gaussian baseline with a full covariance; view and shrinkage are chosen by validation likelihood.

    Shrinkage multiplies the correlations, which few rows estimate badly, by a factor below 1. Beyond 4,096 features the
    covariance is that of the 256 leading directions, and isotropic outside them.
    """

    def candidates(view: BaselineData, until: float) -> Iterator[tuple[str, Density]]:
        features = view.train.shape[1]
        if features > _MAX_DENSE:
            frame = _leading_frame(view.train, 0)
            yield f"its {frame.axes.shape[1]} leading directions", lambda x, c: frame.rest(x)
            return
        joint = np.concatenate([view.train, view.contexts[0]], 1)
        mean, covariance = _moments(joint)
        for shrinkage in _shrinkages(features):
            yield (
                f"shrunk by {shrinkage:g}",
                _conditional(mean, _shrunk(covariance, shrinkage), features),
            )

    return _best("gaussian", views, candidates, None)


def mixture(views: list[BaselineData], seed: int, seconds: float | None = None) -> Baseline:
    """A Gaussian mixture fitted by EM to all rows; view, components and ridge are chosen by validation likelihood.

    Up to 100 features every component has a full covariance. Beyond that the components lie in at most 48
    leading principal directions, and the others are independent Gaussians. seconds: processor time after which no
    further step is made, by default 5 to 60 by the number of values; a busy machine takes longer for the same result.
    """
    if seconds is None:
        seconds = min(_MOST_SECONDS, _LEAST_SECONDS + views[0].train.size / _VALUES_PER_SECOND)
    notes = []
    if any(s.train.shape[1] > _MAX_FULL for s in views):
        notes.append(
            f"components span at most {_LEADING} leading principal directions; the others are independent Gaussians"
        )

    def candidates(view: BaselineData, until: float) -> Iterator[tuple[str, Density]]:
        frame = _frame(view, seed)
        train, validation = (
            MixtureRows.complete(torch.from_numpy(np.concatenate([frame.leading(x), context], 1)))
            for x, context in zip((view.train, view.validation), view.contexts, strict=False)
        )
        left = until - time.process_time()
        grown = grow(
            train, validation, (), max_components=_MAX_COMPONENTS, seconds=left, seed=seed, clock=time.process_time
        )
        count = len(grown.mixture)
        yield f"{count} component{'s' * (count > 1)}", _in_frame(frame, _given_context(grown.mixture, frame.count))

    return _best("mixture", views, candidates, time.process_time() + seconds, tuple(notes))


def kernel_density(view: BaselineData, seed: int) -> Baseline:
    """A kernel density estimate on standardised columns, for tables; validation likelihood chooses the bandwidth."""
    features = view.train.shape[1] + view.contexts[0].shape[1]
    work = _MAX_KERNEL_WORK / (max(1, len(view.test)) * features)
    rows = int(min(len(view.train), _MAX_KERNEL_ROWS, max(500, work)))
    notes = () if rows == len(view.train) else (f"kernels on {rows} of {len(view.train)} training rows",)

    def candidates(view: BaselineData, until: float) -> Iterator[tuple[str, Density]]:
        chosen = np.random.default_rng(seed).permutation(len(view.train))[:rows]
        scott = rows ** (-1 / (features + 4))
        for factor in (0.03, 0.06, 0.1, 0.17, 0.25, 0.4, 0.6, 0.85, 1.2):
            bandwidth = factor * scott
            yield (
                f"bandwidth {bandwidth:.3g} standard deviations",
                _kernels(view.train[chosen], view.contexts[0][chosen], bandwidth),
            )

    return _best("kernels", [view], candidates, None, notes)


def _best(
    role: Role,
    views: list[BaselineData],
    candidates: Callable[[BaselineData, float], Iterator[tuple[str, Density]]],
    end: float | None,
    notes: tuple[str, ...] = (),
) -> Baseline:
    """The candidate with the highest mean log-likelihood on validation rows, scored on the held-out ones.

    candidates: from a view, and the processor time at which the search in it ends, to details and densities.
    """
    started = time.process_time()
    views = [view.in_own_units() for view in views]
    best: tuple[float, str, Density, BaselineData] | None = None
    for i, view in enumerate(views):
        # The remaining time is divided evenly among the remaining views.
        until = math.inf if end is None else time.process_time() + (end - time.process_time()) / (len(views) - i)
        some = slice(0, 2000)
        for detail, density in candidates(view, until):
            with np.errstate(over="ignore"):
                values = density(view.validation[some], view.contexts[1][some]) + view.log_terms[0][some]
            value = float(values.mean()) if np.isfinite(values).all() else -math.inf
            if best is None or value > best[0]:
                best = (value, ", ".join(filter(None, (detail, view.name))), density, view)
            if time.process_time() > until:
                notes = (*notes, f"the search{view.name and ' ' + view.name} was stopped by its time limit")
                break
    assert best is not None  # every list of candidates has at least one
    value, detail, density, view = best
    nats = density(view.test, view.contexts[2]) + view.log_terms[1]
    return Baseline(role, detail, nats, value, notes, time.process_time() - started)


def _conditional(mean: Array, covariance: Array, features: int) -> Density:
    """A Gaussian over (features, context) as a density of the features given the context."""
    joint = _gaussian_log_density(mean, covariance)
    if len(mean) == features:
        return lambda x, c: joint(x)
    of_context = _gaussian_log_density(mean[features:], covariance[features:, features:])
    return lambda x, c: joint(np.concatenate([x, c], 1)) - of_context(c)


def _gaussian_log_density(mean: Array, covariance: Array) -> Callable[[Array], Array]:
    factor = np.linalg.cholesky(covariance)
    inverse = np.linalg.inv(factor)
    constant = -np.log(np.diag(factor)).sum() - 0.5 * len(mean) * math.log(2 * math.pi)
    return lambda x: np.asarray(constant - 0.5 * np.square((x - mean) @ inverse.T).sum(1))


def _given_context(mixture: Mixture, features: int) -> Density:
    """A Gaussian mixture over (features, context) as a density of the features given the context."""

    def log_density(x: Array, context: Array) -> Array:
        joint = MixtureRows.complete(torch.from_numpy(np.concatenate([x, context], 1)))
        values = mixture.log_prob(joint)
        if context.shape[1]:
            of_context = torch.arange(joint.values.shape[1]) >= features
            values = values - mixture.log_prob(joint.only(of_context))
        return values.numpy()

    return log_density


@dataclass(frozen=True)
class _Frame:
    """An orthonormal frame: ``count`` leading coordinates, and independent Gaussians of ``variances`` in the others.

    axes: ``(D, M)``; where M < D, the directions outside have the variance ``outside`` each.
    """

    mean: Array
    axes: Array
    count: int
    variances: Array
    outside: float

    def leading(self, x: Array) -> Array:
        return np.asarray((x - self.mean) @ self.axes[:, : self.count])

    def rest(self, x: Array) -> Array:
        """Log-density (N,) of the coordinates other than the leading ones."""
        centred = x - self.mean
        rotated = centred @ self.axes
        value = _independent(rotated[:, self.count :], self.variances)
        missing = x.shape[1] - self.axes.shape[1]
        if missing:
            # An isotropic Gaussian outside the frame needs only the squared length of that component.
            left = np.square(centred).sum(1) - np.square(rotated).sum(1)
            value = value - 0.5 * left / self.outside - 0.5 * missing * math.log(2 * math.pi * self.outside)
        return np.asarray(value)


def _frame(view: BaselineData, seed: int) -> _Frame:
    """The frame of a mixture: the coordinates themselves up to 100 of them, else principal directions of the data.

    Validation likelihood chooses the shrinkage of the covariance: a direction without variation in few rows keeps a
    sensible width.
    """
    x, features = view.train, view.train.shape[1]
    if features <= _MAX_FULL:
        return _Frame(x.mean(0), np.eye(features), features, np.zeros(0), 0.0)
    leading = max(1, min(_LEADING, len(x) // 10))
    if features > _MAX_DENSE:
        return _leading_frame(x, leading)
    mean, covariance = _moments(x)
    best: tuple[float, _Frame] | None = None
    held_out = view.validation[np.random.default_rng(seed).permutation(len(view.validation))[:_FRAME_ROWS]]
    for shrinkage in _shrinkages(features):
        variances, axes = np.linalg.eigh(_shrunk(covariance, shrinkage))
        whole = _Frame(mean, axes[:, ::-1], 0, np.maximum(variances[::-1], 1e-12), 0.0)
        value = float(whole.rest(held_out).mean())
        if best is None or value > best[0]:
            best = (value, whole)
    assert best is not None
    return replace(best[1], count=leading, variances=best[1].variances[leading:])


def _leading_frame(x: Array, leading: int) -> _Frame:
    """`_frame` for data too wide for a full covariance: the 256 leading directions, by randomised SVD."""
    from sklearn.utils.extmath import randomized_svd

    mean, count = x.mean(0), min(256, max(1, len(x) // 4))
    _, singular, axes = randomized_svd(x - mean, count, random_state=0)
    variances = np.square(singular) / len(x)
    outside = max((float(x.var(0).sum()) - float(variances.sum())) / (x.shape[1] - count), 1e-12)
    return _Frame(mean, axes.T, min(leading, count), np.maximum(variances[leading:], 1e-12), outside)


def _shrinkages(features: int) -> tuple[float, ...]:
    # Each costs a decomposition of the covariance: beyond a thousand features that takes many seconds.
    return _SHRINKAGES if features <= 1000 else _SHRINKAGES[2::2]


def _moments(x: Array) -> tuple[Array, Array]:
    return x.mean(0), np.atleast_2d(np.cov(x, rowvar=False, bias=True))


def _shrunk(covariance: Array, shrinkage: float) -> Array:
    """A covariance with correlations multiplied by ``1 - shrinkage``; a constant column gets variance 1."""
    spread = _positive(np.diag(covariance))
    shrunk = (1 - shrinkage) * covariance
    shrunk[np.diag_indices_from(shrunk)] = spread
    return np.asarray(shrunk)


def _in_frame(frame: _Frame, density: Density) -> Density:
    return lambda x, c: density(frame.leading(x), c) + frame.rest(x)


def _independent(x: Array, variances: Array) -> Array:
    return np.asarray(-0.5 * (np.square(x) / variances).sum(1) - 0.5 * np.log(2 * math.pi * variances).sum())


def _kernels(x: Array, context: Array, bandwidth: float) -> Density:
    from sklearn.neighbors import KernelDensity

    joint = np.concatenate([x, context], 1)
    mean, scale = joint.mean(0), np.sqrt(_positive(joint.var(0)))
    features = x.shape[1]
    jacobian = np.log(scale[:features]).sum()
    kernel = KernelDensity(bandwidth=bandwidth, rtol=1e-4).fit((joint - mean) / scale)
    if context.shape[1] == 0:
        return lambda values, c: kernel.score_samples((values - mean) / scale) - jacobian
    of_context = KernelDensity(bandwidth=bandwidth, rtol=1e-4).fit(((joint - mean) / scale)[:, features:])

    def log_density(values: Array, c: Array) -> Array:
        both = (np.concatenate([values, c], 1) - mean) / scale
        given = of_context.score_samples(both[:, features:])
        return np.asarray(kernel.score_samples(both) - given - jacobian)

    return log_density


def _positive(variances: Array) -> Array:
    """Variances, in the columns' own units, with rounding errors replaced by 1: a constant column is only centred."""
    return np.where(variances > _CONSTANT, variances, 1.0)
