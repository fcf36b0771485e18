"""The scale parameters of a model, which an L2 penalty acts on: rescaling factors and weight-norm magnitudes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from torch import nn


class HasScaleParameters(ABC):
    """A module with parameters that scale its output, for an L2 penalty.

    Source: Dinh, Sohl-Dickstein & Bengio, "Density estimation using Real NVP", 2017, section 4.1.
    """

    @abstractmethod
    def scale_parameters(self) -> Sequence[nn.Parameter]:
        """The scale parameters of this module alone, not of its children."""


def modules_with_scales(model: nn.Module) -> list[HasScaleParameters]:
    """The modules inside ``model`` that have scale parameters, each once."""
    return [module for module in model.modules() if isinstance(module, HasScaleParameters)]
