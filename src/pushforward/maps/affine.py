"""Shifts and scales: the maps of NICE, Real NVP and Glow.

A log-scale is bounded, because with an unbounded exponential a flow has an inverse in exact arithmetic only (Behrmann
et al., "Understanding and mitigating exploding inverses in invertible neural networks", 2021). `Affine` takes the bound
as an object: `TanhScale`, `SigmoidScale` or `SoftClampScale`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pushforward.errors import OptionError
from pushforward.kernels import MapForm
from pushforward.maps.map import Map
from pushforward.module_state import HasScaleParameters, is_altered

# Limits of log-scales other than the usual 5. A learned density of one step: scales from e^-10 to e^10.
DENSITY_LIMIT = 10.0
# Affine steps in a row, which multiply each other's scales on events unlike the training data: with 5, after 20 minutes
# of training, one of 10,000 test images of MNIST had a likelihood of 1e13 bits/dim.
STACKED_LIMIT = 2.0


class LogScale(nn.Module, ABC):
    """A bounded log-scale, computed from a net's raw output element by element."""

    @abstractmethod
    def forward(self, raw: Tensor) -> Tensor:
        """The log-scale, of the shape of ``raw``."""

    @property
    def kernel_limit(self) -> float | Tensor:
        """The limit, or the parameter that holds it; kernels know the rest by the name in `LOG_SCALES`."""
        return 0.0

    def with_limit(self, limit: Tensor) -> Callable[[Tensor], Tensor]:
        """The same with another learned limit."""
        raise OptionError(f"{type(self).__name__} has no learned limit")


class TanhScale(LogScale, HasScaleParameters):
    """``rescale * tanh(raw)`` with one learned number ``rescale``, which starts at 1 and is L2-regularised.

    Source: Dinh, Sohl-Dickstein & Bengio, "Density estimation using Real NVP", 2017, section 4.1. It starts at 1 and
    not at 0 because the net's last layer starts at 0 already: a product of two zeros has no gradient in either.
    rescale: another starting value, for a net whose last layer does not start at 0. penalised: whether the L2 penalty
    includes it.

    >>> import torch
    >>> from pushforward.maps import TanhScale
    >>> TanhScale(rescale=2.0)(torch.tensor([100.0])).item()
    2.0
    """

    def __init__(self, rescale: float = 1.0, penalised: bool = True) -> None:
        super().__init__()
        self.rescale = nn.Parameter(torch.full((), float(rescale)))
        self.penalised = penalised

    def forward(self, raw: Tensor) -> Tensor:
        return self.rescale * raw.tanh()

    @property
    def kernel_limit(self) -> float | Tensor:
        return self.rescale

    def with_limit(self, limit: Tensor) -> Callable[[Tensor], Tensor]:
        return lambda raw: limit * raw.tanh()

    def scale_parameters(self) -> tuple[nn.Parameter, ...]:
        return (self.rescale,) if self.penalised else ()


class SigmoidScale(LogScale):
    """``log sigmoid(raw + 2)``: scales below 1, 0.88 at the start.

    Source: Kingma & Dhariwal, "Glow", 2018 (the authors' code).

    >>> import torch
    >>> from pushforward.maps import SigmoidScale
    >>> SigmoidScale()(torch.tensor([100.0])).exp()
    tensor([1.])
    """

    def forward(self, raw: Tensor) -> Tensor:
        return F.logsigmoid(raw + 2)


class SoftClampScale(LogScale):
    """``raw / (1 + |raw| / limit)``, with slope 1 at 0 and values between ``-limit`` and ``limit`` (> 0).

    >>> import torch
    >>> from pushforward.maps import SoftClampScale
    >>> SoftClampScale(limit=5.0)(torch.tensor([0.0, 1e6]))
    tensor([0.0000, 5.0000])
    """

    def __init__(self, limit: float = 5.0) -> None:
        super().__init__()
        if not limit > 0:
            raise OptionError(f"limit of a log-scale must be above 0, got {limit}")
        self.limit = float(limit)

    def forward(self, raw: Tensor) -> Tensor:
        # Clamped first: an infinite input would give inf / inf.
        raw = F.hardtanh(raw, -1e18, 1e18)  # whose backward pass is one operation
        return raw / (1 + raw.abs() / self.limit)

    @property
    def kernel_limit(self) -> float | Tensor:
        return self.limit

    def raw(self, log_scale: Tensor) -> Tensor:
        """The raw value of ``log_scale``: the inverse of `forward`, with values beyond 0.99 ``limit`` clamped."""
        log_scale = log_scale.clamp(-0.99 * self.limit, 0.99 * self.limit)
        return log_scale / (1 - log_scale.abs() / self.limit)


LOG_SCALES: dict[str, type[TanhScale] | type[SigmoidScale] | type[SoftClampScale]] = {
    "tanh": TanhScale,
    "sigmoid": SigmoidScale,
    "soft-clamp": SoftClampScale,
}


_NAMES: dict[type[LogScale], str] = {each: name for name, each in LOG_SCALES.items()}


