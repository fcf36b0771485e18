"""Check a: the two directions are each other's inverse, at the start, with random weights and after training."""

import pytest
import torch

from checking import over
from pushforward.diagnostics.check import ROUND_TRIP_32, ROUND_TRIP_32_TYPICAL, ROUND_TRIP_64
from pushforward.diagnostics.inversion import data_round_trip, latent_round_trip
from registry import Entry
from subjects import STAGES, Stage, subject

_ROWS = 64


def _errors(entry: Entry, dtype: torch.dtype, stage: Stage) -> dict[str, torch.Tensor]:
    made, n = subject(entry, dtype, stage), _ROWS
    context, back = made.embedded(n), made.noise(n, back=True)
    return {
        "x -> z -> x": data_round_trip(made.transform, made.data(n), context, made.noise(n), back),
        "z -> x -> z": latent_round_trip(made.transform, made.latents(n), context, back),
    }


@pytest.mark.parametrize("stage", STAGES)
@over("a")
def test_round_trip_returns_to_where_it_started(entry: Entry, stage: Stage) -> None:
    for path, error in _errors(entry, torch.float64, stage).items():
        assert error.max() <= (entry.inverse_tolerance or ROUND_TRIP_64), path
    for path, error in _errors(entry, torch.float32, stage).items():
        assert error.median() <= max(entry.inverse_tolerance or 0.0, ROUND_TRIP_32_TYPICAL), path
        assert error.max() <= max(entry.inverse_tolerance or 0.0, ROUND_TRIP_32), path
