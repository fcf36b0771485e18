"""Contractive nets, with a Lipschitz constant below 1 by bounds on the spectral norms of their layers.

Sources: Behrmann, Grathwohl, Chen, Duvenaud & Jacobsen, "Invertible residual networks", 2019, section 2.1; Gouk, Frank,
Pfahringer & Cree, "Regularisation of neural networks by enforcing Lipschitz continuity", 2018, for convolutions; Chen,
Behrmann, Duvenaud & Jacobsen, "Residual flows for invertible generative modeling", 2019, section 3.3, for LipSwish.
"""

from __future__ import annotations

import itertools
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Literal, Protocol, TypeAlias, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pushforward.errors import OptionError
from pushforward.module_state import ChangesInTraining
from pushforward.nets.context import flat_context
from pushforward.nets.mlp import INPUT_LIMIT
from pushforward.nets.spectral_norm import Operator, krylov_vectors, leading_vectors, power_iteration, unit

# Safety margin: an estimate never exceeds the true spectral norm, so it is inflated by 0.5 %.
MARGIN = 5e-3
_KRYLOV_STEPS = 32
# At the start: the slope of an activation for inputs of unit deviation, and the fraction of variance that it keeps.
_START_SLOPE, _VARIANCE_KEPT = 1.5, 0.25

ContractiveActivation: TypeAlias = Literal["lipswish", "elu"]


class Contraction(Protocol):
    """A net as a function of ``x: (B, *event)`` alone; rows: their indices among the rows of the context, None: all."""

    def __call__(self, x: Tensor, rows: Tensor | None = None) -> Tensor: ...


class LipSwish(nn.Module):
    """``x sigmoid(beta x) / 1.1`` with a learned ``beta`` > 0: smooth, and of slope at most 1.

    Source: Chen et al., "Residual flows", 2019, section 3.3: the slope of swish is below 1.1 for any beta. beta: its
    starting value, ``(1,)``; None: 0.97.
    """

    def __init__(self, beta: Tensor | None = None) -> None:
        super().__init__()
        start = torch.full((1,), 0.5) if beta is None else beta + torch.log(-torch.expm1(-beta))
        self.raw_beta = nn.Parameter(start)

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(x * F.softplus(self.raw_beta)) / 1.1


