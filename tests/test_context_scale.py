"""Contexts in any unit: standardised inside the flow, in float64, and saved with it."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from torch import Tensor

from pushforward import fit, flows, storage
from pushforward.bases import StandardNormal
from pushforward.context_scale import ContextScale
from pushforward.errors import ContextError
from pushforward.flow import Flow
from pushforward.inference import InferenceOptions
from pushforward.inference import fit as fit_to_density
from pushforward.transforms import Identity
from registry import ENTRIES, Entry
from subjects import built, subject

# Factor and offset of the unit in which the contexts are given.
UNITS = {
    "year": (5.0, 2015.0),
    "second since 1970": (3.0, 1.7e9),
    "kilogram of a star": (1e30, 2e30),
    "strain": (1e-21, 0.0),
    "kelvin": (1e-3, 293.15),
}

# Flows built by name that take numbers as their context.
CONDITIONAL = [entry for entry in ENTRIES if entry.architecture is not None and isinstance(entry.context, tuple)]


def _contexts(n: int, size: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, size, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("entry", CONDITIONAL, ids=str)
def test_a_flow_with_the_same_weights_gives_the_same_density_in_any_unit_of_its_context(
    entry: Entry, unit: str
) -> None:
    assert isinstance(entry.context, tuple)
    factor, offset = UNITS[unit]
    made = subject(entry, stage="start")
    flow, other = made.flow, copy.deepcopy(made.flow)
    x, c = made.data(64), _contexts(64, entry.context[0])
    noise = made.noise(64)
    flow.initialise(x, c, seed=0)
    other.initialise(x, factor * c + offset, seed=0)
    with torch.no_grad():
        for mine, theirs in zip(flow.parameters(), other.parameters(), strict=True):
            mine.add_(0.2 * torch.randn_like(mine))
            theirs.copy_(mine)
    wanted = flow.log_prob(x, c, noise=noise)
    found = other.log_prob(x, factor * c + offset, noise=noise)
    # What the offset costs: eps times offset over deviation.
    digits = 1e-9 + 1e-14 * offset / factor + entry.tolerance
    torch.testing.assert_close(found, wanted, rtol=digits, atol=digits)


def test_a_context_given_in_float64_keeps_its_digits_in_a_float32_flow() -> None:
    torch.manual_seed(0)
    flow = flows.build("nsf_ar", 2, context_dim=1)
    seconds = 1.7e9 + torch.arange(200, dtype=torch.float64)[:, None]
    flow.initialise(torch.randn(200, 2), seconds)
    prepared = flow.prepare_context(seconds)
    assert prepared is not None
    assert prepared.dtype == torch.float32
    assert len(prepared.unique()) == 200
    assert len(seconds.float().unique()) < 5
    torch.testing.assert_close(prepared.mean(), torch.tensor(0.0), atol=1e-6, rtol=0)
    assert torch.equal(prepared, flow.prepare_context(seconds.numpy()))
    for dtype in (torch.float16, torch.float64, torch.float32):
        moved = copy.deepcopy(flow).to(dtype)
        assert moved.context_scale is not None
        assert moved.context_scale.mean.dtype == torch.float64
        assert moved.dtype == dtype


def test_the_moments_are_set_once_saved_and_loaded(tmp_path: Path) -> None:
    torch.manual_seed(0)
    flow = flows.build("maf", 2, context_dim=1, transforms=1, hidden=(8,))
    x, years = torch.randn(100, 2), 2015 + 5 * _contexts(100, 1)
    fit(flow, x, context=years, steps=3, progress=False)
    before = flow.log_prob(x, years)
    flow.initialise(x, years + 1000)
    assert torch.equal(flow.log_prob(x, years), before)
    storage.save(flow, tmp_path / "model")
    assert torch.equal(storage.load(tmp_path / "model").log_prob(x, years), before)


def test_a_state_without_moments_of_contexts_is_loaded_and_leaves_them_unchanged() -> None:
    torch.manual_seed(0)
    flow = flows.build("maf", 2, context_dim=1, transforms=1, hidden=(8,))
    x, context = torch.randn(100, 2), 3 + torch.randn(100, 1)
    state = {name: value for name, value in flow.state_dict().items() if not name.startswith("context_scale.")}
    other = flows.build("maf", 2, context_dim=1, transforms=1, hidden=(8,))
    other.load_state_dict(state)
    prepared = other.prepare_context(context)
    assert prepared is not None
    assert torch.equal(prepared, context)
    # Also where the flow is trained on: its nets know the contexts as they were given.
    before = other.eval().log_prob(x, context)
    assert other.context_scale is not None
    assert not other.context_scale.awaits_data
    other.initialise(x, context)
    other.load_state_dict({**other.state_dict()})
    prepared = other.prepare_context(context)
    assert prepared is not None
    assert torch.equal(prepared, context)
    assert before.shape == (100,)
    # A state with some of them is damaged.
    state["context_scale.mean"] = torch.zeros(1, dtype=torch.float64)
    with pytest.raises(RuntimeError, match="Missing key"):
        other.load_state_dict(state)


def test_contexts_far_from_the_training_ones_stay_different_and_finite() -> None:
    scale = ContextScale((1,))
    scale.initialise(_contexts(50, 1))
    far = torch.tensor([[1e3], [1e5], [1e7], [1e12], [1e30], [3e38], [-1e7], [-3e38]])
    found = scale(far, torch.float32, torch.device("cpu"))[:, 0]
    assert found.isfinite().all()
    assert len(found.unique()) == len(far)
    assert (found[:5].diff() > 0).all()
    assert found.abs().max() < 1e6


def test_a_constant_number_of_a_context_is_centred_and_changes_nothing() -> None:
    torch.manual_seed(0)
    flow = flows.build("nsf", 2, context_dim=2, transforms=1, hidden=(8,))
    context = torch.cat([_contexts(80, 1), torch.full((80, 1), 293.15, dtype=torch.float64)], 1)
    flow.initialise(torch.randn(80, 2), context)
    prepared = flow.prepare_context(context)
    assert prepared is not None
    torch.testing.assert_close(prepared[:, 1], torch.zeros(80), atol=1e-6, rtol=0)
    torch.testing.assert_close(prepared[:, 0].std(correction=0), torch.tensor(1.0))


def test_contexts_that_are_not_finite_set_no_moments() -> None:
    scale = ContextScale((1,))
    with pytest.raises(ContextError, match="not finite"):
        scale.initialise(torch.tensor([[1.0], [torch.nan]]))
    assert scale.awaits_data


def test_samples_and_distributions_take_contexts_in_the_unit_of_the_data() -> None:
    torch.manual_seed(0)
    flow = flows.build("maf", 2, context_dim=1, transforms=2, hidden=(16,)).double()
    x, years = torch.randn(200, 2).double(), 2015 + 5 * _contexts(200, 1)
    flow.initialise(x, years)
    with torch.no_grad():
        for p in flow.parameters():
            p.add_(0.3 * torch.randn_like(p))
    few = years[:4]
    samples, value = flow.eval().sample_and_log_prob(3, few, seed=1)
    for i in range(4):
        torch.testing.assert_close(flow.log_prob(samples[:, i], few[i : i + 1]), value[:, i])
    torch.testing.assert_close(flow.distribution(few).log_prob(samples), value)
    torch.testing.assert_close(flow.likelihood(samples[:, 0], few[:1]).value, value[:, 0])
    torch.testing.assert_close(flow.decode(flow.encode(x, years), years), x)


def test_only_flows_with_a_context_of_numbers_have_moments() -> None:
    assert Flow(StandardNormal((2,)), Identity((2,))).context_scale is None
    assert flows.build("maf", 2, classes=3).context_scale is None
    assert flows.build("maf", 2, context_dim=2).context_scale is not None


def test_a_flow_around_another_transform_keeps_the_moments() -> None:
    flow = built("flow: maf, 3 features, context")
    assert flow.with_transform(flow.transform).context_scale is flow.context_scale


@pytest.mark.parametrize("name", ["maf", "tabak_turner"])
def test_every_kind_of_fit_to_data_takes_the_moments_of_contexts(name: str) -> None:
    torch.manual_seed(0)
    c = _contexts(300, 1)
    x = (c + 0.3 * torch.randn(300, 1)).float().expand(300, 2) + 0.1 * torch.randn(300, 2)
    found = []
    for context in (c, 5 * c + 2015):
        torch.manual_seed(1)
        flow = flows.build(name, 2, context_dim=1, **({"hidden": (8,)} if name == "maf" else {}))
        fit(flow, x, context=context, steps=3, progress=False)
        assert flow.context_scale is not None
        assert not flow.context_scale.awaits_data
        found.append(flow.likelihood(x, context).value)
    torch.testing.assert_close(found[0], found[1], atol=1e-3, rtol=1e-3)


def test_a_fit_to_a_density_takes_the_moments_of_contexts() -> None:
    torch.manual_seed(0)
    flow = flows.build("maf", 2, context_dim=1, transforms=1, hidden=(8,), standardise=False)
    years = (2015 + 5 * _contexts(6, 1)).numpy()

    def log_density(x: Tensor, context: Tensor) -> Tensor:
        assert context.dtype == x.dtype
        return -(x - (context - 2015) / 5).square().sum(1)

    options = InferenceOptions(steps=2, samples=20)
    fit_to_density(flow, log_density, context=years, options=options, progress=False)
    assert flow.context_scale is not None
    assert abs(float(flow.context_scale.mean) - years.mean()) < 1e-9
