"""Check o: a flow that standardises its data has the same latents in any unit of them, and a density that shifts."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor

from checking import over
from pushforward.flow import Flow
from registry import Entry
from subjects import Subject, subject

# Factors and offsets of the columns, in turn; an offset is in deviations.
_UNITS = {
    "small": (1e-12, 0.0),
    "large": (1e12, 3.0),
    "underflow": (1e-30, -1.0),
    "mixed": ((1e-12, 1.0, 1e12, 0.3), (0.0, 2.0)),
    "far": (2.5e-3, 1e9),
}
BARS = {torch.float64: 1e-9, torch.float32: 1e-4}
_ROWS = 48


def _turns(values: object, event_shape: tuple[int, ...]) -> Tensor:
    """Numbers for the channels of an event, in turn, to be broadcast over its other axes."""
    numbers = values if isinstance(values, tuple) else (values,)
    column = torch.tensor([numbers[i % len(numbers)] for i in range(event_shape[0])], dtype=torch.float64)
    return column.reshape(-1, *(1,) * (len(event_shape) - 1))


def initialised(subject: Subject, x: Tensor) -> Flow:
    """The subject's flow with its data layer set anew from ``x``, and all other weights as they are."""
    flow = copy.deepcopy(subject.flow)
    first = flow.transform.transforms[0]  # type: ignore[union-attr,index]
    first.initialised.fill_(False)  # type: ignore[union-attr,operator]
    first.initialise(x)  # type: ignore[union-attr,operator]
    return flow


@torch.no_grad()
def assert_shifts_with_units(subject: Subject, factor: Tensor, offset: Tensor) -> None:
    """The subject on its own data and on the same in other units: same latents, shifted log-densities."""
    entry, dtype = subject.entry, subject.dtype
    # Few digits, so that a unit and an offset round the values by no more than they must.
    x = (subject.data(_ROWS).double() * 2**12).round() / 2**12
    context, noise = subject.context(_ROWS), subject.noise(_ROWS)
    changed = factor * (x + offset)
    x, changed = x.to(dtype), changed.to(dtype)
    flow, other = initialised(subject, x), initialised(subject, changed)
    cost = torch.finfo(dtype).eps * float(offset.abs().max())
    bar = BARS[dtype] + 100 * cost + entry.tolerance
    log_units = float(factor.log().expand(entry.event_shape).sum())
    latents = [f.transform.to_latent(*f.prepare(v, context, noise=noise))[0] for f, v in ((flow, x), (other, changed))]
    torch.testing.assert_close(latents[1], latents[0], rtol=bar, atol=bar)
    values = [f.log_prob(v, context, noise=noise).double() for f, v in ((flow, x), (other, changed))]
    torch.testing.assert_close(values[1] + log_units, values[0], rtol=bar, atol=bar * entry.size)


@pytest.mark.parametrize("dtype", BARS, ids=["float64", "float32"])
@over("o")
def test_the_density_shifts_with_the_units_of_the_data(entry: Entry, dtype: torch.dtype) -> None:
    made = subject(entry, dtype)
    for name, (factors, offsets) in _UNITS.items():
        if name == "far" and dtype == torch.float32:
            continue
        shape = entry.event_shape
        assert_shifts_with_units(made, _turns(factors, shape), _turns(offsets, shape))
