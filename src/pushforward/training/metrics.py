"""The record of a run: one JSON object a validation round, in memory and in `metrics.jsonl`."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from pushforward.atomic_files import require_place


class Metrics:
    """The metrics of a run. Given a directory, it writes each entry to ``metrics.jsonl`` there at once.

    An entry has:

    - ``step``, ``epoch``, ``seconds`` since the start, validation included;
    - ``train`` (mean over the steps since the last entry), ``validation``, its ``standard_error``, ``best`` so far, all
      in ``unit``: "bits/dim", lower is better, or "nats", the mean log-likelihood, higher is better; ``improved``;
    - ``train_loss`` and ``validation_nats``: the first two as a loss in nats and as a log-likelihood in nats;
    - ``kind`` of the validation value; the ``dequantisation`` that makes it a bound and the ``estimator`` that makes it
      an estimate (null for none); the number ``validation_rows`` of rows that it averages, out of ``validation_total``;
      and whether the weights were ``averaged``;
    - ``lr``, ``gradient_norm`` (mean), ``rows_per_second`` of training, ``skipped`` (non-finite steps so far).

    A value that is not finite or not known is null; the training values are null in the entry of step 0.
    """

    def __init__(self, directory: Path | None) -> None:
        self.history: list[dict[str, Any]] = []
        self._file = None
        if directory is not None:
            require_place(directory / "metrics.jsonl")
            directory.mkdir(parents=True, exist_ok=True)
            self._file = (directory / "metrics.jsonl").open("w", encoding="utf-8")

    def add(self, entry: dict[str, Any]) -> None:
        """Add an entry and write it at once."""
        entry = {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in entry.items()}
        self.history.append(entry)
        if self._file is not None:
            self._file.write(json.dumps(entry, allow_nan=False) + "\n")
            self._file.flush()

    def close(self) -> None:
        """Close the file, if there is one."""
        if self._file is not None:
            self._file.close()
