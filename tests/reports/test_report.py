import json
import math
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import torch

from pushforward import data as sources
from pushforward import flows, storage
from pushforward.data.dataset import DataSet, image_set, table_set
from pushforward.diagnostics import CheckLine, CheckReport
from pushforward.diagnostics.integration import continuous_part
from pushforward.errors import DataError, ShapeError
from pushforward.evaluation import baselines, scores
from pushforward.evaluation.fit_baselines import dequantised, fit_baselines
from pushforward.evaluation.samples import clamping
from pushforward.flow import Flow
from pushforward.reports import report_saved_model
from pushforward.reports.flow_report import _attribute
from pushforward.rows import Rows, rows_of

HEALTHY = CheckReport((CheckLine("round trip", 1e-9, "<= 1e-4", True, "x -> z -> x"),))
HISTORY = [
    {"step": i, "seconds": float(i), "train": 2.0 / (i + 1), "validation": 2.1 / (i + 1), "unit": "nats", "lr": 0.1}
    for i in range(10)
]


@pytest.fixture(autouse=True)
def short_search(monkeypatch):
    monkeypatch.setattr(baselines, "_MAX_COMPONENTS", 2)


def saved(flow: Flow, data: DataSet, trained_on: DataSet | None = None, split: bool = True) -> storage.SavedModel:
    config, of = flow.config, trained_on or data
    architecture = storage.ArchitectureConfig(
        name=config.name, event_shape=config.event_shape, context_dim=config.context_dim, classes=config.classes,
        options=config.options,
    )  # fmt: skip
    described = storage.DataConfig(name=of.name, kind=of.kind, rows=len(of), fingerprint=of.fingerprint)
    model = storage.ModelConfig(format=storage.FORMAT, flow=architecture, data=described, training={"steps": 3})
    return storage.SavedModel(flow.eval(), model, sources.split(of) if split else None, Path())


def make_report(*arguments, **options) -> tuple[str, dict]:
    report = report_saved_model(*arguments, **options)
    return report.html, report.numbers


def build(data: DataSet, name: str = "nice", **options) -> Flow:
    torch.manual_seed(0)
    if name == "nice":
        options = {"hidden": (8,), **options}
    flow = flows.build(name, data.event_shape, levels=data.levels, **options)
    flow.initialise(torch.as_tensor(data.x[:50]).float(), *([torch.zeros(50, 1)] if flow.context_shape == (1,) else []))
    return flow


def table(rows: int = 200, columns: int = 3) -> DataSet:
    x = np.random.default_rng(0).normal(size=(rows, columns)) * np.arange(1, columns + 1)
    return table_set("numbers", x, [f"column {i}" for i in range(columns)])


def images(rows: int = 60, shape: tuple[int, ...] = (1, 4, 4)) -> DataSet:
    x = np.random.default_rng(0).integers(0, 256, (rows, *shape)).astype(np.uint8)
    return image_set("pictures", x, levels=256)


def cases() -> dict[str, tuple[Flow, DataSet]]:
    labelled = replace(images(), labels=np.arange(60) % 3)
    given = replace(table(), context=np.random.default_rng(1).normal(size=(200, 1)), context_columns=("given",))
    torch.manual_seed(0)
    return {
        "table": (build(table()), table()),
        "one column": (build(table(columns=1)), table(columns=1)),
        "two columns": (build(table(columns=2)), table(columns=2)),
        "many columns": (build(table(columns=30)), table(columns=30)),
        "toy": (build(toy := sources.load("rings", limit=200)), toy),
        "table given context": (build(given, context_dim=1), given),
        "grey images": (build(images()), images()),
        "colour images": (build(c := images(shape=(3, 4, 4)), "real_nvp", channels=2, blocks=0), c),
        "images of labels": (flows.build("nice", (1, 4, 4), classes=3, levels=256, hidden=(8,)), labelled),
        "few rows": (build(images(12)), images(12)),
    }


