"""Full precision where it is needed, without half precision and TensorFloat-32, and evaluation mode with it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from functools import partial
from itertools import chain
from operator import attrgetter
from threading import Lock
from typing import Any

import torch
from torch import Tensor, nn

from pushforward.held_flags import HeldFlags

# Whether a module is in training mode.
_TRAINING: HeldFlags[nn.Module] = HeldFlags(
    attrgetter("training"), lambda part, value: object.__setattr__(part, "training", value)
)

# Devices whose tensors cannot be float64.
_WITHOUT_FLOAT64 = frozenset({"mps"})


def has_float64(device: torch.device) -> bool:
    """Whether tensors on the device can be float64."""
    return device.type not in _WITHOUT_FLOAT64


def in_float64(x: Tensor) -> Tensor:
    """``x`` in float64, on its own device or, where that has no float64, on the CPU."""
    return x.double() if has_float64(x.device) else x.cpu().double()


def full_precision(x: Tensor) -> AbstractContextManager[object]:
    """A context without autocast on the device of ``x``, because in half precision monotone maps and inverses lose
    these properties. It does nothing on a device without autocast."""
    device = x.device.type
    return torch.autocast(device, enabled=False) if torch.amp.is_autocast_available(device) else nullcontext()


@contextmanager
def strict_precision(x: Tensor) -> Iterator[None]:
    """`full_precision`, and on a CUDA device no TensorFloat-32 for float32 either; the process's switches as they were
    afterwards.

    TensorFloat-32 keeps ten bits of the factors of a product, and torch's convolutions use it by default: fixed-point
    iterations do not converge, and round trips are accurate to three digits only. The switches are global, and code
    that is being compiled leaves them alone, because a graph cannot set them.
    """
    with full_precision(x), _without_tf32() if x.device.type == "cuda" else nullcontext():
        yield


class _Switches:
    """The process's switches for TensorFloat-32: the number of threads that need them off, and how to restore them."""

    def __init__(self) -> None:
        self.lock, self.users, self.restored = Lock(), 0, ExitStack()


_SWITCHES = _Switches()


@contextmanager
def _without_tf32() -> Iterator[None]:
    if torch.compiler.is_compiling():
        yield
        return
    cudnn: Any = torch.backends.cudnn
    switches: list[tuple[Callable[[], Any], Callable[[Any], object], Any, Any]] = [
        (
            torch.get_float32_matmul_precision,
            torch.set_float32_matmul_precision,
            "highest",
            torch.backends.cuda.matmul,
        ),
        (lambda: cudnn.allow_tf32, partial(setattr, cudnn, "allow_tf32"), False, cudnn.conv),
    ]
    with _SWITCHES.lock:
        _SWITCHES.users += 1
    try:
        with _SWITCHES.lock:
            for read, write, off, newer in switches:
                # The older switch moves the newer with it, but not one for all of torch that the newer follows, and
                # refuses to be read where only the newer was moved.
                with suppress(RuntimeError):
                    before = read()
                    if before != off:
                        _SWITCHES.restored.callback(write, before)
                        write(off)
                if newer.fp32_precision == "tf32":
                    _SWITCHES.restored.callback(setattr, newer, "fp32_precision", "tf32")
                    newer.fp32_precision = "ieee"
        yield
    finally:
        with _SWITCHES.lock:
            _SWITCHES.users -= 1
            if _SWITCHES.users == 0:
                _SWITCHES.restored.close()


def present_precision(x: Tensor) -> Callable[[], AbstractContextManager[object]]:
    """A factory of the present autocast state on the device of ``x``, for later recomputation.

    The state has no cache, because cached copies of weights may have been made without gradients.
    """
    device = x.device.type
    if not torch.amp.is_autocast_available(device):
        return nullcontext
    dtype, enabled = torch.get_autocast_dtype(device), torch.is_autocast_enabled(device)
    return partial(torch.autocast, device, dtype, enabled, cache_enabled=False)


def present_mode(module: nn.Module) -> Callable[[], AbstractContextManager[object]]:
    """A factory of the present modes of a module's parts, training or evaluation, for later recomputation."""
    groups = [([part for part in module.modules() if part.training is mode], mode) for mode in (True, False)]

    @contextmanager
    def held() -> Iterator[None]:
        with ExitStack() as stack:
            for parts, mode in groups:
                stack.enter_context(_TRAINING.held(parts, mode))
            yield

    return held


@contextmanager
def evaluation(module: nn.Module) -> Iterator[None]:
    """Evaluation mode inside, without autocast and TensorFloat-32; each module's own mode again outside.

    The mode belongs to the module, hence to every thread that uses it meanwhile. It ends when the last thread leaves.

    Lower precision is for training: a net then returns different outputs for inputs that differ in the last bit, so
    that `to_data` would not invert `to_latent`.
    """
    one = next(chain(module.parameters(), module.buffers()), torch.empty(0))
    # A compiler cannot trace a lock; a compiled graph belongs to one thread's call.
    held = _switched_off if torch.compiler.is_compiling() else _held
    with held(list(module.modules())), strict_precision(one):
        yield


def _held(modules: list[nn.Module]) -> AbstractContextManager[object]:
    return _TRAINING.held(modules, False)


@contextmanager
def _switched_off(modules: list[nn.Module]) -> Iterator[None]:
    training = [module for module in modules if module.training]
    for module in training:
        module.training = False
    try:
        yield
    finally:
        for module in training:
            module.training = True
