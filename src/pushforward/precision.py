"""Where half precision must not come in."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial

import torch
from torch import Tensor


def full_precision(x: Tensor) -> AbstractContextManager[object]:
    """Without autocast on the device of ``x``: in half precision what is monotone, or the inverse of something, is not
    any more. Nothing to do on a device that has no autocast."""
    device = x.device.type
    return torch.autocast(device, enabled=False) if torch.amp.is_autocast_available(device) else nullcontext()


def present_precision(x: Tensor) -> Callable[[], AbstractContextManager[object]]:
    """Autocast on the device of ``x`` as it is now, to be entered later, where what was computed is computed again.

    Without its cache: what that holds of a weight may have been made without gradients.
    """
    device = x.device.type
    if not torch.amp.is_autocast_available(device):
        return nullcontext
    dtype, enabled = torch.get_autocast_dtype(device), torch.is_autocast_enabled(device)
    return partial(torch.autocast, device, dtype, enabled, cache_enabled=False)
