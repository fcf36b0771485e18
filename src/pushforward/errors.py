"""The errors that this package raises on purpose: one sentence each, written for the person who gets it.

Every class also inherits the built-in that fits and carries the exit code that the command line ends with.
"""

from __future__ import annotations


class PushforwardError(Exception):
    """Root of every error that this package raises on purpose."""

    exit_code = 1


class ShapeError(PushforwardError, ValueError):
    """A tensor or an event shape is not the one that was declared."""

    exit_code = 3


class OptionError(PushforwardError, ValueError):
    """An option is unknown, out of range, or incompatible with another one."""

    exit_code = 2


class ContextError(PushforwardError, ValueError):
    """A context is missing, superfluous, or of another shape than the flow was built with."""

    exit_code = 2


class DataError(PushforwardError, ValueError):
    """Input data cannot be found, read, or used."""

    exit_code = 3


class DtypeError(ShapeError, DataError):
    """Values are not numbers in a tensor or a numpy array, or are of another precision than the weights."""


class CellError(DataError, TypeError):
    """A cell of a table holds neither a number nor text nor a date."""


class ModelError(PushforwardError, OSError):
    """A saved model is incomplete, changed, or of a version or architecture that is not known here."""

    exit_code = 4


class NumericsError(PushforwardError, ArithmeticError):
    """A computation became non-finite or did not converge, and no value would be valid."""

    exit_code = 5


class PushforwardWarning(UserWarning):
    """Root of every warning that this package gives."""


class CellWarning(PushforwardWarning):
    """Cells of a column in some rows of a table, unlike those of all training rows; ``first`` describes one of them."""

    outcome = "is taken as another"

    def __init__(self, column: str, rows: int, first: str) -> None:
        super().__init__(column, rows, first)
        self.column, self.rows, self.first = column, rows, first

    def __str__(self) -> str:
        count = f"{self.rows:,} row{'s have' if self.rows > 1 else ' has'}"
        return f"{count} a value unlike those of all training rows, which {self.outcome} ({self.first})"

    def and_more(self, other: CellWarning) -> CellWarning:
        """The warning about these rows and those of another table with the same column."""
        return type(self)(self.column, self.rows + other.rows, self.first)


class UnknownCellWarning(CellWarning):
    """Unseen labels, and numbers or dates far from those of all training rows, are taken as unknown."""

    outcome = "is taken as unknown"


class NearestCellWarning(CellWarning):
    """Numbers or dates between or just beyond those that are possible are taken as the nearest usual ones."""

    outcome = "is taken as the nearest usual one"


class ColumnWarning(PushforwardWarning):
    """A column of a table has content that may be a mistake: infinities, one wild value, or numbers in text."""


class PrecisionWarning(PushforwardWarning):
    """Values were rounded to the precision of the flow's weights by more than they vary."""


class UninitialisedWarning(PushforwardWarning):
    """A flow scores or trains on data before `Flow.initialise` has taken their moments."""


class DegenerateDataWarning(PushforwardWarning):
    """Rows have no density, because a column has few values, one value in many rows, or is determined by others."""


class ReducedFitWarning(PushforwardWarning):
    """A fit leaves out rows, or members of a model of many columns, because they are too many."""
