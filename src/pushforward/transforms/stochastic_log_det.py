"""Transforms whose log terms are estimated from probes, and a context manager that computes them exactly."""

from __future__ import annotations

import math
from abc import ABC
from collections.abc import Iterator
from contextlib import contextmanager
from operator import attrgetter

import torch
from torch import nn

from pushforward.held_flags import HeldFlags
from pushforward.transforms.base import Transform


class StochasticLogDet(Transform, ABC):
    """A transform with a stochastic log-determinant, estimated from probes or computed exactly.

    exact: whether the log term is computed without probes now, up to rounding and stated tolerances, by one pass for
    each coordinate of an event. The declared noise and kind do not change, and given probes are ignored. Set by
    `exactly`.

    tolerance: relative and absolute tolerance of a step of a numeric solution; 0 where there is none.
    """

    exact: bool = False
    tolerance: float = 0.0

    def tolerance_now(self, dtype: torch.dtype) -> float:
        """The tolerance for values of that type: while `exact`, at most the square root of the machine precision."""
        return min(self.tolerance, math.sqrt(torch.finfo(dtype).eps)) if self.exact else self.tolerance


_EXACT: HeldFlags[StochasticLogDet] = HeldFlags(attrgetter("exact"), lambda part, value: setattr(part, "exact", value))


def numeric_error(module: nn.Module, dtype: torch.dtype) -> float:
    """The error that the solvers in ``module`` may accumulate: errors of steps add up and grow along the trajectory."""
    tolerances = (part.tolerance_now(dtype) for part in module.modules() if isinstance(part, StochasticLogDet))
    return 100 * max(tolerances, default=0.0)


@contextmanager
def exactly(module: nn.Module) -> Iterator[None]:
    """A context in which every `StochasticLogDet` in ``module`` computes its log term without probes.

    It takes one pass for each coordinate of an event: use it for checks and reference values in few dimensions.

    >>> import torch
    >>> from pushforward.nets import contractive_mlp
    >>> from pushforward.transforms import Residual, RouletteLogDet, exactly
    >>> step = Residual((2,), contractive_mlp(2, hidden=(8,)), RouletteLogDet()).eval()
    >>> with exactly(step):
    ...     _, log_term = step.to_latent(torch.zeros(3, 2))
    >>> log_term.shape
    torch.Size([3])
    """
    with _EXACT.held([part for part in module.modules() if isinstance(part, StochasticLogDet)], True):
        yield
