"""The option `bounds`: of every flow on vectors, samples keep to them, and beyond them the density is 0."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch

from effects import options_of
from pushforward import flows, load, save
from pushforward.errors import DataError, OptionError
from pushforward.flow import Flow
from pushforward.training import fit

_BOUNDS = {0: (0.1, 1.1), 1: (None, -3.0)}


def bounded_rows(n: int, seed: int = 0) -> torch.Tensor:
    """Many rows near the bounds of two coordinates, and a real coordinate."""
    generator = torch.Generator().manual_seed(seed)
    uniform, normal = torch.rand(n, generator=generator), torch.randn(n, 2, generator=generator)
    return torch.stack([0.1 + (0.02 + 0.97 * uniform) ** 3, -3 - normal[:, 0].exp(), normal[:, 1].clamp(-3, 3)], 1)


def small(name: str, **more: Any) -> Flow:
    torch.manual_seed(0)
    given: dict[str, Any] = {"circular": (2,)} if name == "circular_nsf" else {}
    options = options_of(name, hidden=(8,), transforms=2)
    return flows.build(name, 3, **{**options, **given, "bounds": _BOUNDS, **more})


@pytest.mark.parametrize("name", flows.names("vectors"))
def test_every_flow_keeps_to_its_bounds(name: str, tmp_path: Path) -> None:
    flow, x = small(name).eval(), bounded_rows(50)
    flow.initialise(x)
    drawn = flow.sample(100, seed=0)
    assert bool(((drawn[:, 0] > 0.1) & (drawn[:, 0] < 1.1) & (drawn[:, 1] < -3)).all())
    score = flow.likelihood(x).value
    assert score.isfinite().all()
    beyond = torch.tensor([[0.1, -4, 0], [1.2, -4, 0], [-9, -4, 0], [0.5, -3, 0], [0.5, 7, 0]])
    assert flow.likelihood(beyond).value.tolist() == [-math.inf] * 5
    save(flow, tmp_path / "model")
    again = load(tmp_path / "model")
    assert again.config == flow.config
    assert torch.equal(again.likelihood(x).value, score)


def test_the_density_is_that_of_the_original_units() -> None:
    """It integrates to 1 over the interval, though most of the mass lies at its ends."""
    torch.manual_seed(0)
    flow, x = flows.build("nsf", 1, bounds=[(0, 1)], hidden=(8,)), torch.rand(2000, 1) ** 4
    fit(flow, x, steps=20, progress=False)
    ends = torch.logspace(-14, 0, 20_001, dtype=torch.float64)
    density = flow.double().likelihood((ends[1:] + ends[:-1])[:, None] / 2).value.exp()
    assert float((density * ends.diff()).sum()) == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_far_latents_stay_inside(dtype: torch.dtype) -> None:
    """Also where the dtype would round to the bound; a conversion to float64 has the bounds to its own precision."""
    flow = small("nice", standardise=False).to(dtype).eval()
    layer = flow.transform.transforms[0]
    z = torch.tensor([[1e4, 1e4, 0.0], [-1e4, -1e4, 0.0], [40.0, 40.0, 0.0], [-40.0, -40.0, 0.0]], dtype=dtype)
    x, log_term = layer.to_data(z)
    low, high, top = (torch.tensor(end, dtype=dtype) for end in (0.1, 1.1, -3.0))
    assert bool(((x[:, 0] > low) & (x[:, 0] < high) & (x[:, 1] < top) & x.isfinite().all(1)).all())
    assert log_term.isfinite().all()
    assert layer.to_latent(x)[1].isfinite().all()
    assert (layer.low.dtype, layer.low[0].item()) == (dtype, low.item())


def test_values_at_a_bound_are_refused_with_their_place() -> None:
    x = bounded_rows(50)
    x[7, 0] = 0.1
    with pytest.raises(DataError, match=r"row 7 has the value 0\.1, .* interval \(0\.1, 1\.1\) in column 0"):
        fit(small("nice"), x, steps=1, progress=False)


@pytest.mark.parametrize(
    ("event_shape", "options", "message"),
    [
        (2, {"bounds": {2: (0, 1)}}, "bounds name coordinate 2, but the vectors have 0 to 1"),
        (2, {"bounds": {0: (1, 0)}}, "low bound of coordinate 0 must be below the high one, got 1.0 and 0.0"),
        (2, {"bounds": {0: (0, math.inf)}}, "bounds"),
        (2, {"bounds": {0: (0, 1)}, "levels": 4}, "data with levels are bounded by them"),
        ((1, 4, 4), {"bounds": {0: (0, 1)}}, "bounds are for vectors"),
    ],
)
def test_bounds_that_are_none_are_refused(event_shape: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        flows.build("nsf", event_shape, **options)


def test_bounds_of_a_periodic_coordinate_are_refused() -> None:
    with pytest.raises(OptionError, match=r"coordinates that are not periodic, \[0, 1\], got 2"):
        small("circular_nsf", bounds={2: (0, 1)})


def test_a_list_has_an_entry_for_each_coordinate() -> None:
    assert small("nice", bounds=[(0.1, 1.1), (None, -3), None]).config == small("nice").config
