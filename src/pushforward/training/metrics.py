"""The record of a run: one JSON object a validation round, in memory and in `metrics.jsonl`."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any


class Metrics:
    """Collects the entries and, given a directory, writes each to ``metrics.jsonl`` there as soon as it is known.

    An entry has ``step``, ``epoch``, ``seconds``; ``train`` (mean over the steps since the last entry) and
    ``validation``, ``standard_error``, ``best`` (so far), ``improved``, all in ``unit``: "bits/dim", lower is better, or "nats",
    the mean log-likelihood, higher is better; ``train_loss`` and ``validation_nats``, the same two as a
    loss in nats and as a log-likelihood in nats; ``kind`` of the validation value; ``validation_rows`` of ``validation_total``;
    ``averaged``, whether the weights were; ``lr``, ``gradient_norm`` (mean), ``rows_per_second`` of training,
    ``skipped`` (non-finite steps so far). What is not finite or not known is null.
    """

    def __init__(self, directory: Path | None) -> None:
        self.history: list[dict[str, Any]] = []
        self._file = None
        if directory is not None:
            directory.mkdir(parents=True, exist_ok=True)
            self._file = (directory / "metrics.jsonl").open("w", encoding="utf-8")

    def add(self, entry: dict[str, Any]) -> None:
        """Take in an entry, and write it out at once."""
        entry = {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in entry.items()}
        self.history.append(entry)
        if self._file is not None:
            self._file.write(json.dumps(entry, allow_nan=False) + "\n")
            self._file.flush()

    def close(self) -> None:
        """Close the file, if there is one."""
        if self._file is not None:
            self._file.close()
