"""Check h: dtype and device of the output are those of the input, and a narrower dtype costs no more than it must."""

import pytest
import torch

from checking import over
from pushforward.bases import TorchBase
from pushforward.diagnostics.batching import precision_gap
from pushforward.diagnostics.check import (
    PRECISION_MAX,
    PRECISION_P99,
    ROUND_TRIP_32,
    ROUND_TRIP_32_TYPICAL,
)
from pushforward.diagnostics.inversion import data_round_trip, latent_round_trip, returns_to_data
from pushforward.transforms import Coupling, Elementwise
from registry import Entry
from subjects import Stage, Subject, subject

_AUTOCAST_MEAN, _AUTOCAST_P99 = 5e-2, 0.5


@over("h")
def test_outputs_have_the_dtype_of_the_input(entry: Entry) -> None:
    # Of float64, which any narrower dtype on the way would cost its digits, the other checks ask for most of them.
    made, n = subject(entry, torch.float32), 3
    context = made.embedded(n)
    for value in (
        *made.transform.to_latent(made.data(n), context, made.noise(n)),
        *made.transform.to_data(made.latents(n), context, made.noise(n, back=True)),
        made.flow.log_prob(made.data(n), made.context(n), noise=made.noise(n)),
        *made.flow.sample_and_log_prob(2, made.context(n)),
    ):
        assert value.dtype == torch.float32


# With 64 features it is the same code and slow, and a solver chooses its steps by values, which that device has not.
@over("h", where=lambda entry: entry.event_shape != (64,) and entry.tolerance == 0)
def test_nothing_is_allocated_on_another_device(entry: Entry) -> None:
    # The meta device refuses to mix with any other, so it finds a stray allocation without an accelerator.
    made, n = subject(entry, torch.float32), 3
    x, z, context, noise = made.data(n), made.latents(n), made.embedded(n), made.noise(n)
    transform, back = made.transform.to("meta"), _to_meta(made.noise(n, back=True))
    noise = _to_meta(noise)
    context = None if context is None else context.to("meta")
    for value in (*transform.to_latent(x.to("meta"), context, noise), *transform.to_data(z.to("meta"), context, back)):
        assert value.device.type == "meta"
    if not isinstance(made.flow.base, TorchBase):
        assert made.flow.base.to("meta").log_prob(z.to("meta"), context).device.type == "meta"


def _to_meta(noise: object) -> object:
    if isinstance(noise, torch.Tensor):
        return noise.to("meta")
    return tuple(map(_to_meta, noise)) if isinstance(noise, tuple) else noise


@pytest.mark.parametrize("stage", ["perturbed", "trained"])
@over("h")
def test_float32_agrees_with_float64(entry: Entry, stage: Stage) -> None:
    made, n = subject(entry, torch.float32, stage), 256
    gap = precision_gap(made.flow, made.data(n), made.context(n), made.noise(n))
    # The bars are for 64 coordinates, of which the rounding adds up.
    part = 0.1 if entry.size <= 8 else 1.0
    assert gap.quantile(0.99) <= part * PRECISION_P99 + entry.tolerance
    assert gap.max() <= part * PRECISION_MAX + entry.tolerance


@pytest.mark.parametrize("stage", ["start", "trained"])
@over("h")
def test_autocast_costs_little(entry: Entry, stage: Stage) -> None:
    # Not with random weights: what half precision costs grows with their size, which is arbitrary there.
    made, n = subject(entry, torch.float32, stage), 256
    exact = _log_prob(made, n)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rough = _log_prob(made, n)
    gap = (rough.double() - exact.double()).abs()
    assert rough.dtype == torch.float32
    assert gap.mean() <= _AUTOCAST_MEAN
    assert gap.quantile(0.99) <= _AUTOCAST_P99


@over("h")
def test_autocast_leaves_the_round_trip_unchanged(entry: Entry) -> None:
    made, n = subject(entry, torch.float32), 64
    x, context, noise = made.data(n), made.context(n), made.noise(n)
    z, noise_back = made.flow.encode(x, context, noise=noise), made.noise(n, back=True)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(made.flow.encode(x, context, noise=noise), z)
        x_back = made.flow.decode(z, context, noise=noise_back)
        # Also the transforms, which training runs in half precision, return: the params are the same both ways. In a
        # long chain single rows miss, where a last bit tips a rounding of the next net's input.
        errors = [latent_round_trip(made.transform, made.latents(n), made.embedded(n), noise_back)]
        if returns_to_data(made.transform):
            errors.append(data_round_trip(made.transform, x, made.embedded(n), noise, noise_back))
    assert torch.equal(x_back, made.flow.decode(z, context, noise=noise_back))
    for error in errors:
        assert error.median() <= ROUND_TRIP_32_TYPICAL + entry.tolerance
        if entry.kind == "map" or isinstance(made.transform, Coupling | Elementwise):
            assert error.max() <= ROUND_TRIP_32


def _log_prob(made: Subject, n: int) -> torch.Tensor:
    with torch.no_grad():
        return made.flow.log_prob(made.data(n), made.context(n), noise=made.noise(n))
