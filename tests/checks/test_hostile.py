"""Check e: hostile values give finite numbers, or a density of zero, and never disturb another row."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from checking import over
from pushforward.domain import Domain
from pushforward.transforms import Identity
from registry import Entry
from subjects import Subject, subject

_ROWS = 4
_EXAMPLES = 12
_EXAMPLES_OF_SOLVERS = 4  # every value takes many evaluations of a net, over the same few lines of code
_PLAIN = [0.0, -0.0, 1e-45, -1e-45, 1e-38, 1.1754943508222875e-38, 1.0, -1.0, 10.0, -90.0, 1e3, -1e3, 1e10, 1e30, -1e30]


def _ulps(value: float) -> list[float]:
    """A bound, and one unit in the last place inside and outside it, in float32."""
    bound = np.float32(value)
    return [
        float(v) for v in (np.nextafter(bound, np.float32(-np.inf)), bound, np.nextafter(bound, np.float32(np.inf)))
    ]


def _values(domain: Domain) -> st.SearchStrategy[float]:
    parts = domain.parts or (domain,)
    ends = sorted({end for part in parts for end in (part.low, part.high) if math.isfinite(end)})
    hostile = [*_PLAIN, *(value for end in ends for value in _ulps(end))]
    # Maps and transforms promise finite results up to 1e30.
    return st.one_of(st.sampled_from(hostile), st.floats(-(2.0**99), 2.0**99, width=32))


def _events(values: list[float], made: Subject, shape: tuple[int, ...]) -> torch.Tensor:
    """``_ROWS`` events filled with the values in turn, so that every row is another mixture of them."""
    size = max(1, math.prod(shape))
    flat = [values[(row + row * size + i) % len(values)] for row in range(_ROWS) for i in range(size)]
    return torch.tensor(flat, dtype=made.dtype).reshape(_ROWS, *shape)


def _lists(domain: Domain) -> st.SearchStrategy[list[float]]:
    return st.lists(_values(domain), min_size=1, max_size=9)


def _domain(made: Subject) -> Domain:
    return made.flow.base.support if isinstance(made.transform, Identity) else made.transform.domain


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@over("e", lambda entry: entry.kind in ("map", "transform"))
def test_values_and_gradients_are_finite_up_to_1e30(entry: Entry, dtype: torch.dtype) -> None:
    made = subject(entry, dtype)
    context, noise, back = made.embedded(_ROWS), made.noise(_ROWS), made.noise(_ROWS, back=True)

    @settings(max_examples=_EXAMPLES_OF_SOLVERS if entry.tolerance else _EXAMPLES)
    @given(_lists(made.transform.domain), _lists(made.transform.codomain))
    def holds(data: list[float], latents: list[float]) -> None:
        x = _events(data, made, made.transform.data_shape).requires_grad_(True)
        _finite(x, *made.transform.to_latent(x, context, noise))
        z = _events(latents, made, made.transform.latent_shape).requires_grad_(True)
        _finite(z, *made.transform.to_data(z, context, back))

    holds()


def _finite(inputs: torch.Tensor, value: torch.Tensor, log_term: torch.Tensor) -> None:
    assert value.isfinite().all()
    # Outside a bounded domain the density is zero; that is the one infinity allowed.
    assert not log_term.isnan().any()
    assert not (log_term == math.inf).any()
    if value.requires_grad:
        (value.sum(dtype=torch.float64) * 1e-3).backward(retain_graph=True)
    finite = torch.where(log_term.isfinite(), log_term, 0.0)
    if finite.requires_grad:
        finite.sum().backward()
    assert inputs.grad is None or inputs.grad.isfinite().all()


@over("e")
def test_log_prob_of_finite_values_is_finite_or_minus_infinity(entry: Entry) -> None:
    made = subject(entry, torch.float32)
    context, noise = made.context(_ROWS), made.noise(_ROWS)

    @settings(max_examples=_EXAMPLES_OF_SOLVERS if entry.tolerance else _EXAMPLES)
    @given(_lists(_domain(made)))
    def holds(values: list[float]) -> None:
        with torch.no_grad():
            density = made.flow.log_prob(_events(values, made, entry.event_shape), context, noise=noise)
        assert not density.isnan().any()
        assert not (density == math.inf).any()

    holds()


@pytest.mark.parametrize("poison", [math.nan, math.inf, -math.inf, 1e30], ids=str)
@over("e")
def test_a_poisoned_row_disturbs_no_other(entry: Entry, poison: float) -> None:
    made, n = subject(entry, torch.float32), 5
    x, context, noise = made.data(n), made.context(n), made.noise(n)
    bad = x.clone()
    bad[2] = poison
    with torch.no_grad():
        clean, poisoned = made.flow.log_prob(x, context, noise=noise), made.flow.log_prob(bad, context, noise=noise)
    others = [0, 1, 3, 4]
    torch.testing.assert_close(poisoned[others], clean[others], rtol=entry.tolerance, atol=entry.tolerance)
    assert clean.isfinite().all()
    if math.isnan(poison):
        assert poisoned[2].isnan()
    elif math.isinf(poison):
        assert poisoned[2] == -math.inf
    elif _domain(made).kind != "circle":  # where any number is an angle like another
        assert not poisoned[2].isfinite() or poisoned[2] < clean[2]


@over("e")
def test_constant_batch_and_single_row_are_scored(entry: Entry) -> None:
    made = subject(entry, torch.float32)
    x, context, noise = made.data(1), made.context(1), made.noise(1)
    with torch.no_grad():
        one = made.flow.log_prob(x, context, noise=noise)
        made.flow.train()
        constant = x.expand(6, *x.shape[1:]).clone()
        many = made.flow.log_prob(
            constant, None if context is None else context.expand(6, *context.shape[1:]), noise=made.noise(6)
        )
    assert one.isfinite().all()
    assert many.isfinite().all()
