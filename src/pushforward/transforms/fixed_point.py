"""Fixed points of contractions: the inverse of ``x + g(x)``, row by row, with a certificate."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from pushforward.differentiation import decided
from pushforward.errors import NumericsError
from pushforward.events import leading_axis

_WHAT = "inverses of residual blocks"


def tolerance(dtype: torch.dtype) -> float:
    """The certified upper bound of a row's error, 6e-6 in float32 and 2e-12 in float64.

    The error is the root mean square over the row's entries, relative to 1 + the largest of them.
    """
    return math.pow(torch.finfo(dtype).eps, 0.75)


@torch.no_grad()
def solve(g: Callable[[Tensor], Tensor], z: Tensor, lipschitz: float) -> Tensor:
    """The ``x: (B, *event)`` with ``x + g(x) = z``, for a ``g`` of rows with Lipschitz constant ``lipschitz`` < 1.

    By ``x <- z - g(x)`` (Behrmann et al., "Invertible residual networks", 2019, algorithm 1). Each row iterates until
    its steps no longer shrink, independently of the other rows. Banach's theorem certifies the result: the error is at
    most ``lipschitz / (1 - lipschitz)`` times the last step, and that is at most `tolerance`. Rows with NaN give NaN,
    and infinite values give themselves.

    Raises NumericsError naming the rows that did not converge, because ``g`` is no contraction or not finite.
    """
    eps, size = torch.finfo(z.dtype).eps, max(1, z[:1].numel())
    factor = max(1.0, lipschitz / (1 - lipschitz)) / math.sqrt(size)
    # As many as reduce the largest first step below rounding, and as many again where the bound is tight.
    most = 20 + math.ceil(math.log(1e-3 * eps) / math.log(max(lipschitz, 1e-300)))
    x = z
    active = z.new_ones(z.shape[0], dtype=torch.bool)
    step = z.new_full((z.shape[0],), math.inf)
    certified = torch.zeros_like(active)
    for _ in range(1 if z.is_meta else most):
        moved = z - g(x)
        length = factor * torch.linalg.vector_norm((moved - x).flatten(1), dim=1)
        scale = 1 + x.abs().flatten(1).amax(1) if x.numel() else length
        certified = torch.where(active, length <= tolerance(z.dtype) * scale, certified)
        x = torch.where(leading_axis(active, z.ndim), moved, x)
        resting = (length <= 0.1 * eps * scale) | (certified & (length >= step))
        step, active = length, active & ~resting & ~length.isnan()
        if not z.is_meta and not decided(active.any(), _WHAT):
            break
    failed = ~certified & z.isfinite().flatten(1).all(1)
    if not z.is_meta and decided(failed.any(), _WHAT):
        raise NumericsError(_message(failed))
    return x


def _message(failed: Tensor) -> str:
    rows = failed.nonzero()[:, 0].tolist()
    named = ", ".join(map(str, rows[:10])) + (", ..." if len(rows) > 10 else "")
    return (
        f"the inverse of a residual block did not converge in {len(rows)} of {len(failed)} rows (rows {named}); "
        "its net is no contraction there, or its weights are not finite"
    )
