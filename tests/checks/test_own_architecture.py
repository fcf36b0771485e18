"""An architecture of one's own passes the checks with one entry."""

from pathlib import Path

import pytest
from test_batches import test_a_row_alone_and_in_any_order_gives_what_it_gives_in_a_batch as check_batches
from test_integrals import test_density_integrates_to_one as check_integral
from test_jacobians import assert_log_terms
from test_persistence import test_a_saved_model_scores_bit_for_bit as check_saving
from test_round_trips import test_round_trip_returns_to_where_it_started as check_round_trip
from test_sampling import test_scoring_a_sample_gives_the_density_that_it_came_with as check_sampling

from entry import flow_entry
from pushforward.cli.imports import import_files
from pushforward.flows import registry
from registry import BY_NAME
from shear import SHEAR
from subjects import Stage

ENTRY = flow_entry("shear", "own", (2,), transforms=2)


def test_one_entry_is_enough(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(registry, "_ARCHITECTURES", dict(registry._ARCHITECTURES))
    monkeypatch.setitem(BY_NAME, ENTRY.name, ENTRY)
    (tmp_path / "shear.py").write_text(f"{SHEAR}\nregister(ARCHITECTURE)\n")
    import_files([tmp_path / "shear.py"])
    stages: tuple[Stage, ...] = ("perturbed", "trained")
    for stage in stages:
        check_round_trip(ENTRY, stage)
        assert_log_terms(ENTRY, stage)
        check_integral(ENTRY, stage)
    check_batches(ENTRY)
    check_sampling(ENTRY)
    check_saving(ENTRY, tmp_path)
