"""Columns in which some values are far commoner than their neighbours."""

import numpy as np
import pyarrow
import pytest
from pydantic import ValidationError

from pushforward.estimators.columns.continuous import Grid
from pushforward.estimators.columns.frequencies import FrequencyScale, find_frequency_scale
from pushforward.estimators.columns.plan import ColumnPlan
from pushforward.estimators.columns.standard import Distinct

_HOUSES = np.random.default_rng(0).lognormal(12, 0.5, 6000)
# Prices are asked in thousands, most often in tens of thousands, and seldom to the unit.
_PRICES = np.where(
    np.arange(6000) % 10 == 0, np.floor(_HOUSES), np.where(np.arange(6000) % 3, np.rint(_HOUSES / 1e4), 0) * 1e4
)
_PRICES = np.where(_PRICES == 0, np.rint(_HOUSES / 1e3) * 1e3, _PRICES).astype(np.int64)


def _kind(values: np.ndarray) -> Grid:
    kind = ColumnPlan.guess({"x": values, "y": np.random.default_rng(1).normal(size=len(values))}).modelled[0].kind
    assert isinstance(kind, Grid)
    return kind


def _log_masses(kind: Grid, values: np.ndarray) -> np.ndarray:
    """The log of the width of each value's cell on the line, under a density of 1 at each point."""
    ends = [kind.to_line(pyarrow.array(values), np.full(len(values), noise))[0] for noise in (0.0, 1.0)]
    return np.log(ends[1] - ends[0])


def test_common_values_are_wide_and_every_value_comes_back() -> None:
    kind = _kind(_PRICES)
    assert kind.frequencies is not None
    assert kind.treatment.startswith("dequantised by frequency")
    counted = Distinct.of(_PRICES)
    for noise in (0.001, 0.5, 0.999):
        points, _, possible = kind.to_line(pyarrow.array(_PRICES), np.full(len(_PRICES), noise))
        assert possible.all()
        assert (kind.from_line(points, pyarrow.int64()).to_numpy() == _PRICES).all()
    widths = _log_masses(kind, counted.values)
    assert np.corrcoef(widths, np.log(counted.counts))[0, 1] > 0.7
    thousands = counted.values % 10_000 == 0
    assert widths[thousands].mean() > widths[~thousands].mean() + 2


def test_slopes_are_the_derivatives() -> None:
    kind = _kind(_PRICES)
    x, step = pyarrow.array(_PRICES[:200]), 1e-4
    low, high = (kind.to_line(x, np.full(200, 0.5 + side * step))[0] for side in (-1, 1))
    np.testing.assert_allclose(
        np.log((high - low) / (2 * step * kind.step)), kind.to_line(x, np.full(200, 0.5))[1], atol=1e-4
    )


def test_values_that_were_not_seen_keep_a_probability() -> None:
    kind = _kind(_PRICES)
    others = np.setdiff1d(np.arange(_PRICES.min(), _PRICES.max()), _PRICES)[::500]
    points, log_slopes, possible = kind.to_line(pyarrow.array(others), np.full(len(others), 0.5))
    assert possible.all()
    assert np.isfinite(points).all()
    assert np.isfinite(log_slopes).all()
    beyond = np.array([1, _PRICES.max() + 12_345])
    assert kind.to_line(pyarrow.array(beyond), np.full(2, 0.5))[2].all()


@pytest.mark.parametrize("step", [1, 5])
def test_smooth_counts_keep_their_scale(step: int) -> None:
    for mean in (30, 300, 3000):
        assert _kind(np.random.default_rng(mean).poisson(mean, 20_000) * step).frequencies is None
    assert find_frequency_scale(Distinct.of(np.random.default_rng(3).integers(0, 1000, 5000).astype(float))) is None


def test_few_rows_keep_their_scale() -> None:
    assert find_frequency_scale(Distinct(np.array([1.0, 5.0, 10.0]), np.array([50, 1, 90]))) is None


@pytest.mark.parametrize(
    ("starts", "places"),
    [
        ((0, 1), (-0.5, 0.6)),  # other ends
        ((0, 2, 1), (-0.5, 0.1, 0.5)),
        ((0, 1, 2), (-0.5, -0.5, 1.5)),
        ((0, 1, 2), (-0.5, 1.5)),
        ((0, 1), (-0.5, float("nan"))),
    ],
)
def test_what_is_no_change_of_scale_is_refused(starts: tuple[int, ...], places: tuple[float, ...]) -> None:
    with pytest.raises((ValidationError, ValueError)):
        FrequencyScale(starts=starts, places=places)
