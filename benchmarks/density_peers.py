"""Densities of other kinds and of other libraries, on the encoded rows of a table.

All models get the rows of one column plan: for each column a discrete state and, in state 0 of some columns, a value.
None of the peers models such rows as they are, so all of them get the same treatment:

- log P(states) comes from one model for all peers, a mixture of products of probability tables with as many components
  as validation prefers.
- A peer models the values given the states, which it gets as a context of zeros and ones. Where a column has no value
  (a zero, a cap, a gap), the peer sees standard normal noise in its place, and the log-density of that noise is taken
  off again. The score is then a lower bound; the mean of several draws of noise makes it tight.
- A peer's density is mixed with one part in a thousand of a wide one, so that no single row of density zero decides a
  table. This costs at most 0.001 nats a row.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from mixture import fit_mixture
from models import build_peer, training_options
from scipy.special import logsumexp
from scipy.stats import t as student
from sklearn.model_selection import train_test_split

from pushforward import fit
from pushforward.data.dataset import table_set
from pushforward.estimators.encoded import ColumnShape, EncodedRows
from pushforward.estimators.models.mixture import MixedMixture
from pushforward.estimators.models.table_model import RowScores
from pushforward.training import FitFailed, TrainingOptions

Array = np.ndarray
# The log-density of values (N, D) given states as zeros and ones (N, S).
Conditional = Callable[[Array, Array], Array]

JOINT_MIXTURE = "joint-mixture"
# Draws of the noise in place of absent values, for the score of a row.
_DRAWS = 8
# The fraction of the wide density and its width in deviations of a column.
_WIDE, _WIDTH = 1e-3, 3.0
# Widths of kernels as multiples of Scott's, and probabilities of another state, of which validation chooses.
_WIDTHS = (0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0)
_OTHER_STATE = (1e-4, 0.01, 0.1, 0.3)
_BLOCK = 25


@dataclass(frozen=True)
class Rows:
    """Encoded rows as arrays: values ``(N, D)`` of the columns with values, where they are, and states as 0 and 1."""

    values: Array
    there: Array
    states: Array

    def __len__(self) -> int:
        return len(self.values)

    def filled(self, rng: np.random.Generator) -> tuple[Array, Array]:
        """The values with noise where there are none, and the log-density of that noise, ``(N,)``."""
        noise = np.where(self.there, 0.0, rng.standard_normal(self.values.shape))
        taken = np.where(self.there, 0.0, -0.5 * noise**2 - 0.5 * math.log(2 * math.pi))
        return np.where(self.there, self.values, noise), taken.sum(1)


def arrays(rows: EncodedRows, shapes: Sequence[ColumnShape]) -> Rows:
    """The rows as the peers take them."""
    columns = [c for c, shape in enumerate(shapes) if shape.value]
    coded = [rows.states[:, c, None] == torch.arange(s.states) for c, s in enumerate(shapes) if s.states > 1]
    states = torch.cat(coded, 1).double().numpy() if coded else np.zeros((len(rows), 0))
    return Rows(rows.values[:, columns].numpy(), rows.present(shapes)[:, columns].numpy(), states)


class PeerDensity:
    """The density of encoded rows: a mixture of tables of the states, and a peer's density of the values given them."""

    def __init__(
        self, name: str, rows: EncodedRows, shapes: Sequence[ColumnShape], *, seconds: float, seed: int
    ) -> None:
        """Fit the peer of that name; one row in ten is for its validation."""
        parts = [torch.tensor(p) for p in train_test_split(np.arange(len(rows)), test_size=0.1, random_state=seed)]
        self.notes: dict[str, Any] = {}
        self.shapes, self.rng = shapes, np.random.default_rng(seed)
        self.discrete = [c for c, shape in enumerate(shapes) if shape.states > 1]
        tables = [ColumnShape(shapes[c].states, value=False) for c in self.discrete]
        train, validation = (rows.take(part).columns(self.discrete) for part in parts)
        self.states = MixedMixture.fit(train, tables, validation=(validation, None), seed=seed) if tables else None
        plain = [arrays(rows.take(part), shapes) for part in parts]
        there = np.where(plain[0].there, plain[0].values, np.nan)
        self.centre, self.scale = np.nanmean(there, 0), np.maximum(np.nanstd(there, 0), 1e-12)
        filled = [self._standard(part).filled(self.rng)[0] for part in plain]
        self.values = PEERS[name](filled[0], plain[0].states, filled[1], plain[1].states, seconds=seconds, seed=seed)

    def log_prob(self, rows: EncodedRows) -> RowScores:
        """log P of the states and log-density of the values, each ``(N,)``, in encoded units."""
        plain = arrays(rows, self.shapes)
        scores = []
        for _ in range(1 if plain.there.all() else _DRAWS):
            values, taken = self._standard(plain).filled(self.rng)
            wide = student.logpdf(values / _WIDTH, 3).sum(1) - values.shape[1] * math.log(_WIDTH)
            scores.append(_mixed(self.values(values, plain.states), wide) - taken)
        values = logsumexp(scores, axis=0) - math.log(len(scores))
        slopes = np.where(plain.there, np.log(self.scale), 0.0).sum(1)
        discrete = self.states.log_states(rows.columns(self.discrete)) if self.states else torch.zeros(len(rows))
        return RowScores(discrete.double(), torch.from_numpy(values - slopes))

    def _standard(self, rows: Rows) -> Rows:
        return replace(rows, values=(rows.values - self.centre) / self.scale)


