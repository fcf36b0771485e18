"""Data-dependent initialisation of nets: the contract."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn


class DataInitialisedNet(nn.Module, ABC):
    """A net with normalisations that are set from data once: `Coupling.initialise` calls its `initialise`."""

    @abstractmethod
    def initialise(self, kept: Tensor, context: Tensor | None = None) -> None:
        """Set the normalisations from a batch of the net's inputs, once; later calls do nothing."""
