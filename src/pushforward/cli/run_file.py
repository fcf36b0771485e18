"""Options of `pushforward fit`, from a TOML file and from the command line, which has priority."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, cast, get_args, get_origin

from cyclopts import Group, Parameter

from pushforward import presets
from pushforward.cli.parameters import COMMAND_LINE_ONLY, DATA, DataDir, Force, Running
from pushforward.error_messages import did_you_mean, first_problem
from pushforward.errors import OptionError
from pushforward.preparation import Preparation
from pushforward.presets.preset import run_values

MODEL = Group("Model and training", sort_key=0)

_MAX_FILE = 1 << 20
LIMITS = ("minutes", "epochs", "steps")
_Options = TypeVar("_Options")


@Parameter(name="*", group=MODEL)
@dataclass(frozen=True)
class Run:
    """All options of `fit`. An option is written once, here or in `Preparation` or `Running`, for the command line and
    for a run file, which has the same names, options of the flow in a table ``[option]`` and of the training in a table
    ``[training]``. An option at its default was not given. Paths are relative to where the command runs.
    """

    data: Annotated[str | None, Parameter(parse=False)] = None
    option: Annotated[dict[str, Any], Parameter(parse=False)] = field(default_factory=dict)
    training: Annotated[dict[str, Any], Parameter(parse=False)] = field(default_factory=dict)
    kind: Annotated[dict[str, str], Parameter(parse=False)] = field(default_factory=dict)
    target: Annotated[tuple[str, ...] | None, Parameter(parse=False)] = None

    out: Annotated[Path | None, Parameter(help="folder to save the model in; must be empty.")] = None
    force: Force = False
    flow: Annotated[
        str | None,
        Parameter(
            help="architecture of a plain flow (see `pushforward flows`); default nsf_ar for tables, real_nvp for "
            "images."
        ),
    ] = None
    preset: Annotated[
        str | None,
        Parameter(
            help=f"a published model and its training: {', '.join(presets.names())}; other options have priority."
        ),
    ] = None
    minutes: Annotated[float | None, Parameter(help="limit of training, in minutes.")] = None
    epochs: Annotated[float | None, Parameter(help="limit of training, in passes over the rows.")] = None
    steps: Annotated[int | None, Parameter(help="limit of training, in steps.")] = None
    report: Annotated[
        bool | None, Parameter(negative="--no-report", help="make the report at the end (the default).")
    ] = None

    weight: Annotated[
        str | None, Parameter(group=DATA, help="model of a table: the column with the weights of the rows.")
    ] = None
    max_rows: Annotated[
        int | None,
        Parameter(
            group=DATA,
            help="model of a table: rows held in memory; of a larger file a random part is fitted. Default: as many as "
            "have 24 million cells.",
        ),
    ] = None
    preparation: Annotated[Preparation, Parameter(name="*", group=DATA, show_default=False)] = field(
        default_factory=Preparation
    )
    data_dir: DataDir = None
    running: Running = field(default_factory=Running)

    def over(self, file: Path | None) -> Run:
        """The run of the ``file`` with the options given here over its own, and both over those of the preset that
        either names. Tables are joined name by name.

        Raises OptionError for a file that cannot be read, an unknown name, or a value of the wrong kind.
        """
        values = {} if file is None else _read(file)
        known = [name for name, _ in _flat(Run()) if name not in COMMAND_LINE_ONLY]
        for name in values:
            if name not in known:
                hint = did_you_mean(name, known) or f"expected one of {', '.join(known)}"
                raise OptionError(f"{file}: {name!r} is not known; {hint}")
        values = _joined(values, self.given)
        preset = values.get("preset")
        return _validated(Run(), _joined(run_values(preset), values) if isinstance(preset, str) else values)

    def required(self) -> tuple[str, Path]:
        """The data and the folder of the model; raises OptionError for the one that was not given."""
        if self.data is None or self.out is None:
            missing = "DATA" if self.data is None else "--out DIR"
            raise OptionError(f"{missing} is missing: name it on the command line or in a run file")
        return self.data, self.out.expanduser()

    @property
    def given(self) -> dict[str, Any]:
        """The options that are not at their defaults, by name."""
        defaults = dict(_flat(Run()))
        return {name: value for name, value in _flat(self) if value != defaults[name]}

    @property
    def training_options(self) -> dict[str, Any]:
        """The options of the training that were given: those in ``training``, the limits and the seed."""
        limits = {name: value for name, value in self.given.items() if name in LIMITS}
        return {"seed": self.running.chosen_seed, **self.training, **limits}


def _joined(values: Mapping[str, Any], winning: Mapping[str, Any]) -> dict[str, Any]:
    """Both by name, of a name in both the winning one; tables are joined likewise."""
    both = dict(values)
    for name, value in winning.items():
        under = values.get(name)
        both[name] = {**under, **value} if isinstance(under, dict) and isinstance(value, dict) else value
    return both


def _flat(options: Any) -> Iterator[tuple[str, Any]]:
    """Name and value of every option, those in groups among them."""
    for option in fields(options):
        value = getattr(options, option.name)
        if is_dataclass(value):
            yield from _flat(value)
        else:
            yield option.name, value


def _validated(defaults: _Options, values: Mapping[str, Any]) -> _Options:
    """Options of the class of ``defaults`` and of its groups, with ``values`` by name for some of them."""
    from pydantic import TypeAdapter, ValidationError

    chosen = {}
    for option in fields(cast(Any, defaults)):
        value = getattr(defaults, option.name)
        if is_dataclass(value):
            chosen[option.name] = _validated(value, values)
        elif option.name in values:
            chosen[option.name] = values[option.name]
    try:
        return TypeAdapter(type(defaults)).validate_python(chosen)
    except ValidationError as error:
        raise OptionError(first_problem(error)) from None


def pairs(given: Sequence[str] | None, flag: str) -> dict[str, Any]:
    """``NAME=VALUE`` words as a dict. A value is JSON, words separated by commas, or text.

    Raises OptionError for a word without "=".
    """
    values: dict[str, Any] = {}
    for word in given or ():
        name, equals, text = word.partition("=")
        name = name.strip().replace("-", "_")
        if not equals or not name:
            raise OptionError(f"{flag}: NAME=VALUE expected, got {word!r}")
        values[name] = _value(text.strip())
    return values


def as_field_values(
    values: dict[str, Any], fields: dict[str, Any], columns: Sequence[str] | None = None
) -> dict[str, Any]:
    """``values`` as the pydantic fields of their names have them: a single value is a list where the field has several,
    the word none is a choice where it is one, and the name of one of ``columns`` is its number.

    Raises OptionError for a column that is not there.
    """
    from pushforward.flows.options import is_coordinate

    chosen = {}
    for name, value in values.items():
        annotation = fields[name].annotation if name in fields else None
        if value is not None and is_coordinate(annotation):
            several = value if isinstance(value, list) else [value]
            if any(get_origin(part) is dict for part in (annotation, *get_args(annotation))):
                value = dict(_ends_of(name, several, columns or ()))
            else:
                value = [_coordinate(name, part, columns or ()) for part in several]
        chosen[name] = _as_field_value(value, annotation)
    return chosen


def _ends_of(option: str, several: list[Any], columns: Sequence[str]) -> Iterator[tuple[Any, Any]]:
    """The column numbers and the ends in mappings, as TOML and JSON have them, or in words ``COLUMN:LOW:HIGH``."""
    for part in several:
        if isinstance(part, dict):
            for name, ends in part.items():
                yield name if name.isdecimal() and name not in columns else _coordinate(option, name, columns), ends
            continue
        name, *ends = str(part).rsplit(":", 2)
        try:
            low, high = (None if end.strip() in ("", "none") else float(end) for end in ends)
        except ValueError:
            raise OptionError(
                f"option {option}: COLUMN:LOW:HIGH expected, such as share:0:1, or price:0: for an open end, "
                f"got {part!r}"
            ) from None
        yield int(name) if name.isdecimal() and name not in columns else _coordinate(option, name, columns), (low, high)


def _coordinate(option: str, value: Any, columns: Sequence[str]) -> Any:
    if not isinstance(value, str):
        return value
    if value in columns:
        return columns.index(value)
    hint = did_you_mean(value, columns) or f"the data have {', '.join(columns[:10])}{', ...' * (len(columns) > 10)}"
    raise OptionError(f"option {option}: there is no column {value!r}; {hint}")


def _as_field_value(value: Any, annotation: Any) -> Any:
    parts = {annotation, *get_args(annotation)}
    if isinstance(value, int | float) and any(get_origin(part) is tuple for part in parts):
        return [value]
    choices = {choice for part in parts if get_origin(part) is Literal for choice in get_args(part)}
    return "none" if value is None and "none" in choices else value


def _value(text: str) -> Any:
    try:
        return None if text in ("none", "None") else json.loads(text)
    except ValueError:
        return [_value(part.strip()) for part in text.split(",")] if "," in text else text


def _read(file: Path) -> dict[str, Any]:
    try:
        if file.stat().st_size > _MAX_FILE:
            raise OptionError(f"{file}: a run file of at most {_MAX_FILE:,} bytes expected")
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise OptionError(f"{file}: the run file cannot be read ({error.strerror})") from None
    except (ValueError, RecursionError) as error:
        raise OptionError(f"{file}: not valid TOML ({error})") from None