class Additive(Map):
    """``y = x + t``, with slope 1: the map of NICE (Dinh, Krueger & Bengio, 2015, section 3.2).

    >>> import torch
    >>> from pushforward.maps import Additive
    >>> Additive().forward(torch.tensor([1.0]), torch.tensor([[2.0]]))
    (tensor([3.]), tensor([0.]))
    """

    n_params = 1
    starts_at_zero = True

    def __init__(self) -> None:
        super().__init__()
        self.start = nn.Buffer(torch.zeros(1), persistent=False)

    def forward(self, x: Tensor, params: Tensor) -> tuple[Tensor, Tensor]:
        return x + params[0], torch.zeros_like(x)

    def inverse(self, y: Tensor, params: Tensor) -> tuple[Tensor, Tensor]:
        return y - params[0], torch.zeros_like(y)


class Scale(Map):
    """``y = x exp(s)`` with the log-scale ``s`` bounded by ``log_scale``: the diagonal scaling of NICE, section 3.3.

    >>> import torch
    >>> from pushforward.maps import Scale, SoftClampScale
    >>> Scale(SoftClampScale()).forward(torch.tensor([2.0]), torch.zeros(1, 1))
    (tensor([2.]), tensor([0.]))
    """

    n_params = 1
    starts_at_zero = True

    def __init__(self, log_scale: LogScale) -> None:
        super().__init__()
        self.log_scale = log_scale
        self.start = nn.Buffer(torch.zeros(1), persistent=False)

    def forward(self, x: Tensor, params: Tensor) -> tuple[Tensor, Tensor]:
        s = self.log_scale(params[0])
        return x * s.exp(), s

    def inverse(self, y: Tensor, params: Tensor) -> tuple[Tensor, Tensor]:
        s = self.log_scale(params[0])
        return y * (-s).exp(), -s


class _ShiftAndScale(Map):
    """A shift ``t``, params[0], and a log-scale ``s``, bounded by ``log_scale`` from params[1]. Abstract."""

    n_params = 2
    starts_at_zero = True

    def __init__(self, log_scale: LogScale) -> None:
        super().__init__()
        self.log_scale = log_scale
        self.start = nn.Buffer(torch.zeros(2), persistent=False)

    @staticmethod
    @abstractmethod
    def _value(x: Tensor, shift: Tensor, s: Tensor) -> Tensor:
        """The value."""

    @staticmethod
    @abstractmethod
    def _inverse_value(y: Tensor, shift: Tensor, minus_s: Tensor) -> Tensor:
        """The inverse of `_value`."""

    def forward(self, x: Tensor, params: Tensor) -> tuple[Tensor, Tensor]:
        return self._values(x, params, self.log_scale, back=False)

    def inverse(self, y: Tensor, params: Tensor) -> tuple[Tensor, Tensor]:
        return self._values(y, params, self.log_scale, back=True)

    def _values(
        self, x: Tensor, params: Tensor, log_scale: Callable[[Tensor], Tensor], back: bool
    ) -> tuple[Tensor, Tensor]:
        shift, raw = params.unbind()  # two selections have a backward pass of two sums in memory of their own
        s = log_scale(raw)
        return (self._inverse_value(x, shift, -s), -s) if back else (self._value(x, shift, s), s)

    def _reference(self, x: Tensor, params: Tensor, limit: Tensor | None, back: bool) -> tuple[Tensor, Tensor]:
        """The map, with another learned limit of the log-scale."""
        return self._values(x, params, self.log_scale if limit is None else self.log_scale.with_limit(limit), back)

    def _form(self, kind: Literal["affine", "shifted scale"]) -> MapForm | None:
        log_scale = self.log_scale
        name = _NAMES.get(type(log_scale))
        if name is None or is_altered(log_scale):
            return None
        return MapForm(kind, self._reference, name, log_scale.kernel_limit)


class Affine(_ShiftAndScale):
    """``y = x exp(s) + t``: params[0] is the shift ``t``, params[1] the raw log-scale that ``log_scale`` bounds.

    Source: Dinh, Sohl-Dickstein & Bengio, "Density estimation using Real NVP", 2017, eq. 4.

    >>> import torch
    >>> from pushforward.maps import Affine, SoftClampScale
    >>> map, x = Affine(SoftClampScale()), torch.randn(4)
    >>> y, log_slope = map.forward(x, torch.zeros(map.n_params, 4))
    >>> torch.equal(x, y), log_slope.shape
    (True, torch.Size([4]))
    """

    @staticmethod
    def _value(x: Tensor, shift: Tensor, s: Tensor) -> Tensor:
        return torch.addcmul(shift, x, s.exp())

    @staticmethod
    def _inverse_value(y: Tensor, shift: Tensor, minus_s: Tensor) -> Tensor:
        return (y - shift) * minus_s.exp()

    def kernel_form(self) -> MapForm | None:
        return self._form("affine") if type(self) is Affine else None


class ShiftedScale(_ShiftAndScale):
    """``y = (x + t) exp(s)``: an `Affine` whose shift ``t`` precedes the scale.

    Source: the authors' code of Real NVP, which differs here from eq. 4 of their paper.

    >>> from pushforward.maps import ShiftedScale, SigmoidScale
    >>> ShiftedScale(SigmoidScale()).n_params
    2
    """

    @staticmethod
    def _value(x: Tensor, shift: Tensor, s: Tensor) -> Tensor:
        return (x + shift) * s.exp()

    @staticmethod
    def _inverse_value(y: Tensor, shift: Tensor, minus_s: Tensor) -> Tensor:
        return y * minus_s.exp() - shift

    def kernel_form(self) -> MapForm | None:
        return self._form("shifted scale") if type(self) is ShiftedScale else None
