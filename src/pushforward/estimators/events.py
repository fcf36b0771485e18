"""Events as expressions over the columns of a table, such as ``income > 100000 and region in ("north", "east")``."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow
import pyarrow.compute as compute

from pushforward.array_types import Array
from pushforward.error_messages import advice_on
from pushforward.errors import OptionError
from pushforward.estimators.columns.arrow_types import flags, is_text, is_time

_COMPARISONS: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Lt: compute.less,
    ast.LtE: compute.less_equal,
    ast.Gt: compute.greater,
    ast.GtE: compute.greater_equal,
    ast.Eq: compute.equal,
    ast.NotEq: compute.not_equal,
}
_ARITHMETIC: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: compute.add,
    ast.Sub: compute.subtract,
    ast.Mult: compute.multiply,
    ast.Div: compute.divide,
}
_FORM = 'comparisons of columns and constants with and, or, not, in, +, -, * and /, such as "income > 100000"'
_LONGEST = 10_000
_QUOTED, _ASSIGNMENT = re.compile(r"'[^']*'|\"[^\"]*\""), re.compile(r"(?<![<>=!])=(?!=)")


class Event:
    """A condition on a row: ``Event("age >= 18 and not sold")``.

    Columns whose names are no Python names are written as ``col("hours per week")``. Comparisons with a gap are false,
    and their negations true: ``not x > 0`` also holds where x has a gap, which ``x <= 0`` does not. ``x is None`` asks
    for gaps.

    >>> import pyarrow
    >>> Event("x > 1 and y in ('a', 'b')").holds({"x": pyarrow.array([0.0, 2.0]), "y": pyarrow.array(["a", "b"])})
    array([False,  True])
    """

    def __init__(self, text: str) -> None:
        self.text = text
        if len(text) > _LONGEST:
            raise OptionError(f"an event of at most {_LONGEST:,} characters expected, got {len(text):,}")
        try:
            self._tree = ast.parse(text.strip(), mode="eval").body
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            advice = "write == instead of =" if _ASSIGNMENT.search(_QUOTED.sub("", text)) else f"{_FORM} expected"
            raise OptionError(f"event {text[:100]!r} cannot be read; {advice}") from None

    def holds(self, columns: Mapping[str, Any], labels: Mapping[str, Sequence[str]] | None = None) -> Array:
        """``(N,)`` bool: in which rows of Arrow arrays by name the event happens.

        labels: all texts that a column can hold, by its name. Raises OptionError for an event that asks for another.
        """
        return _Evaluation(self.text, columns, labels or {}).flags(self._tree)


class _Evaluation:
    """The values of the parts of one expression. A walk over a closed set of kinds of nodes: nothing is executed."""

    def __init__(self, text: str, columns: Mapping[str, Any], labels: Mapping[str, Sequence[str]]) -> None:
        self.text, self.columns, self.labels = text, columns, labels
        self.rows = len(next(iter(columns.values()))) if columns else 0

    def flags(self, node: ast.expr) -> Array:
        match node:
            case ast.BoolOp(op=ast.And(), values=parts):
                return np.asarray(np.all([self.flags(part) for part in parts], axis=0))
            case ast.BoolOp(op=ast.Or(), values=parts):
                return np.asarray(np.any([self.flags(part) for part in parts], axis=0))
            case ast.UnaryOp(op=ast.Not(), operand=part):
                return ~self.flags(part)
            case ast.Compare(left=left, ops=operators, comparators=others):
                pairs = zip([left, *others[:-1]], operators, others, strict=True)
                return np.asarray(np.all([self._compared(*pair) for pair in pairs], axis=0))
        value = self.value(node)
        if not pyarrow.types.is_boolean(value.type):
            raise self._refusal(f"{ast.unparse(node)} is no condition")
        return self._broadcast(value)

    def _compared(self, left: ast.expr, operator: ast.cmpop, right: ast.expr) -> Array:
        match operator, right:
            case ((ast.Is() | ast.IsNot()), ast.Constant(value=None)):
                missing = self._broadcast(compute.is_null(self.value(left), nan_is_null=True))
                return ~missing if isinstance(operator, ast.IsNot) else missing
            case ((ast.In() | ast.NotIn()), (ast.Tuple(elts=labels) | ast.List(elts=labels) | ast.Set(elts=labels))):
                if not labels:
                    raise self._refusal("a list of values without any")
                inside = np.any([self._compared(left, ast.Eq(), label) for label in labels], axis=0)
                present = ~self._compared(left, ast.Is(), ast.Constant(value=None))
                return np.asarray(~inside & present if isinstance(operator, ast.NotIn) else inside)
        function = _COMPARISONS.get(type(operator))
        if function is None:
            raise self._refusal(f"{ast.unparse(right)} follows an operator that is not known here")
        first, second = _of_one_type(self.value(left), self.value(right))
        if isinstance(operator, (ast.Eq, ast.NotEq)):
            self._require_label(left, right)
            self._require_label(right, left)
        try:
            return self._broadcast(function(first, second))
        except (pyarrow.ArrowInvalid, pyarrow.ArrowNotImplementedError):
            raise self._refusal(
                f"{ast.unparse(left)} ({first.type}) and {ast.unparse(right)} ({second.type}) cannot be compared"
            ) from None

    def value(self, node: ast.expr) -> Any:
        """An Arrow array or scalar."""
        match node:
            case ast.Constant(value=bool() | int() | float() | str() as constant):
                return pyarrow.scalar(constant)
            case ast.UnaryOp(op=ast.USub(), operand=part):
                return self._computed(compute.negate, node, part)
            case ast.BinOp(left=left, op=operator, right=right) if type(operator) in _ARITHMETIC:
                return self._computed(_ARITHMETIC[type(operator)], node, left, right)
        name = _column_name(node)
        if name is not None:
            return self._column(name)
        raise self._refusal(f"{ast.unparse(node)[:60]} is not known here")

    def _computed(self, function: Callable[..., Any], node: ast.expr, *parts: ast.expr) -> Any:
        values = [self.value(part) for part in parts]
        try:
            return function(*(_number(value) for value in values))
        except (pyarrow.ArrowInvalid, pyarrow.ArrowNotImplementedError):
            raise self._refusal(f"{ast.unparse(node)[:60]} takes numbers") from None

    def _column(self, name: str) -> Any:
        if name not in self.columns:
            of_label = (column for column, labels in self.labels.items() if name in labels)
            if column := next(of_label, None):
                raise self._refusal(f"{name!r} is a label of column {column!r}: write it in quotes", form="")
            raise self._refusal(f"there is no column {name!r}; {advice_on(name, list(self.columns))}", form="")
        array = self.columns[name]
        return array.dictionary_decode() if pyarrow.types.is_dictionary(array.type) else array

    def _require_label(self, column: ast.expr, constant: ast.expr) -> None:
        """Raise OptionError where a column is compared to a text that it never holds."""
        match constant:
            case ast.Constant(value=str() as label):
                name = _column_name(column)
                labels = self.labels.get(name or "", ())
                if labels and label not in labels:
                    raise self._refusal(f"column {name!r} has no label {label!r}; {advice_on(label, labels)}", form="")

    def _broadcast(self, value: Any) -> Array:
        """A bool for each row; false for null."""
        if isinstance(value, pyarrow.Scalar):
            return np.full(self.rows, bool(value.as_py()))
        return flags(value.fill_null(False))

    def _refusal(self, reason: str, form: str = f"; {_FORM} expected") -> OptionError:
        return OptionError(f"event {self.text[:100]!r}: {reason}{form}")


def _column_name(node: ast.expr) -> str | None:
    """The name of the column that a node stands for; None for any other node."""
    match node:
        case (
            ast.Name(id=name) | ast.Call(func=ast.Name(id="col"), args=[ast.Constant(value=str() as name)], keywords=[])
        ):
            return name
    return None


def _number(value: Any) -> Any:
    """Numbers in float64, so that integers do not overflow or divide as integers."""
    return value.cast(pyarrow.float64()) if not is_text(value.type) and not is_time(value.type) else value


def _of_one_type(first: Any, second: Any) -> tuple[Any, Any]:
    """Both sides of a comparison; text of a date takes the type of the other side."""
    if is_text(first.type) and is_time(second.type):
        return _as_time(first, second.type), second
    if is_text(second.type) and is_time(first.type):
        return first, _as_time(second, first.type)
    return first, second


def _as_time(text: Any, arrow: Any) -> Any:
    try:
        return text.cast(arrow)
    except pyarrow.ArrowInvalid:
        raise OptionError(f"{text} is no date of type {arrow}") from None
