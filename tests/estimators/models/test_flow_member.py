"""The member of a blend that is a flow, of columns that some rows have no value in."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import Tensor

from pushforward import flows
from pushforward.errors import ModelError
from pushforward.estimators.encoded import UNKNOWN, ColumnShape, EncodedRows
from pushforward.estimators.models import blend
from pushforward.estimators.models.blend import Blend, Weighted
from pushforward.estimators.models.column_chain import Chain
from pushforward.estimators.models.column_net import ColumnNet
from pushforward.estimators.models.fit_table import block_of_flow, fit_table
from pushforward.estimators.models.members import ChainMember, FlowMember, StateMember, ValueMember
from pushforward.estimators.models.saved import load_table, save_table
from pushforward.estimators.models.table_model import TableModel
from pushforward.storage.files import CONFIG, WEIGHTS, write_model

SHAPES = (ColumnShape(2), ColumnShape(), ColumnShape(2))
BLOCK = (0, 1)
GRID = torch.linspace(-9, 9, 241, dtype=torch.float64)
STEP = float(GRID[1] - GRID[0])


@pytest.fixture(scope="module")
def member() -> FlowMember:
    """An untrained flow and net with random weights."""
    torch.manual_seed(0)
    flow = flows.build("nsf_ar", (2,), context_dim=4, hidden=(8, 8), transforms=2).double()
    net = ColumnNet(SHAPES, hidden=8, components=2).double()
    for parameter in [*flow.parameters(), *net.parameters()]:
        torch.nn.init.normal_(parameter, std=0.2)
    return FlowMember(flow.eval(), "nsf_ar", BLOCK, Chain([net.eval()]))


def rows_of(states: tuple[int, int, int], values: Tensor) -> EncodedRows:
    return EncodedRows.of(torch.tensor([states]).repeat(len(values), 1), values)


def plane(first: int, second: int) -> Tensor:
    """Values on a grid of two columns, and 0 in the third."""
    values = torch.zeros(len(GRID) ** 2, 3, dtype=torch.float64)
    values[:, [first, second]] = torch.cartesian_prod(GRID, GRID)
    return values


@pytest.mark.parametrize(("states", "columns"), [((0, 0, 1), (0, 1)), ((1, 0, 0), (1, 2))])
def test_the_density_given_each_pattern_of_gaps_integrates_to_1(
    member: FlowMember, states: tuple[int, int, int], columns: tuple[int, int]
) -> None:
    densities = member.log_values(rows_of(states, plane(*columns))).exp()
    assert float(densities.sum() * STEP**2) == pytest.approx(1, abs=2e-3)


def test_columns_beyond_the_flow_follow_given_its_values(member: FlowMember) -> None:
    values = torch.zeros(len(GRID), 3, dtype=torch.float64)
    values[:, :2], values[:, 2] = torch.tensor([0.4, -1.0]), GRID
    of_all = member.log_values(rows_of((0, 0, 0), values)).exp().sum() * STEP
    of_flow = member.flow.log_prob(values[:1, :2], torch.tensor([[1.0, 0, 1, 0]]).double()).detach().exp()
    assert float(of_all) == pytest.approx(float(of_flow), rel=1e-3)


def test_rows_with_a_gap_in_the_block_are_those_of_the_nets(member: FlowMember) -> None:
    rows = rows_of((1, 0, 0), torch.randn(20, 3, dtype=torch.float64))
    assert torch.equal(member.log_values(rows), ChainMember(member.chain).log_values(rows))
    unknown = rows_of((UNKNOWN, 0, 0), rows.values)
    assert member.log_values(unknown).isnan().all()


def test_draws_follow_the_density_and_leave_gaps(member: FlowMember) -> None:
    unknown = torch.full((4000, 3), torch.nan, dtype=torch.float64)
    unknown[:2000, 2] = unknown[2000:, 0] = 0.0
    states = torch.tensor([[0, 0, 1], [1, 0, 0]]).repeat_interleave(2000, 0)
    rows = EncodedRows.of(states, unknown)
    drawn = member.draw_values(rows, torch.Generator().manual_seed(0)).values
    assert torch.equal(drawn[rows.values == 0], torch.zeros(4000).double())
    assert drawn.isfinite().all()
    for part, columns in ((drawn[:2000], (0, 1)), (drawn[2000:], (1, 2))):
        pattern = (0, 0, 1) if columns == (0, 1) else (1, 0, 0)
        density = member.log_values(rows_of(pattern, plane(*columns))).exp().reshape(len(GRID), -1) * STEP**2
        for place, column in enumerate(columns):
            below = density.sum(1 - place).cumsum(0)
            empirical = (part[:, column, None] <= GRID).double().mean(0)
            assert float((below - empirical).abs().max()) < 0.06


def test_a_block_has_the_columns_with_values_in_most_rows() -> None:
    states = torch.zeros(100, 4, dtype=torch.long)
    states[:10, 0], states[30:90, 1], states[5:20, 3] = 1, 1, 1
    shapes = [ColumnShape(2), ColumnShape(2), ColumnShape(3, value=False), ColumnShape(2)]
    assert block_of_flow(EncodedRows.of(states, torch.zeros(100, 4)), shapes) == [0, 3]


def test_a_fit_and_its_saved_model_have_a_flow_of_columns_with_gaps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blend, "_NEGLIGIBLE", 0.0)
    generator = torch.Generator().manual_seed(0)
    gaps = (torch.rand(120, 3, generator=generator) < torch.tensor([0.1, 0.0, 0.1])).long()
    values = torch.randn(120, 1, generator=generator) + 0.1 * torch.randn(120, 3, generator=generator)
    rows = EncodedRows.of(gaps, torch.where(gaps == 0, values, 0.0))
    fitted = fit_table(rows, SHAPES, steps=20)
    (flow,) = [member for member in fitted.blend.members if isinstance(member, FlowMember)]
    assert flow.block == (0, 1, 2)
    save_table(fitted, tmp_path)
    loaded, _ = load_table(tmp_path)
    assert torch.equal(loaded.log_prob(rows).total, fitted.log_prob(rows).total)


def _all_of(member: FlowMember) -> tuple[Weighted[StateMember], Weighted[ValueMember]]:
    conditionals = ChainMember(member.chain)
    return Weighted([conditionals], torch.ones(1).double()), Weighted(
        [conditionals, member], torch.tensor([0.5, 0.5]).double()
    )


@pytest.mark.parametrize("block", [[1, 0], [0, 0], [0, 5], [0, True], "01", [[0], 1]])
def test_a_block_that_the_columns_cannot_have_is_refused(member: FlowMember, tmp_path: Path, block: object) -> None:
    save_table(TableModel(SHAPES, (0, 1, 2), Blend(*_all_of(member)), member.chain), tmp_path)
    config = json.loads((tmp_path / CONFIG).read_text())
    (of_flow,) = [each for each in config["members"] if each["kind"] == "flow"]
    of_flow["content"] = {"block": block}
    write_model(tmp_path, {CONFIG: json.dumps(config).encode(), WEIGHTS: (tmp_path / WEIGHTS).read_bytes()})
    with pytest.raises(ModelError, match="ascending numbers of columns with values expected"):
        load_table(tmp_path)
