"""scikit-learn's own checks of estimators: all of them, none expected to fail."""

from __future__ import annotations

from typing import Any

import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from pushforward.estimators import FlowDensity, FlowOutlierDetector, FlowRegressor, FlowTransformer

ESTIMATORS = [
    FlowDensity(max_steps=5),
    FlowOutlierDetector(max_steps=5, architectures=()),
    FlowRegressor(max_steps=10),
    FlowTransformer(max_steps=5),
]


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
@parametrize_with_checks(ESTIMATORS)
def test_estimators_pass_the_checks_of_scikit_learn(estimator: Any, check: Any) -> None:
    check(estimator)
