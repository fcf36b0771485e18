"""Temperatures, directions of an attribute, and reconstruction from coarse latents."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pushforward import flows
from pushforward.bases import StandardNormal, UniformBox
from pushforward.errors import DataError, OptionError, ShapeError
from pushforward.evaluation.latent_edits import (
    along_direction,
    attribute_direction,
    partial_reconstruction,
    scale_count,
    temperature_sweep,
)
from pushforward.flow import Flow
from pushforward.rows import Rows
from pushforward.transforms import Identity


def plain(features: int = 3) -> Flow:
    return Flow(StandardNormal((features,)), Identity((features,)))


def images(rows: int = 4) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 17, (rows, 1, 8, 8), generator=generator, dtype=torch.uint8)


@pytest.fixture(scope="module")
def multi_scale() -> Flow:
    torch.manual_seed(0)
    return flows.build("real_nvp", (1, 8, 8), levels=17, channels=2, blocks=0).eval()


def test_down_a_column_of_a_sweep_only_the_temperature_changes() -> None:
    sweep = temperature_sweep(plain(), [0.5, 1.0, 2.0], 4, seed=3)
    assert sweep.shape == (3, 4, 3)
    torch.testing.assert_close(sweep[0], 0.5 * sweep[1])
    torch.testing.assert_close(sweep[2], 2.0 * sweep[1])
    assert not torch.equal(sweep, temperature_sweep(plain(), [0.5, 1.0, 2.0], 4, seed=4))


def test_a_sweep_of_contexts_has_a_column_for_each() -> None:
    flow = flows.build("nice", (3,), classes=2, hidden=(4,))
    assert temperature_sweep(flow, [0.5, 1.0], 3, torch.tensor([0, 1])).shape == (2, 6, 3)


def test_the_direction_is_the_difference_of_the_mean_latents() -> None:
    rng = np.random.default_rng(0)
    having, lacking = (Rows(torch.as_tensor(rng.normal(size=(n, 3)).astype(np.float32))) for n in (700, 30))
    direction = attribute_direction(plain(), having, lacking)
    expected = having.x.mean(0) - lacking.x.mean(0)
    torch.testing.assert_close(direction, expected, atol=1e-6, rtol=1e-5)


def test_along_a_direction_examples_move_by_the_amounts() -> None:
    x, direction = torch.randn(2, 3), torch.tensor([1.0, 0.0, -2.0])
    moved = along_direction(plain(), x, direction, (-1.0, 0.0, 0.5))
    assert moved.shape == (2, 3, 3)
    torch.testing.assert_close(moved[:, 0], x - direction)
    torch.testing.assert_close(moved[:, 1], x)
    torch.testing.assert_close(moved[:, 2], x + 0.5 * direction)


def test_on_a_box_examples_stay_inside() -> None:
    flow = Flow(UniformBox((2,), -1.0, 3.0), Identity((2,)))
    moved = along_direction(flow, torch.tensor([[0.0, 2.9]]), torch.tensor([2.0, 1.0]), (0.0, 1.0, 3.0))
    assert ((moved > -1) & (moved < 3)).all()
    torch.testing.assert_close(moved[0, 0], torch.tensor([0.0, 2.9]), atol=1e-4, rtol=1e-4)


def test_all_scales_give_the_image_back_and_fewer_keep_the_coarse_latents(multi_scale: Flow) -> None:
    assert scale_count(multi_scale) == 2
    x = images()
    built = partial_reconstruction(multi_scale, x, (2, 1, 0))
    assert built.shape == (4, 3, 1, 8, 8)
    assert torch.equal(built[:, 0], x.to(built))
    assert not torch.equal(built[:, 1], built[:, 2])


def test_what_is_kept_are_the_last_latents_and_the_rest_is_the_same_draw(multi_scale: Flow, monkeypatch) -> None:
    seen = []
    monkeypatch.setattr(multi_scale, "decode", lambda z, *_, **__: seen.append(z) or torch.zeros(len(z), 1, 8, 8))
    partial_reconstruction(multi_scale, images(1), (2, 1, 0), seed=5)
    whole, half, none = seen[0]
    fine = multi_scale.transform.latent_shape[0] - 32
    assert torch.equal(half[fine:], whole[fine:])
    assert torch.equal(half[:fine], none[:fine])
    assert not torch.equal(none[fine:], whole[fine:])


def test_labels_go_with_their_examples() -> None:
    torch.manual_seed(0)
    flow = flows.build("real_nvp", (1, 8, 8), classes=3, levels=17, channels=2, blocks=0).eval()
    x, labels = images(3), torch.tensor([2, 0, 1])
    assert torch.equal(partial_reconstruction(flow, x, (2,), labels)[:, 0], x.to(torch.float32))
    moved = along_direction(flow, x, torch.zeros(64), (0.0,), labels)
    assert torch.equal(moved[:, 0], x.to(torch.float32))


def test_what_cannot_be_edited_is_refused(multi_scale: Flow) -> None:
    x = torch.zeros(1, 3)
    with pytest.raises(OptionError, match="at least one temperature"):
        temperature_sweep(plain(), [])
    with pytest.raises(DataError, match="no rows lack"):
        attribute_direction(plain(), Rows(torch.zeros(2, 3)), Rows(torch.zeros(0, 3)))
    with pytest.raises(OptionError, match="single scale"):
        partial_reconstruction(plain(), x, (1,))
    with pytest.raises(OptionError, match=r"from 0 to 2 expected, got \(3,\)"):
        partial_reconstruction(multi_scale, images(), (3,))
    with pytest.raises(ShapeError, match=r"shape \(1, 8, 8\) expected, got \(1, 3\)"):
        partial_reconstruction(multi_scale, x, (1,))