class JointMixture:
    """The mixture of Gaussians and probability tables, which models states and values of a row at once."""

    def __init__(
        self, name: str, rows: EncodedRows, shapes: Sequence[ColumnShape], *, seconds: float, seed: int
    ) -> None:
        """Fit it to all rows, with up to a hundred components by validation on one in ten."""
        train, validation = (
            rows.take(torch.tensor(p)) for p in train_test_split(np.arange(len(rows)), test_size=0.1, random_state=seed)
        )
        self.model = MixedMixture.fit(train, shapes, validation=(validation, None), seconds=seconds, seed=seed)
        self.notes = {"components": len(self.model.mixture)}

    def log_prob(self, rows: EncodedRows) -> RowScores:
        """log P of the states and log-density of the values, each ``(N,)``, in encoded units."""
        discrete = self.model.log_states(rows)
        return RowScores(discrete, torch.where(discrete == -torch.inf, 0.0, self.model.log_prob(rows) - discrete))


def _mixed(own: Array, wide: Array) -> Array:
    own = np.where(np.isfinite(own), own, -np.inf)
    return np.logaddexp(math.log1p(-_WIDE) + own, math.log(_WIDE) + wide)


def _linear(x: Array, s: Array) -> Callable[[Array], Array]:
    """The mean of the values as a linear function of the states."""
    design = np.column_stack([np.ones(len(x)), s])
    weights = np.linalg.solve(design.T @ design + 1e-3 * np.eye(design.shape[1]), design.T @ x)
    return lambda s: np.column_stack([np.ones(len(s)), s]) @ weights


def gaussian(x: Array, s: Array, x_validation: Array, s_validation: Array, *, seconds: float, seed: int) -> Conditional:
    """A Gaussian whose mean is linear in the states."""
    mean = _linear(x, s)
    residual = x - mean(s)
    factor = np.linalg.cholesky(residual.T @ residual / len(x) + 1e-9 * np.eye(x.shape[1]))

    def log_density(x: Array, s: Array) -> Array:
        z = np.linalg.solve(factor, (x - mean(s)).T)
        normaliser = np.log(np.diag(factor)).sum() + 0.5 * x.shape[1] * math.log(2 * math.pi)
        return -0.5 * (z**2).sum(0) - normaliser

    return log_density


