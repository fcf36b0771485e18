"""Mixtures of Gaussians and probability tables as densities of encoded rows."""

import math

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal, norm

from pushforward.errors import ModelError, ShapeError
from pushforward.estimators.encoded import UNKNOWN, ColumnShape, EncodedRows
from pushforward.estimators.models.mixture import MixedMixture, _usable
from pushforward.mixtures import full_covariance
from pushforward.mixtures.full_covariance import FullCovariance
from pushforward.mixtures.mixture import Mixture, Strengths
from pushforward.mixtures.tables import Tables

# A real column; three labels; a real column with zeros and gaps; a real column.
SHAPES = (ColumnShape(), ColumnShape(3, value=False), ColumnShape(3), ColumnShape())
WEIGHTS = np.array([0.3, 0.7])
MEANS = np.array([[-2.0, 0.0, 1.0], [2.0, 1.0, -1.0]])
COVARIANCES = np.array(
    [[[1.0, 0.6, 0.1], [0.6, 1.0, 0.2], [0.1, 0.2, 0.5]], [[0.5, -0.2, 0.1], [-0.2, 1.5, 0.4], [0.1, 0.4, 1.0]]]
)
LABELS = np.array([[0.7, 0.2, 0.1], [0.1, 0.3, 0.6]])
GAPS = np.array([[0.8, 0.1, 0.1], [0.5, 0.2, 0.3]])


def tensor(array) -> torch.Tensor:
    return torch.from_numpy(np.asarray(array, dtype=np.float64))


@pytest.fixture
def known() -> MixedMixture:
    tables = Tables((tensor(LABELS.T), tensor(GAPS.T)), (tensor(LABELS[0]), tensor(GAPS[0])))
    eye = tensor(np.eye(3))
    gaussians = FullCovariance(tensor(MEANS), tensor(COVARIANCES), tensor(np.zeros(3)), eye, 0 * eye)
    return MixedMixture(SHAPES, Mixture(tensor(WEIGHTS), gaussians, tables))


def rows(states, values) -> EncodedRows:
    return EncodedRows.of(torch.tensor(states), tensor(values))


def test_log_prob_is_that_of_the_components(known: MixedMixture) -> None:
    complete = known.log_prob(rows([[0, 1, 0, 0]], [[0.5, 0, -0.3, 0.2]]))
    with_gap = known.log_prob(rows([[0, 2, 2, 0]], [[0.5, 0, 0, 0.2]]))
    total = gap = 0.0
    for k in range(2):
        total += (
            WEIGHTS[k] * LABELS[k, 1] * GAPS[k, 0] * multivariate_normal(MEANS[k], COVARIANCES[k]).pdf([0.5, -0.3, 0.2])
        )
        part = multivariate_normal(MEANS[k][[0, 2]], COVARIANCES[k][np.ix_([0, 2], [0, 2])])
        gap += WEIGHTS[k] * LABELS[k, 2] * GAPS[k, 2] * part.pdf([0.5, 0.2])
    assert complete.item() == pytest.approx(math.log(total), abs=1e-12)
    assert with_gap.item() == pytest.approx(math.log(gap), abs=1e-12)


def test_unknown_content_is_integrated_out(known: MixedMixture) -> None:
    grid = np.linspace(-12, 12, 4001)
    count = len(grid)
    inside = rows([[0, 0, 0, 0]] * count, np.stack([np.full(count, 0.4), 0 * grid, grid, 0 * grid + 0.1], 1))
    value_unknown = known.log_prob(rows([[0, 0, 0, 0]], [[0.4, 0, np.nan, 0.1]]))
    numeric = np.trapezoid(known.log_prob(inside).exp().numpy(), grid)
    assert value_unknown.exp().item() == pytest.approx(numeric, rel=1e-9)
    outside = known.log_prob(rows([[0, 0, 1, 0], [0, 0, 2, 0]], [[0.4, 0, 0, 0.1]] * 2)).exp().sum().item()
    all_unknown = known.log_prob(rows([[0, 0, UNKNOWN, 0]], [[0.4, 0, 0, 0.1]]))
    assert all_unknown.exp().item() == pytest.approx(numeric + outside, rel=1e-9)
    assert known.log_prob(EncodedRows.unknown(SHAPES, 2)).tolist() == pytest.approx([0.0, 0.0], abs=1e-12)


