"""Splits of rows into training, validation and test parts."""

import json
from dataclasses import dataclass

import numpy as np

from pushforward.data.dataset import DataSet
from pushforward.errors import DataError

_PARTS = ("train", "validation", "test")


@dataclass(frozen=True, eq=False)
class Split:
    """Row indices (int64, ascending) of the three parts; no row is in two of them.

    >>> from pushforward import data
    >>> rows = data.split(data.load("two-moons", limit=100), seed=0)
    >>> len(rows.train), len(rows.validation), len(rows.test)
    (80, 10, 10)
    """

    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray

    @property
    def parts(self) -> dict[str, np.ndarray]:
        """The three parts by name."""
        return {"train": self.train, "validation": self.validation, "test": self.test}

    def to_json(self) -> str:
        """The three lists as a JSON object."""
        return json.dumps({part: rows.tolist() for part, rows in self.parts.items()})

    @classmethod
    def from_json(cls, text: str) -> "Split":
        """The split in the output of `to_json`.

        Raises:
            DataError: if it is not such an object, or a row is in two parts.
        """
        try:
            lists = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise DataError(f"split: invalid JSON ({error})") from error
        if not isinstance(lists, dict) or set(lists) != set(_PARTS):
            raise DataError(f"split: an object with the lists {', '.join(_PARTS)} expected")
        parts = {part: _indices(part, lists[part]) for part in _PARTS}
        together = np.concatenate(list(parts.values()))
        if len(np.unique(together)) != len(together):
            raise DataError("split: a row is named more than once; every row belongs to one part only")
        return cls(**parts)


def _indices(part: str, values: object) -> np.ndarray:
    if not isinstance(values, list) or not all(type(v) is int and 0 <= v < 2**63 for v in values):
        raise DataError(f"split: {part} must be a list of row numbers, 0 or above")
    return np.asarray(values, dtype=np.int64)


def split(data: DataSet, seed: int = 0) -> Split:
    """Split the rows of `data` into training, validation and test parts; every row is in exactly one.

    A published test part is the test part, and a random tenth of the other rows is the validation part. Without a
    published test part, the rows are split at random 80/10/10. `seed` determines the random choice.

    Raises: DataError: with fewer than ten rows to split.

    >>> from pushforward import data
    >>> rows = data.split(data.load("two-moons", limit=100), seed=0)
    >>> list(rows.parts)
    ['train', 'validation', 'test']
    """
    if data.test_rows is None:
        return random_split(len(data), seed, data.name)
    order = np.random.default_rng(seed).permutation(len(data))
    published = np.isin(order, data.test_rows)
    test, rest = order[published], order[~published]
    _require_rows(len(rest), f"{data.name} has, without its published test part,")
    return _split(rest, test, max(1, round(0.1 * len(rest))))


def random_split(rows: int, seed: int, name: str) -> Split:
    """A random 80/10/10 split of ``rows`` rows, determined by ``seed``.

    Raises: DataError: with fewer than ten rows; the message has `name`.
    """
    _require_rows(rows, f"{name} has")
    order = np.random.default_rng(seed).permutation(rows)
    tenth = max(1, round(0.1 * rows))
    return _split(order[tenth:], order[:tenth], tenth)


def _split(rest: np.ndarray, test: np.ndarray, validation: int) -> Split:
    parts = (rest[validation:], rest[:validation], test)
    return Split(*(np.sort(part).astype(np.int64) for part in parts))


def _require_rows(rows: int, owner: str) -> None:
    if rows < 10:
        raise DataError(
            f"{owner} {rows} rows: at least 10 are needed for a split into training, validation and test rows"
        )
