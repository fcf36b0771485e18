"""Check n: flows that are constructed to equal a known density are calibrated on draws from it.

Trained flows are reported by the library and not asserted here. The truths at hand: a Gaussian, a mixture, a box and a
heavy tail; a torus needs a transform of circles.
"""

import pytest

from checking import over
from pushforward.evaluation.calibration import coverage, latent_pit, uniformity
from pushforward.rows import Rows
from registry import ENTRIES, Entry
from subjects import built, subject

_SEEDS = 200  # enough for "95 % of seeds" to be about the flow and not about the seeds


@over("n")
def test_latents_are_distributed_as_the_base(entry: Entry) -> None:
    made = subject(entry, stage="start")
    passed = 0
    for seed in range(_SEEDS):
        values = latent_pit(made.flow, entry.truth(1000, seed))  # type: ignore[misc]
        passed += all(uniformity(column) > 0.01 / values.shape[1] for column in values.T)
    assert passed >= 0.95 * _SEEDS


@over("n")
def test_highest_density_regions_cover_what_they_say(entry: Entry) -> None:
    made = subject(entry, stage="start")
    levels = (0.5, 0.8, 0.95)
    found = coverage(made.flow, Rows(entry.truth(10_000, 123)), levels=levels, samples=50_000)  # type: ignore[misc]
    assert found == pytest.approx(levels, abs=0.02)


def test_a_flow_on_circles_comes_with_a_torus_of_known_density() -> None:
    circular = [e for e in ENTRIES if built(e.name).transform.domain.kind == "circle"]
    assert not circular or any(e.truth is not None for e in circular)
