"""Columns of data without a density are named before a fit; data of real numbers never are."""

import pyarrow
import pytest
import torch

from pushforward import Chain, Flow, flows
from pushforward.bases import StandardNormal
from pushforward.data.toys import TOYS, sample
from pushforward.errors import DegenerateDataWarning
from pushforward.rows import Rows
from pushforward.training import fit
from pushforward.training.degenerate_columns import degenerate_columns
from pushforward.transforms import Dequantise, Logit

FLOW = flows.build("nice", (3,), hidden=(8,))
A, B = torch.randn(2000, 1, generator=torch.Generator().manual_seed(0)).double(), torch.linspace(0, 1, 2000)[:, None]


def problem(*columns: torch.Tensor, context: torch.Tensor | None = None) -> str | None:
    rows = Rows(torch.cat([column.double() for column in columns], 1), context)
    return degenerate_columns(FLOW, rows, None, 0)


@pytest.mark.parametrize(
    ("column", "reason"),
    [
        (torch.full((2000, 1), 3.0), "column 2 is 3 in each of 2,000 rows"),
        ((A > 0.5), "column 2 has 2 different values in 2,000 rows"),
        ((10 * B).round(), "column 2 has 11 different values in 2,000 rows"),
        (A.relu(), "column 2 is 0 in "),
        (torch.where(B < 0.1, -999.0, A), "column 2 is -999 in 10 % of the rows"),
        (A.clone(), "column 2 is a linear function of column 0"),
        (5 - 1e6 * B, "column 2 is a linear function of column 1"),
        (2 * A - B, "column 2 is a linear function of the columns before it"),
        (A.float() + B.float(), "column 2 is a linear function of the columns before it"),
    ],
)
def test_a_column_without_density_is_named(column: torch.Tensor, reason: str) -> None:
    assert reason in (problem(A, B, column) or "")
    assert problem(A, B, A**2) is None


def test_a_column_that_the_context_determines_is_named() -> None:
    assert "column 1 is a linear function of the context" in (problem(B, A, context=3 * A + 1) or "")
    assert problem(B, A, context=torch.randn(2000, 1)) is None


@pytest.mark.parametrize("name", TOYS)
def test_toys_have_densities(name: str) -> None:
    assert degenerate_columns(FLOW, Rows(torch.as_tensor(sample(name, 3000, 0))), None, 0) is None


def test_few_rows_and_rounded_numbers_have_densities() -> None:
    """In ten rows of twelve columns each column is a linear combination of others; measurements have few digits."""
    assert problem(torch.randn(10, 12)) is None
    assert problem((A * 1000).round()) is None
    assert problem(A[:1]) is None


def test_many_columns_are_counted() -> None:
    found = problem(*(torch.zeros(50, 1) for _ in range(8))) or ""
    assert found.count("is 0 in each of 50 rows") == 5
    assert "so are 3 more columns" in found


def test_integers_and_images_have_probabilities() -> None:
    pixels = flows.build("glow", (1, 4, 4), levels=2)
    assert degenerate_columns(pixels, Rows(torch.zeros(50, 1, 4, 4, dtype=torch.uint8)), None, 0) is None
    counts = Flow(StandardNormal((2,)), Chain([Dequantise((2,), 8), Logit((2,))]))
    assert degenerate_columns(counts, Rows(torch.zeros(50, 2, dtype=torch.uint8)), None, 0) is None


def test_fit_warns_with_the_names_of_columns_and_notes_it() -> None:
    table = pyarrow.table({"mass": A[:100, 0].numpy(), "charge": [1.0, -1.0] * 50})
    flow = flows.build("nice", (2,), hidden=(8,))
    with pytest.warns(DegenerateDataWarning, match="column 'charge' has 2 different values in 90 rows"):
        result = fit(flow, table, steps=1, progress=False)
    assert "column 'charge'" in result.notes[-1]
    with pytest.warns(DegenerateDataWarning, match="column 'b'"):
        fit(flow, torch.tensor([[0.5, 1.0], [0.1, 1.0]] * 10), columns=["a", "b"], steps=1, progress=False)
