"""Whatever is saved loads, at every width; a model that asks for more than it stores is refused soon and cheaply."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from pushforward import flows, storage
from pushforward.errors import ModelError, OptionError
from pushforward.flows import Architecture, FlowOptions, Recipe, Steps
from pushforward.nets.masks import full_adjacency, parent_sets, topological_stages
from pushforward.storage.allocation import AllocationLimit
from pushforward.transforms import Identity
from small_flows import small_flow, vector_architectures

_HERE = Path(__file__).parent
# Nets with masks store a number for each pair of coordinates: 100 MB of them at 1,000.
_WIDTHS = [1, 50, 230, 500, pytest.param(1000, marks=pytest.mark.slow)]


@pytest.mark.parametrize("features", _WIDTHS)
@pytest.mark.parametrize("name", vector_architectures())
def test_every_flow_is_saved_and_loaded_at_every_width(name: str, features: int, tmp_path: Path) -> None:
    torch.manual_seed(0)
    flow = small_flow(name, features)
    storage.require_savable(flow)
    storage.save(flow, tmp_path / "m")
    loaded = storage.load(tmp_path / "m").state_dict()
    assert all(torch.equal(loaded[key], value) for key, value in flow.state_dict().items())


def test_a_table_of_thousands_of_columns_is_built_in_a_second() -> None:
    # Building takes time and memory in proportion to the stored weights: one operation per layer, not per coordinate.
    limit = AllocationLimit(1 << 34, 2000)
    with limit:
        flow = flows.build("maf", 1500, transforms=2, hidden=(8,))
    stored = sum(value.numel() for value in flow.state_dict().values())
    assert (1 << 34) - limit.n_bytes <= 64 * stored


@pytest.mark.parametrize("name", ["maf", "nsf_ar", "bnaf", "real_nvp"])
def test_the_number_of_operations_of_a_build_does_not_grow_with_the_width(name: str) -> None:
    calls = []
    for features in (40, 400):
        limit = AllocationLimit(1 << 40, 1 << 20)
        with limit:
            small_flow(name, features)
        calls.append((1 << 20) - limit.n_calls)
    assert calls[1] <= calls[0] + 40


def test_sets_of_parents_are_those_of_the_adjacency() -> None:
    generator = torch.Generator().manual_seed(0)
    lower = (torch.rand(20, 20, generator=generator) < 0.3).tril(-1)
    order = torch.randperm(20, generator=generator)
    adjacency = lower[order][:, order]
    stage = topological_stages(adjacency)
    # One after the last parent, for each coordinate.
    last = torch.where(adjacency, stage + 1, 0).amax(1)
    assert torch.equal(stage, last)
    sets = parent_sets(adjacency, stage, with_empty=True)
    unique = torch.unique(adjacency.to(torch.uint8), dim=0).bool()
    ready = torch.where(unique, stage + 1, 0).amax(1)
    assert torch.equal(sets, unique[torch.argsort(ready, stable=True)])
    assert len(parent_sets(full_adjacency(5), torch.arange(5), with_empty=False)) == 4


def test_models_that_ask_for_far_more_than_they_store_are_refused_soon(tmp_path: Path) -> None:
    script = _HERE / "hostile_models.py"
    paths = os.pathsep.join([str(_HERE.parent), str(_HERE), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        [sys.executable, script, tmp_path],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"},
    )
    lines = [line.split() for line in done.stdout.splitlines()]
    assert len(lines) > 4 * len(vector_architectures())
    for model, keys, outcome, seconds, peak in lines:
        assert keys != "event_shape" or outcome == "refused", model
        assert float(seconds) < 3, (model, keys, seconds)
        # Of a size that no net of the flow uses: nothing is built from it.
        assert outcome == "refused" or "options" in keys, model
        assert int(peak) < 256 << 20, (model, keys, peak)


def test_too_large_an_event_is_refused_before_training() -> None:
    with pytest.raises(OptionError, match="at most 4,194,304"):
        flows.build("nice", (1 << 12, 1 << 6, 1 << 6))


class _WastefulOptions(FlowOptions):
    """Options of `wasteful`."""

    transforms: int = 1


def _wasteful_steps(event_shape: tuple[int, ...], context_dim: int, options: _WastefulOptions) -> Steps:
    step = Identity(event_shape)
    step.few = nn.Parameter(torch.zeros(1))
    for _ in range(50):
        torch.zeros(1 << 18)
    return Steps([step], options.base)


def test_a_flow_whose_construction_takes_too_much_is_refused_before_it_is_trained_or_saved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = Recipe(_WastefulOptions, _wasteful_steps)
    wasteful = Architecture("wasteful", "much ado", "Never.", "a test", vectors=recipe)
    monkeypatch.setattr(flows.registry, "_ARCHITECTURES", {**flows.registry._ARCHITECTURES, "wasteful": wasteful})
    flow = flows.build("wasteful", 2)
    with pytest.raises(OptionError, match="cannot be saved: its options describe a model far larger"):
        storage.require_savable(flow)
    with pytest.raises(OptionError, match="cannot be saved"):
        storage.save(flow, tmp_path / "m")
    assert not (tmp_path / "m").exists()


@pytest.mark.parametrize(
    "make",
    [
        lambda x: torch.zeros(300, 300),
        lambda x: torch.eye(300),
        lambda x: torch.linspace(0, 1, 90_000),
        lambda x: x[:, None] * x,
        lambda x: x.new_zeros(300, 300),
        lambda x: x.repeat(300),
        lambda x: x.diag(),
        lambda x: torch.nn.functional.pad(x, (0, 100_000)),
        lambda x: x.repeat_interleave(300),
        lambda x: torch.cat([x] * 300),
        lambda x: torch.tril_indices(300, 300),
    ],
)
def test_every_way_to_make_a_large_tensor_is_charged(make: object) -> None:
    x = torch.ones(300)
    with pytest.raises(ModelError, match="far larger"), AllocationLimit(50_000, 100):
        make(x)  # type: ignore[operator]
    limit = AllocationLimit(50_000, 100)
    with limit:
        x.add_(1).view(30, 10).t()
        (x + 1).sum()
    assert 40_000 < limit.n_bytes < 50_000
