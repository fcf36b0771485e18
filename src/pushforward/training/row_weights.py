"""The weights of rows as users give them: checked, and the rows that they leave."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from pushforward.errors import DataError, ShapeError
from pushforward.inputs import TensorLike, as_tensor


@dataclass(frozen=True, eq=False)
class WeightedPart:
    """The rows with a weight above 0 and their weights; a row of weight 0 is the same as no row.

    numbers: ``(M,)`` their numbers among all rows; None where these are all. weights: ``(M,)`` float64; None where all
    are equal, because equal weights change nothing.
    """

    numbers: Tensor | None = None
    weights: Tensor | None = None

    def of(self, values: Tensor) -> Tensor:
        """The values ``(M, ...)`` of these rows among ``values: (N, ...)``."""
        return values if self.numbers is None else values.index_select(0, self.numbers.to(values.device))

    def number(self, row: int) -> int:
        """The number among all rows of a row of this part."""
        return row if self.numbers is None else int(self.numbers[row])


def weighted_part(weights: TensorLike | None, count: int, name: str) -> WeightedPart:
    """The part of ``count`` rows that has a weight above 0; all of them for None.

    weights: ``(count,)``, finite, at least 0, one of them above 0. Raises ShapeError, DtypeError, DataError.
    """
    if weights is None:
        return WeightedPart()
    given = as_tensor(weights, f"{name} weights").detach().cpu()
    values = given.double()
    if values.ndim == 2 and values.shape[1] == 1:
        # One column of a DataFrame.
        values = values[:, 0]
    if values.shape != (count,):
        raise ShapeError(f"{name} weights of shape ({count},) expected, one for each row, got {tuple(given.shape)}")
    wrong = (~values.isfinite() | (values < 0)).nonzero().flatten()
    if len(wrong):
        row = int(wrong[0])
        raise DataError(
            f"the weight of {name} row {row} is {float(values[row]):g}; finite weights of at least 0 expected "
            f"({len(wrong):,} of {count:,} rows have others)"
        )
    numbers = values.nonzero().flatten()
    if not len(numbers):
        raise DataError(f"all {name} weights are 0; at least one row needs a weight above 0")
    # Scaled, so that sums of very large weights stay finite.
    above = values[numbers] / values.max()
    return WeightedPart(numbers if len(numbers) < count else None, above if bool((above != above[0]).any()) else None)
