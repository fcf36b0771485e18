"""On a device without float64 every flow is initialised from data and scored, and greedy steps are fitted."""

from __future__ import annotations

import copy

import pytest
import torch

from device_without_float64 import DEVICE, There, device
from pushforward import precision
from pushforward.training.greedy import is_greedy
from pushforward.transforms import GreedyTransform
from pushforward.transforms.base import steps
from registry import CHAINS, ENTRIES, Entry
from subjects import built, subject

_ENTRIES = [entry for entry in ENTRIES if entry.architecture is not None and entry.name not in CHAINS]
# Noise is drawn by a generator of the device, which the stand-in does not have.
_WITHOUT_NOISE = [entry for entry in _ENTRIES if built(entry.name).transform.noise_to_latent is None]


@pytest.fixture(autouse=True)
def _device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "_WITHOUT_FLOAT64", frozenset({DEVICE.type}))


def test_the_stand_in_refuses_float64() -> None:
    with device():
        x = torch.ones(3).to(DEVICE)
        assert isinstance(x + 1, There)
        with pytest.raises(TypeError, match="no float64"):
            x.double()
        with pytest.raises(TypeError, match="no float64"):
            torch.zeros(3, dtype=torch.float64, device=DEVICE)
        with pytest.raises(RuntimeError, match="and on the CPU"):
            x + torch.ones(3)
        assert precision.in_float64(x).device.type == "cpu"


@pytest.mark.parametrize("entry", _WITHOUT_NOISE, ids=str)
def test_flows_are_initialised_and_scored_there(entry: Entry) -> None:
    made = subject(entry, torch.float32, "start")
    x, context = made.data(40), made.context(40)
    here = copy.deepcopy(made.flow)
    here.initialise(x, context, seed=1)
    wanted = here.log_prob(x, context).detach()
    with device():
        flow = made.flow.to(DEVICE)
        there = None if context is None else context.to(DEVICE)
        flow.initialise(x.to(DEVICE), there)
        found = flow.log_prob(x.to(DEVICE), there).detach()
        assert isinstance(found, There)
        torch.testing.assert_close(found.cpu(), wanted, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("entry", [entry for entry in _WITHOUT_NOISE if is_greedy(built(entry.name))], ids=str)
def test_greedy_steps_are_fitted_there(entry: Entry) -> None:
    made = subject(entry, torch.float32, "start")
    rows = made.data(300)
    with device():
        flow = made.flow.to(DEVICE)
        x, context = flow.prepare(rows.to(DEVICE), made.context(300))[:2]
        for step in steps(flow.transform):
            if isinstance(step, GreedyTransform):
                step.fit(x, context, torch.Generator().manual_seed(0))
            x = step.to_latent(x, context)[0]
        assert isinstance(x, There)
        assert bool(x.isfinite().all())
