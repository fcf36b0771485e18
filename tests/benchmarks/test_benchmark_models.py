"""The models of the benchmarks: peers are trained and scored as they are, what does not suit says why."""

from __future__ import annotations

import mixture
import numpy as np
import pytest
import torch
from models import PEERS, UnsuitedError, build

from pushforward.data.dataset import table_set

DATA = table_set("made up", np.random.default_rng(0).standard_normal((200, 3)), ["a", "b", "c"])


@pytest.mark.parametrize("name", PEERS)
def test_a_zuko_flow_in_our_clothes_has_its_own_density(name: str) -> None:
    pytest.importorskip("zuko")
    torch.manual_seed(0)
    flow = build(name, DATA)
    x = torch.randn(20, 3)
    own = flow.transform.flow().log_prob(x)
    torch.testing.assert_close(flow.log_prob(x), own, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(flow.data(flow.latent(x)), x, rtol=1e-3, atol=1e-4)


def test_a_flow_for_other_data_is_left_out_with_the_reason() -> None:
    with pytest.raises(UnsuitedError, match="not known"):
        build("no-such-flow", DATA)


def test_the_mixture_finds_the_number_of_components_and_its_score() -> None:
    chance = np.random.default_rng(0)
    centres = np.array([[-8.0, 0.0], [8.0, 0.0], [0.0, 8.0], [0.0, -8.0], [0.0, 0.0]])
    x = centres[chance.integers(0, 5, 3000)] + chance.standard_normal((3000, 2))
    found = mixture.fit_mixture(x[:2000], x[2000:2500], 20.0, 0)
    assert found.model.n_components == 5
    truth = -np.log(5) - np.log(2 * np.pi) - 1
    assert found.model.score(x[2500:]) == pytest.approx(truth, abs=0.1)
    assert found.parameters == 5 * (2 + 3) + 4


def test_the_mixture_stops_in_time_with_a_density() -> None:
    x = np.random.default_rng(0).standard_normal((3000, 4))
    found = mixture.fit_mixture(x[:2000], x[2000:], 1e-6, 0)
    assert found.tried[0].startswith("1:")
    assert len(found.tried) == 1
    assert np.isfinite(found.validation)
