"""Check j: a copy, a loaded state and a saved model score bit for bit as the original."""

import copy
from pathlib import Path

import torch

from checking import over
from pushforward import storage
from pushforward.flow import Flow
from registry import Entry
from subjects import Subject, built, make_flow, subject


def _scores(made: Subject, flow: Flow) -> torch.Tensor:
    with torch.no_grad():
        return flow.log_prob(made.data(9), made.context(9), noise=made.noise(9))


@over("j")
def test_a_loaded_state_scores_bit_for_bit(entry: Entry) -> None:
    made = subject(entry, torch.float32)
    torch.manual_seed(99)
    fresh = make_flow(entry, torch.float32)
    assert fresh.load_state_dict(copy.deepcopy(made.flow.state_dict())) is not None
    assert torch.equal(_scores(made, fresh), _scores(made, made.flow))


@over("j")
def test_a_deep_copy_scores_bit_for_bit_and_shares_nothing(entry: Entry) -> None:
    made = subject(entry, torch.float32)
    before, twin = _scores(made, made.flow), copy.deepcopy(made.flow)
    assert torch.equal(_scores(made, twin), before)
    with torch.no_grad():
        for value in (*twin.parameters(), *twin.buffers()):
            value.zero_()
    assert torch.equal(_scores(made, made.flow), before)


@over("j")
def test_flags_that_data_set_are_saved(entry: Entry) -> None:
    made = subject(entry, torch.float32)
    fresh = make_flow(entry, torch.float32)
    fresh.load_state_dict(copy.deepcopy(made.flow.state_dict()))
    # A second initialisation with other data must change nothing but running moments, which are meant to follow.
    fixed = {name: value.clone() for name, value in fresh.state_dict().items() if "running" not in name}
    fresh.initialise(made.data(20, 77), made.context(20, 77))
    for name, value in fixed.items():
        assert torch.equal(fresh.state_dict()[name], value), name


@over("j", lambda entry: built(entry.name).config is not None)
def test_a_saved_model_scores_bit_for_bit(entry: Entry, tmp_path: Path) -> None:
    made = subject(entry, torch.float32)
    storage.save(made.flow, tmp_path / "model")
    assert torch.equal(_scores(made, storage.load(tmp_path / "model")), _scores(made, made.flow))
