"""Vector fields: nets that compute the velocity of a point at a time, for continuous flows and flow matching."""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pushforward.events import Shape
from pushforward.nets.mlp import INPUT_LIMIT, check_hidden

# Smooth activations, because the trace of a net's Jacobian is integrated, and its gradient needs a second derivative.
SMOOTH: dict[str, Callable[[Tensor], Tensor]] = {"softplus": F.softplus, "tanh": torch.tanh, "silu": F.silu}


class VectorField(nn.Module, ABC):
    """The velocity ``f(t, x; context)`` of points ``x: (B, *event_shape)``, ``(B, *event_shape)``; 0 at the start.

    Rows must not affect each other. Attribute that a subclass sets: ``event_shape``.
    """

    event_shape: Shape

    @abstractmethod
    def forward(self, t: Tensor, x: Tensor, context: Tensor | None = None) -> Tensor:
        """t: one time for all rows, ``()``, or one for each, ``(B,)``."""


class _ConcatSquash(VectorField):
    """Layers ``(W h + b) sigmoid(U c + d) + V c``, where c is the time and the context, and W a ``layer``.

    The layer is "concatsquash" of Grathwohl, Chen, Bettencourt, Sutskever & Duvenaud, "FFJORD", 2019, appendix B.1.
    """

    def __init__(
        self,
        event_shape: Shape,
        layer: Callable[[int, int], nn.Module],
        hidden: Sequence[int],
        context_dim: int,
        activation: str,
    ) -> None:
        super().__init__()
        check_hidden(hidden, activation, SMOOTH)
        self.event_shape = tuple(event_shape)
        widths = [event_shape[0], *hidden, event_shape[0]]
        self.widths = widths[1:]
        self.layers = nn.ModuleList(layer(narrow, wide) for narrow, wide in itertools.pairwise(widths))
        self.squashes = nn.ModuleList(_Squash(1 + context_dim, wide) for wide in widths[1:])
        self.activation = SMOOTH[activation]
        _start_at_zero(self.layers[-1], self.squashes[-1])
        # Axes of a gate or a shift ``(B, channels)``, which is constant over the pixels.
        self.spread = (1,) * (len(event_shape) - 1)

    def extra_repr(self) -> str:
        return ", ".join(map(str, self.widths))

    def forward(self, t: Tensor, x: Tensor, context: Tensor | None = None) -> Tensor:
        inputs, h = _time_and_context(t, x, context), x.clamp(-INPUT_LIMIT, INPUT_LIMIT)
        for i, (layer, squash) in enumerate(zip(self.layers, self.squashes, strict=True)):
            gate, shift = (part.reshape(*part.shape, *self.spread) for part in squash(inputs))
            h = layer(h if i == 0 else self.activation(h)) * gate + shift
        return h


class ConcatSquashMLP(_ConcatSquash):
    """Concatsquash layers on vectors ``(D,)``.

    >>> import torch
    >>> from pushforward.nets import ConcatSquashMLP
    >>> ConcatSquashMLP(2, hidden=(8,))(torch.tensor(0.5), torch.zeros(3, 2)).shape
    torch.Size([3, 2])
    """

    def __init__(
        self, features: int, hidden: Sequence[int] = (64, 64, 64), context_dim: int = 0, activation: str = "softplus"
    ) -> None:
        super().__init__((features,), nn.Linear, hidden, context_dim, activation)


class ConcatSquashConvNet(_ConcatSquash):
    """Concatsquash layers of 3 x 3 convolutions, with a gate and a shift for each channel, on images ``(C, H, W)``.

    >>> import torch
    >>> from pushforward.nets import ConcatSquashConvNet
    >>> field = ConcatSquashConvNet((1, 4, 4), hidden=(4,))
    >>> field(torch.tensor(0.5), torch.zeros(2, 1, 4, 4)).shape
    torch.Size([2, 1, 4, 4])
    """

    def __init__(
        self,
        event_shape: Shape,
        hidden: Sequence[int] = (64, 64, 64),
        context_dim: int = 0,
        activation: str = "softplus",
    ) -> None:
        super().__init__(event_shape, partial(nn.Conv2d, kernel_size=3, padding=1), hidden, context_dim, activation)


class _Squash(nn.Module):
    """The gate and the shift of a layer, from the time and the context."""

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        self.gate, self.shift = nn.Linear(inputs, width), nn.Linear(inputs, width, bias=False)

    def forward(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        return torch.sigmoid(self.gate(inputs)), self.shift(inputs)


def _time_and_context(t: Tensor, x: Tensor, context: Tensor | None) -> Tensor:
    """``(B, 1 + K)``, or one row for all where there is one time and no context."""
    if context is None:
        return t.to(x.dtype).reshape(-1, 1)
    return torch.cat([t.to(x.dtype).reshape(-1, 1).expand(x.shape[0], 1), context.flatten(1)], 1)


def _start_at_zero(layer: nn.Module, squash: nn.Module) -> None:
    assert isinstance(squash, _Squash)
    for parameter in (*layer.parameters(), squash.shift.weight):
        nn.init.zeros_(parameter)
