"""Where half precision must not come in."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor


def full_precision(x: Tensor) -> AbstractContextManager[object]:
    """Without autocast on the device of ``x``: in half precision what is monotone, or the inverse of something, is not
    any more. Nothing to do on a device that has no autocast."""
    device = x.device.type
    return torch.autocast(device, enabled=False) if torch.amp.is_autocast_available(device) else nullcontext()
