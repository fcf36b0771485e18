import math

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal

from pushforward import flows
from pushforward.data import toys
from pushforward.evaluation import baselines
from pushforward.evaluation.baselines import BaselineData, gaussian, kernel_density, mixture
from pushforward.evaluation.fit_baselines import baseline_views
from pushforward.rows import Rows


def view(x: np.ndarray, context: np.ndarray | None = None) -> BaselineData:
    n = len(x)
    cuts = [slice(0, n * 6 // 10), slice(n * 6 // 10, n * 8 // 10), slice(n * 8 // 10, n)]
    train, validation, test = (x[c] for c in cuts)
    zero = (np.zeros(len(validation)), np.zeros(len(test)))
    context = np.zeros((n, 0)) if context is None else context
    given = (context[cuts[0]], context[cuts[1]], context[cuts[2]])
    return BaselineData("", train, validation, test, zero, given)


@pytest.fixture
def correlated() -> tuple[np.ndarray, np.ndarray]:
    covariance = np.array([[4.0, 1.2, 0.0], [1.2, 1.0, 0.3], [0.0, 0.3, 0.25]])
    return np.random.default_rng(0).multivariate_normal([1, 2, 3], covariance, 4000), covariance


def test_gaussian_finds_the_density_of_a_gaussian(correlated):
    x, covariance = correlated
    data = view(x)
    truth = multivariate_normal([1, 2, 3], covariance).logpdf(data.test)
    assert abs(gaussian([data]).nats.mean() - truth.mean()) < 0.01


def test_baselines_are_fitted_to_the_training_rows_alone():
    rng = np.random.default_rng(0)
    train, other = rng.normal(size=(400, 2)), rng.normal(8, 1, size=(400, 2))
    none = (np.zeros((400, 0)),) * 3
    data = BaselineData("", train, train[::-1], other, (np.zeros(400), np.zeros(400)), none)
    truth = multivariate_normal([0, 0], np.eye(2)).logpdf(other).mean()
    assert gaussian([data]).nats.mean() == pytest.approx(truth, rel=0.2)
    assert mixture([data], 0, seconds=5).nats.mean() < -20


def test_baselines_of_labelled_rows_are_given_the_class_means_of_the_training_rows():
    flow = flows.build("nice", (2,), classes=2)
    rng, labels = np.random.default_rng(0), np.arange(20) % 2
    x = {name: torch.from_numpy(rng.normal(size=(20, 2))) for name in ("train", "validation", "test")}
    parts = {name: Rows(values, torch.from_numpy(labels)) for name, values in x.items()}
    (data,) = baseline_views(flow, parts, 0)
    means = np.stack([x["train"].numpy()[labels == label].mean(0) for label in (0, 1)])
    np.testing.assert_allclose(data.test, x["test"].numpy() - means[labels])
    np.testing.assert_allclose(data.train, x["train"].numpy() - means[labels])


def test_gaussian_given_a_context_is_the_conditional_gaussian(correlated):
    x, covariance = correlated
    data = view(x[:, :2], x[:, 2:])
    joint = multivariate_normal([1, 2, 3], covariance).logpdf(np.concatenate([data.test, data.contexts[2]], 1))
    truth = joint - multivariate_normal(3, covariance[2, 2]).logpdf(data.contexts[2][:, 0])
    assert abs(gaussian([data]).nats.mean() - truth.mean()) < 0.01


@pytest.mark.parametrize("baseline", [lambda s: mixture([s], 0, seconds=5), lambda s: kernel_density(s, 0)])
def test_mixture_and_kernels_come_close_to_a_known_density(baseline):
    data = view(toys.sample("two-moons", 3000, 0))
    found, truth = baseline(data).nats.mean(), toys.log_density("two-moons", data.test).mean()
    assert truth - 0.15 < found < truth + 0.05
    assert found > gaussian([data]).nats.mean() + 0.5


@pytest.mark.parametrize("baseline", [lambda s: mixture([s], 0, seconds=5), lambda s: kernel_density(s, 0)])
def test_given_a_context_every_baseline_integrates_to_one(baseline):
    points = toys.sample("two-moons", 1500, 0)
    data = view(points[:, :1], points[:, 1:])
    grid = np.linspace(-6, 6, 1201)[:, None]
    on_grid = BaselineData(
        "", data.train, data.validation, grid, (data.log_terms[0], np.zeros(1201)),
        (*data.contexts[:2], np.full((1201, 1), 0.4)),
    )  # fmt: skip
    density = np.exp(baseline(on_grid).nats)
    assert abs(np.trapezoid(density, grid[:, 0]) - 1) < 1e-3


def test_baselines_do_not_depend_on_the_columns_scales(correlated):
    x, _ = correlated
    scales = np.array([1e3, 1.0, 1e-4])
    for baseline in (lambda s: gaussian([s]), lambda s: mixture([s], 0, 5), lambda s: kernel_density(s, 0)):
        plain, scaled = baseline(view(x[:800])), baseline(view(x[:800] * scales))
        np.testing.assert_allclose(scaled.nats + np.log(scales).sum(), plain.nats, atol=1e-5)


def test_the_better_of_two_views_is_chosen_by_validation(correlated):
    x, _ = correlated
    plain, bent = view(x), view(np.exp(x[:, :3] / 2))
    # The same density: exp with its Jacobian. The view in which the data are Gaussian has to win.
    terms = tuple((rows[:, :3] / 2 - math.log(2)).sum(1) for rows in (plain.validation, plain.test))
    bent = BaselineData("bent", bent.train, bent.validation, bent.test, terms, bent.contexts)
    found = gaussian([bent, plain])
    assert "bent" not in found.detail
    np.testing.assert_allclose(found.nats, gaussian([plain]).nats)


def test_beyond_100_features_the_mixture_is_still_a_density_of_all(monkeypatch):
    generator = np.random.default_rng(0)
    x = generator.normal(size=(1500, 120)) * np.linspace(0.1, 2, 120)
    data = view(x)
    truth = multivariate_normal(np.zeros(120), np.diag(np.linspace(0.1, 2, 120) ** 2)).logpdf(data.test).mean()
    found = mixture([data], 0, seconds=5)
    assert "leading principal directions" in found.notes[0]
    assert truth - 12 < found.nats.mean() < truth + 1
    monkeypatch.setattr(baselines, "_MAX_DENSE", 100)
    low_rank = gaussian([data])
    assert "leading directions" in low_rank.detail
    assert truth - 40 < low_rank.nats.mean() < truth + 1


def test_few_rows_and_a_constant_column_still_give_finite_baselines():
    x = np.random.default_rng(0).normal(size=(12, 3))
    x[:, 1] = 7.0
    data = view(x)
    for found in (gaussian([data]), mixture([data], 0, 5), kernel_density(data, 0)):
        assert np.isfinite(found.nats).all()


def test_kernels_on_large_data_say_how_many_rows_they_use(monkeypatch):
    monkeypatch.setattr(baselines, "_MAX_KERNEL_ROWS", 500)
    found = kernel_density(view(np.random.default_rng(0).normal(size=(2000, 1))), 0)
    assert found.notes == ("kernels on 500 of 1200 training rows",)


def test_fewer_rows_than_features_do_not_make_absurd_baselines():
    x = np.random.default_rng(0).normal(size=(30, 150))
    data = view(x)
    truth = multivariate_normal(np.zeros(150), np.eye(150)).logpdf(data.test).mean()
    for found in (gaussian([data]), mixture([data], 0, 5)):
        # A rank-deficient covariance would be off by thousands of nats.
        assert truth - 60 < found.nats.mean() < truth + 5


@pytest.mark.parametrize("context", [0, 1])
@pytest.mark.parametrize("features", [2, 110])
def test_baselines_shift_with_the_units_of_the_data(features: int, context: int) -> None:
    rng = np.random.default_rng(0)
    given = rng.normal(size=(400, context))
    x = rng.normal(size=(400, features)) @ rng.normal(size=(features, features)) + given.sum(1, keepdims=True)
    # Powers of two, by which nothing is rounded: a mixture may start from other rows where the last digit differs.
    factors = np.resize([2.0**-40, 1.0, 2.0**40, 2.0**-100], features)
    first, other = view(x, given), view(factors * x, 2.0**-70 * given)
    log_units = np.log(factors).sum()
    for fit in (lambda v: gaussian([v]), lambda v: mixture([v], 0, 1e9), lambda v: kernel_density(v, 0)):
        ours, theirs = fit(first), fit(other)
        assert theirs.detail == ours.detail
        np.testing.assert_allclose(theirs.nats + log_units, ours.nats, rtol=1e-9, atol=1e-9)


def test_a_mixture_has_as_many_components_as_validation_rows_prefer() -> None:
    rng = np.random.default_rng(0)
    # 36 clusters on a grid: a mixture of fewer components joins some of them.
    centres = np.stack(np.meshgrid(np.arange(6.0), np.arange(6.0)), -1).reshape(-1, 2)
    x = centres[rng.integers(36, size=6000)] + 0.02 * rng.normal(size=(6000, 2))
    data = view(x)
    truth = -math.log(36) - math.log(2 * math.pi * 0.02**2) - 1
    found = mixture([data], 0)
    assert int(found.detail.split()[0]) >= 36
    assert truth - 0.1 < found.nats.mean() < truth + 0.05
    assert found.notes == ()
