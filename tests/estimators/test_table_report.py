"""The report of a model of a table: what the page and the numbers say, on held-out rows and on new ones."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pyarrow
import pytest

from pushforward.errors import DataError, OptionError, UnknownCellWarning
from pushforward.estimators import FlowDensity, FlowOutlierDetector, FlowRegressor

QUICK = {"max_steps": 15, "held_out": 0.4}


def shops(rows: int = 300, seed: int = 0) -> pyarrow.Table:
    """Numbers with gaps and zeros, labels, dates and a constant."""
    rng = np.random.default_rng(seed)
    size = np.exp(rng.normal(3, 0.5, rows))
    days = np.datetime64("2024-01-01", "D") + rng.integers(0, 600, rows)
    return pyarrow.table(
        {
            "size": pyarrow.array(size, mask=rng.random(rows) < 0.2),
            "fee <b>": np.where(rng.random(rows) < 0.3, 0.0, size * rng.uniform(1, 2, rows)),
            "town": np.where(size > 20, "Lyon", "Nice"),
            "since": pyarrow.array(days),
            "country": ["FR"] * rows,
        }
    )


class Tags(HTMLParser):
    """The headings of a page, and the tags that it uses."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.headings: list[str] = []
        self.tags: set[str] = set()
        self.inside = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.add(tag)
        if tag in ("h2", "h3"):
            self.headings.append("")
        self.inside = tag in ("h2", "h3")

    def handle_data(self, data: str) -> None:
        if self.inside:
            self.headings[-1] += data

    def handle_endtag(self, tag: str) -> None:
        self.inside = False


@pytest.fixture(scope="module")
def density() -> FlowDensity:
    return FlowDensity(architectures=(), **QUICK).fit(shops())


def test_the_report_of_a_density_shows_verdicts_columns_and_pairs(density: FlowDensity, tmp_path: Path) -> None:
    report = density.report(tmp_path / "page.html", name="shops")
    assert (tmp_path / "page.html").read_text() == report.html
    numbers = json.loads((tmp_path / "page.json").read_text())
    assert numbers == report.numbers
    assert numbers["verdict"]["fit"]["reasons"] == density.quality_.to_json()["reasons"]
    assert numbers["verdict"]["numerics"] == {"state": "good", "reasons": []}
    held = numbers["held_out"]
    assert held["total"]["mean"] == pytest.approx(held["discrete"]["mean"] + held["continuous"]["mean"])
    assert {column["name"]: column["modelled"] for column in numbers["plan"][0]}["country"] is False
    assert {"size", "fee <b>"} in [set(pair["columns"]) for pair in numbers["pairs"]]
    assert all(pair["data"] >= 0.1 for pair in numbers["pairs"])
    page = Tags(report.html)
    assert {"size", "fee <b>", "town", "since", "Tails", "Numerical health"} <= set(page.headings)
    assert "Drift" not in page.headings
    assert page.tags.isdisjoint({"b", "script", "img"})


def test_new_rows_are_compared_with_the_training_rows(density: FlowDensity, tmp_path: Path) -> None:
    density.save(tmp_path / "m")
    loaded = FlowDensity.load(tmp_path / "m")
    with pytest.raises(OptionError, match="held_out"):
        loaded.report()
    assert not any(change["significant"] for change in loaded.report(X=shops(200, 1)).numbers["drift"])
    new = shops(200, 1)
    towns = ["Lyon" if i else "Paris" for i in range(200)]
    new = new.set_column(2, "town", [towns]).set_column(1, "fee <b>", pyarrow.array(new["fee <b>"].to_numpy() * 4))
    report = loaded.report(X=new)
    assert [c["column"] for c in report.numbers["drift"] if c["significant"]] == ["fee <b>", "town"]
    assert report.numbers["held_out"]["zero_density"] == 1
    assert "1 of 200 new rows has density zero" in report.numbers["verdict"]["fit"]["reasons"]
    assert "held-out" not in report.html
    assert "column 'town', row 0" in report.numbers["data"]["problems"][0]
    assert "training rows" in report.html
    assert "gap" not in report.numbers["fit_quality"]["measures"]


def test_new_rows_of_density_zero_alone_have_a_report(density: FlowDensity) -> None:
    new = shops(60, 1)
    report = density.report(X=new.set_column(2, "town", [["Paris"] * 60]))
    assert "60 of 60 new rows have density zero" in report.numbers["verdict"]["fit"]["reasons"]
    assert [c["column"] for c in report.numbers["drift"] if c["significant"]] == ["town"]
    assert report.numbers["held_out"]["total"]["rows"] == 0
    assert len(report.numbers["data"]["problems"]) == 1
    assert "no rows to compare" in report.html
    assert "<td>total</td>" not in report.html


