"""The density of a table: the blend, its conditional draws, and its saved form."""

from __future__ import annotations

import json
import math
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from scipy.stats import norm

from pushforward.errors import DataError, ModelError, OptionError, ReducedFitWarning
from pushforward.estimators.encoded import UNKNOWN, ColumnShape, EncodedRows
from pushforward.estimators.models.blend import Blend, mixing_weights
from pushforward.estimators.models.fit_table import default_seconds, fit_table
from pushforward.estimators.models.members import ChainMember, hide
from pushforward.estimators.models.mixture import MixedMixture
from pushforward.estimators.models.saved import load_table, save_table
from pushforward.estimators.models.table_model import TableModel

SHAPES = (ColumnShape(2, value=False), ColumnShape(), ColumnShape())


def table(count: int = 3000) -> EncodedRows:
    """A label of probability 0.3, and two normal columns with correlation 0.8 whose means are 2 apart."""
    generator = torch.Generator().manual_seed(0)
    label = (torch.rand(count, generator=generator) < 0.3).long()
    first = torch.randn(count, generator=generator)
    second = 0.8 * first + 0.6 * torch.randn(count, generator=generator)
    values = torch.stack([0 * first, first + 2 * label, second + 2 * label], 1)
    return EncodedRows.of(torch.stack([label, 0 * label, 0 * label], 1), values)


@pytest.fixture(scope="module")
def model() -> TableModel:
    # Of the processor: what else the machine does changes no fit.
    return fit_table(table(), SHAPES, seconds=4.0, clock=time.process_time)


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(5)


def true_log_density(rows: EncodedRows) -> torch.Tensor:
    label = rows.states[:, 0].double()
    first, second = (rows.values[:, j] - 2 * label for j in (1, 2))
    of_label = torch.where(label == 1, math.log(0.3), math.log(0.7))
    normal = torch.distributions.Normal
    return of_label + normal(0.0, 1.0).log_prob(first) + normal(0.8 * first, 0.6).log_prob(second)


def test_the_density_is_near_the_true_one(model: TableModel) -> None:
    fresh = table(5000)
    scores = model.log_prob(fresh)
    assert float((true_log_density(fresh) - scores.total).mean()) == pytest.approx(0, abs=0.05)
    assert float(scores.discrete.exp().mean()) == pytest.approx(0.3**2 + 0.7**2, abs=0.02)
    _, states, values = zip(*model.members, strict=True)
    assert (sum(states), sum(values)) == pytest.approx((1, 1))


def test_conditional_draws_have_the_moments_of_the_closed_form(model: TableModel, generator: torch.Generator) -> None:
    given = EncodedRows.unknown(SHAPES, 1)
    given.states[:, 2], given.values[:, 2] = 0, 1.0
    # Given the third column, the label's probability, and the mean of the second column.
    one = 0.3 * norm.pdf(1.0 - 2)
    probability = one / (one + 0.7 * norm.pdf(1.0))
    mean = probability * (2 + 0.8 * (1.0 - 2)) + (1 - probability) * 0.8
    draws = model.draws_given(given, 20_000, generator)
    weights = draws.log_weights[0].exp()
    assert float(draws.effective) > 5000
    assert float((weights * draws.rows.states[:, 0]).sum()) == pytest.approx(probability, abs=0.04)
    assert float((weights * draws.rows.values[:, 1]).sum()) == pytest.approx(mean, abs=0.08)
    sampled = model.sample(2000, given=given, generator=generator)
    assert float(sampled.values[:, 1].mean()) == pytest.approx(mean, abs=0.15)
    assert (sampled.values[:, 2] == 1.0).all()


def test_a_row_with_unknown_content_has_the_marginal_density(model: TableModel) -> None:
    rows = table(200)
    rows.states[:, 2] = UNKNOWN
    rows.values[:, 2] = 0
    label, first = rows.states[:, 0].double(), rows.values[:, 1]
    truth = torch.where(label == 1, math.log(0.3), math.log(0.7)) + torch.as_tensor(norm.logpdf(first - 2 * label))
    assert float((model.log_prob(rows).total - truth).mean()) == pytest.approx(0, abs=0.1)


def test_samples_score_like_the_data(model: TableModel, generator: torch.Generator) -> None:
    sampled = model.sample(3000, generator=generator)
    assert float(true_log_density(sampled).mean()) == pytest.approx(float(true_log_density(table()).mean()), abs=0.1)
    assert model.sample(0, generator=generator).states.shape == (0, 3)


def test_rows_that_are_impossible_have_density_zero(model: TableModel) -> None:
    rows = table(3)
    rows.impossible[1] = True
    assert model.log_prob(rows).total.isinf().tolist() == [False, True, False]
    assert not model.log_prob(rows).continuous.isnan().any()


