"""The contract of nets of dense layers that kernels of whole layers of a flow compute with."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import nn

from pushforward.kernels.dense import DenseForm


class DenseNet(nn.Module, ABC):
    """A net of dense layers."""

    @abstractmethod
    def dense_form(self) -> DenseForm | None:
        """The net as kernels compute it; None where it is something else, such as a net with hooks."""