def test_states_have_a_probability_of_their_own(known: MixedMixture) -> None:
    expected = math.log((WEIGHTS * LABELS[:, 1] * GAPS[:, 2]).sum())
    assert known.log_states(rows([[0, 1, 2, 0]], [[9.0, 0, 0, 9.0]])).item() == pytest.approx(expected, abs=1e-12)


def test_impossible_rows_and_infinite_values_have_density_zero(known: MixedMixture) -> None:
    some = rows([[0, 1, 0, 0]] * 3, [[0.5, 0, -0.3, 0.2], [np.inf, 0, 0, 0], [1e200, 0, 0, 0]])
    some.impossible[0] = True
    assert known.log_prob(some).tolist() == [-math.inf] * 3
    assert known.conditional_log_prob(some, some).tolist() == [-math.inf] * 3
    assert known.log_states(some)[0] == -math.inf


def test_conditional_draws_have_the_closed_form(known: MixedMixture) -> None:
    given = rows([[0, 2, 0, UNKNOWN], [0, UNKNOWN, UNKNOWN, 0]], [[0.3, 0, 0.5, 0], [1.0, 0, 0, 0.4]])
    draws = known.sample_given(given, 40_000, generator=torch.Generator().manual_seed(0))
    first, second = draws.take(torch.arange(40_000)), draws.take(torch.arange(40_000, 80_000))
    # Given label 2 and the first two values, the third is a mixture of two Gaussians.
    weights, means, variances = np.zeros(2), np.zeros(2), np.zeros(2)
    for k in range(2):
        inner, cross = COVARIANCES[k][:2, :2], COVARIANCES[k][2, :2]
        x = np.array([0.3, 0.5])
        weights[k] = WEIGHTS[k] * LABELS[k, 2] * GAPS[k, 0] * multivariate_normal(MEANS[k][:2], inner).pdf(x)
        means[k] = MEANS[k, 2] + cross @ np.linalg.solve(inner, x - MEANS[k][:2])
        variances[k] = COVARIANCES[k][2, 2] - cross @ np.linalg.solve(inner, cross)
    weights /= weights.sum()
    mean, values = weights @ means, first.values[:, 3].numpy()
    assert values.mean() == pytest.approx(mean, abs=0.03)
    for point in (-1.0, 0.0, 1.0):
        expected = weights @ norm.cdf(point, means, np.sqrt(variances))
        assert (values < point).mean() == pytest.approx(expected, abs=0.012)
    assert (first.values[:, 0] == 0.3).all()
    assert (first.states[:, 1] == 2).all()
    # Given the first and last value: the label's probabilities, and gaps without a value.
    densities = [
        WEIGHTS[k] * multivariate_normal(MEANS[k][[0, 2]], COVARIANCES[k][np.ix_([0, 2], [0, 2])]).pdf([1.0, 0.4])
        for k in range(2)
    ]
    posterior = np.array(densities) / sum(densities)
    for column, table in ((1, LABELS), (2, GAPS)):
        fractions = np.bincount(second.states[:, column].numpy(), minlength=3) / 40_000
        np.testing.assert_allclose(fractions, posterior @ table, atol=0.012)
    assert (second.values[:, 2][second.states[:, 2] > 0] == 0).all()
    assert (second.values[:, 2][second.states[:, 2] == 0] != 0).all()


def test_conditional_log_prob_is_the_closed_form(known: MixedMixture) -> None:
    complete = rows([[0, 2, 0, 0]], [[0.3, 0, 0.5, 0.1]])
    given = rows([[0, 2, 0, UNKNOWN]], [[0.3, 0, 0.5, 0]])
    joint = before = 0.0
    for k in range(2):
        factor = WEIGHTS[k] * LABELS[k, 2] * GAPS[k, 0]
        joint += factor * multivariate_normal(MEANS[k], COVARIANCES[k]).pdf([0.3, 0.5, 0.1])
        before += factor * multivariate_normal(MEANS[k][:2], COVARIANCES[k][:2, :2]).pdf([0.3, 0.5])
    assert known.conditional_log_prob(complete, given).item() == pytest.approx(math.log(joint / before), abs=1e-12)


