"""The contract of an element-wise map."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TypeAlias

from torch import Tensor, nn

from pushforward.domain import REAL, Domain
from pushforward.errors import OptionError
from pushforward.events import Shape, leading_axis
from pushforward.kernels import MapForm
from pushforward.maps.numeric import invert

# A map's forward or its inverse: values and params to values and log-slopes.
MapFunction: TypeAlias = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


class Map(nn.Module, ABC):
    """A strictly increasing function of one real coordinate with ``n_params`` parameters, applied to each coordinate.

    ``params`` has the shape ``(n_params, *x.shape)``, the parameter axis first, and is unconstrained: the map
    constrains it. ``broadcasts``: whether axes of length 1 may stand for longer axes of ``x``. ``start: (n_params,)``
    is the parameters' starting point, at (or nearest to) the identity; the transform that joins a map and a net adds it
    to the net's output. ``starts_at_zero``: whether it is 0, so that nothing is added. ``starts_from_data``: whether
    `start_from` gives another one for given data. ``shape``: the last axes of the events of a map that differs between
    coordinates; None for a map that is the same for all coordinates, as in a `Coupling` or an `Autoregressive`. Every
    map is onto its codomain.

    >>> import torch
    >>> from pushforward.maps import Affine, SoftClampScale
    >>> map = Affine(SoftClampScale())
    >>> y, log_slope = map.forward(torch.ones(5, 2), torch.zeros(map.n_params, 5, 2))
    >>> y.shape, log_slope.shape
    (torch.Size([5, 2]), torch.Size([5, 2]))
    """

    n_params: int
    start: Tensor
    domain: Domain = REAL
    codomain: Domain = REAL
    shape: Shape | None = None
    broadcasts: bool = False
    starts_at_zero: bool = False
    starts_from_data: bool = False

    @abstractmethod
    def forward(self, x: Tensor, params: Tensor) -> tuple[Tensor, Tensor]:
        """``x`` towards the latent: the value and the log of its slope, both of the shape of ``x``."""

    @abstractmethod
    def inverse(self, y: Tensor, params: Tensor) -> tuple[Tensor, Tensor]:
        """``y`` towards the data: the value and the log of the slope *of this direction*, both shaped as ``y``."""

    def kernel_form(self) -> MapForm | None:
        """The map as the kernels of whole layers compute it; None where they cannot."""
        return None

    def start_from(self, x: Tensor) -> Tensor:
        """Starting params ``(n_params, *event)`` for data ``x: (B, *event)``; OptionError if the map has none."""
        raise OptionError(f"{type(self).__name__} does not take its start from data")

    def with_start(self, params: Tensor) -> Tensor:
        """A net's output ``(n_params, ...)`` as params: offset by the map's ``start``."""
        if self.starts_at_zero:
            return params
        return params + leading_axis(self.start.to(params), params.ndim)

    def refuse_shape(self, user: str) -> None:
        """Raise OptionError for a map that differs between coordinates; ``user`` names the refusing transform."""
        if self.shape is not None:
            raise OptionError(
                f"{user} needs a map that is the same for all coordinates; this {type(self).__name__} is made for "
                f"events of shape {self.shape}; put it in an Elementwise before or after"
            )


class NumericMap(Map, ABC):
    """A map of the real line whose inverse is the numeric root of `forward`."""

    def inverse(self, y: Tensor, params: Tensor) -> tuple[Tensor, Tensor]:
        return invert(lambda x: self(x, params), y)


def batch_last(function: MapFunction, x: Tensor, params: Tensor) -> tuple[Tensor, Tensor]:
    """A map's function at ``x: (B, *event)`` with ``params: (P, B, *event)``, for vectors with the batch axis last.

    Nets on vectors write their output with the batch innermost, and a map then reads each parameter from contiguous
    memory.
    """
    if x.ndim != 2:
        return function(x, params)
    y, log_slope = function(x.t().contiguous(), params.transpose(1, 2).contiguous())
    return y.t(), log_slope.t()
