"""Hints: the kind of a column in a word with arguments, as ``period:0:360`` or ``atoms:0,-999``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pushforward.error_messages import did_you_mean
from pushforward.errors import OptionError

# Each word and the form of its arguments.
FORMS = {
    "real": "real",
    "positive": "positive",
    "bounded": "bounded:LOW:HIGH",
    "integer": "integer",
    "category": "category",
    "atoms": "atoms:VALUE,VALUE",
    "period": "period:LOW:HIGH",
    "date": "date",
    "id": "id",
    "index": "index",
    "weight": "weight",
    "ignore": "ignore",
}
_SYNONYMS = {
    "count": "integer",
    "periodic": "period",
    "boolean": "category",
    "time": "date",
    "float": "real",
    "continuous": "real",
    "categorical": "category",
    "ignored": "ignore",
}
# A column has room for more, such as infinities.
_MOST_ATOMS = 100


@dataclass(frozen=True)
class Hint:
    """A kind that the user gave. word: one of `FORMS`, empty if only atoms were given. low, high: of an interval."""

    word: str = ""
    low: float | None = None
    high: float | None = None
    atoms: tuple[float, ...] = ()
    text: str = ""


def parse_hint(column: str, text: str) -> Hint:
    """The hint in ``text``; atoms may be joined to another kind, as in ``positive+atoms:0``.

    Raises OptionError for an unknown word or wrong arguments.

    >>> parse_hint("angle", "period:0:360").high
    360.0
    >>> parse_hint("rain", "positive+atoms:0").atoms
    (0.0,)
    """
    hint = Hint(text=text)
    for part in str(text).split("+atoms", 1) if "+atoms" in str(text) else [str(text)]:
        word, *arguments = (f"atoms{part}" if part.startswith(":") else part).split(":")
        hint = _joined(column, hint, word.strip().lower(), arguments)
    return hint


def _joined(column: str, hint: Hint, word: str, arguments: Sequence[str]) -> Hint:
    word = _SYNONYMS.get(word, word)
    if word not in FORMS:
        known = [*FORMS, *_SYNONYMS]
        advice = did_you_mean(word, known) or f"expected one of {', '.join(FORMS.values())}"
        raise OptionError(f"column {column!r}: unknown kind {word!r}; {advice}")
    expected = FORMS[word].split(":")[1:]
    if len(arguments) != len(expected):
        raise OptionError(f"column {column!r}: {FORMS[word]} expected, got {':'.join([word, *arguments])!r}")
    if word == "atoms":
        atoms = tuple(_number(column, word, value) for value in arguments[0].split(","))
        if len(atoms) > _MOST_ATOMS:
            raise OptionError(f"column {column!r}: at most {_MOST_ATOMS} atoms expected, got {len(atoms)}")
        return Hint(hint.word, hint.low, hint.high, atoms, hint.text)
    if not arguments:
        return Hint(word, 0.0 if word == "positive" else None, None, hint.atoms, hint.text)
    open_ends = word == "bounded"
    low, high = (None if open_ends and not a.strip() else _number(column, word, a) for a in arguments)
    bounds = [bound for bound in (low, high) if bound is not None]
    if not bounds or not np.isfinite(bounds).all() or (low is not None and high is not None and not low < high):
        raise OptionError(f"column {column!r}: {FORMS[word]} with LOW below HIGH expected, got {':'.join(arguments)!r}")
    return Hint(word, low, high, hint.atoms, hint.text)


def _number(column: str, word: str, text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = np.nan
    if np.isnan(number):
        raise OptionError(f"column {column!r}: {FORMS[word]} with numbers expected, got {text.strip()!r}")
    return number


def parse_hints(kinds: Mapping[str, str] | None, columns: Sequence[str]) -> dict[str, Hint]:
    """The hints by column. Raises OptionError for a column that is not there, or for two columns of weights."""
    hints = {}
    for name, text in (kinds or {}).items():
        if name not in columns:
            listed = ", ".join(columns[:10]) + (", ..." if len(columns) > 10 else "")
            raise OptionError(
                f"kinds: there is no column {name!r}; {did_you_mean(name, columns) or f'there are {listed}'}"
            )
        hints[name] = parse_hint(name, text)
    weights = [name for name, hint in hints.items() if hint.word == "weight"]
    if len(weights) > 1:
        raise OptionError(f"kinds: one column of weights expected, got {', '.join(weights)}")
    return hints


def parse_assignments(given: Sequence[str]) -> dict[str, str]:
    """Hints by column from words like ``angle=period:0:360``, as on the command line."""
    kinds: dict[str, str] = {}
    for text in given:
        name, equals, kind = text.rpartition("=")
        if not equals or not name:
            raise OptionError(f"COLUMN=KIND expected, such as angle=period:0:360, got {text!r}")
        if name in kinds:
            raise OptionError(f"column {name!r} has two kinds, {kinds[name]} and {kind}")
        kinds[name] = kind
    return kinds
