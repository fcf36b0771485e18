"""Facts about the data of a report: name, kind, columns, source."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from pushforward.data.dataset import DataSet
from pushforward.data.toys import TOYS
from pushforward.errors import OptionError
from pushforward.flow import Flow
from pushforward.rows import Rows


@dataclass(frozen=True)
class DataFacts:
    """Metadata of the data of a report.

    kind: images ``(C, H, W)`` are shown as pictures; events of any other shape are a table of their D values. rows:
    their number in all parts. levels: of integer values. columns: names of the D values of a table. toy: name of the
    toy whose density the rows were drawn from. notes: sentences for the head of the page.
    """

    name: str
    kind: Literal["image", "table"]
    rows: int
    levels: int | None = None
    columns: tuple[str, ...] | None = None
    context_columns: tuple[str, ...] | None = None
    source: str = ""
    fingerprint: str | None = None
    toy: str | None = None
    notes: tuple[str, ...] = ()


def facts_of(flow: Flow, parts: Mapping[str, Rows], name: str, columns: Sequence[str] | None) -> DataFacts:
    """The facts of rows in memory; columns without names are x0, x1, ... Raises OptionError for a wrong number."""
    domain, size = flow.transform.domain, math.prod(flow.event_shape)
    levels = int(domain.high) + 1 if domain.kind == "integers" else None
    rows = sum(len(part) for part in parts.values())
    if len(flow.event_shape) == 3:
        return DataFacts(name, "image", rows, levels)
    if columns is not None and len(columns) != size:
        raise OptionError(f"columns: {size} names expected, got {len(columns)}")
    names = tuple(f"x{i}" for i in range(size)) if columns is None else tuple(columns)
    return DataFacts(name, "table", rows, levels, names)


def facts_of_data_set(data: DataSet, notes: Sequence[str] = ()) -> DataFacts:
    """The facts of a data set."""
    toy = data.name in TOYS and data.columns == ("x", "y") and data.context is None
    return DataFacts(
        name=data.name,
        kind=data.kind,
        rows=len(data),
        levels=data.levels,
        columns=data.columns,
        context_columns=data.context_columns,
        source=data.source,
        fingerprint=data.fingerprint,
        toy=data.name if toy else None,
        notes=tuple(notes),
    )
