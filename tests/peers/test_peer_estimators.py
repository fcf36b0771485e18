"""The contracts of skpro and PyOD, by the tests that the libraries ship."""

from __future__ import annotations

import warnings

import numpy as np
import pytest


def test_the_probabilistic_regressor_passes_the_contract_tests_of_skpro() -> None:
    pytest.importorskip("skpro")
    from skpro.utils import check_estimator

    from pushforward.estimators.adapters.skpro import FlowProbaRegressor

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        results = check_estimator(FlowProbaRegressor, raise_exceptions=False, verbose=False)
    failures = {name: result for name, result in results.items() if result != "PASSED"}
    assert failures == {}
    assert len(results) > 20


def test_distributions_of_skpro_have_consistent_methods() -> None:
    pytest.importorskip("skpro")
    import pandas

    from pushforward.estimators.adapters.skpro import FlowProbaRegressor

    rng = np.random.default_rng(0)
    X = pandas.DataFrame({"a": rng.normal(size=200), "b": [1, 2] * 100})
    y = pandas.DataFrame({"p": X["a"] + rng.normal(size=200), "q": rng.normal(size=200)})
    predicted = FlowProbaRegressor(max_steps=5).fit(X, y).predict_proba(X[:10])
    half = predicted.ppf(pandas.DataFrame(0.5, index=X.index[:10], columns=y.columns))
    assert predicted.cdf(half).to_numpy() == pytest.approx(0.5, abs=1e-6)
    assert predicted.energy(y[:10]).shape == (10, 1)
    assert predicted.iloc[[1, 3], :].mean().equals(predicted.mean().iloc[[1, 3]])
    assert predicted.sample(3).shape == (30, 2)


def test_the_detector_keeps_the_contract_of_pyod() -> None:
    pytest.importorskip("pyod")
    from numpy.testing import assert_array_less
    from pyod.utils.data import generate_data
    from sklearn.base import clone
    from sklearn.metrics import roc_auc_score

    from pushforward.estimators.adapters.pyod import FlowDetector

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        x_train, x_test, _, y_test = generate_data(n_train=200, n_test=100, contamination=0.1, random_state=42)
        model = FlowDetector(contamination=0.1, max_steps=5, architectures=()).fit(x_train)
        scores = model.decision_function(x_test)
        assert model.decision_scores_.shape == (200,)
        assert model.labels_.sum() == 20
        assert roc_auc_score(y_test, scores) > 0.9
        assert model.predict(x_test).tolist() == (scores > model.threshold_).astype(int).tolist()
        for method in ("linear", "unify"):
            probabilities = model.predict_proba(x_test, method=method)
            assert probabilities.shape == (100, 2)
            assert probabilities.sum(1) == pytest.approx(1)
            assert (probabilities >= 0).all()
        labels, confidence = model.predict(x_test, return_confidence=True)
        assert labels.shape == confidence.shape == (100,)
        assert model.predict_with_rejection(x_test).shape == (100,)
        assert_array_less(model._predict_rank(x_test), 201)
        assert model.fit_predict(x_train).tolist() == model.labels_.tolist()
        assert model.fit_predict_score(x_test, y_test) > 0.9
        assert clone(model).get_params() == model.get_params()
