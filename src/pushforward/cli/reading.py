"""Reading of data for a saved model: the same columns, image size and levels as in its fit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch

from pushforward.cli.parameters import DataSource
from pushforward.cli.progress import tell
from pushforward.data import DataSet, load
from pushforward.data.header import read_header
from pushforward.data.loading import reduce_bits, with_test
from pushforward.domain_values import wrap
from pushforward.errors import DataError, PushforwardError
from pushforward.flow import Flow
from pushforward.preparation import Preparation
from pushforward.storage import DataConfig, SavedModel


def read_for(
    model: SavedModel,
    name: str,
    source: DataSource = DataSource(),  # noqa: B008 - frozen
    *,
    as_fitted: bool = False,
    test: str | None = None,
) -> DataSet:
    """The data ``name`` as the model takes them.

    Columns are found by name, in any order; the columns of ``source`` replace them, in the model's order. as_fitted: if
    these are the data of the fit, exactly its rows (the same draw, the same test file); otherwise all rows. test: a
    file with further rows, which become the test part. Raises DataError for data that do not match the model.
    """
    config = model.config.data
    if config is None:
        chosen = Preparation(columns=source.columns, context=source.context)
        data = load(name, _with_model_columns(model, name, chosen), data_dir=source.data_dir)
        tell_columns(data)
    else:
        limit, seed = (config.preparation.limit, config.seed) if as_fitted else (None, 0)
        read = _read_images if config.kind == "image" else _read_table
        data = read(model, config, name, source, limit, seed)
        if as_fitted and test is None and data.name == config.name:
            test = config.preparation.test
    if test is not None:
        data = with_test(data, read_for(model, test, source))
    _require_labels(model, data)
    return wrap_periods(model.flow, data)


def _read_images(
    model: SavedModel, config: DataConfig, name: str, source: DataSource, limit: int | None, seed: int
) -> DataSet:
    """Images of the model's size unchanged; other images prepared like those of the fit."""
    shape, bits = model.flow.event_shape, config.preparation.bits
    unchanged = Preparation(limit=limit)
    prepared = replace(config.preparation, bits=None, labels=False, test=None, limit=limit)
    try:
        data = load(name, unchanged, data_dir=source.data_dir, seed=seed)
        fits = data.event_shape == shape
    except PushforwardError:
        # A folder of images of several sizes can only be read if they are resized to one size.
        if prepared == unchanged:
            raise
        fits = False
    if not fits:
        data = load(name, prepared, data_dir=source.data_dir, seed=seed)
    if data.kind != "image":
        raise DataError(f"{data.name} is a table, but the model takes images of shape {shape}")
    if data.event_shape != shape:
        raise DataError(f"{data.name} has images of shape {data.event_shape}, but the model takes {shape}")
    if bits is not None and data.levels == 256:
        data = reduce_bits(data, bits)
    return data if config.levels is None else data.with_levels(config.levels)


def _read_table(
    model: SavedModel, config: DataConfig, name: str, source: DataSource, limit: int | None, seed: int
) -> DataSet:
    """A table with the model's columns in the model's order, under the model's names."""
    columns, context = columns_for(config, name, source)
    chosen = Preparation(columns=columns, context=context or None, limit=limit)
    data = load(name, chosen, data_dir=source.data_dir, seed=seed)
    ours = config.columns or ()
    if data.kind != "table":
        raise DataError(f"{data.name} are images, but the model takes rows with the columns {', '.join(ours)}")
    require_width(config, data.name, len(data.columns or ()))
    tell_booleans(data.name, data.booleans)
    return replace(data, columns=ours, context_columns=config.context_columns)


