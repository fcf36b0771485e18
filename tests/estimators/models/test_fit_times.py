"""The time that a fit of a table gives to its members."""

from __future__ import annotations

import warnings
from typing import Any, cast

import pytest
import torch

from pushforward import processors
from pushforward.errors import ReducedFitWarning
from pushforward.estimators.encoded import ColumnShape, EncodedRows
from pushforward.estimators.models import fit_table
from pushforward.training import FitFailed


def test_the_flow_of_a_wide_table_has_the_time_that_mixtures_and_nets_left_on_one_processor(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    columns = 70
    now, given = [0.0], list[float]()

    mixture = fit_table.MixedMixture.fit

    def fit_mixture(*positional: Any, **named: Any) -> Any:
        now[0] += 4.0
        return mixture(*positional, **{**named, "seconds": 0.0})

    def fit_net(net: Any, *positional: Any, **named: Any) -> None:
        now[0] += 4.0
        net.eval()

    def fit_flow(*positional: Any, minutes: float, **named: Any) -> None:
        given.append(60 * minutes)
        raise FitFailed("not fitted", cast(Any, None))

    monkeypatch.setattr(processors, "available", lambda: 1)
    monkeypatch.setattr(fit_table.MixedMixture, "fit", fit_mixture)
    monkeypatch.setattr(fit_table, "fit_columns", fit_net)
    monkeypatch.setattr(fit_table, "fit", fit_flow)
    values = torch.randn(100, columns, generator=torch.Generator().manual_seed(0))
    rows = EncodedRows.of(torch.zeros(100, columns, dtype=torch.int64), values)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ReducedFitWarning)
        fit_table.fit_table(rows, [ColumnShape()] * columns, seconds=10.0, clock=lambda: now[0])
    assert given == pytest.approx([1.0])