def test_a_known_mixture_is_recovered_from_rows_with_gaps(known: MixedMixture) -> None:
    generator = torch.Generator().manual_seed(1)
    train, validation, test = (known.sample(n, generator=generator) for n in (6000, 1500, 3000))
    fitted = MixedMixture.fit(train, SHAPES, validation=(validation, None), max_components=8)
    loss = (known.log_prob(test) - fitted.log_prob(test)).mean().item()
    assert -0.005 < loss < 0.02


def test_expectation_maximisation_raises_the_weighted_likelihood(known: MixedMixture) -> None:
    generator = torch.Generator().manual_seed(2)
    data = known.sample(500, generator=generator)
    # Part of the content is unknown, which is more than a gap.
    hidden = torch.rand(data.states.shape, generator=generator) < 0.2
    data = EncodedRows.of(torch.where(hidden, UNKNOWN, data.states), torch.where(hidden, 0.0, data.values))
    weights = torch.rand(500, generator=generator, dtype=torch.float64) * 3
    train = _usable(data, SHAPES, weights)
    mixture = known.mixture.split(4, generator)
    values = []
    for _ in range(15):
        statistics = mixture.expectation(train)
        assert statistics.log_likelihood == pytest.approx(float(weights @ mixture.log_prob(train)))
        values.append(statistics.log_likelihood)
        mixture = mixture.maximised(statistics, Strengths(1e-12, 1e-12))
    assert (np.diff(values) > -1e-8).all()
    assert values[-1] > values[0] + 1


def test_integer_weights_are_repeated_rows(known: MixedMixture) -> None:
    generator = torch.Generator().manual_seed(3)
    data, judges = known.sample(200, generator=generator), known.sample(100, generator=generator)
    weights = torch.randint(0, 4, (200,), generator=generator)
    repeated = data.take(torch.arange(200).repeat_interleave(weights))
    first = MixedMixture.fit(data, SHAPES, weights=weights, validation=(judges, None), max_components=2)
    second = MixedMixture.fit(repeated, SHAPES, validation=(judges, None), max_components=2)
    torch.testing.assert_close(first.log_prob(judges), second.log_prob(judges), rtol=1e-6, atol=1e-6)


def test_discrete_columns_alone_find_their_dependence() -> None:
    generator = torch.Generator().manual_seed(4)
    side = torch.randint(0, 2, (3000, 1), generator=generator)
    flips = torch.rand(3000, 3, generator=generator) < 0.1
    states = torch.where(flips, 1 - side, side)
    shapes = (ColumnShape(2, value=False),) * 3
    fitted = MixedMixture.fit(EncodedRows.of(states, torch.zeros(3000, 3)), shapes, max_components=4)
    every = torch.cartesian_prod(*[torch.arange(2)] * 3)
    probabilities = fitted.log_prob(EncodedRows.of(every, torch.zeros(8, 3))).exp()
    assert probabilities.sum().item() == pytest.approx(1)
    expected = torch.where(every.double().mean(1) % 1 == 0, (0.9**3 + 0.1**3) / 2, 0.1 * 0.9 / 2)
    torch.testing.assert_close(probabilities, expected.double(), rtol=0, atol=0.02)


