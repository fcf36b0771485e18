import math

import pytest
import torch
from torch.distributions import Gamma

from pushforward import flows
from pushforward.bases import UniformBox
from pushforward.errors import OptionError, ShapeError
from pushforward.evaluation.interpolation import manifold, spherical_path
from pushforward.flow import Flow
from pushforward.transforms import Identity


@pytest.fixture
def images() -> torch.Tensor:
    return torch.randint(0, 17, (4, 1, 4, 4), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)


@pytest.fixture
def flow() -> Flow:
    torch.manual_seed(0)
    return flows.build("real_nvp", (1, 4, 4), levels=17, channels=2, blocks=0).eval()


def test_manifold_holds_the_four_examples_at_quarter_turns(flow, images):
    walk = manifold(flow, images, 8)
    assert walk.shape == (8, 8, 1, 4, 4)
    corners = torch.stack([walk[0, 0], walk[0, 2], walk[2, 0], walk[2, 2]])
    assert torch.equal(corners, images.to(corners))


def test_manifold_is_the_formula_on_the_identity():
    flow = Flow(torch.distributions.Normal(torch.zeros(3), torch.ones(3)), Identity((3,)))
    z = torch.randn(4, 3, generator=torch.Generator().manual_seed(1))
    a, b = 2 * math.pi * 1 / 5, 2 * math.pi * 3 / 5
    expected = math.cos(a) * (math.cos(b) * z[0] + math.sin(b) * z[1]) + math.sin(a) * (
        math.cos(b) * z[2] + math.sin(b) * z[3]
    )
    torch.testing.assert_close(manifold(flow, z, 5)[1, 3], expected)


def test_path_begins_and_ends_at_its_examples(flow, images):
    path = spherical_path(flow, images[0], images[1:2], 6)
    assert path.shape == (6, 1, 4, 4)
    assert torch.equal(path[[0, -1]], images[:2].to(path))


def test_path_keeps_the_length_of_latents():
    flow = Flow(torch.distributions.Normal(torch.zeros(2), torch.ones(2)), Identity((2,)))
    path = spherical_path(flow, torch.tensor([2.0, 0.0]), torch.tensor([0.0, 2.0]), 5)
    torch.testing.assert_close(path.norm(dim=1), torch.full((5,), 2.0))


@pytest.mark.parametrize("end", [[1.0, 2.0], [-1.0, -2.0], [0.0, 0.0]])
def test_path_between_parallel_opposite_or_vanishing_latents_is_finite(end):
    flow = Flow(torch.distributions.Normal(torch.zeros(2), torch.ones(2)), Identity((2,)))
    path = spherical_path(flow, torch.tensor([1.0, 2.0]), torch.tensor(end), 4)
    assert path.isfinite().all()
    torch.testing.assert_close(path[-1], torch.tensor(end))


def test_walks_on_a_box_stay_inside_it():
    flow = Flow(UniformBox((2,), -1.0, 3.0), Identity((2,)))
    x = torch.tensor([[-0.9, 0.0], [2.9, 1.0], [0.5, 0.5], [1.0, 2.0]])
    walk = manifold(flow, x, 8)
    assert ((walk > -1) & (walk < 3)).all()
    torch.testing.assert_close(walk[0, 2], x[1], atol=1e-4, rtol=1e-4)


def test_a_base_on_a_half_line_is_refused():
    flow = Flow(Gamma(torch.ones(2), torch.ones(2)), Identity((2,)), None)
    with pytest.raises(OptionError, match="real line"):
        manifold(flow, torch.ones(4, 2))


def test_labels_are_mixed_like_latents():
    torch.manual_seed(0)
    flow = flows.build("nice", (4,), classes=3).eval()
    x = torch.randn(4, 4)
    walk = manifold(flow, x, 4, context=torch.tensor([0, 1, 2, 0]))
    corners = torch.stack([walk[0, 0], walk[0, 1], walk[1, 0], walk[1, 1]])
    torch.testing.assert_close(corners, x, atol=1e-5, rtol=1e-5)


def test_other_than_four_examples_are_refused(flow, images):
    with pytest.raises(ShapeError, match=r"\(4, 1, 4, 4\) expected, got \(3, 1, 4, 4\)"):
        manifold(flow, images[:3])
    with pytest.raises(ShapeError, match="x1"):
        spherical_path(flow, images[0], images[:2])
    with pytest.raises(OptionError):
        spherical_path(flow, images[0], images[1], 1)
