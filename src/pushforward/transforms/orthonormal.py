"""Orthonormal vectors from unconstrained numbers: the matrix ``Q`` of a Sylvester flow.

Source: van den Berg, Hasenclever, Tomczak & Welling, "Sylvester normalizing flows for variational inference", 2018,
section 3.2.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from pushforward.errors import OptionError
from pushforward.transforms.reflections import householder, random_reflections
from pushforward.triangular import fill_matrix


class OrthonormalColumns(nn.Module, ABC):
    """``columns`` orthonormal vectors of ``features`` coordinates, from unconstrained numbers.

    Raises OptionError for more columns than coordinates.
    """

    def __init__(self, features: int, columns: int) -> None:
        super().__init__()
        if not 1 <= columns <= features:
            raise OptionError(f"columns must be between 1 and the {features} coordinates of an event, got {columns}")
        self.features, self.columns = features, columns

    def extra_repr(self) -> str:
        return f"{self.columns} of {self.features}"

    @abstractmethod
    def start(self) -> Tensor:
        """Random starting values ``(n,)`` of the numbers."""

    @abstractmethod
    def forward(self, raw: Tensor) -> Tensor:
        """``raw: (n, B)`` to ``Q: (B, features, columns)`` with orthonormal columns."""


class QRColumns(OrthonormalColumns):
    """The Gram-Schmidt orthonormalisation of any ``features x columns`` matrix, by a QR decomposition.

    The paper iterates ``Q <- Q (I + (I - Q^T Q) / 2)`` up to a tolerance. The number of iterations depends on the
    matrix, and no number suffices where a singular value exceeds sqrt(3). A QR decomposition reaches the same matrices
    from any one of full rank, to the last digit and at a fixed cost. It is smooth too, if the signs of the columns make
    the diagonal of its triangle positive.

    >>> import torch
    >>> from pushforward.transforms import QRColumns
    >>> frame = QRColumns(4, 2)
    >>> columns = frame(frame.start()[:, None])
    >>> torch.allclose(columns.mT @ columns, torch.eye(2), atol=1e-6)
    True
    """

    def start(self) -> Tensor:
        q: Tensor = torch.linalg.qr(torch.randn(self.features, self.columns)).Q
        return q.flatten()

    def forward(self, raw: Tensor) -> Tensor:
        q, r = torch.linalg.qr(raw.t().reshape(-1, self.features, self.columns))
        negative = r.detach().diagonal(dim1=-2, dim2=-1) < 0
        return torch.where(negative[:, None], -q, q)


class HouseholderColumns(OrthonormalColumns):
    """The first columns of a product of as many reflections, see `householder`.

    >>> import torch
    >>> from pushforward.transforms import HouseholderColumns
    >>> frame = HouseholderColumns(4, 2)
    >>> columns = frame(frame.start()[:, None])
    >>> torch.allclose(columns.mT @ columns, torch.eye(2), atol=1e-6)
    True
    """

    def __init__(self, features: int, columns: int) -> None:
        super().__init__(features, columns)
        below = torch.ones(features, columns, dtype=torch.bool).tril(-1).flatten()
        self._places = nn.Buffer(below.nonzero()[:, 0], persistent=False)

    def start(self) -> Tensor:
        return random_reflections(self.features, self.columns).flatten()[self._places]

    def forward(self, raw: Tensor) -> Tensor:
        return householder(fill_matrix(raw.t(), self._places, self.features, self.columns))


class FixedOrder(OrthonormalColumns):
    """The coordinate axes, in their order or reversed, without parameters.

    >>> import torch
    >>> from pushforward.transforms import FixedOrder
    >>> frame = FixedOrder(3, reverse=True)
    >>> frame(frame.start()[:, None])
    tensor([[[0., 0., 1.],
             [0., 1., 0.],
             [1., 0., 0.]]])
    """

    def __init__(self, features: int, reverse: bool = False) -> None:
        super().__init__(features, features)
        self.reverse = reverse

    def start(self) -> Tensor:
        return torch.zeros(0)

    def forward(self, raw: Tensor) -> Tensor:
        axes = torch.eye(self.features, dtype=raw.dtype, device=raw.device)[None]
        return axes.flip(2) if self.reverse else axes
