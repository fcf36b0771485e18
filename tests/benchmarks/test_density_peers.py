"""Peer densities of encoded rows: masses that add up to 1, values in closed form, noise that is taken off again."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from density_peers import PeerDensity, arrays
from scipy.stats import norm

from pushforward.estimators.encoded import ColumnShape, EncodedRows

SHAPES = (ColumnShape(), ColumnShape(3, value=False), ColumnShape(2))


def _rows(count: int) -> EncodedRows:
    """A value that depends on a label of three, and a standard normal value that one row in three lacks."""
    generator = torch.Generator().manual_seed(0)
    label = torch.randint(0, 3, (count,), generator=generator)
    gap = (torch.rand(count, generator=generator) < 1 / 3).long()
    first, last = torch.randn(2, count, generator=generator).double()
    zeros = torch.zeros(count)
    return EncodedRows.of(
        torch.stack([zeros.long(), label, gap], 1), torch.stack([first + 2 * label, zeros, last * (gap == 0)], 1)
    )


@pytest.mark.parametrize("name", ["gaussian", "mixture", "kernels", "zuko-nsf"])
def test_a_peer_comes_near_the_density_of_states_and_values(name: str) -> None:
    if name == "zuko-nsf":
        pytest.importorskip("zuko")
    train, test = _rows(2000), _rows(500)
    model = PeerDensity(name, train, SHAPES, seconds=3, seed=0)
    discrete, continuous = (part.numpy() for part in model.log_prob(test))
    true = (
        norm.logpdf(test.values[:, 0] - 2 * test.states[:, 1])
        + norm.logpdf(test.values[:, 2]) * (test.states[:, 2] == 0).numpy()
    )
    masses = np.log(np.where(test.states[:, 2] == 0, 2, 1) / 9)
    assert abs((discrete - masses).mean()) < 0.02
    assert abs((continuous - true).mean()) < 0.1


def test_the_masses_of_all_states_add_up_to_one() -> None:
    states = torch.tensor([[0, *rest] for rest in itertools.product(range(3), range(2))])
    model = PeerDensity("gaussian", _rows(500), SHAPES, seconds=1, seed=0)
    discrete = model.log_prob(EncodedRows.of(states, torch.zeros(6, 3))).discrete.numpy()
    assert np.exp(discrete).sum() == pytest.approx(1)


def test_states_are_zeros_and_ones_and_values_are_where_they_are() -> None:
    rows = arrays(EncodedRows.of(torch.tensor([[0, 2, 1]]), torch.tensor([[1.5, 0.0, 0.0]])), SHAPES)
    assert rows.states.tolist() == [[0, 0, 1, 0, 1]]
    assert rows.values.tolist() == [[1.5, 0.0]]
    assert rows.there.tolist() == [[True, False]]