class Page(HTMLParser):
    """What a page refers to, its headings, and whether its tags are closed in order."""

    _VOID = frozenset({"meta", "link", "img", "br"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.headings: list[str] = []
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.addresses += [value for key, value in attrs if key in ("src", "href", "xlink:href", "srcset", "action")]
        if tag not in self._VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in self._VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] == "h2":
            self.headings.append(data)


@pytest.fixture(scope="module", params=cases().items(), ids=lambda case: case[0])
def made(request):
    flow, data = request.param[1]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(baselines, "_MAX_COMPONENTS", 2)
        return flow, data, *make_report(saved(flow, data), data, history=HISTORY, check=HEALTHY)


def test_a_page_asks_nobody_for_anything(made):
    page = Page(made[2])
    assert page.open == []
    assert all(address.startswith(("data:", "#")) for address in page.addresses)
    assert "script" not in page.tags
    assert "@import" not in made[2]
    assert not re.search(r"url\((?!#)", made[2])


def test_a_page_has_every_section(made):
    _, data, text, _ = made
    wanted = ["Likelihood of held-out rows", "Training", "Latents", "Numerical health", "Run details"]
    wanted += ["Samples", "Interpolation"] if data.kind == "image" else ["Data and samples"]
    assert set(wanted) <= set(Page(text).headings)
    assert 'name="viewport"' in text
    assert "prefers-color-scheme: dark" in text


def test_the_twin_is_json_without_nan(made):
    numbers = made[3]
    assert json.loads(json.dumps(numbers, allow_nan=False)) == numbers


def test_the_numbers_are_those_of_the_flow(made):
    flow, data, text, numbers = made
    rows = sources.split(data).test
    part = rows_of(flow, data, rows)
    nats = flow.likelihood(*part.on(flow), seed=0).value.double().numpy()
    like = numbers["likelihood"]
    assert like["nats"]["mean"] == pytest.approx(nats.mean(), abs=1e-4)
    if len(rows) > 1:
        assert like["nats"]["standard_error"] == pytest.approx(nats.std(ddof=1) / math.sqrt(len(rows)), rel=1e-3)
    else:
        assert like["nats"]["standard_error"] is None
    assert like["kind"] == flow.kind
    in_training = flow.likelihood(*rows_of(flow, data, sources.split(data).train).on(flow), seed=0).value.double()
    assert like["training_rows"]["nats"]["mean"] == pytest.approx(float(in_training.mean()), abs=1e-4)
    if data.kind == "image":
        expected = -nats.mean() / (math.prod(data.event_shape) * math.log(2))
        assert like["unit"] == "bits/dim"
        assert like["value"]["mean"] == pytest.approx(expected, abs=1e-4)
    assert f"{like['value']['mean']:.3f}".replace("-", "−") in text


def test_differences_are_paired(made):
    like = made[3]["likelihood"]
    for other in like["baselines"]:
        gap = like["value"]["mean"] - other["value"]["mean"]
        assert other["difference"]["mean"] == pytest.approx(gap, abs=1e-6)
        assert (other["difference"]["standard_error"] is None) == (made[3]["data"]["scored"] == 1)


def test_every_kind_of_data_has_its_baselines(made):
    _, data, _, numbers = made
    names = [b["name"] for b in numbers["likelihood"]["baselines"]]
    kernels = ["Kernel density"] if data.kind == "table" else []
    truth = ["True density"] if data.name == "rings" else []
    assert names == ["Gaussian, full covariance", "Gaussian mixture", *kernels, *truth]


def test_what_was_run_is_said(made):
    flow, data, text, numbers = made
    run = numbers["run"]
    assert run["options"] == flow.config.options
    assert run["reported_with"]["torch"] == torch.__version__
    assert data.fingerprint in text
    assert numbers["data"]["split"] == {k: len(v) for k, v in vars(sources.split(data)).items()}


def test_a_baseline_on_the_flows_own_density_agrees_with_the_flow():
    # A flow at its start on integers is logistic noise through a logit: an independent value of its likelihood.
    data = images()
    flow = build(data)
    parts = {
        "train": rows_of(flow, data, np.arange(40)),
        "validation": rows_of(flow, data, np.arange(40, 50)),
    }
    parts["test"] = rows_of(flow, data, np.arange(50, 60))
    y = dequantised(flow, parts["test"].x, 7).reshape(10, 16)
    inside = 0.05 + 0.9 * y
    # Standard logistic after a logit is uniform: the density is 0.9 in each coordinate, 1/256 a level.
    expected = np.full(10, 16 * (math.log(0.9) - math.log(256)))
    np.testing.assert_allclose(scores.score(flow, parts["test"], 7).nats, expected, atol=1e-3)
    assert ((inside > 0.05) & (inside < 0.95)).all()
    found = fit_baselines(flow, parts, 7)
    # Uniform pixels have 8 bits; no density can do much better, a broken Jacobian would.
    assert all(-16 * 9.5 * math.log(2) < b.nats.mean() < -16 * 7.9 * math.log(2) for b in found)


def test_held_out_noise_of_baselines_is_the_flows_own():
    data = images()
    flow = build(data)
    part = rows_of(flow, data, np.arange(8))
    z = scores.latents(flow, part, 3)
    y = torch.as_tensor(dequantised(flow, part.x, 3))
    rest = y
    flow64 = flows.build("nice", (1, 4, 4), levels=256, hidden=(8,)).double()
    flow64.load_state_dict(flow.state_dict())
    for step in list(flow64.transform)[1:]:
        rest, _ = step.to_latent(rest)
    np.testing.assert_allclose(rest.detach().numpy(), z, atol=1e-4)


def test_clamped_values_are_counted_by_end():
    data = images()
    found = clamping(build(data), rows_of(build(data), data, np.arange(60)), 0, 400)
    # At the start latents are logistic: after the logit's inverse uniform, of which 5 % lie beyond each end.
    for fraction in (found.low, found.high):
        assert abs(fraction - 0.05) < 4 * math.sqrt(0.05 * 0.95 / (400 * 16))
    assert found.rows > 0.5
    assert clamping(build(table()), rows_of(build(table()), table(), np.arange(9)), 0) is None


def test_clamped_values_are_those_outside_of_the_unit_interval():
    data = images()
    data = replace(data, x=data.x // 64, levels=4)
    flow = build(data)
    found = clamping(flow, rows_of(flow, data, np.arange(60)), 5, 400)
    with torch.no_grad():
        y = continuous_part(flow).sample(400, generator=torch.Generator().manual_seed(5)).double()
    wanted = (
        (y < 0).double().mean(),
        (y >= 1).double().mean(),
        (y < 0.25).double().mean(),
        (y >= 0.75).double().mean(),
    )
    assert (found.low, found.high, found.at_low, found.at_high) == tuple(map(pytest.approx, map(float, wanted)))
    assert found.rows == ((y < 0) | (y >= 1)).flatten(1).any(1).double().mean()
    assert (found.data_low, found.data_high) == ((data.x == 0).mean(), (data.x == 3).mean())


def test_rows_without_density_are_said_and_not_averaged_away():
    data = table()
    data.x[sources.split(data).test[:3]] = 1e25
    text, numbers = make_report(saved(build(table(), base="normal"), data), data, check=HEALTHY)
    like = numbers["likelihood"]
    assert like["zero_density"] == 3
    assert like["nats"]["mean"] is None
    assert like["finite_rows_only"]["rows"] == 17
    assert numbers["verdict"]["fit"]["state"] == "do not use"
    assert numbers["verdict"]["fit"]["reasons"][0] == "3 of 20 held-out rows have density zero"
    assert "3 of 20 held-out rows have density zero" in numbers["summary"]
    assert "No training history was given" in text


def test_a_failed_check_is_in_the_verdict():
    broken = CheckReport((CheckLine("round trip", 1.0, "<= 1e-4", False, ""),))
    text, numbers = make_report(saved(build(table()), table()), table(), check=broken)
    reason = "round trip: 1 measured, <= 1e-4 allowed"
    assert numbers["verdict"]["numerics"] == {"state": "do not use", "reasons": [reason]}
    assert "numerics: do not use" in text
    assert reason not in numbers["verdict"]["fit"]["reasons"]
    assert "failed</strong>" in text


def test_a_flow_that_is_the_truth_beats_or_equals_every_baseline():
    data = table(2000, 2)
    flow = build(data, "nice", base="normal")
    _, numbers = make_report(saved(flow, data), data, check=HEALTHY)
    assert numbers["verdict"]["fit"] == {"state": "good", "reasons": []}
    assert {"classifier", "latents", "tails", "coverage"} <= set(numbers["fit_quality"]["measures"])


def test_other_data_are_split_anew_and_said_to_be_other():
    other = replace(table(), x=table().x + 1)
    text, numbers = make_report(saved(build(table()), other, trained_on=table()), other, check=HEALTHY)
    assert "not the data that the model was trained on (numbers)" in numbers["data"]["notes"][0]
    assert numbers["data"]["notes"][0] in text


def test_at_most_the_asked_number_of_rows_is_scored():
    _, numbers = make_report(saved(build(table()), table()), table(), check=HEALTHY, max_rows=7)
    assert numbers["data"]["scored"] == numbers["likelihood"]["nats"]["rows"] == 7
    assert "7 of 20 held-out rows were scored" in numbers["data"]["notes"][0]


def test_the_same_call_makes_the_same_page():
    first, second = (make_report(saved(build(table()), table()), table(), check=HEALTHY)[0] for _ in range(2))
    assert first == second


def test_names_from_the_data_cannot_become_markup():
    x = table(60, 2).x
    data = table_set("<script>alert(1)</script>", x, ["<img src=x>", "b"], source="<b>file</b>")
    text, _ = make_report(saved(build(data), data), data, check=HEALTHY)
    page = Page(text)
    assert "script" not in page.tags
    assert "img" not in page.tags


def test_progress_is_told_and_the_check_is_run_where_none_is_given():
    steps: list[str] = []
    _, numbers = make_report(saved(build(table()), table()), table(), progress=steps.append)
    assert "checking the numerics" in steps
    assert len(numbers["check"]["lines"]) > 5


def test_data_that_do_not_fit_the_model_are_refused():
    with pytest.raises(ShapeError, match=r"\(4,\).*\(3,\)"):
        make_report(saved(build(table()), table(columns=4)), table(columns=4), check=HEALTHY)
    conditional = build(table(), context_dim=1)
    with pytest.raises(DataError, match="1 context columns"):
        make_report(saved(conditional, table()), table(), check=HEALTHY)


def test_few_held_out_rows_are_no_reason_for_praise():
    data = images(12)
    _, numbers = make_report(saved(build(data), data), data, check=HEALTHY)
    assert numbers["verdict"]["fit"]["state"] == "use with care"


@pytest.mark.parametrize("law", ["uniform", "variational"])
def test_a_report_says_which_bound_it_gives(law):
    data = images()
    text, numbers = make_report(saved(build(data, dequantisation=law), data), data, history=HISTORY, check=HEALTHY)
    like = numbers["likelihood"]
    assert (like["kind"], like["dequantisation"]) == ("bound", law)
    assert f"bits/dim (a bound, {law} dequantisation)" in numbers["summary"]
    assert f"<td>bound, {law} dequantisation</td>" in text
    # A baseline has no noise but the uniform one.
    assert "<td>bound, uniform dequantisation</td>" in text
    assert ("with the same dequantisation noise" in text) is (law == "uniform")
    assert ("because their dequantisation is uniform" in text) is (law == "variational")


@pytest.mark.parametrize(
    ("name", "said", "explained", "not_explained"),
    [
        ("real_nvp", "exact", [], ["<em>bound</em>", "<em>estimate</em>"]),
        ("vflow", "bound", ["<em>bound</em>"], ["<em>estimate</em>", "dequantisation", "bits/dim"]),
        ("residual_flow", "estimate, ", ["<em>estimate</em>"], ["<em>bound</em>", "dequantisation", "bits/dim"]),
    ],
)
def test_a_report_says_the_kind_of_likelihoods_of_tables(name, said, explained, not_explained):
    data = table()
    estimated = {"log_det": "roulette"} if name == "residual_flow" else {}
    flow = build(data, name, transforms=2, hidden=(8,), **estimated)
    text, _ = make_report(saved(flow, data), data, history=HISTORY, check=HEALTHY)
    assert f"<td>{said}" in text
    assert f"<td>{flow.kind_in_words}</td>" in text
    page = text[text.index("<h1>") : text.index("<h2>Training")]
    assert all(words in page for words in explained)
    assert not any(words in page for words in not_explained)


def test_baselines_are_the_same_whatever_the_flows_dequantisation():
    data, values = images(), []
    for law in ("uniform", "variational"):
        flow = build(data, dequantisation=law)
        part = rows_of(flow, data, np.arange(8))
        values.append(dequantised(flow, part.x, 3))
    np.testing.assert_array_equal(*values)


def test_the_attribute_leads_from_the_most_frequent_class_to_the_next():
    flow = flows.build("nice", (2,), standardise=False, hidden=(4,)).eval()
    labels = torch.tensor([3] * 6 + [7] * 4)
    x = torch.where((labels == 3)[:, None], 0.0, 1.0).expand(-1, 2)
    parts = {"train": Rows(x, labels=labels), "test": Rows(x, labels=labels)}
    attribute = _attribute(flow, parts, 0)
    assert attribute.classes == (3, 7)
    torch.testing.assert_close(attribute.direction, torch.ones(2))
    assert torch.equal(attribute.examples.x, torch.zeros(4, 2))
