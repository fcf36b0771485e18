"""Models that were saved by earlier versions load, and give the log-likelihoods that they gave then."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import pushforward

MODELS = Path(__file__).parent / "models"
NAMES = sorted(path.stem for path in MODELS.glob("*.safetensors"))


def test_every_architecture_has_a_saved_model() -> None:
    assert {name.split("-")[0] for name in NAMES} == set(pushforward.flows.names())
    assert len(NAMES) == sum(path.is_dir() for path in MODELS.iterdir())


# The models were stored in the dtype that they were trained in, their values computed in float64.
@pytest.mark.parametrize("name", NAMES)
def test_saved_model_gives_the_log_likelihoods_it_gave_when_it_was_saved(name: str) -> None:
    flow, stored = pushforward.load(MODELS / name).double(), load_file(MODELS / f"{name}.safetensors")
    found = flow.likelihood(stored["x"], stored.get("context"), samples=4, seed=5)
    torch.testing.assert_close(found.value, stored["log_likelihood"], rtol=0, atol=1e-6)
    if "latent" in stored:
        latent = flow.encode(stored["x"], stored.get("context"))
        torch.testing.assert_close(latent, stored["latent"], rtol=1e-6, atol=1e-6)
