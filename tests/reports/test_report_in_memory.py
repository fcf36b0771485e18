"""A report of a flow in memory, from arrays or tensors, without a saved model."""

import json
from typing import Any

import numpy as np
import pytest
import torch

from pushforward import flows
from pushforward.bases import StandardNormal, UniformBox
from pushforward.data import load, split
from pushforward.diagnostics import CheckLine, CheckReport
from pushforward.errors import ContextError, DataError, OptionError, ShapeError
from pushforward.evaluation import baselines
from pushforward.flow import Flow
from pushforward.reports import Report, report_saved_model
from pushforward.reports import report as report_in_memory
from pushforward.rows import Rows
from pushforward.storage import load_model, save
from pushforward.transforms import Identity
from pushforward.transforms.base import Chain

HEALTHY = CheckReport((CheckLine("round trip", 1e-9, "<= 1e-4", True, "x -> z -> x"),))


@pytest.fixture(autouse=True)
def short_search(monkeypatch):
    monkeypatch.setattr(baselines, "_MAX_COMPONENTS", 2)


def make_report(flow: Flow, train: Any, validation: Any = None, test: Any = None, **options: Any) -> Report:
    return report_in_memory(flow, train, validation=validation, test=test, **options)


def parts(rows: int = 120, columns: int = 3) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    x = np.random.default_rng(0).normal(size=(rows, columns))
    return x[: rows // 2], x[rows // 2 : -rows // 4], x[-rows // 4 :]


def without_times(numbers: dict) -> dict:
    baselines = [{**baseline, "seconds": 0.0} for baseline in numbers["likelihood"]["baselines"]]
    return {**numbers, "likelihood": {**numbers["likelihood"], "baselines": baselines}}


def nice(shape: tuple[int, ...] = (3,), **options) -> Flow:
    torch.manual_seed(0)
    return flows.build("nice", shape, hidden=(8,), **options).eval()


def test_arrays_and_tensors_give_the_same_report():
    arrays = parts()
    tensors = [torch.as_tensor(part).requires_grad_() for part in arrays]
    first, second = (make_report(nice(), *given, check=HEALTHY) for given in (arrays, tensors))
    assert first.html == second.html
    assert without_times(first.numbers) == without_times(second.numbers)
    assert first.numbers["data"]["columns"] == ["x0", "x1", "x2"]
    assert first.numbers["data"]["split"] == {"train": 60, "validation": 30, "test": 30}
    assert first.numbers["likelihood"]["value"]["rows"] == 30


def test_a_flow_in_memory_and_the_same_one_saved_have_the_same_numbers(tmp_path):
    data = load("two-moons", limit=200)
    flow, chosen = nice((2,)), split(load("two-moons", limit=200))
    described = {"name": data.name, "kind": data.kind, "rows": len(data), "fingerprint": data.fingerprint}
    save(flow, tmp_path / "model", split=chosen, data=described)
    saved = report_saved_model(load_model(tmp_path / "model"), data, check=HEALTHY).numbers
    x = [data.x[rows] for rows in (chosen.train, chosen.validation, chosen.test)]
    memory = make_report(flow, *x, columns=data.columns, check=HEALTHY).numbers
    truth = saved["likelihood"]["baselines"].pop()
    assert truth["role"] == "truth"
    saved, memory = without_times(saved), without_times(memory)
    for key in ("likelihood", "latents", "columns", "coverage", "samples", "verdict", "fit_quality", "summary"):
        assert memory[key] == saved[key]


def test_a_flow_made_by_hand_shows_its_structure():
    flow = Flow(StandardNormal((2,)), Chain([Identity((2,)), Identity((2,))]))
    report = make_report(flow, *parts(columns=2), columns=["a", "b"], data="noise", check=HEALTHY)
    assert report.numbers["run"]["structure"] == str(flow)
    assert "flow on noise" in report.html
    assert "Identity" in report.html


def test_a_uniform_density_covers_its_levels():
    report = make_report(Flow(UniformBox((3,)), Identity((3,))), *(x % 1 for x in parts()), check=HEALTHY)
    assert report.numbers["coverage"] == pytest.approx({"0.5": 0.5, "0.8": 0.8, "0.95": 0.95}, abs=1e-12)


def test_rows_alone_are_divided_and_the_report_says_so():
    report = make_report(nice(), parts()[0], seed=3, check=HEALTHY)
    assert report.numbers["data"]["split"] == {"train": 48, "validation": 6, "test": 6}
    assert report.numbers["data"]["notes"] == ["rows were split with seed 3, and may have been used in training"]


def test_a_context_goes_with_each_part():
    contexts = [np.zeros((len(x), 1)) for x in parts()]
    names = ("context", "validation_context", "test_context")
    report = make_report(
        nice(context_dim=1), *parts(), **dict(zip(names, contexts, strict=True)), check=HEALTHY, max_rows=10
    )
    assert report.numbers["data"]["scored"] == 10
    labels = [torch.arange(len(x)) % 2 for x in parts()]
    labelled = make_report(nice(classes=2), *parts(), **dict(zip(names, labels, strict=True)), check=HEALTHY)
    assert "class means" in labelled.numbers["likelihood"]["baselines"][0]["detail"]


@pytest.mark.parametrize("levels", [None, 4])
def test_images_are_shown_with_and_without_levels(levels):
    x = torch.randint(0, 4, (60, 1, 4, 4), generator=torch.Generator().manual_seed(0))
    given = x if levels else x / 4
    labels = torch.arange(60) % 2
    rows = [Rows(given[s], labels=labels[s]) for s in (slice(0, 30), slice(30, 45), slice(45, 60))]
    report = make_report(nice((1, 4, 4), **({"levels": 4} if levels else {})), *rows, check=HEALTHY)
    assert report.numbers["data"]["kind"] == "image"
    assert report.numbers["attribute"] == [0, 1]
    assert "Manifold spanned" in report.html


def test_events_of_any_other_shape_are_a_table_of_their_values():
    x = torch.randn(60, 2, 2, generator=torch.Generator().manual_seed(0))
    report = make_report(Flow(StandardNormal((2, 2)), Identity((2, 2))), x, check=HEALTHY)
    assert len(report.numbers["columns"]) == 4
    scalars = make_report(Flow(StandardNormal(()), Identity(())), x.flatten(), check=HEALTHY)
    assert len(scalars.numbers["columns"]) == 1


def test_a_report_is_written_with_its_numbers_beside_it(tmp_path):
    report = make_report(nice(), *parts(), out=tmp_path / "new" / "page.html", check=HEALTHY)
    assert (tmp_path / "new" / "page.html").read_text(encoding="utf-8") == report.html
    assert json.loads((tmp_path / "new" / "page.json").read_text()) == report.numbers


def test_rows_that_do_not_suit_the_flow_are_refused():
    train, validation, test = parts()
    with pytest.raises(OptionError, match="must both be given, or neither"):
        make_report(nice(), train, validation=validation)
    with pytest.raises(ShapeError, match="test rows"):
        make_report(nice(), train, validation=validation, test=test[:, :2])
    with pytest.raises(DataError, match="test row 1 "):
        make_report(nice(), train, validation=validation, test=np.where(np.arange(30)[:, None] == 1, np.nan, test))
    with pytest.raises(ContextError):
        make_report(nice(context_dim=1), train, validation=validation, test=test)
    with pytest.raises(OptionError, match="columns: 3 names expected, got 1"):
        make_report(nice(), train, validation=validation, test=test, columns=["a"])
    with pytest.raises(DataError, match="at least 10"):
        make_report(nice(), train[:5])
