"""Contracts of module state: consistent buffers, changes in training, initialisation by data, scale parameters."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.module import _has_any_global_hook


class CheckedState(ABC):
    """A module whose saved buffers must fit together in a way that their shapes and dtypes do not show."""

    @abstractmethod
    def state_problem(self) -> str | None:
        """A verb phrase that says how the buffers of a damaged model break the rule; None where they keep it."""


class ChangesInTraining:
    """A module that changes its own buffers in each pass in training mode, so that a second pass differs."""


class InitialisedByData:
    """A module that its ``initialise`` sets from a batch of data, once; until then it is the identity."""

    initialised: Any  # a buffer of one bool; None where this one takes nothing from data

    @property
    def awaits_data(self) -> bool:
        """Whether the module is still to be initialised; False where it takes nothing from data."""
        return self.initialised is not None and not bool(self.initialised)


def is_altered(*modules: nn.Module) -> bool:
    """Whether a call of one of the modules does more than its class says, so that nothing else may compute it.

    It has hooks, or another library has replaced the methods of this one object.
    """
    for each in modules:
        if each._forward_hooks or each._forward_pre_hooks or each._backward_hooks or each._backward_pre_hooks:
            return True
        if "forward" in each.__dict__ or "inverse" in each.__dict__:
            return True
    return bool(_has_any_global_hook())


class HasScaleParameters(ABC):
    """A module with parameters that scale its output, for an L2 penalty.

    Source: Dinh, Sohl-Dickstein & Bengio, "Density estimation using Real NVP", 2017, section 4.1.
    """

    @abstractmethod
    def scale_parameters(self) -> Sequence[nn.Parameter]:
        """The scale parameters of this module alone, not of its children."""


def once_each(count: int, *indices: Tensor) -> str | None:
    """The problem of index tensors that do not together hold each of ``0 .. count - 1`` once; None if they do."""
    held = torch.cat(indices).sort().values
    whole = torch.equal(held, torch.arange(count, device=held.device))
    return None if whole else "does not hold each coordinate once"
