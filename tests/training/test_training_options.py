"""Training options: what is refused, and the default limit."""

from __future__ import annotations

import subprocess
import sys

import pytest

from pushforward.errors import OptionError
from pushforward.training import TrainingOptions


def test_unknown_option_is_refused_by_name():
    with pytest.raises(OptionError, match=r"no option 'learning_rate'; it has optimiser, lr"):
        TrainingOptions.checked({"learning_rate": 1.0})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("lr", 0),
        ("lr", float("inf")),
        ("ema", 1.0),
        ("batch_size", 0),
        ("minutes", -1),
        ("optimiser", "sgd"),
        ("clip", 0),
    ],
)
def test_value_out_of_range_is_refused_by_name(name, value):
    with pytest.raises(OptionError, match=f"training option {name}: "):
        TrainingOptions.checked({name: value})


def test_without_any_limit_a_run_is_100_epochs():
    assert TrainingOptions().epoch_limit == 100
    assert TrainingOptions(minutes=1).epoch_limit is None
    assert TrainingOptions(epochs=3, steps=7).epoch_limit == 3


def test_options_load_without_torch():
    code = "import sys, pushforward.training; pushforward.training.TrainingOptions(); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
