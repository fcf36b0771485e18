"""`report`, `check`, `info`, `flows` and `data`: looking at a model and at what there is."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from small_models import SMALL, Run, write_csv

from pushforward import flows, presets, storage


def test_a_report_is_entered_in_the_model(run: Run, conditional_model: Path, houses_csv: Path, tmp_path: Path) -> None:
    code, out, err = run("report", conditional_model, houses_csv)
    assert code == 0, err
    assert "held-out (12 test rows)" in out
    assert "report:" in err
    assert storage.load(conditional_model).event_shape == (2,)
    assert "<html" in (conditional_model / "report.html").read_text()
    numbers = json.loads((conditional_model / "report.json").read_text())
    assert numbers["likelihood"]["kind"] == "exact"
    assert numbers["training"]["history"]
    code, _, _ = run("report", conditional_model, houses_csv, "--out", tmp_path / "elsewhere")
    assert code == 0
    assert {path.name for path in (tmp_path / "elsewhere").iterdir()} == {"report.html", "report.json"}


def test_the_report_on_other_data_leaves_the_report_of_the_fit(
    run: Run, tmp_path: Path, table_model: Path, houses: dict[str, np.ndarray]
) -> None:
    model = tmp_path / "m"
    shutil.copytree(table_model, model)
    storage.add_file(model, "report.html", b"of the fit")
    others = write_csv(tmp_path / "new prices.csv", {name: column + 1 for name, column in houses.items()})
    code, out, err = run("report", model, others)
    assert code == 0, err
    assert f"report: {model / 'report-new_prices.html'}" in out
    assert (model / "report.html").read_bytes() == b"of the fit"
    assert json.loads((model / "report-new_prices.json").read_text())["likelihood"]
    storage.load(model)
    code, out, err = run("report", model, others, "--out", tmp_path / "pages" / "x.html")
    assert code == 0, err
    assert {path.name for path in (tmp_path / "pages").iterdir()} == {"x.html", "x.json"}


def test_a_report_finds_the_rows_that_were_drawn_by_limit(run: Run, tmp_path: Path) -> None:
    assert run("fit", "two-moons", "--limit", 100, "--seed", 2, "--out", tmp_path / "m", *SMALL)[0] == 0
    code, out, _ = run("report", tmp_path / "m", "two-moons")
    assert code == 0
    assert "held-out (10 test rows)" in out
    assert json.loads((tmp_path / "m" / "report.json").read_text())["data"]["notes"] == []


def test_a_sound_model_passes_its_check(run: Run, tmp_path: Path) -> None:
    storage.save(flows.build("real_nvp", (3,), transforms=2, hidden=(8,)), tmp_path / "m")
    code, out, err = run("check", tmp_path / "m", "--rows", 16)
    assert code == 0, err
    assert "all checks passed" in out
    code, out, _ = run("check", tmp_path / "m", "--rows", 16, "--json")
    assert code == 0
    assert json.loads(out)["passed"] is True


def test_a_broken_model_fails_its_check_with_exit_code_5(run: Run, tmp_path: Path) -> None:
    flow = flows.build("real_nvp", (3,), transforms=2, hidden=(8,))
    with torch.no_grad():
        for parameter in flow.parameters():
            parameter.fill_(3e38)
    storage.save(flow, tmp_path / "m")
    code, out, _ = run("check", tmp_path / "m", "--rows", 16)
    assert code == 5
    assert "FAILED" in out


def test_a_conditional_model_is_checked_on_data(run: Run, conditional_model: Path, houses_csv: Path) -> None:
    code, _, err = run("check", conditional_model)
    assert code == 2
    assert "conditional" in err
    code, out, err = run("check", conditional_model, houses_csv, "--rows", 16)
    assert code == 0, out + err


@pytest.mark.parametrize("rows", [0, -3])
def test_a_check_needs_rows(run: Run, table_model: Path, rows: int) -> None:
    assert run("check", table_model, "--rows", rows)[0] == 2


def test_info_says_what_a_model_is(run: Run, conditional_model: Path) -> None:
    code, out, _ = run("info", conditional_model)
    assert code == 0
    for said in ("nsf_ar", "parameters", "exact", "area, price", "age", "96 train, 12 validation", "torch"):
        assert said in out
    code, out, _ = run("info", conditional_model, "--json")
    assert code == 0
    assert json.loads(out)["data"]["context_columns"] == ["age"]


def test_info_of_a_changed_model_is_exit_code_4(run: Run, tmp_path: Path) -> None:
    storage.save(flows.build("nice", (3,), transforms=2, hidden=(8,)), tmp_path / "m")
    (tmp_path / "m" / "config.json").write_text("{}")
    code, _, err = run("info", tmp_path / "m")
    assert code == 4
    assert "config.json was changed" in err


def test_flows_lists_every_architecture_and_its_options(run: Run) -> None:
    code, out, _ = run("flows")
    assert code == 0
    for name in flows.names():
        assert name in out
        assert flows.describe(name).when in out
        _, options, _ = run("flows", name)
        for kind, recipe in flows.describe(name).recipes.items():
            _, _, listed = options.partition(f"Options on {kind}:\n")
            listed, _, _ = listed.partition("\nOptions on ")[0].partition("\nPresets")
            assert [line.split()[0] for line in listed.splitlines()] == list(recipe.options.model_fields)
        for preset in presets.names():
            assert (preset in options) == (presets.load(preset).flow == name)
    assert run("flows", "glowing")[0] == 2


def test_data_lists_the_names_and_where_they_are(run: Run, tmp_path: Path) -> None:
    code, out, _ = run("data", "--data-dir", tmp_path)
    assert code == 0
    lines = {line.split()[0]: line for line in out.splitlines() if line[:1].strip()}
    assert "here" in lines["digits"]
    assert "missing" in lines["mnist"]
    assert str(tmp_path) in out
