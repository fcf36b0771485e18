"""The score of a validation round, and the rows that it is taken from."""

import math

import torch

from pushforward.flows import build
from pushforward.rows import Rows
from pushforward.training import TrainingOptions
from pushforward.training.validation import Score, Validator


def test_a_score_is_a_mean_with_the_standard_error_of_the_mean() -> None:
    score = Score.of(torch.tensor([1.0, 2.0, 6.0, 7.0], dtype=torch.float64))
    assert (score.mean, score.rows) == (4.0, 4)
    assert math.isclose(score.standard_error, math.sqrt(26 / 3 / 4))
    assert math.isnan(Score.of(torch.tensor([1.0])).standard_error)


def test_a_part_of_the_rows_is_drawn_at_random_by_the_seed() -> None:
    flow = build("nice", (1,))
    rows = Rows(torch.arange(400.0)[:, None])
    drawn = [Validator(flow, rows, TrainingOptions(validation_rows=40, seed=seed)).rows.x[:, 0] for seed in (0, 0, 1)]
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])
    assert len(drawn[0].unique()) == 40
    # The mean of 40 of 400 numbers has a standard deviation of 17.
    assert abs(drawn[0].mean() - 199.5) < 70