@pytest.mark.parametrize(("count", "columns"), [(1, 1), (1, 5), (2, 3), (8, 40), (30, 150)])
def test_few_rows_and_many_columns_have_a_finite_density(count: int, columns: int) -> None:
    x = torch.randn(count, columns, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    shapes = (ColumnShape(),) * columns
    fitted = MixedMixture.fit(EncodedRows.of(torch.zeros(count, columns, dtype=torch.int64), x), shapes)
    other = torch.randn(100, columns, generator=torch.Generator().manual_seed(6), dtype=torch.float64)
    values = fitted.log_prob(EncodedRows.of(torch.zeros(100, columns, dtype=torch.int64), other))
    assert values.isfinite().all()
    assert len(fitted.sample(3, generator=torch.Generator().manual_seed(0))) == 3


def test_units_shift_the_density_exactly(known: MixedMixture) -> None:
    data = known.sample(400, generator=torch.Generator().manual_seed(7))
    # Powers of two, by which nothing is rounded.
    units = torch.tensor([2.0**-60, 1.0, 2.0**40, 2.0**-3], dtype=torch.float64)
    scaled = EncodedRows.of(data.states, data.values * units)
    first, second = (MixedMixture.fit(part, SHAPES, max_components=4) for part in (data, scaled))
    present = data.present(SHAPES).double()
    torch.testing.assert_close(second.log_prob(scaled) + present @ units.log(), first.log_prob(data), rtol=0, atol=1e-6)


def test_a_column_that_nearly_copies_another_keeps_its_digits() -> None:
    generator = torch.Generator().manual_seed(8)
    x = torch.randn(4000, 1, generator=generator, dtype=torch.float64)
    noise = torch.randn(4000, 1, generator=generator, dtype=torch.float64)
    data = EncodedRows.of(torch.zeros(4000, 2, dtype=torch.int64), torch.cat([x, x + 1e-3 * noise], 1))
    fitted = MixedMixture.fit(data, (ColumnShape(),) * 2, max_components=2)
    expected = norm.logpdf(x) + norm.logpdf(noise) + math.log(1e3)
    assert fitted.log_prob(data).mean().item() == pytest.approx(expected.mean(), abs=0.01)


def test_no_rows_are_scored_and_rows_of_other_columns_are_refused(known: MixedMixture) -> None:
    assert known.log_prob(EncodedRows.unknown(SHAPES, 0)).shape == (0,)
    assert len(known.sample(0, generator=torch.Generator())) == 0
    with pytest.raises(ShapeError, match="4 columns, got rows of 2"):
        known.log_prob(EncodedRows.unknown(SHAPES[:2], 1))
    with pytest.raises(ShapeError, match="at least one possible row"):
        MixedMixture.fit(EncodedRows.unknown(SHAPES, 0), SHAPES)


def test_a_state_gives_an_equal_mixture_and_a_damaged_one_is_refused(known: MixedMixture) -> None:
    values, tensors = known.state()
    same = MixedMixture.from_state(values, tensors, SHAPES)
    data = known.sample(20, generator=torch.Generator().manual_seed(9))
    assert same.log_prob(data).equal(known.log_prob(data))
    with pytest.raises(ModelError, match="shapes"):
        MixedMixture.from_state(values, {**tensors, "means": tensors["means"][:1]}, SHAPES)
    with pytest.raises(ModelError, match="finite"):
        MixedMixture.from_state(values, {**tensors, "means": tensors["means"] / 0}, SHAPES)
    with pytest.raises(ModelError, match="kinds full, factors, got None"):
        MixedMixture.from_state({}, tensors, SHAPES)


def low_rank_rows(count: int, columns: int, seed: int) -> tuple[EncodedRows, np.ndarray]:
    """Rows of three factors with a fifth of the values unknown, and their covariance."""
    rng = np.random.default_rng(0)
    loadings = rng.normal(size=(columns, 3))
    covariance = loadings @ loadings.T + np.diag(np.linspace(0.2, 1, columns))
    rng = np.random.default_rng(seed)
    x = rng.multivariate_normal(np.arange(columns) / 10, covariance, count)
    hidden = rng.random(x.shape) < 0.2
    return EncodedRows.of(torch.from_numpy(np.where(hidden, UNKNOWN, 0)), tensor(np.where(hidden, 0, x))), covariance


def test_many_columns_with_gaps_have_the_density_of_their_factors() -> None:
    columns = 70
    shapes = (ColumnShape(),) * columns
    (train, covariance), (test, _) = low_rank_rows(900, columns, 1), low_rank_rows(200, columns, 2)
    fitted = MixedMixture.fit(train, shapes, max_components=2)
    truth = np.array(
        [
            multivariate_normal((np.arange(columns) / 10)[known], covariance[np.ix_(known, known)]).logpdf(
                values[known]
            )
            for known, values in zip((test.states == 0).numpy(), test.values.numpy(), strict=True)
        ]
    )
    assert -0.5 < (truth - fitted.log_prob(test).numpy()).mean() < 2.0
    # Draws of unknown values, given the others, have the moments that the covariance gives.
    one = test.take(torch.tensor([0]))
    draws = fitted.sample_given(one, 4000, generator=torch.Generator().manual_seed(0)).values.numpy()
    known = (one.states[0] == 0).numpy()
    cross = covariance[np.ix_(~known, known)] @ np.linalg.inv(covariance[np.ix_(known, known)])
    expected = (np.arange(columns) / 10)[~known] + cross @ (one.values[0].numpy() - np.arange(columns) / 10)[known]
    left = covariance[np.ix_(~known, ~known)] - cross @ covariance[np.ix_(known, ~known)]
    assert (draws[:, known] == one.values[0].numpy()[known]).all()
    np.testing.assert_allclose(draws[:, ~known].mean(0), expected, atol=0.35)
    np.testing.assert_allclose(draws[:, ~known].std(0), np.sqrt(np.diag(left)), rtol=0.15)
    values, tensors = fitted.state()
    assert values["factors"] == 3
    assert MixedMixture.from_state(values, tensors, shapes).log_prob(test).equal(fitted.log_prob(test))


def test_patterns_of_gaps_have_equal_statistics_one_by_one_and_together(
    known: MixedMixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    generator = torch.Generator().manual_seed(10)
    data = known.sample(60, generator=generator)
    hidden = torch.rand(data.states.shape, generator=generator) < 0.4
    train = _usable(EncodedRows.of(torch.where(hidden, UNKNOWN, data.states), data.values), SHAPES, None)
    expectations = []
    for few in (0, 1000):
        monkeypatch.setattr(full_covariance, "_FEW", few)
        monkeypatch.setattr(full_covariance, "_BLOCK_SIZE", 200)
        statistics = known.mixture.expectation(train).gaussians
        expectations.append((known.mixture.log_prob(train), *vars(statistics).values()))
    torch.testing.assert_close(expectations[0], expectations[1], rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("gaps", [False, True])
@pytest.mark.parametrize("columns", [1, 3])
def test_rows_on_few_points_keep_a_positive_variance(columns: int, gaps: bool) -> None:
    generator = torch.Generator().manual_seed(11)
    # The columns are copies of one another on 40 distinct values, one of them far away.
    points = torch.randn(40, 1, generator=generator, dtype=torch.float64)
    points[0] = 1e6
    x = points[torch.randint(0, 40, (800,), generator=generator)].repeat(1, columns)
    unknown = (torch.rand(x.shape, generator=generator) < 0.3) & gaps
    data = EncodedRows.of(torch.where(unknown, UNKNOWN, 0), x)
    fitted = MixedMixture.fit(data, (ColumnShape(),) * columns, max_components=4)
    assert fitted.log_prob(data).isfinite().all()
    mixture, train = fitted.mixture.split(2 * len(fitted.mixture), generator), _usable(data, fitted.shapes, None)
    for _ in range(20):
        mixture = mixture.maximised(mixture.expectation(train), Strengths(1e-14, 1.0))
    assert mixture.log_prob(train).isfinite().all()
    assert fitted.sample_given(data, 2, generator=generator).values.isfinite().all()


def test_equal_values_do_not_make_a_density_that_grows_without_bound() -> None:
    generator = torch.Generator().manual_seed(12)
    x = torch.randint(0, 3, (600, 1), generator=generator).double()
    states = torch.zeros(600, 1, dtype=torch.int64)
    fitted = MixedMixture.fit(EncodedRows.of(states, x), (ColumnShape(),), max_components=8)
    # Three peaks a thousandth of the column's deviation wide.
    peaks = fitted.log_prob(EncodedRows.of(states, x)).mean().item()
    assert 3.0 < peaks < math.log(1 / 3 / (1e-3 * x.std().item()) / math.sqrt(2 * math.pi)) + 0.1
