"""Check p: whoever calls, and however, gets the same values, or one sentence that says what works; never a silent 0."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from checking import over
from pushforward.errors import PushforwardError
from pushforward.noise import NoiseValue
from registry import Entry
from subjects import Subject, subject

# torch scripts its own rules of forward mode when one is used first, and has no fast rule of vmap for some functions.
pytestmark = [
    pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:torch.searchsorted:UserWarning"),
    pytest.mark.filterwarnings("ignore:There is a performance drop because we have not yet implemented:UserWarning"),
]

_ROWS = 3
_MOST_COORDINATES = 3  # of an event whose second derivatives are compared
_STEP = 1e-5

Call = Callable[[], Any]


@over("p")
def test_every_caller_gets_the_same_values(entry: Entry) -> None:
    assert_same_for_every_caller(subject(entry))


def assert_same_for_every_caller(made: Subject) -> None:
    """The whole check on one subject."""
    assert_inputs(made)
    assert_modes(made)
    assert_rows(made)
    if made.transform.domain.kind != "integers" and made.entry.size <= _MOST_COORDINATES:
        assert_derivatives(made)
    assert_threads(made)


def assert_inputs(made: Subject) -> None:
    """Tensors and arrays of any layout and type that holds the values are one batch; and there may be no rows."""
    x, context, noise = _data(made)
    array, copy = x.numpy().copy(), x.clone()
    fixed = array.copy()
    fixed.setflags(write=False)
    layouts: dict[str, Any] = {
        "non-contiguous tensor": torch.stack([x, x], -1)[..., 0],
        "array": array,
        "array of float32": array.astype(np.float32),
        "array backwards in memory": np.ascontiguousarray(array[::-1])[::-1],
        "read-only array": fixed,
        "big-endian array": array.astype(">f8"),
    }
    if torch.equal(x, x.round()) and x.abs().max() < 2**15:
        layouts |= {"integer tensor": x.long(), "array of int16": array.astype(np.int16)}
    for name, given in layouts.items():
        assert torch.equal(made.flow.prepare(given, context, noise=noise).x, x), name
    whole = x.round()
    assert torch.equal(made.flow.prepare(whole.long(), context, noise=noise).x, whole)
    found, wanted = (_log_prob(made, given, context, noise) for given in (layouts["array backwards in memory"], copy))
    torch.testing.assert_close(found, wanted, rtol=0, atol=0, equal_nan=True)
    assert torch.equal(x, copy), "the input was changed"
    none = None if context is None else context[:0]
    assert made.flow.log_prob(x[:0], none, noise=_noise_rows(noise, slice(0))).shape == (0,)
    assert made.flow.encode(x[:0], none).shape == (0, *made.transform.latent_shape)


def assert_modes(made: Subject) -> None:
    """The same values under `torch.no_grad`, in inference mode, and with gradients."""
    flow, (x, context, noise) = made.flow, _data(made)
    z, back = made.latents(_ROWS), made.noise(_ROWS, back=True)
    calls: dict[str, Call] = {
        "log_prob": lambda: flow.log_prob(x, context, noise=noise),
        "likelihood": lambda: flow.likelihood(x, context, seed=1).value,
        "encode": lambda: flow.encode(x, context, noise=noise),
        "decode": lambda: flow.decode(z, context, noise=back),
        "sample": lambda: flow.sample(2, context, seed=1),
    }
    for name, call in calls.items():
        with torch.no_grad():
            wanted = call()
        _same(
            f"{name} with gradients", lambda call=call: call().detach(), wanted, made.entry.tolerance, refusable=False
        )
        with torch.inference_mode():
            found = call()
        # A tensor of inference mode goes on into ordinary passes.
        _same(f"{name} in inference mode", lambda found=found: found.clone(), wanted, refusable=False)
    with torch.inference_mode():
        given = x.clone()
    _same("tensor of inference mode", lambda: _log_prob(made, given, context, noise), calls["log_prob"]().detach())


def assert_rows(made: Subject) -> None:
    """`torch.func.vmap` over rows."""
    x, context, noise = _data(made)
    wanted = _log_prob(made, x, context, noise)

    def one(x: Tensor, context: Tensor | None, noise: NoiseValue) -> Tensor:
        contexts = None if context is None else context[None]
        return made.flow.log_prob(x[None], contexts, noise=_noise_rows(noise, None))[0]

    axes = 0, None if context is None else 0, _noise_axes(noise)
    _same("vmap", lambda: torch.func.vmap(one, axes)(x, context, noise).detach(), wanted)


def assert_derivatives(made: Subject) -> None:
    """First derivatives in both modes, and second ones: by backward passes twice and by `torch.func.hessian`."""
    x, context, noise = _data(made)
    contexts, part = None if context is None else context[:1], _noise_rows(noise, slice(1))

    def density(x: Tensor) -> Tensor:
        return made.flow.log_prob(x[None], contexts, noise=part)[0]

    def gradient(x: Tensor, create_graph: bool = False) -> Tensor:
        value = density(x)
        if not value.requires_grad:
            return torch.zeros_like(x)
        found = torch.autograd.grad(value, x, create_graph=create_graph, allow_unused=True)[0]
        return torch.zeros_like(x) if found is None else found

    at = x[0].clone().requires_grad_()
    first, along = gradient(at).detach(), torch.linspace(1, 2, at.numel(), dtype=at.dtype).reshape(at.shape)
    steps = _STEP * torch.eye(at.numel(), dtype=at.dtype).reshape(-1, *at.shape)
    ends = [[gradient((x[0] + sign * step).requires_grad_()) for sign in (1, -1)] for step in steps]
    second = torch.stack([(above - below).flatten() / (2 * _STEP) for above, below in ends])

    def twice() -> Tensor:
        rows = gradient(at, create_graph=True).flatten()
        if not rows.requires_grad:
            return torch.zeros_like(second)
        found = [torch.autograd.grad(row, at, retain_graph=True, allow_unused=True)[0] for row in rows]
        return torch.stack([torch.zeros_like(at) if row is None else row for row in found]).reshape(second.shape)

    exactness = max(1e-4, 10 * made.entry.tolerance)
    _same("grad", lambda: torch.func.grad(density)(x[0]), first)
    _same("jvp", lambda: torch.func.jvp(density, (x[0],), (along,))[1].detach(), (first * along).sum())
    _same("second derivative", twice, second, exactness)
    _same("hessian", lambda: torch.func.hessian(density)(x[0]).reshape(second.shape).detach(), second, exactness)
    if made.entry.kind != "flow":  # a chain's is that of its parts
        _assert_forward_mode_of_decode(made, contexts)


def _assert_forward_mode_of_decode(made: Subject, contexts: Tensor | None) -> None:
    z, back = made.latents(1), _noise_rows(made.noise(_ROWS, back=True), slice(1))
    along = torch.linspace(1, 2, z.numel(), dtype=z.dtype).reshape(z.shape)

    def data(z: Tensor) -> Tensor:
        return made.flow.decode(z, contexts, noise=back)

    with torch.no_grad():
        wanted = (data(z + _STEP * along) - data(z - _STEP * along)) / (2 * _STEP)
    tolerance = max(1e-4, 10 * made.entry.tolerance)
    _same("jvp of decode", lambda: torch.func.jvp(data, (z,), (along,))[1].detach(), wanted, tolerance)


def assert_threads(made: Subject) -> None:
    """Two threads with different rows on one flow in training mode, whose state stays as it was."""
    flow, (x, context, _) = made.flow.train(), _data(made)
    wanted = {order: flow.likelihood(x.flip(order), context, seed=1).value for order in ((), (0,))}
    before = {name: value.clone() for name, value in flow.state_dict().items()}
    start, found = threading.Barrier(2), {}

    def score(order: tuple[int, ...]) -> None:
        start.wait(30)
        found[order] = flow.likelihood(x.flip(order), context, seed=1).value

    threads = [threading.Thread(target=score, args=(order,)) for order in wanted]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    flow.eval()
    for order, value in wanted.items():
        torch.testing.assert_close(found.get(order), value, rtol=0, atol=0, equal_nan=True)
    assert all(torch.equal(before[name], value) for name, value in flow.state_dict().items()), "the state changed"


def _data(made: Subject) -> tuple[Tensor, Tensor | None, NoiseValue]:
    return made.data(_ROWS), made.context(_ROWS), made.noise(_ROWS)


def _log_prob(made: Subject, x: Any, context: Tensor | None, noise: NoiseValue) -> Tensor:
    with torch.no_grad():
        return made.flow.log_prob(x, context, noise=noise)


def _same(name: str, call: Call, wanted: Tensor, tolerance: float = 1e-7, refusable: bool = True) -> None:
    """The call's value is ``wanted``, or where it may be refused, one sentence is raised."""
    refusal = None
    try:
        found = call()
    except PushforwardError as error:
        refusal = str(error)
    if refusal is not None:
        assert refusable, f"{name} was refused: {refusal}"
        assert "\n" not in refusal, f"{name} was refused in more than a sentence"
        return
    torch.testing.assert_close(
        found,
        wanted,
        rtol=max(tolerance, 1e-7),
        atol=max(tolerance, 1e-7),
        equal_nan=True,
        msg=lambda problem: f"{name}: {problem}",
    )


def _noise_rows(noise: NoiseValue, rows: slice | None) -> NoiseValue:
    """Some rows of a tree of noise; None: a single row without its first axis, as a batch of one."""
    if noise is None:
        return None
    return tuple(_noise_rows(part, rows) for part in noise) if isinstance(noise, tuple) else noise[rows]


def _noise_axes(noise: NoiseValue) -> Any:
    if noise is None:
        return None
    return tuple(_noise_axes(part) for part in noise) if isinstance(noise, tuple) else 0
