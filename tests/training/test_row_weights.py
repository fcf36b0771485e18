"""Weights of rows in a fit: the same as repeated rows, and a row of weight 0 the same as none."""

import numpy as np
import pyarrow
import pytest
import torch

from pushforward import Chain, Flow, flows
from pushforward.bases import StandardNormal
from pushforward.errors import DataError, OptionError, ShapeError
from pushforward.rows import Rows
from pushforward.training import FitResult, fit
from pushforward.training.batches import Batches, checked_rows
from pushforward.training.validation import Score
from pushforward.transforms import LULinear, Standardise


def gaussian() -> Flow:
    """A flow that can be any Gaussian of two dimensions."""
    torch.manual_seed(0)
    return Flow(StandardNormal((2,)), Chain([LULinear(2), Standardise((2,))]))


def skewed(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Rows, and whole weights that grow with the first column."""
    x = torch.randn(count, 2, generator=torch.Generator().manual_seed(1))
    return x, (2 + 2 * x[:, 0]).clamp(0, 5).round()


def weighted(weights: object, count: int) -> Rows:
    return checked_rows(gaussian(), torch.arange(2.0 * count).reshape(count, 2), None, "training", weights=weights)


def test_whole_weights_draw_each_row_as_often_as_it_would_be_repeated() -> None:
    rows, weights = weighted([3, 0, 1, 2], 4), torch.tensor([3, 1, 2])
    drawn = rows.draws(6, torch.Generator().manual_seed(0))
    assert drawn.bincount().tolist() == weights.tolist()
    for count in (1, 5, 7, 1000):
        times = rows.draws(count, torch.Generator().manual_seed(count)).bincount(minlength=3)
        assert int(times.sum()) == count
        assert bool(((times - count * weights / 6).abs() < 1).all())


def test_batches_hold_rows_in_proportion_to_their_weights() -> None:
    x, weights = skewed(300)
    rows = checked_rows(gaussian(), x, None, "training", weights=weights)
    drawn = torch.cat([batch[0] for batch in Batches(gaussian(), rows, 100, 0).some(60)])
    repeated = x.repeat_interleave(weights.long(), 0)
    torch.testing.assert_close(drawn.mean(0), repeated.mean(0), atol=0.01, rtol=0)


def fitted(x: object, validation: object, **more: object) -> tuple[Flow, FitResult]:
    flow = gaussian()
    result = fit(
        flow, x, validation=validation, steps=150, batch_size=256, lr=0.05, patience=None, progress=False, **more
    )
    return flow, result


def test_a_weighted_fit_has_the_optimum_of_repeated_rows() -> None:
    """That of a Gaussian is known: the weighted mean and covariance."""
    x, weights = skewed(400)
    repeated = x.repeat_interleave(weights.long(), 0)
    flow, result = fitted(x, x, weights=weights, validation_weights=weights)
    expected = fitted(repeated, repeated)[1]
    assert result.best_validation == pytest.approx(expected.best_validation, abs=2e-3)
    exact = torch.distributions.MultivariateNormal(repeated.mean(0), repeated.T.cov(correction=0))
    points = torch.tensor([[0.0, 0.0], [2.0, 1.0], [-0.5, 2.0]])
    torch.testing.assert_close(flow.log_prob(points), exact.log_prob(points), atol=0.06, rtol=0)
    unweighted = torch.distributions.MultivariateNormal(x.mean(0), x.T.cov(correction=0))
    assert bool(((unweighted.log_prob(points) - exact.log_prob(points)).abs() > 0.2).any())


@pytest.mark.parametrize("name", ["real_nvp", "rbig"])
def test_a_row_of_weight_0_is_the_same_as_no_row(name: str) -> None:
    """Whatever it holds; and equal weights are the same as none."""
    x = torch.randn(60, 2)
    absent = torch.tensor([[torch.nan, 1e30], [3.0, torch.inf]])
    weights = torch.cat([torch.ones(60), torch.zeros(2)])
    states = []
    for rows, more in ((x, {}), (torch.cat([x, absent]), {"weights": weights}), (x, {"weights": np.full(60, 0.3)})):
        torch.manual_seed(0)
        flow = flows.build(name, (2,), transforms=2)
        fit(flow, rows, steps=2, progress=False, **more)
        states.append(flow.state_dict())
    for state in states[1:]:
        assert all(torch.equal(value, state[key]) for key, value in states[0].items())


def test_a_greedy_fit_honours_weights() -> None:
    x, weights = skewed(2000)
    flow = flows.build("rbig", (2,), transforms=3)
    fit(flow, x, weights=weights, progress=False)
    mean = (weights[:, None] * x).sum(0) / weights.sum()
    torch.testing.assert_close(flow.sample(20_000, seed=0).mean(0), mean, atol=0.05, rtol=0)
    assert abs(float(mean[0] - x.mean(0)[0])) > 0.3


def test_the_weighted_score_is_that_of_repeated_rows() -> None:
    values, weights = torch.tensor([1.0, 2.0, 4.0]).double(), torch.tensor([1.0, 3.0, 2.0]).double()
    score, repeated = Score.of(values, weights), Score.of(values.repeat_interleave(weights.long()))
    assert (score.mean, score.rows) == (pytest.approx(repeated.mean), 3)
    equal = Score.of(values, torch.full((3,), 0.2).double())
    assert equal.standard_error == pytest.approx(Score.of(values).standard_error)


def test_a_sample_of_rows_with_weights_counts_equally() -> None:
    x, weights = skewed(5000)
    some = checked_rows(gaussian(), x, None, "training", weights=weights).sample(1000, seed=0)
    assert (len(some), some.weights) == (1000, None)
    mean = (weights[:, None] * x).sum(0) / weights.sum()
    torch.testing.assert_close(some.x.mean(0), mean, atol=0.1, rtol=0)


def test_a_column_of_a_table_gives_the_weights() -> None:
    table = pyarrow.table({"a": [1.0, 2.0, 3.0], "b": [0.0, 1.0, 0.0], "w": [1, 2, 0]})
    for weights in (table["w"], table.select(["w"]), table["w"].to_pylist(), table["w"].to_numpy()):
        rows = checked_rows(gaussian(), table.select(["a", "b"]), None, "training", weights=weights)
        assert rows.weights is not None
        assert rows.weights.tolist() == [0.5, 1.0]


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ([1, -2, 1], r"the weight of training row 1 is -2; finite weights of at least 0 expected \(1 of 3 rows"),
        ([1, 1, np.nan], "the weight of training row 2 is nan"),
        ([np.inf, 1, 1], "the weight of training row 0 is inf"),
        ([0, 0, 0], "all training weights are 0"),
        ([1, 1], r"training weights of shape \(3,\) expected, one for each row, got \(2,\)"),
        ([[1, 1, 1]], r"got \(1, 3\)"),
        (["a", "b", "c"], "training weights must be a tensor or an array of numbers"),
    ],
)
def test_impossible_weights_are_refused(weights: object, message: str) -> None:
    with pytest.raises((DataError, ShapeError), match=message):
        weighted(weights, 3)


def test_messages_number_rows_among_all_rows() -> None:
    x = torch.tensor([[0.0, 0.0], [1.0, 1.0], [1.0, torch.nan]])
    with pytest.raises(DataError, match="training row 2 has the value nan"):
        checked_rows(gaussian(), x, None, "training", weights=[0, 1, 1])


def test_weights_of_validation_rows_need_validation_rows() -> None:
    with pytest.raises(OptionError, match="validation_weights was given without validation rows"):
        fit(gaussian(), torch.randn(50, 2), validation_weights=torch.ones(5), progress=False)


def test_contexts_are_standardised_by_weight() -> None:
    flow = flows.build("nice", (2,), context_dim=1, hidden=(8,))
    context = torch.tensor([[0.0]] * 20 + [[10.0]] * 20)
    weights = torch.tensor([1.0] * 20 + [3.0] * 20)
    x, validation = torch.randn(40, 2), torch.randn(5, 2)
    contexts = {"context": context, "validation_context": torch.zeros(5, 1)}
    fit(flow, x, validation=validation, weights=weights, steps=1, progress=False, **contexts)
    assert float(flow.context_scale.mean) == pytest.approx(7.5, abs=1e-3)


@pytest.mark.parametrize(
    ("weights", "rows"),
    [(None, 8), ([0.25] * 8, 8), ([1, 1, 1, 3, 2, 0, 1, 1], 10), ([1.0, 0.7] * 4, None)],
)
def test_moments_are_taken_from_no_more_rows_than_the_weights_ask_for(
    monkeypatch: pytest.MonkeyPatch, weights: list[float] | None, rows: int | None
) -> None:
    given: list[torch.Tensor] = []
    monkeypatch.setattr(Flow, "initialise", lambda flow, x, *_, **__: given.append(x))
    x = skewed(8)[0]
    fit(gaussian(), x, validation=x, weights=weights, steps=1, progress=False)
    assert len(given[0]) == rows if rows else len(given[0]) > 1000
    times = [float((given[0] == row).all(1).float().mean()) for row in x]
    expected = np.ones(8) if weights is None else np.asarray(weights)
    np.testing.assert_allclose(times, expected / expected.sum(), atol=1e-3)
