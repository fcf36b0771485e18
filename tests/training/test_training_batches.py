"""Rows: what is refused. Batches: their size, coverage, noise, flips and repeatability."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pushforward import flows
from pushforward.errors import ContextError, DataError, OptionError, ShapeError
from pushforward.training.batches import Batches, checked_rows, split_rows


@pytest.fixture
def vector_flow():
    return flows.build("real_nvp", event_shape=(2,), transforms=1, hidden=(4,))


@pytest.fixture
def image_flow():
    return flows.build("real_nvp", event_shape=(1, 4, 4), levels=4, channels=2, blocks=0)


def test_integers_stay_uint8_until_a_batch_is_drawn(image_flow):
    rows = checked_rows(image_flow, np.zeros((5, 1, 4, 4), np.uint8), None, "training")
    assert rows.x.dtype == torch.uint8
    x, _, noise = Batches(image_flow, rows, 3, 0).draw()
    assert x.dtype == torch.float32
    assert noise[0].shape == (3, 1, 4, 4)


@pytest.mark.parametrize("kind", [np.float64, np.int16, np.uint16, ">f8", ">i4", bool])
def test_any_numeric_array_becomes_rows(vector_flow, kind):
    array = np.ones((4, 2)).astype(kind)
    array.flags.writeable = False
    x, _ = checked_rows(vector_flow, array[::-1], None, "training").take(torch.arange(4)).on(vector_flow)
    assert torch.equal(x, torch.ones(4, 2))


def test_wrong_shape_names_what_was_expected(vector_flow):
    with pytest.raises(ShapeError, match=r"training rows of shape \(N, 2\) expected, got \(4, 3\)"):
        checked_rows(vector_flow, torch.zeros(4, 3), None, "training")


def test_no_rows_are_refused(vector_flow):
    with pytest.raises(DataError, match="validation rows are empty"):
        checked_rows(vector_flow, torch.zeros(0, 2), None, "validation")


def test_text_is_refused(vector_flow):
    with pytest.raises(DataError, match="an array of numbers, got an array of <U1"):
        checked_rows(vector_flow, np.array([["a", "b"]]), None, "training")


def test_a_value_that_is_not_finite_is_named_with_its_row(vector_flow):
    x = torch.zeros(9, 2)
    x[6, 1] = torch.nan
    with pytest.raises(DataError, match="row 6 has the value nan, but this flow takes a finite number"):
        checked_rows(vector_flow, x, None, "training")


@pytest.mark.parametrize(("value", "dtype"), [(4, torch.uint8), (-1.0, torch.float32), (1.5, torch.float32)])
def test_a_value_that_is_not_a_level_is_named_with_its_row(image_flow, value, dtype):
    x = torch.zeros(3, 1, 4, 4, dtype=dtype)
    x[2, 0, 1, 1] = value
    with pytest.raises(DataError, match=rf"row 2 has the value {value}, but this flow takes integers 0\.\.3"):
        checked_rows(image_flow, x, None, "training")


def test_context_must_be_there_exactly_where_the_flow_takes_one(vector_flow):
    with pytest.raises(ContextError, match="takes no context, but for the training rows one was given"):
        checked_rows(vector_flow, torch.zeros(4, 2), torch.zeros(4, 1), "training")
    conditional = flows.build("real_nvp", event_shape=(2,), context_dim=3, hidden=(4,))
    with pytest.raises(ContextError, match=r"a context of shape \(3,\) a row, but for the training rows none"):
        checked_rows(conditional, torch.zeros(4, 2), None, "training")
    with pytest.raises(ContextError, match="4 rows, but its context has 5"):
        checked_rows(conditional, torch.zeros(4, 2), torch.zeros(5, 3), "training")


def test_each_pass_uses_every_row_once_and_no_batch_is_short(vector_flow):
    x = torch.arange(10.0)[:, None].expand(10, 2).contiguous()
    batches = Batches(vector_flow, checked_rows(vector_flow, x, None, "training"), 4, 0)
    drawn = torch.cat([x[:, 0] for x, _, _ in batches.some(5)])
    assert len(drawn) == 20
    for part in (drawn[:10], drawn[10:]):
        assert torch.equal(part.sort().values, torch.arange(10.0))


def test_batches_are_capped_at_the_number_of_rows(vector_flow):
    assert (
        Batches(vector_flow, checked_rows(vector_flow, torch.zeros(5, 2), None, "training"), 64, 0).draw()[0].shape[0]
        == 5
    )


def test_contexts_go_with_their_rows():
    flow = flows.build("real_nvp", event_shape=(2,), classes=7, hidden=(4,))
    labels = torch.arange(50) % 7
    rows = checked_rows(flow, labels[:, None].expand(50, 2).float().contiguous(), labels, "training")
    train, held_out = split_rows(rows, 5, torch.Generator().manual_seed(0))
    assert (len(train), len(held_out)) == (45, 5)
    for part in (train, held_out):
        x, context, _ = Batches(flow, part, 5, 0).draw()
        assert torch.equal(x[:, 0].long(), context)


def test_the_same_seed_gives_the_same_batches_and_noise(image_flow):
    rows = checked_rows(image_flow, torch.randint(0, 4, (20, 1, 4, 4), dtype=torch.uint8), None, "training")
    first, second, other = (list(Batches(image_flow, rows, 8, seed, flips=True).some(4)) for seed in (3, 3, 4))
    assert all(torch.equal(a[0], b[0]) and torch.equal(a[2][0], b[2][0]) for a, b in zip(first, second, strict=True))
    assert not all(torch.equal(a[0], b[0]) for a, b in zip(first, other, strict=True))


def test_flips_mirror_about_half_of_the_images_and_only_left_to_right(image_flow):
    image = torch.tensor([0, 1, 2, 3]).repeat(4, 1)
    image[3] = torch.tensor([3, 3, 0, 0])
    rows = checked_rows(image_flow, image.expand(400, 1, 4, 4).to(torch.uint8), None, "training")
    x, _, _ = Batches(image_flow, rows, 400, 0, flips=True).draw()
    mirrored = (x == image.flip(1)).flatten(1).all(1)
    plain = (x == image).flatten(1).all(1)
    assert bool((mirrored ^ plain).all())
    assert 150 < int(mirrored.sum()) < 250
    assert bool((Batches(image_flow, rows, 400, 0).draw()[0] == image).all())


def test_flips_of_vectors_are_refused(vector_flow):
    with pytest.raises(OptionError, match="flips are for images"):
        Batches(vector_flow, checked_rows(vector_flow, torch.zeros(4, 2), None, "training"), 2, 0, flips=True)


def test_columns_that_single_precision_would_merge_are_refused():
    flow = flows.build("real_nvp", event_shape=(2,), transforms=1, hidden=(4,))
    generator = np.random.default_rng(0)
    x = np.stack([generator.normal(size=50), 1.7e9 + 10 * generator.normal(size=50)], 1)
    with pytest.raises(DataError, match=r"training column 1 varies by .* which torch.float32 cannot resolve"):
        checked_rows(flow, x, None, "training")
    assert len(checked_rows(flow.double(), x, None, "training")) == 50


def test_a_column_that_does_not_vary_is_taken_as_it_is(vector_flow):
    x = np.stack([np.full(20, 1.7e9), np.arange(20.0)], 1)
    assert len(checked_rows(vector_flow, x, None, "training")) == 20


def test_contexts_are_checked_before_training():
    flow = flows.build("real_nvp", event_shape=(2,), context_dim=2, transforms=1, hidden=(4,))
    x, context = np.zeros((4, 2)), np.zeros((4, 2))
    with pytest.raises(ContextError, match=r"context of shape \(N, \*\(2,\)\) expected, got \(4, 3\)"):
        checked_rows(flow, x, np.zeros((4, 3)), "training")
    context[2, 1] = np.nan
    with pytest.raises(DataError, match=r"training context of row 2 has the value nan, .* takes a finite number"):
        checked_rows(flow, x, context, "training")


@pytest.mark.parametrize("label", [-1, 3])
def test_labels_outside_the_embedding_are_refused(label: int):
    flow = flows.build("real_nvp", event_shape=(2,), classes=3, transforms=1, hidden=(4,))
    with pytest.raises(ContextError, match=rf"labels 0..2 expected, got {label}"):
        checked_rows(flow, np.zeros((2, 2)), np.array([0, label]), "training")
