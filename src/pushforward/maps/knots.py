"""What splines share: knots from unconstrained numbers, the search for a bin, and positive slopes.

A spline is worked out on the unit interval: its bins' widths and heights are parts of 1, and the bin of a value is
described by few numbers per coordinate, which alone go through the formulas.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from pushforward.errors import OptionError

# No slope is steeper: a raw slope of 1e6, which a net fed with wild input may give, would overflow float32 downstream.
LARGEST_SLOPE = 1e3
# torch's softplus is linear beyond its threshold; the default of 20 is 2e-9 off there.
_LINEAR_ABOVE = 50.0


def check_bins(bins: int, minima: dict[str, float]) -> None:
    """Raise OptionError unless ``bins`` >= 2 and each minimum is above 0 and leaves room for ``bins`` of its size."""
    if bins < 2:
        raise OptionError(f"a spline needs at least 2 bins, got {bins}")
    for name, minimum in minima.items():
        if not 0 < minimum * bins < 1:
            raise OptionError(
                f"{name} must be above 0 and below 1 / bins = {1 / bins:g} (a part of the interval), got {minimum}"
            )


def check_bound(bound: float) -> None:
    """Raise OptionError unless ``bound`` is a positive number."""
    if not (math.isfinite(bound) and bound > 0):
        raise OptionError(f"bound must be a positive number, got {bound}")


def positive(raw: Tensor, minimum: float, largest: float = LARGEST_SLOPE) -> Tensor:
    """``minimum + softplus(raw + c)``, with ``c`` such that 0 gives 1; ``raw`` counts as ``largest`` beyond that."""
    offset = math.log(math.expm1(1 - minimum))
    return minimum + F.softplus(raw.clamp(max=largest) + offset, threshold=_LINEAR_ABOVE)


def search(t: Tensor, parts: Tensor, minimum: float) -> tuple[Tensor, Tensor]:
    """The bin that holds ``t``: its index (long, shaped as ``t``), and ``(K - 1, *t.shape)`` in the dtype of ``t`` with
    1 for each of the bins 0 .. K - 2 that ends at or below ``t``, otherwise 0.

    t: in [0, 1]. parts: (K, *t.shape), a softmax; bin k is ``minimum + (1 - K minimum) parts[k]`` wide. A knot belongs
    to the bin that begins there. Nothing here has a derivative.
    """
    with torch.no_grad():
        bins = parts.shape[0]
        ramp = minimum * torch.arange(1, bins, dtype=t.dtype, device=t.device).reshape(-1, *(1,) * t.ndim)
        below = t >= torch.add(ramp, parts[:-1].cumsum(0), alpha=1 - bins * minimum)
        return below.sum(0), below.to(t.dtype)


def bin_of(part: Tensor, before: Tensor, index: Tensor, bins: int, minimum: float) -> tuple[Tensor, Tensor]:
    """Beginning and width of the bin ``index``, given its softmax ``part`` and the sum of those ``before`` it."""
    share = 1 - bins * minimum
    return torch.add(minimum * index.to(part.dtype), before, alpha=share), minimum + share * part