def test_samples_for_rows_with_an_impossible_target_are_samples() -> None:
    y = np.random.default_rng(0).choice([1.0, 2.0, 5.0], 150)
    model = FlowRegressor(**QUICK).fit(shops(150).select(["town"]), y)
    report = model.report(X=shops(60, 1).select(["town"]), y=np.full(60, 7.0))
    assert "60 of 60 new rows have density zero" in report.numbers["verdict"]["fit"]["reasons"]
    assert report.numbers["verdict"]["numerics"] == {"state": "good", "reasons": []}


def test_the_report_of_a_regressor_shows_calibration_and_the_worst_rows(tmp_path: Path) -> None:
    X, y = shops(150).select(["country", "town", "since"]), np.exp(np.random.default_rng(0).normal(size=150))
    model = FlowRegressor(**QUICK).fit(X, y)
    report = model.report()
    target = report.numbers["predictions"][0]
    assert [each["level"] for each in target["coverage"]] == [0.5, 0.8, 0.9, 0.95, 0.99]
    assert abs(target["coverage"][2]["fraction"] - 0.9) < 0.15
    assert 0 < target["crps"]["mean"] < 1.2 * target["crps_of_one_distribution"]
    assert report.numbers["worst"][0]["row"] is None
    assert list(report.numbers["worst"][0]["cells"]) == ["town", "since"]
    assert "The worst-predicted rows" in Tags(report.html).headings
    y[7] = 1e3
    numbers = model.report(tmp_path / "r.html", X[:40], y[:40]).numbers
    assert numbers["worst"][0]["row"] == 7
    assert numbers["worst"][0]["targets"][0]["actual"] == 1e3
    assert {change["column"] for change in numbers["drift"]} == {"town", "since", "y"}
    assert (tmp_path / "r.json").exists()


def test_the_report_of_a_regressor_takes_unseen_labels_and_far_numbers_as_unknown_as_predictions_do() -> None:
    rng = np.random.default_rng(0)
    features = {"a": rng.uniform(-124, -114, 200).round(1), "s": rng.choice(["u", "v"], 200)}
    target = features["a"] + rng.normal(size=200)
    model = FlowRegressor(max_steps=5).fit(features, target)
    new = {"a": features["a"][:60].copy(), "s": features["s"][:60].astype(object)}
    new["a"][1], new["s"][0] = -1220, "w"
    with pytest.warns(UnknownCellWarning) as told:
        numbers = model.report(X=new, y=target[:60]).numbers
    assert [warning.message.column for warning in told] == ["a", "s"]
    assert numbers["held_out"]["zero_density"] == 0
    with pytest.warns(UnknownCellWarning):
        scores = model.log_density(new, target[:60])
    assert numbers["held_out"]["total"]["mean"] == pytest.approx(scores.mean())


def test_the_report_of_an_outlier_detector_counts_outliers() -> None:
    X = np.random.default_rng(0).normal(size=(150, 1))
    model = FlowOutlierDetector(max_steps=10, architectures=()).fit(X)
    report = model.report(X=np.concatenate([X[:60], np.full((40, 1), 9.0)]))
    assert report.numbers["run"]["estimator"] == "FlowOutlierDetector"
    assert "of 100 rows are outliers" in report.numbers["data"]["notes"][0]


def test_the_coverage_of_a_report_is_that_of_the_intervals_of_the_regressor() -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 1))
    y = np.minimum(X[:, 0] + rng.normal(size=300), 0.8)
    model = FlowRegressor(**QUICK).fit(X, y)
    report = model.report(X=X, y=y)
    assert (y == 0.8).mean() > 0.1
    for level in report.numbers["predictions"][0]["coverage"]:
        low, high = model.predict_interval(X, level["level"]).T
        assert level["fraction"] == ((low <= y) & (y <= high)).mean()
        assert level["fraction"] >= level["randomised"]
    assert "holds all of it" in report.html
    assert report.html.count("PIT of y against a uniform distribution") == 1


def test_a_time_limit_that_is_no_number_is_refused() -> None:
    with pytest.raises(OptionError, match="max_seconds: a number of seconds above 0 expected, got 'a'"):
        FlowDensity(max_seconds="a").fit(shops())  # type: ignore[arg-type]


def test_a_gap_in_an_array_of_targets_is_told_with_its_row() -> None:
    with pytest.raises(DataError, match="Input y contains NaN, in 1 row; the first is row 3; leave such rows out"):
        FlowRegressor(**QUICK).fit(np.zeros((9, 1)), np.where(np.arange(9) == 3, np.nan, 1.0))


def test_every_measure_of_a_report_is_explained_on_its_page(density: FlowDensity) -> None:
    report = density.report(X=shops(40, 3))
    measures = density.report().numbers["measures"] + report.numbers["measures"]
    assert all(measure["meaning"] for measure in measures)
    low, high = report.numbers["fit_quality"]["measures"]["classifier"]["interval"]
    assert 0 <= low < high <= 1