def columns_for(
    config: DataConfig, name: str, source: DataSource
) -> tuple[tuple[str, ...] | None, tuple[str, ...] | None]:
    """The columns of the data and of the context in a table for a model; None for all. Raises DataError."""
    ours, conditions = config.columns or (), config.context_columns or ()
    columns, context = source.columns, source.context
    if columns is None and context is None:
        columns, context = _columns_of(name, ours, conditions, config.left_out)
    for option, given, wanted in (("columns", source.columns, ours), ("context", source.context, conditions)):
        if given is not None and len(given) != len(wanted):
            raise DataError(f"{option}: {len(wanted)} names expected, for {', '.join(wanted)}, got {len(given)}")
    return columns, context


def require_width(config: DataConfig, name: str, width: int) -> None:
    """Raise DataError unless a table has as many columns as the model takes."""
    ours = config.columns or ()
    if width != len(ours):
        raise DataError(f"{name} has {width} columns, but the model takes {len(ours)}: {_listed(ours)}")


def _columns_of(
    name: str, ours: tuple[str, ...], conditions: tuple[str, ...], left_out: tuple[str, ...]
) -> tuple[tuple[str, ...] | None, tuple[str, ...] | None]:
    """Which of the file's columns are the model's; all of them, by position, where the file names none.

    left_out: columns of the data that the model was fitted to which only numbered the rows.
    """
    header, wanted = read_header(name), [*ours, *conditions]
    if header is None:
        return None, None
    names = header.names
    if not header.named:
        same_table = set(names) in (set(wanted), {*wanted, *left_out})
        return (ours, conditions) if same_table else (names, None)
    missing = [column for column in wanted if column not in names]
    extra = [column for column in names if column not in wanted]
    if missing:
        others = f"; columns that the model does not know are {_listed(extra)}" if extra else ""
        raise DataError(
            f"{name}: the model's columns {_listed(missing)} are missing{others}; if they have other names, "
            "give these with --columns, in the model's order"
        )
    if extra:
        tell(f"note: {name} has columns that the model does not know; they are ignored: {_listed(extra)}")
    return ours, conditions


def _with_model_columns(model: SavedModel, name: str, chosen: Preparation) -> Preparation:
    """A preparation with all columns, row numbers included, if the model has so many and none are chosen."""
    header = read_header(name) if chosen.columns is None and chosen.context is None else None
    if header is None or (len(header.names),) != model.flow.event_shape:
        return chosen
    return replace(chosen, columns=header.names)


def wrap_periods(flow: Flow, data: DataSet) -> DataSet:
    """Data with the values of periods that wrap as the flow takes them, so that all that is shown agrees with it."""
    domain = flow.transform.domain
    if not domain.wraps or data.event_shape != flow.event_shape:
        return data
    return replace(data, x=wrap(domain, torch.from_numpy(data.x)).numpy())


def tell_columns(data: DataSet) -> None:
    """Print notes on columns that were excluded because they only number the rows, and on truth values."""
    tell_booleans(data.name, data.booleans)
    if data.left_out:
        one = len(data.left_out) == 1
        tell(
            f"note: {_listed(data.left_out)} of {data.name} only {'numbers' if one else 'number'} the rows and "
            f"{'is' if one else 'are'} ignored; name {'it' if one else 'them'} with --columns to model "
            f"{'it' if one else 'them'} nevertheless"
        )


def tell_booleans(name: str, booleans: Sequence[str]) -> None:
    """Print a note on columns of truth values."""
    if booleans:
        tell(f"note: {_listed(booleans)} of {name} hold truth values, which are read as 0 and 1")


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:8])
    return shown if len(names) <= 8 else f"{shown} and {len(names) - 8} more"


def _require_labels(model: SavedModel, data: DataSet) -> None:
    """Raise DataError for missing labels or for labels outside the embedding of the model."""
    embedding = model.flow.embedding
    if embedding is None:
        return
    if data.labels is None:
        raise DataError(f"{data.name}: the model is conditional on class labels, and these data have none")
    if data.labels.size and not 0 <= data.labels.min() <= data.labels.max() < embedding.num_embeddings:
        raise DataError(
            f"{data.name}: labels 0 to {embedding.num_embeddings - 1} expected, got {data.labels.min()} to "
            f"{data.labels.max()}"
        )
