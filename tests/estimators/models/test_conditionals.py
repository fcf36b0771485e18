"""Conditional distributions of one column in closed form agree with ratios of densities, for every kind of member."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from pushforward.estimators.encoded import ColumnShape, EncodedRows
from pushforward.estimators.models.blend import Blend, Weighted
from pushforward.estimators.models.column_chain import Chain
from pushforward.estimators.models.column_net import ColumnNet
from pushforward.estimators.models.members import ChainMember, MixtureMember, hide
from pushforward.estimators.models.mixture import MixedMixture
from pushforward.mixtures.factors import Factors
from pushforward.mixtures.mixture import Mixture
from pushforward.mixtures.tables import Tables

# A label, a number, and a number with an atom.
SHAPES = (ColumnShape(3, value=False), ColumnShape(1), ColumnShape(2))


def some_rows(count: int = 40) -> EncodedRows:
    generator = torch.Generator().manual_seed(0)
    label = torch.randint(3, (count,), generator=generator)
    atom = torch.randint(2, (count,), generator=generator)
    values = torch.randn(count, 3, generator=generator, dtype=torch.float64) + label[:, None]
    values[:, 0] = 0.0
    values[atom == 1, 2] = 0.0
    return EncodedRows.of(torch.stack([label, torch.zeros_like(label), atom], 1), values)


def factor_mixture() -> MixedMixture:
    generator = torch.Generator().manual_seed(1)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    gaussians = Factors(normal(4, 2), normal(4, 2, 1), normal(4, 2).exp(), torch.ones(2, dtype=torch.float64))
    tables = Tables(tuple(normal(s, 4).softmax(0) for s in (3, 2)), tuple(normal(s).softmax(0) for s in (3, 2)))
    return MixedMixture(SHAPES, Mixture(normal(4).softmax(0), gaussians, tables))


def members(column: int) -> list[MixtureMember | ChainMember]:
    """Members that score one column given the others."""
    mixture = MixedMixture.fit(some_rows(), SHAPES, max_components=4)
    net = ColumnNet(SHAPES, targets=[column], hidden=8)
    torch.manual_seed(0)
    for parameter in net.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    chain = Chain([net.eval()])
    return [MixtureMember(mixture, [column]), MixtureMember(factor_mixture(), [column]), ChainMember(chain)]


@pytest.mark.parametrize("column", [0, 1, 2])
@pytest.mark.parametrize("unknown", [(), (0,), (1, 2)])
def test_the_distribution_of_a_column_given_the_others_has_the_density_of_the_blend(
    column: int, unknown: tuple[int, ...]
) -> None:
    rows = hide(some_rows(), [j for j in unknown if j != column])
    parts = members(column)
    blends = [Weighted(parts, torch.tensor([0.5, 0.2, 0.3])), *(Weighted([part], torch.ones(1)) for part in parts)]
    for model in [Blend(blend, blend) for blend in blends]:
        distribution = model.conditional(hide(rows, [column]), column)
        assert distribution is not None
        states = rows.states[:, column]
        log = distribution.log_states.gather(1, states[:, None])[:, 0]
        if distribution.value is not None:
            log = log + distribution.value.log_density(rows.values[:, column]).where(states == 0, 0.0)
        torch.testing.assert_close(log, model.log_states(rows) + model.log_values(rows), rtol=1e-5, atol=1e-5)
