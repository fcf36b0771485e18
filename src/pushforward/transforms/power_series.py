"""The log-determinant of ``I + J``, J the Jacobian of a contraction: exactly, or by its power series and a probe.

``ln det(I + J) = tr ln(I + J) = sum over k >= 1 of (-1)^(k+1) tr(J^k) / k``, and ``tr(J^k)`` is the mean of
``v^T J^k v`` over probes v whose entries are -1 or 1. Its gradient is the mean of ``v^T (I + J)^-1 dJ v``, with
``(I + J)^-1 = sum over k >= 0 of (-1)^k J^k``. A product ``v^T J^k`` takes one backward pass more than the one before.

Sources: Behrmann et al., "Invertible residual networks", 2019, section 3.1; Chen et al., "Residual flows for invertible
generative modeling", 2019, sections 3.1 and 3.2.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from pushforward.differentiation import (
    is_transformed,
    jacobian_row,
    pullback,
    refuse_vmap,
    with_first_order,
)
from pushforward.errors import OptionError
from pushforward.events import Shape, leading_axis, log_dtype, sum_event
from pushforward.likelihood import Estimator, Kind
from pushforward.nets.lipschitz import Contraction
from pushforward.noise import Noise, NoiseSpec, NoiseValue, part_noise, required_noise
from pushforward.option_checks import at_least_one
from pushforward.precision import in_float64

# Resolution of a uniform float32 number; two of them are combined to one with twice the digits.
_CELLS = 2.0**24
_FIRST_ORDER = (
    "a log-determinant estimated by a power series has derivatives of the first order only, in reverse mode; "
    "compute it exactly (the option log_det='exact'; `exactly` for a flow that is built) for derivatives of any order"
)
# Largest number of entries of Jacobians in memory at once, where no gradient needs all of them.
_JACOBIANS = 2**22


class LogDet(ABC):
    """A method of computing ``ln det(I + J)``, and the kind of its result.

    kind: as a transform has it. `noise` declares the noise of each row of a given shape.
    """

    kind: Kind = "estimate"

    @property
    @abstractmethod
    def estimator(self) -> Estimator | None:
        """How an estimate is computed; None for an exact value."""

    @abstractmethod
    def noise(self, event_shape: Shape) -> NoiseSpec:
        """The noise that the method needs for an event of that shape."""

    @abstractmethod
    def value(
        self, g: Contraction, x: Tensor, noise: NoiseValue, lipschitz: float, training: bool
    ) -> tuple[Tensor, Tensor]:
        """``g(x)`` and ``ln det(I + J)``, ``(B,)``, at ``x: (B, *event)``; rows of g must not affect each other."""


@dataclass(frozen=True)
class ExactLogDet(LogDet):
    """The whole Jacobian, by a backward pass for each coordinate of an event.

    >>> from pushforward.nets import contractive_mlp
    >>> from pushforward.transforms import ExactLogDet, Residual
    >>> Residual((2,), contractive_mlp(2, hidden=(8,)), ExactLogDet()).kind
    'exact'
    """

    kind = "exact"
    estimator = None

    def noise(self, event_shape: Shape) -> NoiseSpec:
        return None

    def value(
        self, g: Contraction, x: Tensor, noise: NoiseValue, lipschitz: float, training: bool
    ) -> tuple[Tensor, Tensor]:
        wanted, size = torch.is_grad_enabled(), x[:1].numel()
        at_once = x.shape[0] if wanted else max(1, _JACOBIANS // max(1, size * size))
        if x.is_meta or x.shape[0] <= at_once:
            return self._of_rows(g, x, None)
        chunks = torch.arange(x.shape[0], device=x.device).split(at_once)
        y, log_det = zip(*(self._of_rows(g, x[rows], rows) for rows in chunks), strict=True)
        return torch.cat(y), torch.cat(log_det)

    @staticmethod
    def _of_rows(g: Contraction, x: Tensor, rows_of_context: Tensor | None) -> tuple[Tensor, Tensor]:
        y, pull = pullback(lambda part: g(part, rows_of_context), x)
        rows = [jacobian_row(pull, y, i) for i in range(y[:1].numel())]
        jacobian = torch.stack(rows, 1) if rows else x.new_zeros(x.shape[0], 0, 0)
        eye = torch.eye(jacobian.shape[1], dtype=x.dtype, device=x.device)
        log_det = torch.linalg.slogdet(jacobian.to(log_dtype(x)) + eye)[1]
        return y, log_det


@dataclass(frozen=True)
class TruncatedLogDet(LogDet):
    """The first ``terms`` of the series, with one probe: biased by the terms that are left out.

    The bias is at most ``D sum over k > terms of L^k / k`` for D coordinates and Lipschitz constant L.

    >>> from pushforward.nets import contractive_mlp
    >>> from pushforward.transforms import Residual, TruncatedLogDet
    >>> Residual((2,), contractive_mlp(2, hidden=(8,)), TruncatedLogDet(terms=5)).kind
    'estimate'
    """

    terms: int = 5

    def __post_init__(self) -> None:
        at_least_one(self.terms, "terms")

    @property
    def estimator(self) -> Estimator:
        return Estimator(f"truncated after {self.terms} terms, biased", unbiased=False)

    def noise(self, event_shape: Shape) -> NoiseSpec:
        return Noise(event_shape, "rademacher", "probe")

    def value(
        self, g: Contraction, x: Tensor, noise: NoiseValue, lipschitz: float, training: bool
    ) -> tuple[Tensor, Tensor]:
        probe = required_noise(noise, self, "the probe of its series")
        # Weights of J^0, J^1, ...: the gradient has one power less than the value.
        inside = torch.ones(self.terms + 1, x.shape[0], dtype=log_dtype(x), device=x.device)
        inside[-1] = 0
        return power_series(g, x, probe, torch.ones_like(inside), inside)


@dataclass(frozen=True)
class RouletteLogDet(LogDet):
    """A random number of terms, each divided by the probability that it is reached: unbiased, as is its gradient.

    The first ``exact_terms`` (``evaluation_terms`` in evaluation mode) and one more are always computed; each further
    one follows the one before with probability ``survival``. The variance is finite where the square of J's largest
    eigenvalue is below ``survival``. In evaluation mode it is finite for any net of Lipschitz constant L, because the
    probability there is at least ``L^1.5``.

    Two uniform numbers per row determine its number of terms; a batch continues to the end of its longest row.

    >>> from pushforward.nets import contractive_mlp
    >>> from pushforward.transforms import Residual, RouletteLogDet
    >>> Residual((2,), contractive_mlp(2, hidden=(8,)), RouletteLogDet()).kind
    'estimate'
    """

    exact_terms: int = 2
    evaluation_terms: int = 20
    survival: float = 0.5

    def __post_init__(self) -> None:
        if min(self.exact_terms, self.evaluation_terms) < 0:
            raise OptionError(f"exact_terms must not be negative, got {self.exact_terms}, {self.evaluation_terms}")
        if not 0 < self.survival < 1:
            raise OptionError(f"survival must be above 0 and below 1, got {self.survival}")

    @property
    def estimator(self) -> Estimator:
        return Estimator("Russian roulette", unbiased=True)

    def noise(self, event_shape: Shape) -> NoiseSpec:
        return Noise(event_shape, "rademacher", "probe"), Noise((2,), "uniform", "probe")

    def value(
        self, g: Contraction, x: Tensor, noise: NoiseValue, lipschitz: float, training: bool
    ) -> tuple[Tensor, Tensor]:
        first, second = part_noise(noise, 2)
        probe = required_noise(first, self, "the probe of its series")
        uniform = required_noise(second, self, "uniform numbers for its number of terms")
        sure = (self.exact_terms if training else self.evaluation_terms) + 1
        survival = self.survival if training else max(self.survival, lipschitz**1.5)
        terms = sure + geometric(uniform, survival)
        refuse_vmap("estimates by Russian roulette", terms)
        longest = sure + 1 if x.is_meta else int(terms.max()) if len(terms) else 0
        k = torch.arange(longest + 1, device=x.device)[:, None]
        reached = survival ** in_float64((k - sure).clamp(min=0))
        weights = torch.where(k <= terms, (1 / reached).to(x.device, log_dtype(x)), 0.0)
        return power_series(g, x, probe, weights, weights)


def geometric(uniform: Tensor, survival: float) -> Tensor:
    """The number of further terms of each row, ``(B,)``: at least n with probability ``survival ** n``.

    uniform: ``(B, 2)``, each in [0, 1): the second gives the digits after those of a float32. In any dtype the same
    digits give the same count.
    """
    first, second = in_float64(uniform).mul(_CELLS).floor().div(_CELLS).unbind(1)
    # In (0, 1], in steps of 2^-48: below ``survival ** n`` with that probability.
    rest = 1 - (first + second / _CELLS)
    steps = rest.log() / torch.log(torch.tensor(survival, dtype=rest.dtype, device=rest.device))
    return steps.floor().long().to(uniform.device)


def power_series(
    g: Contraction, x: Tensor, probe: Tensor, value_weights: Tensor, gradient_weights: Tensor
) -> tuple[Tensor, Tensor]:
    """``g(x)`` and the series of ``ln det(I + J)`` at x, with weights ``(n + 1, B)`` of the powers 0 to n of J.

    The gradient is that of the series of ``(I + J)^-1``, and not that of the value for this probe. All powers are
    computed without a graph, so that memory does not grow with n. Only ``w^T J v`` is differentiated, with
    ``w^T = sum of (-1)^k weight v^T J^k`` held fixed. A second derivative would lack that of w, and is refused.
    """
    y, pull = pullback(g, x)
    with torch.no_grad():
        log_det, solved = _summed(g, x, pull, probe, value_weights, gradient_weights)
    if not (torch.is_grad_enabled() or is_transformed()):
        return y, log_det
    (surrogate,) = with_first_order((sum_event(pull(solved.to(y.dtype)) * probe),), _FIRST_ORDER)
    return y, log_det + (surrogate - surrogate.detach())


def _summed(
    g: Contraction,
    x: Tensor,
    pull: Callable[[Tensor], Tensor],
    probe: Tensor,
    value_weights: Tensor,
    gradient_weights: Tensor,
) -> tuple[Tensor, Tensor]:
    """The sums over the powers: of ``-(-1)^k / k weight v^T J^k v``, ``(B,)``, and of ``(-1)^k weight v^T J^k``.

    Finished rows are left out as soon as they are more than half, because few rows continue for long.
    """
    log_det = x.new_zeros(x.shape[0], dtype=value_weights.dtype)
    solved = probe * leading_axis(gradient_weights[0], x.ndim)
    power, rows = probe, torch.arange(x.shape[0], device=x.device)
    ends = ((value_weights != 0) | (gradient_weights != 0)).sum(0)
    for k in range(1, len(value_weights)):
        going = ends[rows] > k
        if not (x.is_meta or is_transformed()) and 2 * int(going.sum()) < len(rows):
            rows, power = rows[going], power[going]
            pull = pullback(partial(g, rows=rows), x[rows])[1]
        power = pull(power)
        sign = (-1) ** k
        log_det.index_add_(0, rows, -sign / k * value_weights[k][rows] * sum_event(power * probe[rows]))
        solved.index_add_(0, rows, (sign * leading_axis(gradient_weights[k][rows], x.ndim) * power).to(solved.dtype))
    return log_det, solved
