"""Check b: the log term of each direction is the log-determinant of its Jacobian."""

import pytest
import torch

from checking import over
from pushforward.diagnostics.check import LOG_TERM, LOG_TERM_DIFFERENCES
from pushforward.diagnostics.estimates import estimated_log_terms, excess, has_probes
from pushforward.diagnostics.jacobian import autograd_jacobian, difference_jacobian, log_term_error
from pushforward.transforms.base import Direction
from registry import CHAINS, Entry
from subjects import Stage, estimates, subject

_PROBES = 2000


@over("b", lambda entry: entry.size > 16 or entry.name not in CHAINS)
def test_log_term_is_the_log_determinant_of_the_jacobian(entry: Entry) -> None:
    assert_log_terms(entry, "perturbed")


@over("b", lambda entry: entry.size <= 16)
def test_log_term_after_training_is_the_log_determinant_of_the_jacobian(entry: Entry) -> None:
    assert_log_terms(entry, "trained")


def assert_log_terms(entry: Entry, stage: Stage) -> None:
    made, n = subject(entry, torch.float64, stage), 6 if entry.size <= 16 else 1
    method, bar = ("differences", LOG_TERM_DIFFERENCES) if entry.differences else ("autograd", LOG_TERM)
    context = made.embedded(n)
    forth = log_term_error(made.transform, made.data(n), "to_latent", context, made.noise(n), method)
    back = log_term_error(made.transform, made.latents(n), "to_data", context, made.noise(n, back=True), method)
    assert forth.max() <= bar + entry.tolerance
    assert back.max() <= bar + entry.tolerance


@pytest.mark.parametrize("stage", ["perturbed", "trained"])
@pytest.mark.parametrize("direction", ["to_latent", "to_data"])
@over("b", lambda entry: estimates(entry) and entry.size <= 8)
def test_mean_of_an_estimated_log_term_is_the_exact_one(entry: Entry, direction: Direction, stage: Stage) -> None:
    made, n = subject(entry, torch.float64, stage), 4
    inputs = made.data(n) if direction == "to_latent" else made.latents(n)
    probes = _PROBES if has_probes(made.transform, direction) else 2
    values, exact = estimated_log_terms(made.transform, inputs, direction, made.embedded(n), probes)
    assert excess(values, exact, entry.bias + entry.tolerance).max() <= 0


def test_both_ways_of_taking_a_jacobian_agree_on_a_known_one() -> None:
    matrix = torch.tensor([[1.0, 2.0], [-0.5, 3.0], [0.1, 0.0]], dtype=torch.float64)
    x = torch.randn(4, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))

    def value(rows: torch.Tensor, which: slice | None = None) -> torch.Tensor:
        return (rows @ matrix.T).sin()

    wanted = (x @ matrix.T).cos()[:, :, None] * matrix
    torch.testing.assert_close(autograd_jacobian(value, x), wanted, atol=1e-14, rtol=0)
    torch.testing.assert_close(autograd_jacobian(value, x, chunk=5), wanted, atol=1e-14, rtol=0)
    torch.testing.assert_close(difference_jacobian(value, x), wanted, atol=1e-9, rtol=0)
