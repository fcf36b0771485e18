"""The multi-layer perceptron that conditions flows on vectors."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pushforward.errors import OptionError
from pushforward.kernels.dense import DenseForm, Layers, dense, takes_dense
from pushforward.module_state import is_altered
from pushforward.nets.dense import DenseNet
from pushforward.nets.dropout import Dropout

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "tanh": nn.Tanh,
    "silu": nn.SiLU,
    "gelu": nn.GELU,
    "elu": nn.ELU,
}

# Nets clamp their inputs to this: an input of 1e30 then gives a large but finite output instead of inf and NaN.
INPUT_LIMIT = 1e6


def within_limit(h: Tensor) -> Tensor:
    """Inputs clamped to `INPUT_LIMIT`. The backward pass is one operation; that of torch.clamp is five."""
    return F.hardtanh(h, -INPUT_LIMIT, INPUT_LIMIT)


def check_hidden(hidden: Sequence[int], activation: str, known: Iterable[str] = ACTIVATIONS) -> None:
    """Raise OptionError unless these can be the hidden layers of a net, with one of the known activations."""
    if not hidden or min(hidden) < 1:
        raise OptionError(f"hidden must be one or more widths of at least 1, got {tuple(hidden)}")
    if activation not in known:
        raise OptionError(f"activation {activation!r} is not known; expected one of {', '.join(known)}")


def plain(kind: type[nn.Module], *modules: nn.Module) -> bool:
    """Whether the modules are of that very class and unaltered, so that a kernel may compute what they do."""
    return all(type(module) is kind for module in modules) and not is_altered(*modules)


def own_params(*layers: nn.Module) -> list[Tensor]:
    """Weight and bias of each layer in turn, without those that are None.

    They are read where they are: Module.__getattr__ takes a third of the time of one row. Each is read by its name: the
    bias comes first in a layer whose parametrisation was removed.
    """
    found = (layer._parameters.get(name) for layer in layers for name in ("weight", "bias"))
    return [param for param in found if param is not None]


def columns(weight: Tensor, bias: Tensor) -> Callable[[Tensor], Tensor]:
    """A linear layer of columns with these params."""
    return lambda h: torch.addmm(bias[:, None], weight, h)


class ColumnLinear(nn.Linear):
    """A linear layer of columns: ``(in_features, B)`` to ``(out_features, B)``."""

    def forward(self, h: Tensor) -> Tensor:
        return torch.addmm(self.bias[:, None], self.weight, h)


class MLP(DenseNet):
    """A multi-layer perceptron: ``(B, in_features)`` and a context ``(B, context_dim)`` to ``(B, out_features)``.

    hidden: widths of the hidden layers, at least one. residual: a hidden layer as wide as the one before is added to it
    (pre-activation). zero: the last layer starts with weight and bias at zero, so that the net returns 0; else at
    random.

    >>> import torch
    >>> from pushforward.nets import MLP
    >>> MLP(2, 6, hidden=(16,), context_dim=3)(torch.zeros(5, 2), torch.zeros(5, 3)).shape
    torch.Size([5, 6])
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        hidden: Sequence[int] = (128, 128),
        context_dim: int = 0,
        activation: str = "relu",
        dropout: float = 0.0,
        residual: bool = False,
        zero: bool = True,
    ) -> None:
        super().__init__()
        check_hidden(hidden, activation)
        # A net without inputs (one feature, no context) gets a constant, so that it can learn a bias.
        self.constant = in_features + context_dim == 0
        widths = [max(1, in_features + context_dim), *hidden]
        self.layers = nn.ModuleList(ColumnLinear(narrow, wide) for narrow, wide in itertools.pairwise(widths))
        self.skips = [False, *(residual and narrow == wide for narrow, wide in itertools.pairwise(hidden))]
        self.activation = ACTIVATIONS[activation]()
        self.dropout = Dropout(dropout)
        self.last = ColumnLinear(widths[-1], out_features)
        if zero:
            nn.init.zeros_(self.last.weight)
            nn.init.zeros_(self.last.bias)

    def extra_repr(self) -> str:
        widths = ", ".join(str(layer.out_features) for layer in (*self.layers, self.last))
        return f"{self.layers[0].in_features} -> {widths}"

    def forward(self, h: Tensor, context: Tensor | None = None) -> Tensor:
        if context is not None:
            h = torch.cat([h, context.flatten(1)], 1)
        if self.constant:
            h = h.new_ones(h.shape[0], 1)
        layers = (*self.layers, self.last)
        if self._is_plain(layers):
            params, skips = own_params(*layers), (*self.skips, False)
            if takes_dense(h, params, skips):
                return dense(h, *self._form(params)).t()
        return self._columns(h, layers, self._activated).t()

    def dense_form(self) -> DenseForm | None:
        layers = (*self.layers, self.last)
        alone = type(self) is MLP and not self.constant and not is_altered(self)
        return self._form(own_params(*layers)) if alone and self._is_plain(layers) else None

    def _form(self, params: Sequence[Tensor]) -> DenseForm:
        return DenseForm(params, Layers((*self.skips, False), INPUT_LIMIT), self._with_params)

    def _is_plain(self, layers: Sequence[nn.Module]) -> bool:
        """Whether the net is what the kernel computes."""
        if self.dropout.p > 0 and self.dropout.training:
            return False
        return plain(nn.ReLU, self.activation) and plain(ColumnLinear, *layers)

    def _with_params(self, h: Tensor, *params: Tensor) -> Tensor:
        layers = [columns(*pair) for pair in zip(params[::2], params[1::2], strict=True)]
        # Without dropout, as the kernel: the net may be in training mode when second derivatives are taken.
        return self._columns(h, layers, self.activation)

    def _columns(
        self, h: Tensor, layers: Sequence[Callable[[Tensor], Tensor]], activated: Callable[[Tensor], Tensor]
    ) -> Tensor:
        """Outputs ``(out_features, B)`` by these layers of columns."""
        # The batch is innermost in memory: products with few inputs have fast backward passes in this layout only, and
        # maps read each parameter of many rows from contiguous memory.
        h = within_limit(h.t().contiguous())
        *hidden, last = layers
        for i, (layer, skip) in enumerate(zip(hidden, self.skips, strict=True)):
            out = layer(h if i == 0 else activated(h))
            h = h + out if skip else out
        return last(activated(h))

    def _activated(self, h: Tensor) -> Tensor:
        activated: Tensor = self.activation(h)
        # A call of dropout with p = 0 takes a tenth of the time of one row.
        return self.dropout(activated) if self.dropout.p > 0 else activated
