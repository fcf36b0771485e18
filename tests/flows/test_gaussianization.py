"""The gaussianization flow: what it takes from data, once, and that it returns after training."""

import pytest
import torch
from torch import Tensor

from pushforward import storage
from pushforward.diagnostics.inversion import data_round_trip, latent_round_trip
from pushforward.errors import OptionError, ShapeError
from pushforward.flows import build
from pushforward.transforms import Elementwise, Householder


def _rows(n: int, seed: int) -> Tensor:
    """Two clumps in three columns of very different size, one of them with few values."""
    generator = torch.Generator().manual_seed(seed)
    side = torch.where(torch.rand(n, 1, generator=generator) < 0.3, -2.0, 1.0)
    x = side + 0.4 * torch.randn(n, 3, generator=generator)
    x[:, 2] = (2 * x[:, 0] + x[:, 2]).round()
    return x * torch.tensor([1.0, 50.0, 1.0]) + torch.tensor([0.0, 900.0, -3.0])


@pytest.mark.parametrize("rotation", ["random", "pca"])
def test_initialise_takes_each_layers_start_from_the_data_that_reach_it_once(rotation: str) -> None:
    torch.manual_seed(0)
    flow = build("gaussianization", (3,), transforms=3, components=12, rotation=rotation).eval()
    x = _rows(2000, 0)
    before = flow.log_prob(x).mean()
    flow.initialise(x)
    with torch.no_grad():
        after = flow.log_prob(_rows(500, 1))
        h = x
        for step in flow.transform:  # type: ignore[attr-defined]
            h, _ = step.to_latent(h)
            if isinstance(step, Elementwise):
                assert h.mean(0).abs().max() <= 0.1
                assert (h.std(0) - 1).abs().max() <= 0.15
    assert after.mean() > before + 1
    flow.initialise(5 * x + 1)
    assert torch.equal(flow.log_prob(_rows(500, 1)), after)


def test_flags_of_what_was_taken_from_data_are_saved(tmp_path) -> None:  # type: ignore[no-untyped-def]
    flow = build("gaussianization", (3,), transforms=2, components=5, rotation="pca").eval()
    flow.initialise(_rows(300, 0))
    storage.save(flow, tmp_path / "model")
    again = storage.load(tmp_path / "model")
    again.initialise(_rows(300, 1) + 7)
    x = _rows(50, 2)
    assert torch.equal(again.log_prob(x), flow.log_prob(x))


@pytest.mark.parametrize(("dtype", "bar"), [(torch.float64, 1e-10), (torch.float32, 1e-4)], ids=str)
def test_a_trained_flow_returns_from_both_sides(dtype: torch.dtype, bar: float) -> None:
    torch.manual_seed(1)
    flow = build("gaussianization", (3,), transforms=3, components=8).to(dtype)
    x = _rows(1000, 0).to(dtype)
    flow.initialise(x)
    optimiser = torch.optim.Adam(flow.parameters(), 1e-2)
    first = -flow.log_prob(x).mean()
    for _ in range(60):
        optimiser.zero_grad()
        loss = -flow.log_prob(x[torch.randint(0, len(x), (256,))]).mean()
        loss.backward()
        optimiser.step()
    flow.eval()
    assert -flow.log_prob(x).mean() < first - 0.1
    assert data_round_trip(flow.transform, x[:200], None, None, None).max() <= bar
    z = torch.randn(200, 3, generator=torch.Generator().manual_seed(2)).to(dtype)
    assert latent_round_trip(flow.transform, z, None, None).max() <= bar


def test_rotations_stand_between_the_steps_only_and_a_single_coordinate_has_none() -> None:
    kinds = [type(step) for step in build("gaussianization", (3,), transforms=2, standardise=False).transform]  # type: ignore[attr-defined]
    assert kinds == [Elementwise, Householder, Elementwise]
    kinds = [type(step) for step in build("gaussianization", (1,), transforms=2, standardise=False).transform]  # type: ignore[attr-defined]
    assert kinds == [Elementwise, Elementwise]


def test_what_has_no_use_is_refused() -> None:
    with pytest.raises(OptionError, match=r"option rotation='random' has no use here: there is a single coordinate"):
        build("gaussianization", (1,), rotation="random")
    with pytest.raises(ShapeError, match=r"vectors, event_shape \(D,\), expected, got \(1, 2, 2\)"):
        build("gaussianization", (1, 2, 2))