def test_a_saved_model_scores_and_draws_the_same(model: TableModel, tmp_path: Path) -> None:
    save_table(model, tmp_path / "model", estimator={"plan": 1})
    again, stored = load_table(tmp_path / "model")
    assert stored == {"plan": 1}
    assert torch.equal(again.log_prob(table(100)).total, model.log_prob(table(100)).total)
    draws = [each.sample(50, generator=torch.Generator().manual_seed(1)) for each in (model, again)]
    assert torch.equal(draws[0].values, draws[1].values)
    with pytest.raises(OptionError, match="not empty"):
        save_table(model, tmp_path / "model")


def test_a_changed_or_inflated_model_is_refused(model: TableModel, tmp_path: Path) -> None:
    from pushforward.storage.files import CONFIG, WEIGHTS, write_model

    save_table(model, tmp_path / "model")
    config = json.loads((tmp_path / "model" / CONFIG).read_text())
    weights = (tmp_path / "model" / WEIGHTS).read_bytes()
    config["net"]["hidden"] = 1 << 16
    write_model(tmp_path / "model", {CONFIG: json.dumps(config).encode(), WEIGHTS: weights})
    with pytest.raises(ModelError, match="far larger than its stored weights"):
        load_table(tmp_path / "model")


def test_a_model_of_some_columns_given_the_others(generator: torch.Generator) -> None:
    model = fit_table(table(), SHAPES, targets=[2], seconds=3.0)
    rows = table(2000)
    label, first = rows.states[:, 0].double(), rows.values[:, 1] - 2 * rows.states[:, 0].double()
    truth = torch.as_tensor(norm.logpdf(rows.values[:, 2] - 2 * label, 0.8 * first, 0.6))
    scores = model.log_prob(rows)
    assert float((truth - scores.total).mean()) == pytest.approx(0, abs=0.05)
    assert scores.discrete.abs().max() < 1e-9
    given = rows.take(torch.tensor([0]))
    given.states[:, 2] = UNKNOWN
    drawn = model.sample(4000, given=given, generator=generator).values[:, 2]
    assert float(drawn.mean()) == pytest.approx(float(2 * label[0] + 0.8 * first[0]), abs=0.15)


@pytest.mark.parametrize("count", [1, 2, 5, 30])
def test_few_rows_have_an_answer(count: int, generator: torch.Generator) -> None:
    model = fit_table(table(count), SHAPES, seconds=0.5)
    assert model.log_prob(table(count)).total.isfinite().all()
    assert len(model.sample(3, generator=generator)) == 3


def test_no_rows_and_impossible_rows_are_refused() -> None:
    with pytest.raises(DataError, match="no rows"):
        fit_table(table(0), SHAPES)
    rows = table(5)
    rows.impossible[2] = True
    with pytest.raises(DataError, match="density zero"):
        fit_table(rows, SHAPES)


def test_the_time_limit_follows_the_size_of_the_table() -> None:
    assert default_seconds(1000, 5) == pytest.approx(4.4)
    assert default_seconds(10**6, 20) == 300


def test_weights_of_a_mixture_are_those_of_its_closed_form() -> None:
    points = torch.linspace(-4, 8, 500, dtype=torch.float64)
    densities = torch.stack([torch.distributions.Normal(m, 1.0).log_prob(points) for m in (0.0, 4.0)])
    truth = 0.25 * densities[0].exp() + 0.75 * densities[1].exp()
    assert mixing_weights(densities, truth).tolist() == pytest.approx([0.25, 0.75], abs=1e-3)


def test_the_density_of_conditional_draws_of_the_nets_is_that_of_their_terms(
    model: TableModel, generator: torch.Generator
) -> None:
    given = hide(model.sample(30, generator=generator), [0])
    drawn, log_q = model.chain.draw(given, generator)
    torch.testing.assert_close(model.chain.log_drawn(drawn, given), log_q, rtol=1e-5, atol=1e-5)


def test_most_conditional_draws_count(model: TableModel, generator: torch.Generator) -> None:
    given = hide(model.sample(5, generator=generator), [0])
    draws = model.draws_given(given, 400, generator)
    assert draws.effective.min() > 200


def test_a_fit_leaves_the_global_generator_of_torch_alone() -> None:
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    fit_table(table(60), SHAPES, steps=3)
    assert torch.equal(torch.rand(1), expected)


@pytest.mark.parametrize(("count", "columns"), [(6, 3), (15, 12)])
def test_few_rows_give_a_gaussian_that_is_no_worse_than_one_of_independent_columns(count: int, columns: int) -> None:
    gains = []
    for seed in range(12):
        generator = torch.Generator().manual_seed(seed)
        mixing = torch.randn(columns, columns, generator=generator).double() / columns**0.5
        x, fresh = (torch.randn(n, columns, generator=generator).double() @ mixing for n in (count, 500))
        rows, held_out = (EncodedRows.of(torch.zeros(part.shape, dtype=torch.long), part) for part in (x, fresh))
        mixture = MixedMixture.fit(rows, [ColumnShape()] * columns, leave_one_out=True)
        independent = torch.distributions.Normal(x.mean(0), x.std(0)).log_prob(fresh).sum(1)
        gains.append(float((mixture.log_prob(held_out) - independent).median()))
    assert sum(gains) / len(gains) > 0


