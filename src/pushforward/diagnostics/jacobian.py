"""Error of a transform's log term, compared with the log-determinant of its numerical Jacobian.

Autograd computes the Jacobian. For a transform with a hand-written backward pass it is computed by central differences,
because autograd would use the formula under test.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal, TypeAlias

import torch
from torch import Tensor

from pushforward.events import sum_event
from pushforward.noise import NoiseValue, map_noise
from pushforward.transforms.base import Direction, Transform
from pushforward.transforms.dequantisation import Dequantisation, dequantisation
from pushforward.transforms.stochastic_log_det import exactly

Method: TypeAlias = Literal["autograd", "differences"]
_STEP = 1e-5
_CHUNK_VALUES = 100_000


def repeat_each_row(value: NoiseValue, times: int) -> NoiseValue:
    """Each row of a tensor, or of every tensor in noise, ``times`` times in a row."""
    return map_noise(value, lambda tensor: tensor.repeat_interleave(times, 0))


def take_rows(value: NoiseValue, rows: Tensor | slice) -> NoiseValue:
    """Some rows of a tensor, or of every tensor in noise."""
    return map_noise(value, lambda tensor: tensor[rows])


def autograd_jacobian(value: Callable[[Tensor, slice], Tensor], x: Tensor, chunk: int | None = None) -> Tensor:
    """``d value / d x`` of every row, ``(B, D_out, D_in)``.

    value: called as ``value(copies, which)``, with a slice ``which`` of all copies. Row ``b`` of ``x`` has the copies
    ``b * D_out .. (b + 1) * D_out - 1``, one for each output coordinate. One backward pass therefore gives many rows of
    the Jacobian, and rows of a batch may affect each other. chunk: copies in one pass; None: chosen by their size.
    """
    batch = x.shape[0]
    chunk = chunk or min(512, max(16, _CHUNK_VALUES // max(1, x[:1].numel())))
    with torch.no_grad():
        outputs = value(x[:1], slice(0, 1)).numel() if batch else 0
    rows = []
    for start in range(0, batch * outputs, chunk):
        which = torch.arange(start, min(start + chunk, batch * outputs), device=x.device)
        copies = x.detach()[which // outputs].requires_grad_(True)
        with torch.enable_grad():
            out = value(copies, slice(start, start + len(which))).reshape(len(which), outputs)
            picked = out.gather(1, (which % outputs)[:, None]).sum()
        (gradient,) = torch.autograd.grad(picked, copies, allow_unused=True)
        rows.append((torch.zeros_like(copies) if gradient is None else gradient).reshape(len(which), -1))
    return torch.cat(rows).reshape(batch, outputs, -1) if rows else x.new_zeros(batch, outputs, 0)


@torch.no_grad()
def difference_jacobian(value: Callable[[Tensor], Tensor], x: Tensor, step: float = _STEP) -> Tensor:
    """``d value / d x`` of every row by central differences, ``(B, D_out, D_in)``; rows must not affect each other."""
    flat, columns = x.reshape(x.shape[0], -1), []
    for i in range(flat.shape[1]):
        shift = torch.zeros_like(flat)
        shift[:, i] = step * flat[:, i].abs().clamp(min=1)
        rise = value((flat + shift).reshape(x.shape)) - value((flat - shift).reshape(x.shape))
        columns.append(rise.reshape(x.shape[0], -1) / (2 * shift[:, i : i + 1]))
    return torch.stack(columns, 2)


def log_term_error(
    transform: Transform,
    inputs: Tensor,
    direction: Direction = "to_latent",
    context: Tensor | None = None,
    noise: NoiseValue = None,
    method: Method = "autograd",
) -> Tensor:
    """``|log term - log|det J||`` of each row, ``(B,)``, for equal input and output sizes.

    noise: as the transform declares it for the direction; estimates from probes are computed `exactly`. Integer data
    have no derivative. `to_latent` is therefore differentiated by the dequantisation noise, whose log-density is part
    of the log term. The log term of `to_data` is compared with that of `to_latent`, which is itself checked against the
    Jacobian. NaN counts as inf.
    """
    first = dequantisation(transform) if direction == "to_latent" else None
    variable = inputs if first is None else _first_leaf(noise)

    def run(rows: Tensor, rest: Any) -> tuple[Tensor, Tensor]:
        inputs, context, noise = rest
        if first is not None:
            return transform.to_latent(inputs, context, _with_first_leaf(noise, rows))
        return (transform.to_latent if direction == "to_latent" else transform.to_data)(rows, context, noise)

    rest = (inputs, context, noise)
    with torch.no_grad(), exactly(transform):
        outputs, log_term = run(variable, rest)
        if first is not None:
            log_term = log_term + _log_density(first, variable)
        if direction == "to_data" and transform.domain.kind == "integers":
            path = transform.path_noise(outputs, inputs, context, noise)
            return _magnitude(log_term + transform.to_latent(outputs, context, path)[1])
    if method == "autograd":
        copies = outputs[:1].numel()
        repeated = repeat_each_row(rest, copies)
        jacobian = autograd_jacobian(lambda rows, which: run(rows, take_rows(repeated, which))[0], variable)
    else:
        jacobian = difference_jacobian(lambda rows: run(rows, rest)[0], variable)
    return _magnitude(log_term - torch.linalg.slogdet(jacobian.double())[1])


def _first_leaf(noise: NoiseValue) -> Tensor:
    """The noise of the dequantisation at the start of a chain."""
    leaf = noise[0] if isinstance(noise, tuple) else noise
    assert isinstance(leaf, Tensor)
    return leaf


def _with_first_leaf(noise: NoiseValue, leaf: Tensor) -> NoiseValue:
    return (leaf, *noise[1:]) if isinstance(noise, tuple) else leaf


def _log_density(first: Dequantisation, noise: Tensor) -> Tensor:
    """The log-density ``(B,)`` of the noise of a dequantisation."""
    normal = -0.5 * (noise.square() + math.log(2 * math.pi))
    return sum_event(normal if first.noise_to_latent.law == "normal" else torch.zeros_like(noise))


def _magnitude(difference: Tensor) -> Tensor:
    return torch.where(difference.isnan(), torch.inf, difference.abs())
