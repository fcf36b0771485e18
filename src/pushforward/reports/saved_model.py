"""The report of a saved model on a data set."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from pushforward.data import DataSet, Split, split
from pushforward.diagnostics import CheckReport
from pushforward.reports.flow_report import report
from pushforward.reports.report_data import facts_of_data_set
from pushforward.reports.report_file import Report
from pushforward.rows import rows_of
from pushforward.storage import SavedModel


def report_saved_model(
    model: SavedModel,
    data: DataSet,
    *,
    history: Sequence[dict[str, Any]] | None = None,
    seed: int = 0,
    check: CheckReport | None = None,
    progress: Callable[[str], None] | None = None,
    max_rows: int = 10_000,
) -> Report:
    """The report (`report`) of a model on ``data``.

    If the model was trained on ``data``, its saved split selects the held-out rows; otherwise a new split is drawn with
    ``seed``. history: entries of ``metrics.jsonl``. Raises DataError or ShapeError if data and model do not match.

    >>> import tempfile
    >>> import torch
    >>> from pushforward import data, flows, storage
    >>> from pushforward.reports import report_saved_model
    >>> moons = data.load("two-moons", limit=200)
    >>> flow = flows.build("nice", event_shape=(2,), hidden=(8,))
    >>> flow.initialise(torch.tensor(moons.x, dtype=torch.float32))
    >>> with tempfile.TemporaryDirectory() as directory:
    ...     storage.save(flow, f"{directory}/model")
    ...     report = report_saved_model(storage.load_model(f"{directory}/model"), moons, max_rows=50)
    >>> report.numbers["likelihood"]["unit"]
    'nats'
    """
    chosen, notes = _split(model, data, seed)
    config = model.config
    train, validation, test = (rows_of(model.flow, data, numbers) for numbers in chosen.parts.values())
    return report(
        model.flow,
        train,
        validation=validation,
        test=test,
        data=facts_of_data_set(data, notes),
        history=history,
        run={
            "training": dict(config.training),
            "trained_with": dict(config.versions),
            "trained_on": None if config.data is None else config.data.model_dump(mode="json"),
        },
        check=check,
        seed=seed,
        max_rows=max_rows,
        progress=progress,
    )


def _split(model: SavedModel, data: DataSet, seed: int) -> tuple[Split, list[str]]:
    """The saved split, or a new one with a note on the reason."""
    trained_on = model.config.data
    same = trained_on is None or trained_on.fingerprint == data.fingerprint
    if model.split is not None and same and all((part < len(data)).all() for part in model.split.parts.values()):
        return model.split, []
    note = f"no split was saved with the model: rows were split with seed {seed}, and may have been used in training"
    if trained_on is not None and not same:
        note = (
            f"these are not the data that the model was trained on ({trained_on.name}): the baselines are fitted to "
            "these, the flow is not"
        )
    return split(data, seed), [note]
