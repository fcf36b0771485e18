"""Fixed permutations of coordinates or channels."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from pushforward.errors import OptionError
from pushforward.events import Shape, zero_log_term
from pushforward.module_state import CheckedState, once_each
from pushforward.noise import NoiseValue
from pushforward.transforms.base import Transform


class Permutation(Transform, CheckedState):
    """A permutation of axis 1 (the coordinates of a vector, the channels of an image): ``z[:, i] = x[:, order[i]]``.

    >>> import torch
    >>> from pushforward.transforms import Permutation
    >>> Permutation((3,), order=(2, 0, 1)).to_latent(torch.tensor([[1.0, 2.0, 3.0]]))[0]
    tensor([[3., 1., 2.]])
    """

    def __init__(self, event_shape: Shape, order: Sequence[int]) -> None:
        super().__init__()
        if not event_shape or sorted(order) != list(range(event_shape[0])):
            raise OptionError(f"order must hold each of 0..{event_shape[0] - 1 if event_shape else 0} once")
        self.data_shape = self.latent_shape = tuple(event_shape)
        self.order = nn.Buffer(torch.tensor(list(order), dtype=torch.long))

    def state_problem(self) -> str | None:
        return once_each(len(self.order), self.order)

    def to_latent(self, x: Tensor, context: Tensor | None = None, noise: NoiseValue = None) -> tuple[Tensor, Tensor]:
        return x.index_select(1, self.order), zero_log_term(x)

    def to_data(self, z: Tensor, context: Tensor | None = None, noise: NoiseValue = None) -> tuple[Tensor, Tensor]:
        return z.index_select(1, torch.argsort(self.order)), zero_log_term(z)


def reverse(event_shape: Shape) -> Permutation:
    """The permutation that reverses the order of axis 1."""
    return Permutation(event_shape, range(event_shape[0] - 1, -1, -1))


def random_permutation(event_shape: Shape, generator: torch.Generator | None = None) -> Permutation:
    """A random permutation, drawn once; generator None: torch's global one."""
    return Permutation(event_shape, torch.randperm(event_shape[0], generator=generator).tolist())
