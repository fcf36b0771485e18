"""A mixture of Gaussians and probability tables as a density of encoded rows, in closed form for any subset."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from pushforward.errors import ModelError, ShapeError
from pushforward.estimators.encoded import UNKNOWN, ColumnShape, EncodedRows, distinct_rows
from pushforward.estimators.models.column_distribution import ColumnDistribution
from pushforward.estimators.models.mixture_head import MixtureHead
from pushforward.mixtures.factors import Factors
from pushforward.mixtures.full_covariance import FullCovariance
from pushforward.mixtures.gaussians import Gaussians
from pushforward.mixtures.growth import grow, single_by_leaving_one_out
from pushforward.mixtures.mixture import Mixture
from pushforward.mixtures.rows import MixtureRows
from pushforward.mixtures.tables import Tables

# Fraction of the rows that choose the number of components where no validation rows are given.
_HELD_OUT = 0.2
# Structures of covariances, by the names that saved mixtures have for them.
_KINDS: dict[str, type[Gaussians]] = {"full": FullCovariance, "factors": Factors}


class MixedMixture:
    """A finite mixture whose components have independent states, and jointly Gaussian values given the states.

    The value of a column that its state leaves out, and unknown states and values, are integrated out. Densities are
    those of encoded values.
    """

    def __init__(self, shapes: Sequence[ColumnShape], mixture: Mixture) -> None:
        self.shapes = tuple(shapes)
        self.mixture = mixture

    @classmethod
    def fit(
        cls,
        rows: EncodedRows,
        shapes: Sequence[ColumnShape],
        *,
        weights: Tensor | None = None,
        validation: tuple[EncodedRows, Tensor | None] | None = None,
        seconds: float | None = None,
        max_components: int = 100,
        leave_one_out: bool = False,
        seed: int = 0,
        clock: Callable[[], float] = time.monotonic,
    ) -> Self:
        """The mixture that validation rows prefer among 1, 2, 4, ... ``max_components`` components.

        weights: ``(N,)``, the number of times that each row counts. validation: rows and their weights, or None for a
        fifth of ``rows``. leave_one_out: one component, whose shrinkage each row chooses by a fit to the others, for
        few rows. seconds: time on ``clock`` after which no further step is made.
        """
        train = _usable(rows, shapes, weights)
        if len(train) == 0:
            raise ShapeError("a mixture needs at least one possible row of positive weight, got none")
        if leave_one_out:
            return cls(shapes, single_by_leaving_one_out(train, _counts(shapes)))
        if validation is not None:
            judges = _usable(validation[0], shapes, validation[1])
        else:
            train, judges = _halves(train, seed)
        grown = grow(
            train,
            judges if len(judges) else train,
            _counts(shapes),
            max_components=max_components,
            seconds=math.inf if seconds is None else seconds,
            seed=seed,
            clock=clock,
        )
        return cls(shapes, grown.mixture)

    def log_prob(self, rows: EncodedRows) -> Tensor:
        """``(N,)``: log-probability of the known states plus log-density of the known values; -inf if impossible."""
        return _possible(rows, self.mixture.log_prob(_mixture_rows(rows, self.shapes)))

    def log_states(self, rows: EncodedRows) -> Tensor:
        """``(N,)``: log-probability of the known states alone."""
        states = _mixture_rows(rows, self.shapes).states
        first, inverse = (torch.from_numpy(part) for part in distinct_rows(states.numpy().astype(np.int32)))
        return _possible(rows, self.mixture.log_states(states[first])[inverse])

    def conditional_log_prob(self, rows: EncodedRows, given: EncodedRows) -> Tensor:
        """``(N,)``: log-density of ``rows`` given ``given``, the same rows with less known."""
        joint = self.log_prob(rows)
        return torch.where(joint == -torch.inf, joint, joint - self.log_prob(given))

    def conditional(self, given: EncodedRows, column: int) -> ColumnDistribution:
        """The distribution of a column given all that the rows know of the others."""
        states, values = given.states.clone(), given.values.clone()
        states[:, column], values[:, column] = UNKNOWN, 0.0
        rows = _mixture_rows(replace(given, states=states, values=values), self.shapes)
        log_weights = self.mixture.posterior(rows).log()
        log_states = torch.zeros(len(rows), 1, dtype=torch.float64)
        if self.shapes[column].states > 1:
            table = self.mixture.tables.columns[_discrete(self.shapes).index(column)]
            log_states = (log_weights[:, None] + table.log()).logsumexp(2)
            log_weights = log_weights + table[0].log() - log_states[:, :1]
        if not self.shapes[column].value:
            return ColumnDistribution(log_states, None)
        means, variances = self.mixture.gaussians.conditional(
            _real(self.shapes).index(column), rows.values, rows.present
        )
        return ColumnDistribution(log_states, MixtureHead(log_weights, means, variances.log() / 2))

    def sample(self, n: int, *, generator: torch.Generator) -> EncodedRows:
        """``n`` complete rows."""
        return self.sample_given(EncodedRows.unknown(self.shapes, 1), n, generator=generator)

    def sample_given(self, given: EncodedRows, n: int, *, generator: torch.Generator) -> EncodedRows:
        """``n`` rows for each row of ``given``, in its order, with unknown content drawn given the rest."""
        repeated = given.repeat(n)
        partial = _mixture_rows(repeated, self.shapes)
        discrete, drawn = self.mixture.draw(partial, generator)
        states, values = repeated.states.clone(), torch.zeros_like(repeated.values)
        states[:, _discrete(self.shapes)] = discrete
        states = torch.where(states == UNKNOWN, 0, states)
        values[:, _real(self.shapes)] = drawn
        carries = torch.tensor([shape.value for shape in self.shapes])
        values = torch.where((states == 0) & carries, values, 0.0)
        return EncodedRows(states, values, repeated.log_slopes, repeated.impossible)

    def state(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """JSON values and tensors that `from_state` makes an equal mixture of."""
        gaussians, tables = self.mixture.gaussians, self.mixture.tables
        tensors = {
            "weights": self.mixture.weights,
            "tables": _stacked(tables.columns, len(self.mixture)),
            "common": _stacked([table[:, None] for table in tables.common], 1),
            **gaussians.tensors(),
        }
        kind = next(name for name, kind in _KINDS.items() if type(gaussians) is kind)
        values = {"components": len(self.mixture), "kind": kind, "factors": gaussians.factors}
        return values, {name: tensor.contiguous() for name, tensor in tensors.items()}

    @classmethod
    def from_state(
        cls, values: Mapping[str, Any], tensors: Mapping[str, Tensor], shapes: Sequence[ColumnShape]
    ) -> Self:
        """The mixture that `state` described, of columns of ``shapes``."""
        kind = _KINDS.get(values.get("kind", ""))
        if kind is None:
            raise ModelError(f"a saved mixture is of one of the kinds {', '.join(_KINDS)}, got {values.get('kind')!r}")
        k, counts = values.get("components", 0), _counts(shapes)
        of_gaussians = kind.shapes(k, len(_real(shapes)), values.get("factors", 0))
        of_tables = {"weights": (k,), "tables": (sum(counts), k), "common": (sum(counts), 1)}
        _check_tensors(tensors, {**of_tables, **of_gaussians})
        columns = torch.split(tensors["tables"], counts) if counts else ()
        common = torch.split(tensors["common"][:, 0], counts) if counts else ()
        gaussians = kind(**{name: tensors[name] for name in of_gaussians})
        return cls(shapes, Mixture(tensors["weights"], gaussians, Tables(tuple(columns), tuple(common))))


def _check_tensors(tensors: Mapping[str, Tensor], expected: Mapping[str, tuple[int, ...]]) -> None:
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    if shapes != expected or any(tensor.dtype != torch.float64 for tensor in tensors.values()):
        raise ModelError(f"a saved mixture has float64 tensors of shapes {expected}, got {shapes}")
    if not all(bool(tensor.isfinite().all()) for tensor in tensors.values()):
        raise ModelError("a saved mixture has a number that is not finite")


def _discrete(shapes: Sequence[ColumnShape]) -> list[int]:
    return [i for i, shape in enumerate(shapes) if shape.states > 1]


def _real(shapes: Sequence[ColumnShape]) -> list[int]:
    return [i for i, shape in enumerate(shapes) if shape.value]


def _counts(shapes: Sequence[ColumnShape]) -> list[int]:
    return [shape.states for shape in shapes if shape.states > 1]


def _mixture_rows(rows: EncodedRows, shapes: Sequence[ColumnShape], weights: Tensor | None = None) -> MixtureRows:
    if rows.states.shape[1] != len(shapes):
        raise ShapeError(f"the mixture has {len(shapes)} columns, got rows of {rows.states.shape[1]}")
    states, values = rows.states, rows.values
    possible = ~rows.impossible[:, None]
    real = _real(shapes)
    present = (rows.present(shapes) & possible)[:, real]
    return MixtureRows.of(
        torch.where(possible, states, UNKNOWN)[:, _discrete(shapes)], values[:, real], present, weights
    )


def _usable(rows: EncodedRows, shapes: Sequence[ColumnShape], weights: Tensor | None) -> MixtureRows:
    """Possible rows of positive weight."""
    weights = torch.ones(len(rows), dtype=torch.float64) if weights is None else weights.double()
    keep = ~rows.impossible & (weights > 0)
    return _mixture_rows(rows.take(keep), shapes, weights[keep])


def _halves(rows: MixtureRows, seed: int) -> tuple[MixtureRows, MixtureRows]:
    """Training and validation rows; the same rows for both where there are fewer than ten."""
    if len(rows) < 10:
        return rows, rows
    order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(seed))
    held_out = max(1, int(_HELD_OUT * len(rows)))
    return rows.take(order[held_out:]), rows.take(order[:held_out])


def _possible(rows: EncodedRows, values: Tensor) -> Tensor:
    # Values beyond the range of floating-point squares have density zero.
    return torch.where(rows.impossible | values.isnan(), -torch.inf, values)


def _stacked(tables: Sequence[Tensor], components: int) -> Tensor:
    return torch.cat(list(tables)) if tables else torch.zeros(0, components, dtype=torch.float64)
