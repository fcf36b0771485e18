"""The flow on circles: periods, mixed vectors, and what it refuses."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch

from pushforward import storage
from pushforward.errors import OptionError, ShapeError
from pushforward.flow import Flow
from pushforward.flows import build

_SMALL: dict[str, Any] = {"transforms": 3, "hidden": (8,), "bins": 3}


def _perturbed(flow: Flow) -> Flow:
    with torch.no_grad():
        for parameter in flow.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
    return flow.double().eval()


def test_a_new_flow_is_uniform_on_circles_and_normal_elsewhere() -> None:
    flow = build("circular_nsf", (3,), circular=(1,), low=0.0, high=360.0, standardise=False, **_SMALL)
    x = torch.tensor([[0.3, 10.0, -1.0], [2.0, 350.0, 0.5]])
    wanted = -0.5 * x[:, [0, 2]].square().sum(1) - math.log(2 * math.pi) - math.log(360)
    torch.testing.assert_close(flow.log_prob(x), wanted)


@pytest.mark.parametrize("features", [1, 2, 3])
def test_density_agrees_where_the_period_closes(features: int) -> None:
    torch.manual_seed(0)
    flow = _perturbed(build("circular_nsf", (features,), low=0.0, high=24.0, **_SMALL))
    x = 24 * torch.rand(20, features, dtype=torch.float64)
    low, high = x.clone(), x.clone()
    low[:, 0], high[:, 0] = 0.0, 24.0
    torch.testing.assert_close(flow.log_prob(low), flow.log_prob(high))
    # Not by being flat: elsewhere it is another.
    assert (flow.log_prob(low) - flow.log_prob(x)).abs().max() > 1e-2


def test_density_is_that_on_one_period() -> None:
    flow = _perturbed(build("circular_nsf", (2,), low=0.0, high=24.0, **_SMALL))
    x = torch.tensor([[1.0, 25.0], [-0.1, 3.0], [1.0, 23.9]], dtype=torch.float64)
    assert (flow.log_prob(x) == torch.tensor([-math.inf, -math.inf, 0.0])).tolist() == [True, True, False]
    assert flow.log_prob(x)[2].isfinite()
    samples = flow.sample(500)
    assert ((samples >= 0) & (samples <= 24)).all()


def test_each_periodic_coordinate_may_have_its_own_period() -> None:
    flow = build("circular_nsf", (3,), circular=(2, 0), low=(0.0, -180.0), high=(24.0, 180.0), **_SMALL)
    samples = flow.sample(2000)
    assert samples[:, 2].min() >= 0
    assert 20 < samples[:, 2].max() <= 24
    assert -180 <= samples[:, 0].min() < -150
    assert 150 < samples[:, 0].max() <= 180


def test_a_saved_mixed_flow_scores_bit_for_bit_and_its_config_rebuilds_it(tmp_path: Path) -> None:
    torch.manual_seed(3)
    flow = build("circular_nsf", (5,), classes=4, circular=(3, 0, 4), **_SMALL)
    flow.initialise(torch.rand(50, 5), torch.randint(0, 4, (50,)))
    storage.save(flow, tmp_path / "model")
    torch.manual_seed(4)
    x, labels = torch.rand(9, 5), torch.arange(9) % 4
    loaded = storage.load(tmp_path / "model")
    assert loaded.config == flow.config
    assert torch.equal(loaded.log_prob(x, labels), flow.eval().log_prob(x, labels))


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ShapeError, match=r"vectors, event_shape \(D,\), expected"):
        build("circular_nsf", (1, 2, 2))
    for circular in ((), (2,), (0, 0)):
        with pytest.raises(OptionError, match=r"circular must name one or more coordinates of 0..1, each once"):
            build("circular_nsf", (2,), circular=circular)
    with pytest.raises(OptionError, match="low must be one number or 1, one a periodic coordinate, got 2"):
        build("circular_nsf", (2,), circular=(0,), low=(0.0, 1.0))
    with pytest.raises(OptionError, match="a period needs finite ends with low < high"):
        build("circular_nsf", (2,), low=1.0, high=1.0)
    with pytest.raises(OptionError, match=r"option bound=2\.0 has no use here: every coordinate is periodic"):
        build("circular_nsf", (2,), bound=2.0)
