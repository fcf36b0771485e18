"""Check d: gradients of value and log term with respect to input, parameters and context, in both directions."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.autograd import gradcheck, gradgradcheck
from torch.func import functional_call

from checking import over
from pushforward import noise as noise_source
from pushforward.diagnostics.estimates import excess, has_probes
from pushforward.noise import NoiseValue
from pushforward.transforms.base import Direction
from pushforward.transforms.stochastic_log_det import exactly
from registry import Entry
from subjects import Subject, estimates, subject

_ROWS = 2
_GROUPS, _PROBES = 40, 32  # how many mean gradients, each over how many probes
_DIRECTIONS = 3  # along which these are compared
_FAST_ABOVE = 60  # numbers to differentiate by; torch's full check takes two evaluations for each


class _Run(nn.Module):
    """One direction of a subject, or its log-density, as a module that can be called with other parameters."""

    def __init__(self, made: Subject, what: str) -> None:
        super().__init__()
        self.flow, self.what = made.flow, what
        self.integers = made.transform.domain.kind == "integers"
        self.fixed = made.data(_ROWS)
        self.noise = made.noise(_ROWS, back=what == "to_data")

    def forward(self, value: Tensor, context: Tensor | None) -> Any:
        # The gradient of an estimate may be an estimate of its own: right on average, see below.
        with exactly(self.flow):
            return self._run(value, context)

    def _run(self, value: Tensor, context: Tensor | None) -> Any:
        noise = self.noise
        if self.integers and self.what != "to_data":
            # Integers have no derivative; their dequantisation noise moves the value continuously.
            noise, value = with_leaf(noise, value), self.fixed
        if self.what == "to_data":
            x, term = self.flow.transform.to_data(value, context, noise)
            return term if self.integers else (x, term)
        if self.what == "to_latent":
            return self.flow.transform.to_latent(value, context, noise)
        z, term = self.flow.transform.to_latent(value, context, noise)
        return self.flow.base.log_prob(z, context) + term


def first_leaf(noise: NoiseValue) -> Tensor:
    """The first tensor of a tree of noise."""
    while isinstance(noise, tuple):
        noise = next(part for part in noise if part is not None)
    assert noise is not None
    return noise


def with_leaf(noise: NoiseValue, leaf: Tensor) -> NoiseValue:
    """A tree of noise with another tensor in place of the first."""
    if not isinstance(noise, tuple):
        return leaf
    index = next(i for i, part in enumerate(noise) if part is not None)
    return (*noise[:index], with_leaf(noise[index], leaf), *noise[index + 1 :])


def _case(entry: Entry, what: str) -> tuple[Any, list[Tensor], bool]:
    made = subject(entry)
    run = _Run(made, what)
    parameters = dict(run.named_parameters())
    flat = torch.cat([p.detach().flatten() for p in parameters.values()]) if parameters else torch.zeros(0)
    if run.integers and what != "to_data":
        # Well within [0, 1], where uniform noise lies.
        leaf = first_leaf(run.noise)
        value = 0.05 + 0.9 * torch.rand(leaf.shape, dtype=made.dtype, generator=torch.Generator().manual_seed(0))
    else:
        value = made.latents(_ROWS) if what == "to_data" else made.data(_ROWS)
    context = made.embedded(_ROWS)
    inputs = [value, *([] if context is None else [context]), *([flat] if parameters else [])]
    inputs = [i.detach().clone().requires_grad_(True) for i in inputs]

    def function(value: Tensor, *rest: Tensor) -> Any:
        context = None if entry.context is None else rest[0]
        pieces = rest[-1].split([p.numel() for p in parameters.values()]) if parameters else ()
        weights = {name: w.reshape(p.shape) for (name, p), w in zip(parameters.items(), pieces, strict=True)}
        return functional_call(run, weights, (value, context))

    outputs = function(*inputs)
    outputs = outputs if isinstance(outputs, tuple) else (outputs,)
    # An output that depends on no input (the log term of an additive map) has no gradient to check.
    moving = [i for i, out in enumerate(outputs) if out.requires_grad]
    if not moving:
        assert run.integers, "nothing here depends on anything"
        return None, inputs, False

    def picked(*arguments: Tensor) -> Any:
        out = function(*arguments)
        return tuple(out[i] for i in moving) if isinstance(out, tuple) else out

    return picked, inputs, sum(i.numel() for i in inputs) > _FAST_ABOVE


@over("d")
def test_gradients_of_log_prob_are_those_of_finite_differences(entry: Entry) -> None:
    _assert_gradients(entry, "log_prob")


@pytest.mark.parametrize("what", ["to_latent", "to_data"])
@over("d", lambda entry: entry.kind != "base")
def test_gradients_are_those_of_finite_differences(entry: Entry, what: str) -> None:
    _assert_gradients(entry, what)


def _assert_gradients(entry: Entry, what: str) -> None:
    function, inputs, fast = _case(entry, what)
    # Differences of numeric solutions, which are off by about the tolerance that `exactly` sets, want a longer step.
    numeric = {"eps": 1e-4, "atol": 1e-3, "rtol": 1e-2, "fast_mode": True, "nondet_tol": 1e-6}
    assert function is None or gradcheck(function, inputs, **(numeric if entry.tolerance else {"fast_mode": fast}))


@pytest.mark.parametrize("what", ["to_latent", "to_data"])
@over("d", lambda entry: entry.smooth)
def test_second_order_gradients_where_they_are_promised(entry: Entry, what: str) -> None:
    function, inputs, _ = _case(entry, what)
    assert gradgradcheck(function, inputs, fast_mode=True)


@pytest.mark.parametrize("direction", ["to_latent", "to_data"])
@over("d", lambda entry: estimates(entry) and entry.size <= 8)
def test_mean_gradient_of_an_estimate_is_the_gradient_of_the_exact_value(entry: Entry, direction: Direction) -> None:
    made = subject(entry)
    if entry.bias or not has_probes(made.transform, direction):
        return
    estimated = torch.stack([_projected_gradients(made, direction, group) for group in range(_GROUPS)])
    with exactly(made.flow):
        exact = _projected_gradients(made, direction, 0)
    assert excess(estimated, exact).max() <= 0


def _projected_gradients(made: Subject, direction: Direction, group: int) -> Tensor:
    """Gradients of the log term, a mean over a group's probes, along random directions of what it depends on.

    Of input and context, and of all parameters: a gradient that is wrong anywhere shows along almost any direction.
    """
    back = direction == "to_data"
    rows, probe = torch.arange(_ROWS).repeat(_PROBES), torch.arange(_PROBES).repeat_interleave(_ROWS)
    spec = made.transform.noise_to_data if back else made.transform.noise_to_latent
    noise = noise_source.keyed(spec, 4000, rows, made.dtype, torch.device("cpu"), 0, probe + group * _PROBES)
    value, context = made.latents(_ROWS) if back else made.data(_ROWS), made.embedded(_ROWS)
    leaves = [t.requires_grad_() for t in (value, context) if t is not None]
    run = made.transform.to_data if back else made.transform.to_latent
    term = run(value[rows], None if context is None else context[rows], noise)[1].sum() / _PROBES
    parameters = list(made.transform.parameters())
    gradients = torch.autograd.grad(term, [*leaves, *parameters], allow_unused=True)
    generator = torch.Generator().manual_seed(17)
    found = []
    for some in (gradients[: len(leaves)], gradients[len(leaves) :]):
        flat = torch.cat([g.flatten() for g in some if g is not None] or [term.new_zeros(1)])
        along = torch.randn(_DIRECTIONS, len(flat), generator=generator, dtype=flat.dtype)
        found.append(along @ flat)
    return torch.cat(found).detach()