class LipschitzLayer(nn.Module, ABC, ChangesInTraining):
    """A linear operator whose spectral norm is at most ``coefficient``: scaled down where it would be larger.

    `normalised` returns the weight for a number of calls. In training mode ``iterations`` power iterations per call
    update the largest singular value, from the vectors of the previous call, which are saved with the weights; it lags
    behind where weights change fast. In evaluation mode it is computed anew from the weights and the saved vectors,
    which do not change. So it depends on the saved state alone and is valid after any change of the weights. Either is
    a lower bound of the norm; ``MARGIN`` covers the difference.
    """

    weight: nn.Parameter
    bias: nn.Parameter

    def __init__(self, left: Tensor, right: Tensor, coefficient: float, iterations: int) -> None:
        super().__init__()
        if not 0 < coefficient < 1:
            raise OptionError(f"coefficient must be above 0 and below 1, got {coefficient}")
        if iterations < 1:
            raise OptionError(f"iterations must be at least 1, got {iterations}")
        self.coefficient, self.iterations = coefficient, iterations
        self.left, self.right = nn.Buffer(left / left.norm()), nn.Buffer(right / right.norm())

    def _start(self, layer: nn.Linear | nn.Conv2d) -> None:
        """Orthogonal starting weights: of all weights of one norm they preserve most of the input."""
        assert layer.bias is not None
        nn.init.orthogonal_(layer.weight)
        self.weight, self.bias = nn.Parameter(layer.weight.detach()), nn.Parameter(layer.bias.detach())

    @abstractmethod
    def apply_to(self, h: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        """The operator of ``weight``, plus a bias: ``(out,)``, or of each row ``(B, out)``."""

    @abstractmethod
    def _adjoint(self, h: Tensor, weight: Tensor) -> Tensor:
        """The transpose of the operator of ``weight``."""

    @abstractmethod
    def _vectors(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        """The first left and right singular vectors, computed from the weight and the saved vectors alone."""

    def normalised(self) -> Tensor:
        """The weight of an operator whose norm is at most ``coefficient``; differentiable, the vectors held fixed."""
        weight = self.weight
        if self.training:
            left, right = power_iteration(
                *self._operator(weight.detach()), self.left.clone(), self.right.clone(), self.iterations
            )
            with torch.no_grad():
                self.left.copy_(left)
                self.right.copy_(right)
        else:
            left, right = self._vectors(weight.detach())
        norm = (left * self._one(self.apply_to, right, weight)).sum() * (1 + MARGIN)
        return weight * (self.coefficient / norm.clamp(min=self.coefficient))

    def _operator(self, weight: Tensor) -> tuple[Operator, Operator]:
        return (lambda h: self._one(self.apply_to, h, weight)), (lambda h: self._one(self._adjoint, h, weight))

    @staticmethod
    def _one(run: Callable[[Tensor, Tensor], Tensor], h: Tensor, weight: Tensor) -> Tensor:
        return run(h[None], weight)[0]

    def extra_repr(self) -> str:
        return f"{tuple(self.right.shape)} -> {tuple(self.left.shape)}, coefficient={self.coefficient:g}"


class LipschitzLinear(LipschitzLayer):
    """A matrix ``(outputs, inputs)`` of bounded norm. In evaluation mode its norm is that of an eigenvector."""

    def __init__(self, inputs: int, outputs: int, coefficient: float = 0.9, iterations: int = 5) -> None:
        super().__init__(torch.randn(outputs), torch.randn(inputs), coefficient, iterations)
        self._start(nn.Linear(inputs, outputs))

    def apply_to(self, h: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        out = F.linear(h, weight)
        return out if bias is None else out + bias

    def _adjoint(self, h: Tensor, weight: Tensor) -> Tensor:
        return h @ weight

    def _vectors(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        return leading_vectors(weight)


class LipschitzConv2d(LipschitzLayer):
    """A convolution of images ``in_shape: (C, H, W)``, padded with zeros to the same size, of bounded norm.

    The norm is that of the convolution as an operator on images of this size, not that of its kernel as a matrix, which
    may lie on either side of it. In evaluation mode it is computed in a Krylov space of 32 dimensions.
    """

    def __init__(
        self, in_shape: tuple[int, int, int], outputs: int, size: int, coefficient: float = 0.9, iterations: int = 5
    ) -> None:
        channels, height, width = in_shape
        super().__init__(torch.randn(outputs, height, width), torch.randn(in_shape), coefficient, iterations)
        self._start(nn.Conv2d(channels, outputs, size))
        self.padding = size // 2

    def apply_to(self, h: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        out = F.conv2d(h, weight, padding=self.padding)
        return out if bias is None else out + bias[..., None, None]

    def _adjoint(self, h: Tensor, weight: Tensor) -> Tensor:
        return F.conv_transpose2d(h, weight, padding=self.padding)

    def _vectors(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        # The saved vector gets a small component in every direction, because it may have become the second one.
        entries = torch.arange(1, self.right.numel() + 1, dtype=self.right.dtype, device=self.right.device)
        other = (entries.square() * 0.6180339887).frac().sub(0.5).reshape(self.right.shape)
        start = self.right + 0.1 * unit(other, other)
        return krylov_vectors(*self._operator(weight), start, _KRYLOV_STEPS)


class ContractiveNet(nn.Module):
    """``g(x; context)`` with Lipschitz constant ``lipschitz`` < 1 in x: layers of bounded norm, activations between.

    ``lipschitz`` is the product of the layers' coefficients. A context of ``context_dim`` numbers is added to each
    layer's output before its activation, which does not change the constant in x. The last layer starts at zero, and so
    does the net's output.

    >>> import torch
    >>> from pushforward.nets import contractive_mlp
    >>> net = contractive_mlp(2, hidden=(8,))
    >>> net(torch.zeros(3, 2)).shape
    torch.Size([3, 2])
    """

    def __init__(
        self, layers: Sequence[LipschitzLayer], activation: ContractiveActivation = "lipswish", context_dim: int = 0
    ) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.lipschitz = math.prod(layer.coefficient for layer in layers)
        self.context_dim = context_dim
        spreads = _start_biases(layers)
        self.activations = nn.ModuleList(
            nn.ELU() if activation == "elu" else LipSwish(_START_SLOPE / spread) for spread in spreads[:-1]
        )
        widths = [layer.bias.shape[0] for layer in layers]
        shifts = [nn.Linear(context_dim, n, bias=False).weight for n in widths] if context_dim else []
        self.shifts = nn.ParameterList(shifts)
        with torch.no_grad():
            for parameter in (layers[-1].weight, layers[-1].bias, *shifts[-1:]):
                parameter.zero_()

    def extra_repr(self) -> str:
        return f"lipschitz={self.lipschitz:.3g}"

    def at(self, context: Tensor | None = None) -> Contraction:
        """``g`` as a function of x alone, with weights that are normalised once for all of its calls.

        context: ``(B, *context_shape)`` or None. Raises ContextError.
        """
        context = flat_context(context, self.context_dim, "net")
        layers = [cast(LipschitzLayer, layer) for layer in self.layers]
        weights, biases = [layer.normalised() for layer in layers], [cast(Tensor, layer.bias) for layer in layers]
        if context is not None:
            biases = [bias + F.linear(context, shift) for bias, shift in zip(biases, self.shifts, strict=True)]

        def g(x: Tensor, rows: Tensor | None = None) -> Tensor:
            h = x.clamp(-INPUT_LIMIT, INPUT_LIMIT)
            for i, (layer, weight, bias) in enumerate(zip(layers, weights, biases, strict=True)):
                if rows is not None and bias.ndim > 1:
                    bias = bias[rows]
                h = layer.apply_to(h if i == 0 else self.activations[i - 1](h), weight, bias)
            return h

        return g

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        return self.at(context)(x)


@torch.no_grad()
def _start_biases(layers: Sequence[LipschitzLayer]) -> list[Tensor]:
    """Biases of the size of their layers' outputs, and these sizes, ``(1,)`` each, for inputs of unit variance.

    With norms below 1 and more units than inputs the outputs are small, and on small inputs an activation of unit
    steepness is almost linear, whatever is learned.
    """
    spreads, variance = [], torch.ones(1)
    for layer in layers:
        variance = variance * layer.normalised().square().sum() / layer.bias.shape[0]
        spreads.append(variance.sqrt())
        layer.bias.uniform_(-1, 1).mul_(2 * spreads[-1])
        variance = _VARIANCE_KEPT * variance
    return spreads


def contractive_mlp(
    features: int,
    hidden: Sequence[int] = (128, 128),
    context_dim: int = 0,
    activation: ContractiveActivation = "lipswish",
    coefficient: float = 0.9,
    iterations: int = 5,
) -> ContractiveNet:
    """A contraction of vectors ``(B, features)``; hidden: widths of its hidden layers.

    >>> import torch
    >>> from pushforward.nets import contractive_mlp
    >>> contractive_mlp(2, hidden=(8,), coefficient=0.9)(torch.zeros(3, 2)).shape
    torch.Size([3, 2])
    """
    widths = itertools.pairwise([features, *hidden, features])
    layers = [LipschitzLinear(narrow, wide, coefficient, iterations) for narrow, wide in widths]
    return ContractiveNet(layers, activation, context_dim)


def contractive_conv_net(
    event_shape: tuple[int, int, int],
    channels: int = 64,
    context_dim: int = 0,
    activation: ContractiveActivation = "lipswish",
    coefficient: float = 0.9,
    iterations: int = 5,
) -> ContractiveNet:
    """A contraction of images ``(B, C, H, W)``: 3 x 3, 1 x 1 and 3 x 3 convolutions with ``channels`` between.

    On images of a single pixel all of them are 1 x 1, because only the middle of larger kernels would have an effect.

    >>> import torch
    >>> from pushforward.nets import contractive_conv_net
    >>> contractive_conv_net((1, 4, 4), channels=4)(torch.zeros(2, 1, 4, 4)).shape
    torch.Size([2, 1, 4, 4])
    """
    inputs, height, width = event_shape
    wide = 3 if height * width > 1 else 1
    shapes = [(inputs, channels, wide), (channels, channels, 1), (channels, inputs, wide)]
    layers = [LipschitzConv2d((i, height, width), o, size, coefficient, iterations) for i, o, size in shapes]
    return ContractiveNet(layers, activation, context_dim)
