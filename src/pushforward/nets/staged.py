"""Nets that compute parameters in one pass towards the latent, and stage by stage towards the data."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import TypeAlias, TypeVar

import torch
from torch import Tensor, nn

from pushforward.coordinate_blocks import CoordinateBlocks
from pushforward.events import Shape, sum_event
from pushforward.kernels.conditioned import StageOrder

P = TypeVar("P")
# A function from the coordinates of all stages so far to the parameters of the next stage.
Stages: TypeAlias = Callable[[Sequence[Tensor]], P]


class StagedNet(nn.Module, ABC):
    """An autoregressive net: the parameters of each stage of coordinates depend on the stages before it alone.

    Attributes that a subclass sets: ``event_shape``; ``n_params``, the parameters of one coordinate; ``order``, the
    coordinates of each stage by their places in the flattened event.

    A causal transformer over patches is an example: a stage is the coordinates of a patch, `forward` is one pass with a
    causal mask, and `stages` returns a function that puts the newest patch through the layers and appends its keys and
    values to a cache. A net without a cache returns `whole_passes` from its `stages`.
    """

    event_shape: Shape
    n_params: int
    order: CoordinateBlocks

    @abstractmethod
    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """The unconstrained parameters ``(n_params, *x.shape)`` of all coordinates of ``x: (B, *event_shape)``."""

    @abstractmethod
    def stages(self, like: Tensor, context: Tensor | None = None) -> Stages[Tensor]:
        """A function from the coordinates of the stages so far to the parameters of the next stage.

        like: any tensor with the rows, dtype and device of the coordinates to come, ``(B, ...)``. The function is
        called once a stage, in order, with one ``(B, n)`` for each stage before, and returns ``(n_params, B, n)``. It
        may keep what it computed at earlier calls, in lists: torch.compile loses changes of attributes within a loop.
        """

    def stage_order(self) -> StageOrder | None:
        """The order in which the kernel of a whole layer computes; None for a net that it does not know."""
        return None


def invert_stages(
    order: CoordinateBlocks, z: Tensor, stages: Stages[P], inverse: Callable[[Tensor, P], tuple[Tensor, Tensor]]
) -> tuple[Tensor, Tensor]:
    """Data of the shape of the latents ``z: (B, *event)``, one stage after the other, and the log term ``(B,)``.

    inverse: from the latents ``(B, n)`` of a stage and its parameters to its data and their log-slopes, ``(B, n)``.
    """
    known: list[Tensor] = []
    log_terms: list[Tensor] = []
    for part in order.split(z.flatten(1)):
        x, log_slope = inverse(part, stages(known))
        known.append(x)
        log_terms.append(sum_event(log_slope))
    return order.join(known).reshape(z.shape), torch.stack(log_terms).sum(0)


def whole_passes(net: StagedNet, like: Tensor, context: Tensor | None = None) -> Stages[Tensor]:
    """The stages of a net without a cache: each is a pass over the whole event, with 0 for unknown coordinates."""
    unknown = net.order.split(like.new_zeros(len(like), sum(net.order.sizes)))

    def params(known: Sequence[Tensor]) -> Tensor:
        x = net.order.join([*known, *unknown[len(known) :]]).reshape(len(like), *net.event_shape)
        # Sizes are explicit, because an empty batch does not determine them.
        whole = net(x, context).reshape(net.n_params * len(like), sum(net.order.sizes))
        stage = net.order.split(whole)[len(known)]
        return stage.reshape(net.n_params, len(like), stage.shape[1])

    return params
