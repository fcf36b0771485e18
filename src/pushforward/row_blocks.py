"""Passes of many rows in blocks whose activations stay in the processor's cache."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from pushforward.differentiation import uses_plain_formulas
from pushforward.inputs import Inputs
from pushforward.noise import NoiseValue

# Rows of a block towards the latent, and towards the data, where an autoregressive flow has many small stages. Memory
# that a net touches for the first time costs more than its arithmetic.
TO_LATENT, TO_DATA = 2048, 4096
# Most values in the vectors of a block.
_VALUES = 2**18

# Of values, contexts and noise of some rows: tensors with an entry for each row.
Pass = Callable[[Tensor, Tensor | None, NoiseValue], tuple[Tensor, ...]]


def in_blocks(through: Pass, inputs: Inputs, most: int) -> tuple[Tensor, ...]:
    """The results of a pass in evaluation mode, in which rows do not depend on each other, block by block.

    The blocks are for many vectors on the CPU, without gradients and without noise. most: rows of a block.
    """
    x, context, noise = inputs
    size = max(1, min(most, _VALUES // max(1, x.shape[-1])))
    if (
        x.ndim != 2
        or len(x) < 2 * size
        or noise is not None
        or x.device.type != "cpu"
        or torch.is_grad_enabled()
        or uses_plain_formulas()
    ):
        return through(x, context, noise)
    contexts = [None] * (len(x) // size + 1) if context is None else context.split(size)
    parts = [through(rows, given, None) for rows, given in zip(x.split(size), contexts, strict=False)]
    return tuple(torch.cat(part) for part in zip(*parts, strict=True))
