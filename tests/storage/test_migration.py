"""Saved models of earlier formats are read as if they had been saved today."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from resealed import edit_config

from pushforward import fit, flows, storage
from pushforward.errors import ModelError
from pushforward.preparation import Preparation
from pushforward.storage import migration


def test_every_format_has_a_step_to_the_next() -> None:
    tables = (migration._STEPS, migration._RENAMED_TENSORS, migration._ADDED_TENSORS)
    assert {len(table) for table in tables} == {storage.FORMAT - 1}


@pytest.mark.parametrize(
    "config",
    [
        {"format": 1},
        {"format": 1, "flow": None},
        {"format": 1, "flow": {"name": "nice", "event_shape": "3", "options": {}}},
        {"format": 1, "flow": {"name": "nice", "event_shape": [{}], "options": {}}},
        {"format": 1, "flow": {"name": "nice", "event_shape": [3], "options": []}},
    ],
)
def test_a_configuration_of_another_form_is_left_to_validation(config: dict[str, object]) -> None:
    assert migration.migrate(config) == {**config, "format": storage.FORMAT}


def test_a_configuration_of_the_present_format_stays_as_it_is() -> None:
    config = {"format": storage.FORMAT, "flow": {"name": "nice", "event_shape": [3], "options": {"a": 1}}}
    assert migration.migrate(config) == config


def test_a_renamed_tensor_is_loaded_under_its_present_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flow = flows.build("nice", (3,), transforms=2, hidden=(4,))
    monkeypatch.setattr(flow, "state_dict", lambda: {f"flow.{k}": v for k, v in type(flow).state_dict(flow).items()})
    monkeypatch.setattr(storage.models, "_require_rebuildable", lambda *_: None)
    storage.save(flow, tmp_path / "m")
    monkeypatch.undo()
    edit_config(tmp_path / "m", "format", value=1)
    with pytest.raises(ModelError, match="not part of this architecture"):
        storage.load(tmp_path / "m")
    monkeypatch.setattr(migration, "_RENAMED_TENSORS", ({r"^flow\.": ""}, *migration._RENAMED_TENSORS[1:]))
    loaded = storage.load(tmp_path / "m")
    for name, tensor in flow.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], tensor)


def test_options_of_reading_are_an_object_of_their_own_since_format_2(tmp_path: Path) -> None:
    facts = {"name": "a.csv", "kind": "table", "rows": 5, "fingerprint": "0" * 64}
    storage.save(flows.build("nice", (2,), transforms=2, hidden=(4,)), tmp_path / "m", data=facts)
    options = {"labels": False, "bits": None, "resize": None, "crop": [0, 8, 0, 8], "grey": True, "limit": 5}
    columns = {"columns": ["a", "b"], "context_columns": None}
    edit_config(tmp_path / "m", "data", value={**facts, **columns, **options, "test": "b.csv", "seed": 3})
    edit_config(tmp_path / "m", "format", value=1)
    data = storage.load_model(tmp_path / "m").config.data
    assert data is not None
    assert (data.name, data.columns, data.seed) == ("a.csv", ("a", "b"), 3)
    assert data.preparation == Preparation(test="b.csv", columns=("a", "b"), crop=(0, 8, 0, 8), grey=True, limit=5)


def test_every_tensor_of_variational_dequantisation_has_had_another_name() -> None:
    flow = flows.build("flowpp", (1, 4, 4), levels=4, dequantisation="variational", blocks=1, channels=4)
    present = [name for name in flow.state_dict() if ".density." in name]
    former = [name.replace(".density.transform.", ".noise_flow.").replace(".density.", ".") for name in present]
    assert any(".features." in name for name in former)
    assert [migration.present_name(name, 1) for name in former] == present


def test_a_tensor_that_its_format_did_not_have_may_be_missing_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flow = flows.build("nice", (3,), context_dim=1, transforms=2, hidden=(4,))
    state = {name: value for name, value in flow.state_dict().items() if not name.startswith("context_scale.")}
    monkeypatch.setattr(flow, "state_dict", lambda: state)
    monkeypatch.setattr(storage.models, "_require_rebuildable", lambda *_: None)
    storage.save(flow, tmp_path / "m")
    with pytest.raises(ModelError, match=r"'context_scale.initialised' is missing"):
        storage.load(tmp_path / "m")
    edit_config(tmp_path / "m", "format", value=2)
    context = torch.tensor([[2015.0]])
    loaded = storage.load(tmp_path / "m")
    assert torch.equal(loaded.prepare_context(context), context)
    x, contexts = torch.randn(50, 3), 2015 + torch.randn(50, 1)
    before = loaded.likelihood(x, contexts).value
    fit(loaded, x, context=contexts, steps=1, lr=1e-12, progress=False)
    torch.testing.assert_close(loaded.log_prob(x, contexts) - loaded.log_prob(x, contexts + 1), torch.zeros(50))
    assert torch.equal(loaded.prepare_context(contexts), contexts)
    assert before.shape == (50,)
    state.pop(next(name for name in state if name.endswith("weight")))
    storage.save(flow, tmp_path / "damaged")
    edit_config(tmp_path / "damaged", "format", value=2)
    with pytest.raises(ModelError, match="is missing"):
        storage.load(tmp_path / "damaged")
