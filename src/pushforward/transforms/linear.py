"""Linear layers on vectors, ``z = W x + b``, and on images, where one ``W`` mixes the channels of every pixel.

`LULinear` and `Householder` have ``W`` in a factored form whose determinant and inverse are cheap. The log of each
number on a diagonal is bounded, because a nearly singular matrix has an inverse in exact arithmetic only (Behrmann et
al., "Understanding and mitigating exploding inverses in invertible neural networks", 2021).
"""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pushforward.errors import OptionError
from pushforward.events import Shape, zero_log_term
from pushforward.maps.affine import SoftClampScale
from pushforward.module_state import CheckedState, InitialisedByData, once_each
from pushforward.noise import NoiseValue
from pushforward.precision import full_precision, in_float64
from pushforward.transforms.base import Transform
from pushforward.transforms.reflections import householder, random_reflections, reflections
from pushforward.triangular import StrictTriangle

Start = Literal["identity", "permutation", "orthogonal"]


class Linear(Transform):
    """The base class of linear layers ``z = W x + b``; ``W`` is formed once per call.

    event_shape: ``D`` or ``(D,)`` for vectors; ``(C, H, W)`` for a 1 x 1 convolution of images, with a ``C x C`` matrix
    for all pixels (Kingma & Dhariwal, "Glow", 2018, section 3.2). Images are returned with their channels innermost in
    memory, which is also the fastest layout of inputs.
    """

    def __init__(self, event_shape: int | Shape, bias: bool = True) -> None:
        super().__init__()
        shape = (event_shape,) if isinstance(event_shape, int) else tuple(event_shape)
        if not shape or shape[0] < 1:
            raise OptionError(f"features of a linear layer must be at least 1, got {shape[0] if shape else shape}")
        self.data_shape = self.latent_shape = shape
        self.features, self.positions = shape[0], math.prod(shape[1:])
        self.bias = nn.Parameter(torch.zeros(self.features)) if bias else None

    @abstractmethod
    def weight_and_log_det(self) -> tuple[Tensor, Tensor]:
        """``W``, ``(D, D)``, and ``log|det W|``, a number."""

    def weight(self) -> Tensor:
        """``W``, ``(D, D)``."""
        return self.weight_and_log_det()[0]

    @abstractmethod
    def solve(self, y: Tensor) -> Tensor:
        """``W^-1 y`` for columns ``y: (D, N)``, which are contiguous in memory, as the results should be."""

    @abstractmethod
    def log_det(self) -> Tensor:
        """``log|det W|``, a number."""

    def to_latent(self, x: Tensor, context: Tensor | None = None, noise: NoiseValue = None) -> tuple[Tensor, Tensor]:
        with full_precision(x):
            weight, log_det = self.weight_and_log_det()
            z = F.linear(x.movedim(1, -1).to(weight.dtype), weight, self.bias).movedim(-1, 1)
            return z, zero_log_term(x) + self.positions * log_det

    def to_data(self, z: Tensor, context: Tensor | None = None, noise: NoiseValue = None) -> tuple[Tensor, Tensor]:
        with full_precision(z):
            y = z.movedim(1, -1)
            y = y if self.bias is None else y - self.bias
            log_det = self.log_det()
            # The channels of a pixel are a column, as LAPACK needs them: contiguous in memory.
            x = self.solve(y.to(log_det.dtype).reshape(-1, self.features).T).T
            return x.reshape(y.shape).movedim(-1, 1), zero_log_term(z) - self.positions * log_det


