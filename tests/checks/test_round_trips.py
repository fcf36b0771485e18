"""Check a: the two directions are each other's inverse, at the start, with random weights and after training.

What draws on the way to the data returns to the latent exactly and to the data in law only.
"""

import torch

from checking import over_stages
from pushforward.diagnostics.check import ROUND_TRIP_32, ROUND_TRIP_32_TYPICAL, ROUND_TRIP_64
from pushforward.diagnostics.inversion import data_round_trip, latent_round_trip, returns_to_data
from registry import Entry
from subjects import STAGES, Stage, subject

_ROWS = 64


def _errors(entry: Entry, dtype: torch.dtype, stage: Stage) -> dict[str, torch.Tensor]:
    made, n = subject(entry, dtype, stage), _ROWS
    context, back, transform = made.embedded(n), made.noise(n, back=True), made.transform
    found = {"z -> x -> z": latent_round_trip(transform, made.latents(n), context, back)}
    if returns_to_data(transform):
        found["x -> z -> x"] = data_round_trip(transform, made.data(n), context, made.noise(n), back)
    else:
        with torch.no_grad():
            z, _ = transform.to_latent(made.data(n), context, made.noise(n))
        found["z of x -> x -> z"] = latent_round_trip(transform, z, context, back)
    return found


@over_stages("a", *STAGES)
def test_round_trip_returns_to_where_it_started(entry: Entry, stage: Stage) -> None:
    for path, error in _errors(entry, torch.float64, stage).items():
        assert error.max() <= (entry.inverse_tolerance or ROUND_TRIP_64), path
    for path, error in _errors(entry, torch.float32, stage).items():
        assert error.median() <= max(entry.inverse_tolerance or 0.0, ROUND_TRIP_32_TYPICAL), path
        assert error.max() <= max(entry.inverse_tolerance or 0.0, ROUND_TRIP_32), path