def kernels(x: Array, s: Array, x_validation: Array, s_validation: Array, *, seconds: float, seed: int) -> Conditional:
    """A kernel density: Gaussian kernels of the rows' covariance, weighted by how many of the states agree."""
    n, d = x.shape
    factor = np.linalg.cholesky(np.cov(x.T).reshape(d, d) + 1e-9 * np.eye(d))
    scott = n ** (-1 / (d + 4))
    # In single precision and in blocks that stay in the cache: the distances of all pairs of rows are what takes time.
    centres = _single(np.linalg.solve(factor, x.T).T)
    states = _single(s)

    def density(width: float, other: float) -> Conditional:
        h = width * scott
        normaliser = d * math.log(h) + 0.5 * d * math.log(2 * math.pi) + np.log(np.diag(factor)).sum()

        def log_density(x: Array, s: Array) -> Array:
            z = _single(np.linalg.solve(factor, x.T).T)
            out = []
            for first in range(0, len(z), _BLOCK):
                part = slice(first, first + _BLOCK)
                weights = math.log(1 / other - 1) * (_single(s[part]) @ states.T)
                kernel = -0.5 * (torch.cdist(z[part], centres) / h).square()
                out.append((weights + kernel).logsumexp(1) - weights.logsumexp(1))
            return torch.cat(out).double().numpy() - normaliser

        return log_density

    some = np.random.default_rng(seed).permutation(len(x_validation))[:500]
    choices = [(w, o) for w in _WIDTHS for o in (_OTHER_STATE if s.shape[1] else (0.5,))]
    wide = student.logpdf(x_validation[some] / _WIDTH, 3).sum(1) - d * math.log(_WIDTH)

    def value(choice: tuple[float, float]) -> float:
        return float(_mixed(density(*choice)(x_validation[some], s_validation[some]), wide).mean())

    return density(*max(choices, key=value))


def mixture(x: Array, s: Array, x_validation: Array, s_validation: Array, *, seconds: float, seed: int) -> Conditional:
    """scikit-learn's mixture of Gaussians, components by validation, around a mean that is linear in the states."""
    mean = _linear(x, s)
    chosen = fit_mixture(x - mean(s), x_validation - mean(s_validation), seconds, seed)
    return lambda x, s: np.asarray(chosen.model.score_samples(x - mean(s)))


def zuko_nsf(x: Array, s: Array, x_validation: Array, s_validation: Array, *, seconds: float, seed: int) -> Conditional:
    """zuko's neural spline flow given the states, trained for ``seconds`` of the processor by `pushforward.fit`."""
    torch.manual_seed(seed)
    flow = build_peer("zuko-nsf", x.shape[1], s.shape[1])
    contexts = {} if not s.shape[1] else {"context": _single(s), "validation_context": _single(s_validation)}
    chosen = training_options("zuko-nsf", table_set("values", x, [f"x{i}" for i in range(x.shape[1])]))
    options = TrainingOptions(**{**chosen, "minutes": seconds / 60, "seed": seed})
    try:
        validation = _single(x_validation)
        fit(
            flow,
            _single(x),
            validation=validation,
            options=options,
            progress=False,
            clock=time.process_time,
            **contexts,
        )
    except FitFailed:
        pass  # the flow has its best weights so far, which are a result like any other

    def log_density(x: Array, s: Array) -> Array:
        return flow.likelihood(_single(x), _single(s) if s.shape[1] else None).value.double().numpy()

    return log_density


def pzflow_default(
    x: Array, s: Array, x_validation: Array, s_validation: Array, *, seconds: float, seed: int
) -> Conditional:
    """pzflow's flow and training by its own defaults (100 epochs, however long), given the states."""
    import pandas as pd
    from pzflow import Flow

    names, given = [f"x{i}" for i in range(x.shape[1])], [f"s{i}" for i in range(s.shape[1])]

    def frame(x: Array, s: Array) -> pd.DataFrame:
        return pd.DataFrame(np.column_stack([x, s]), columns=[*names, *given])

    flow = Flow(names, conditional_columns=given or None, seed=seed)
    flow.train(frame(x, s), frame(x_validation, s_validation), seed=seed)
    return lambda x, s: np.asarray(flow.log_prob(frame(x, s)), dtype=float)


def _single(x: Array) -> torch.Tensor:
    return torch.tensor(x, dtype=torch.float32)


PEERS: dict[str, Callable[..., Conditional]] = {
    "gaussian": gaussian,
    "mixture": mixture,
    "kernels": kernels,
    "zuko-nsf": zuko_nsf,
    "pzflow": pzflow_default,
}
