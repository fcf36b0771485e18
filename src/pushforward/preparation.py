"""How data are read: the rows and columns to take, and the changes to images. This module imports nothing heavy.

An option of reading is written once, as a field of `Preparation`. The command line, run files and saved models take
their options of reading from its fields.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any, ClassVar

from pushforward.error_messages import did_you_mean
from pushforward.errors import OptionError

COLUMNS_HELP = "columns of the table to model: a,b,c (quoted as in CSV where needed)."
CONTEXT_HELP = "columns of the table to condition on: a,b,c."

_MAX_SIDE = 1 << 15


_KINDS = {"image": ("images", "an image data set"), "table": ("tables", "a table")}


def _option(default: Any, help: str, kind: str | None = None) -> Any:
    """A field with the sentence that the command line shows, and the only kind of data that it is for."""
    return field(default=default, metadata={"help": help, "kind": kind})


@dataclass(frozen=True)
class Preparation:
    """Options of reading a data set; the default of each does not change the data.

    Images are cropped first, then resized, turned grey, and reduced to their leading bits. A crop is (top, bottom,
    left, right) in pixels, as in ``image[top:bottom, left:right]``. ``resize=n`` scales the largest centred square to
    n x n pixels, rounded to whole numbers. Grey is ITU-R 601 luma.

    Raises OptionError if a value is out of range, or labels and context columns are both asked for.

    >>> from pushforward import data
    >>> data.load("digits", data.Preparation(limit=50)).x.shape
    (50, 1, 8, 8)
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    test: str | None = _option(None, "file of test rows; default: the published ones, else a tenth.")
    columns: tuple[str, ...] | None = _option(None, COLUMNS_HELP, "table")
    context: tuple[str, ...] | None = _option(None, CONTEXT_HELP, "table")
    labels: bool = _option(False, "condition on the class labels of the data.")
    bits: int | None = _option(None, "images: keep the leading bits only, 5 for example.", "image")
    resize: int | None = _option(None, "images: pixels a side after scaling.", "image")
    crop: tuple[int, int, int, int] | None = _option(
        None, "images: rows and columns kept: TOP BOTTOM LEFT RIGHT.", "image"
    )
    grey: bool = _option(False, "images: one channel.", "image")
    limit: int | None = _option(None, "largest number of rows, drawn by the seed.")

    def __post_init__(self) -> None:
        if self.bits is not None and not 1 <= self.bits <= 8:
            raise OptionError(f"bits: 1 to 8 expected, got {self.bits}")
        if self.limit is not None and self.limit < 1:
            raise OptionError(f"limit: a positive number of rows expected, got {self.limit}")
        if self.resize is not None and not 1 <= self.resize <= _MAX_SIDE:
            raise OptionError(f"resize: a size of 1 to {_MAX_SIDE} pixels expected, got {self.resize}")
        if self.crop is not None:
            top, bottom, left, right = self.crop
            if not (0 <= top < bottom and 0 <= left < right):
                raise OptionError(
                    f"crop: top, bottom, left, right with 0 <= top < bottom and 0 <= left < right expected, "
                    f"got {self.crop}"
                )
        if self.labels and self.context:
            raise OptionError("labels and context: a flow is conditional on one of the two; leave one out")

    @classmethod
    def of(cls, options: dict[str, Any]) -> Preparation:
        """The preparation with these options, lists for tuples; raises OptionError for an unknown name."""
        known = [option.name for option in fields(cls)]
        for name in options:
            if name not in known:
                hint = did_you_mean(name, known) or f"it has {', '.join(known)}"
                raise OptionError(f"reading data has no option {name!r}; {hint}")
        values: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in options.items()}
        return cls(**values)

    def require_suited(self, name: str, kind: str) -> None:
        """Raise OptionError if one of the options that were given is not for the data ``name``, of this kind."""
        for option in fields(self):
            wanted = option.metadata["kind"]
            if wanted not in (None, kind) and getattr(self, option.name) != option.default:
                raise OptionError(
                    f"{option.name}: this option is for {_KINDS[wanted][0]}, but {name} is {_KINDS[kind][1]}"
                )

    @property
    def changes_pixels(self) -> bool:
        """Whether images are cropped, resized or turned grey."""
        return self.crop is not None or self.resize is not None or self.grey
