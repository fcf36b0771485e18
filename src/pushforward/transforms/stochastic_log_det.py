"""Transforms whose log terms are estimated from probes, and how to have them exactly where that is wanted."""

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
    """A transform that can estimate its log term from probes, and can also do without.

    exact: compute the log term without probes for now, as far as rounding and stated tolerances allow; one pass for
    each coordinate of an event. What the transform declares, its noise and its kind, stays as it is: probes that are
    given are not used. Set by `exactly`.

    tolerance: of a numeric solution, relative and absolute, for a step of it; 0 where there is none.
    """

    exact: bool = False
    tolerance: float = 0.0

    def tolerance_now(self, dtype: torch.dtype) -> float:
        """The tolerance for values of that type: while `exact`, no more than the root of the machine's precision."""
        return min(self.tolerance, math.sqrt(torch.finfo(dtype).eps)) if self.exact else self.tolerance


_EXACT: HeldFlags[StochasticLogDet] = HeldFlags(attrgetter("exact"), lambda part, value: setattr(part, "exact", value))


def numeric_error(module: nn.Module, dtype: torch.dtype) -> float:
    """What the solvers' tolerances in ``module`` may add up to: errors of steps accumulate, and grow on the way."""
    tolerances = (part.tolerance_now(dtype) for part in module.modules() if isinstance(part, StochasticLogDet))
    return 100 * max(tolerances, default=0.0)


@contextmanager
def exactly(module: nn.Module) -> Iterator[None]:
    """Inside, every `StochasticLogDet` transform in ``module`` computes its log term without probes.

    A pass for each coordinate of an event: for checks, and for reference values in few dimensions.

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