class LULinear(Linear, CheckedState):
    """``W = P L U``: a fixed signed permutation, a unit lower and an upper triangle with a positive diagonal.

    start: ``identity``; ``permutation``, a random one, which remains fixed as ``P``; ``orthogonal``, a random rotation
    or reflection, whose ``P`` remains fixed. limit bounds the log of the diagonal of ``U``.

    Source: Kingma & Dhariwal, "Glow", 2018, section 3.2; Oliva et al., "Transformation autoregressive networks", 2018.

    >>> import torch
    >>> from pushforward.transforms import LULinear
    >>> step, x = LULinear(3), torch.randn(5, 3)
    >>> torch.allclose(step.to_data(step.to_latent(x)[0])[0], x, atol=1e-5)
    True
    """

    def __init__(
        self, event_shape: int | Shape, start: Start = "identity", bias: bool = True, limit: float = 5.0
    ) -> None:
        super().__init__(event_shape, bias)
        features = self.features
        _check_start(start)
        self.scale = SoftClampScale(limit)
        self.order = nn.Buffer(torch.randperm(features) if start == "permutation" else torch.arange(features))
        self.signs = nn.Buffer(torch.ones(features))
        self.packed = nn.Parameter(torch.zeros(features, features))
        if start == "orthogonal":
            self._decompose(_random_orthogonal(features))

    @torch.no_grad()
    def _decompose(self, matrix: Tensor) -> None:
        permutation, lower, upper = torch.linalg.lu(in_float64(matrix))
        # The signs of U's diagonal go through L to the rows of P: L U = S (S L S) (S U).
        signs = torch.where(upper.diagonal() < 0, -1.0, 1.0).double()
        raw = self.scale.raw(upper.diagonal().abs().log())
        lower = signs[:, None] * lower * signs
        upper = signs[:, None] * upper
        self.packed.copy_(lower.tril(-1) + upper.triu(1) + raw.diag())
        self.order.copy_(permutation.argmax(1))
        self.signs.copy_(signs[self.order])

    def state_problem(self) -> str | None:
        signs = None if bool((self.signs.abs() == 1).all()) else "has signs other than 1 and -1"
        return once_each(len(self.order), self.order) or signs

    def _log_diagonal(self) -> Tensor:
        log_diagonal: Tensor = self.scale(self.packed.diagonal())
        return log_diagonal

    def _upper(self, log_diagonal: Tensor) -> Tensor:
        return self.packed.triu(1) + log_diagonal.exp().diag()

    def weight_and_log_det(self) -> tuple[Tensor, Tensor]:
        log_diagonal = self._log_diagonal()
        lower = self.packed.tril(-1) + _eye(self.packed)
        weight = self.signs[:, None] * (lower @ self._upper(log_diagonal)).index_select(0, self.order)
        return weight, log_diagonal.sum()

    def solve(self, y: Tensor) -> Tensor:
        y = (self.signs[:, None] * y).index_select(0, torch.argsort(self.order))
        y = torch.linalg.solve_triangular(self.packed, y, upper=False, unitriangular=True)
        x: Tensor = torch.linalg.solve_triangular(self._upper(self._log_diagonal()), y, upper=True)
        return x

    def log_det(self) -> Tensor:
        return self._log_diagonal().sum()


