"""Unconstrained monotone neural networks: the integral of a positive network."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from pushforward.errors import OptionError
from pushforward.events import leading_axis
from pushforward.maps.map import NumericMap
from pushforward.maps.slopes import positive_slope
from pushforward.option_checks import above_zero, at_least_one
from pushforward.precision import full_precision


class UnconstrainedMonotone(NumericMap):
    """``y = b + integral from 0 to x of f(t; h) dt``, f a positive network of the position t and an embedding h.

    The map owns the network, an MLP of widths ``hidden`` with tanh activations, for all coordinates. Only the params
    differ between coordinates: ``embedding`` rows of h, then b. bound (> 0): the network's t is clamped to ``[-bound,
    bound]``, so that the map continues linearly outside. The network's last layer starts at zero and f at 1, so that
    the map starts at the identity.

    The integral is Clenshaw and Curtis's rule with ``nodes`` (>= 3) points. The slope returned here is the exact
    derivative f(x) (Leibniz). Autograd differentiates the rule itself, which agrees to within the rule's error, also in
    second order. The paper's ``f = ELU(g) + 1`` has a corner at its starting point g = 0, which makes the rule
    inaccurate: for a small network of random weights 33 nodes miss the slope by 4e-6. With the smooth ``f = softplus(g
    + const) + 0.001`` used here, which has the same tails, they miss it by 1e-10. ``pushforward.check`` measures how
    well the rule resolves a trained network. The inverse is numeric.

    Source: Wehenkel & Louppe, "Unconstrained monotonic neural networks", 2019, section 3. Raises OptionError.

    >>> import torch
    >>> from pushforward.maps import UnconstrainedMonotone
    >>> map = UnconstrainedMonotone(hidden=(8,), embedding=4)
    >>> y, log_slope = map.forward(torch.zeros(5), torch.zeros(map.n_params, 5))
    >>> y.shape
    torch.Size([5])
    """

    def __init__(
        self, hidden: Sequence[int] = (64, 64), embedding: int = 16, nodes: int = 33, bound: float = 10.0
    ) -> None:
        super().__init__()
        if not hidden or min(hidden) < 1:
            raise OptionError(f"hidden must be one or more widths of at least 1, got {tuple(hidden)}")
        if nodes < 3:
            raise OptionError(f"nodes must be at least 3, got {nodes}")
        self.bound = above_zero(bound, "bound")
        self.n_params = at_least_one(embedding, "embedding") + 1
        self.start = nn.Buffer(torch.zeros(self.n_params), persistent=False)
        # The first layer is in two parts, because that of the embedding is the same at every node.
        self.position = nn.Linear(1, hidden[0], bias=False)
        self.embedding = nn.Linear(embedding, hidden[0])
        self.middle = nn.ModuleList(nn.Linear(narrow, wide) for narrow, wide in itertools.pairwise(hidden))
        self.last = nn.Linear(hidden[-1], 1)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)
        # Numbers, not buffers: a module that was float32 once would keep float32 nodes in float64.
        self._nodes, self._weights = clenshaw_curtis(nodes)

    def forward(self, x: Tensor, params: Tensor) -> tuple[Tensor, Tensor]:
        inside = x.clamp(-self.bound, self.bound)
        f = self._integrand(leading_axis(inside.new_tensor(self._nodes), x.ndim + 1) * inside, params[:-1])
        mean = (leading_axis(inside.new_tensor(self._weights), x.ndim + 1) * f).sum(0)
        slope = f[-1]  # the last node is x itself
        return params[-1] + mean * inside + slope * (x - inside), slope.log()

    def _integrand(self, t: Tensor, embedding: Tensor) -> Tensor:
        """f at ``t: (nodes, *shape)`` with ``embedding: (E, *shape)``."""
        with full_precision(t):
            h = (self.position(t[..., None]) + self.embedding(embedding.movedim(0, -1))).tanh()
            for layer in self.middle:
                h = layer(h).tanh()
            return positive_slope(self.last(h)[..., 0])


def clenshaw_curtis(nodes: int) -> tuple[list[float], list[float]]:
    """Nodes, ascending from 0 to 1, and weights of a rule on [0, 1] that is exact for polynomials of degree nodes - 1.

    Source: Clenshaw & Curtis, "A method for numerical integration on an automatic computer", 1960.
    """
    n = nodes - 1
    angle = np.pi * np.arange(nodes) / n
    j = np.arange(1, n // 2 + 1)
    coefficients = np.where(2 * j == n, 1.0, 2.0) / (4 * j**2 - 1)
    weights = (1 - np.cos(2 * np.outer(angle, j)) @ coefficients) / n
    weights[[0, -1]] /= 2
    return np.square(np.sin(angle / 2)).tolist(), weights.tolist()