def test_a_prediction_without_a_column_has_the_width_of_the_marginal_distribution() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(1500, generator=generator).double()
    y = 3 * x.sin() + 0.2 * torch.randn(1500, generator=generator)
    rows = EncodedRows.of(torch.zeros(1500, 2, dtype=torch.long), torch.stack([x, y], 1))
    model = fit_table(rows, SHAPES[1:], targets=[1], steps=300)
    nothing = EncodedRows.unknown(SHAPES[1:], 1)
    drawn = model.chain.draw(nothing.repeat(2000), generator)[0].values[:, 1]
    assert float(drawn.std()) == pytest.approx(float(y.std()), rel=0.2)


def test_a_blend_keeps_a_member_that_integrates_unknown_content_out() -> None:
    class Only(ChainMember):
        marginal = False

        def log_values(self, rows: EncodedRows) -> torch.Tensor:
            return super().log_values(rows) + 100

    model = fit_table(table(200), SHAPES, steps=5)
    chain = ChainMember(model.chain)
    blend = Blend.choose([chain], [Only(model.chain), chain], table(50))
    assert [member.marginal for member in blend.values.members] == [False, True]


def test_members_that_many_columns_leave_out_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = EncodedRows.of(torch.zeros(60, 3, dtype=torch.int64), torch.randn(60, 3, dtype=torch.float64))
    monkeypatch.setattr("pushforward.estimators.models.fit_table._LONGEST_CHAIN", 2)
    with pytest.warns(ReducedFitWarning, match="3 columns are many: the nets are left out, a mixture scores values"):
        model = fit_table(rows, [ColumnShape()] * 3, steps=1, architectures=())
    assert [note for note in model.notes if "columns are many" in note]
    assert [member.kind for member in model.blend.values.members] == ["mixture"]
    monkeypatch.setattr("pushforward.estimators.models.fit_table._LONGEST_CHAIN", 9)
    monkeypatch.setattr("pushforward.estimators.models.fit_table._MOST_CONTEXT", -1)
    with pytest.warns(ReducedFitWarning, match="the flows are left out, a mixture and nets score values"):
        fit_table(rows, [ColumnShape()] * 3, steps=1)


def test_rows_of_equal_states_need_the_probability_of_their_states_once(
    model: TableModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    scored = []
    of_all = model.blend.log_states

    def log_states(rows: EncodedRows) -> torch.Tensor:
        scored.append(len(rows))
        return of_all(rows)

    monkeypatch.setattr(model.blend, "log_states", log_states)
    rows = table(500)
    impossible = replace(rows, impossible=torch.arange(500) == 0)
    discrete = model.log_prob(impossible).discrete
    torch.testing.assert_close(discrete[1:], of_all(rows)[1:], rtol=1e-5, atol=1e-5)
    assert discrete[0] == -math.inf
    assert scored == [2]


def test_draws_of_the_only_unknown_column_are_stratified(model: TableModel, generator: torch.Generator) -> None:
    rows = model.sample(30, generator=generator)
    given = hide(rows, [2])
    grid = torch.linspace(-8.0, 12.0, 2001).double()
    every = rows.repeat(len(grid))
    every.values[:, 2] = grid.repeat(len(rows))
    mass = model.log_prob(every).total.exp().reshape(len(rows), -1)
    below = (mass * (grid < rows.values[:, 2:])).sum(1) / mass.sum(1)
    draws = model.draws_given(given, 250, generator)
    values = draws.rows.values[:, 2].reshape(len(rows), -1)
    estimate = (draws.log_weights.exp() * (values < rows.values[:, 2:])).sum(1)
    # Independent draws would have errors of about 0.026, and these have 0.006.
    assert float((estimate - below).square().mean().sqrt()) < 0.015


def test_draws_of_the_states_of_the_only_unknown_column_follow_the_model(
    model: TableModel, generator: torch.Generator
) -> None:
    rows = model.sample(30, generator=generator)
    other = replace(rows, states=torch.cat([1 - rows.states[:, :1], rows.states[:, 1:]], 1))
    probability = (model.log_prob(rows).total - model.log_prob(other).total).sigmoid()
    draws = model.draws_given(hide(rows, [0]), 1_000, generator)
    same = draws.rows.states[:, 0].reshape(len(rows), -1) == rows.states[:, :1]
    weights = draws.log_weights.exp()
    # A row whose weights are those of a few draws has an error of its own.
    many = weights.square().sum(1) < 1 / 400
    assert many.sum() > 20
    torch.testing.assert_close((weights * same).sum(1)[many], probability[many], atol=0.01, rtol=0)
    only = {0: torch.tensor([False, True])}
    restricted = model.draws_given(hide(rows, [0]), 50, generator, allowed=only)
    assert (restricted.rows.states[:, 0] == 1).all()