class DenseLinear(Linear):
    """A dense matrix ``W``, whose determinant and inverse need a factorisation each.

    start: ``orthogonal``, a random rotation or reflection, or ``identity``. A singular matrix is made invertible: a
    pivot of its elimination (in float64, with row exchanges) that is below ``exp(-limit)`` in size is raised to that,
    and ``W`` is the product of the changed factors. The change counts as a constant, so that gradients of the
    log-determinant are finite there and lead away from singularity.

    Source: Kingma & Dhariwal, "Glow", 2018, section 3.2, eq. 9.

    >>> import torch
    >>> from pushforward.transforms import DenseLinear
    >>> z, log_term = DenseLinear(3).to_latent(torch.randn(5, 3))
    >>> log_term.shape
    torch.Size([5])
    """

    def __init__(
        self, event_shape: int | Shape, start: Start = "orthogonal", bias: bool = True, limit: float = 10.0
    ) -> None:
        super().__init__(event_shape, bias)
        _check_start(start, ("identity", "orthogonal"))
        self.limit = SoftClampScale(limit).limit
        self.matrix = nn.Parameter(torch.eye(self.features))
        if start == "orthogonal":
            with torch.no_grad():
                self.matrix.copy_(_random_orthogonal(self.features))

    def _invertible(self) -> Tensor:
        """``W`` in float64, on the CPU where the device has none."""
        matrix = in_float64(self.matrix)
        permutation, lower, upper = torch.linalg.lu(matrix.detach())
        pivots = upper.diagonal()
        least = math.exp(-self.limit)
        raised = torch.where(pivots < 0, -least, least) - pivots
        change = torch.where(pivots.abs() < least, raised, 0.0)
        invertible: Tensor = matrix + permutation @ (lower * change)
        return invertible

    def weight_and_log_det(self) -> tuple[Tensor, Tensor]:
        matrix = self._invertible()
        return matrix.to(self.matrix), torch.linalg.slogdet(matrix).logabsdet.to(self.matrix)

    def solve(self, y: Tensor) -> Tensor:
        # Not torch's `solve`, which waits for the device to report whether the matrix is singular.
        x: Tensor = torch.linalg.solve_ex(self._invertible().to(self.matrix), y).result
        return x

    def log_det(self) -> Tensor:
        return self.weight_and_log_det()[1]


class Householder(Linear, InitialisedByData):
    """``W = Q^T``, where ``Q`` is a product of Householder reflections: an orthogonal matrix.

    start: ``identity``; ``orthogonal`` (``Q`` random); ``pca``, random too until `initialise` takes the principal axes
    of the data, once, that of the largest variance first. With fewer than two rows per feature the axes remain random,
    because so few rows may hide a variance.

    Source: Tomczak & Welling, "Improving variational auto-encoders using Householder flow", 2016.

    >>> import torch
    >>> from pushforward.transforms import Householder
    >>> z, log_term = Householder(3).to_latent(torch.randn(5, 3))
    >>> log_term
    tensor([0., 0., 0., 0., 0.])
    """

    def __init__(self, event_shape: int | Shape, start: Literal["identity", "orthogonal", "pca"] = "identity") -> None:
        super().__init__(event_shape, bias=False)
        _check_start(start, ("identity", "orthogonal", "pca"))
        self.below = StrictTriangle(self.features)
        if start != "identity":
            self.below.set(random_reflections(self.features, self.features))
        self.initialised = nn.Buffer(torch.zeros((), dtype=torch.bool)) if start == "pca" else None

    def weight_and_log_det(self) -> tuple[Tensor, Tensor]:
        return householder(self.below()).T, self.log_det()

    def solve(self, y: Tensor) -> Tensor:
        return (y.T @ self.weight()).T

    def log_det(self) -> Tensor:
        return self.below.entries.new_zeros(())

    @torch.no_grad()
    def initialise(self, x: Tensor, context: Tensor | None = None, noise: NoiseValue = None) -> None:
        if self.initialised is None or bool(self.initialised):
            return
        self.initialised.fill_(True)
        rows = in_float64(x.movedim(1, -1).flatten(0, -2))
        if len(rows) < 2 * self.features:
            return
        centred = rows - rows.mean(0)
        axes = torch.linalg.eigh(centred.T @ centred).eigenvectors.flip(1)
        # The sign of an axis is arbitrary: the reflections determine it.
        self.below.set(reflections(axes))


def _eye(like: Tensor) -> Tensor:
    return torch.eye(len(like), dtype=like.dtype, device=like.device)


def _check_start(start: str, known: tuple[str, ...] = get_args(Start)) -> None:
    if start not in known:
        raise OptionError(f"start {start!r} of a linear layer is not known here; expected one of {', '.join(known)}")


def _random_orthogonal(features: int) -> Tensor:
    orthogonal: Tensor = torch.linalg.qr(torch.randn(features, features, dtype=torch.float64)).Q
    return orthogonal
