"""The context for sampling or decoding with a conditional model, from the command line."""

from __future__ import annotations

import csv
import os
from collections.abc import Sequence

import numpy as np

from pushforward.array_types import Array
from pushforward.data import load
from pushforward.error_messages import did_you_mean
from pushforward.errors import OptionError
from pushforward.storage import SavedModel


def given_context(model: SavedModel, given: str | None, labels: Sequence[int] | None) -> Array | None:
    """Contexts ``(B, K)`` or labels (B,) from ``--given`` or ``--class``; None for an unconditional model.

    Raises OptionError if a required context is missing, or if an unconditional model gets one.
    """
    flow = model.flow
    if flow.context_shape is None:
        if given is not None or labels is not None:
            raise OptionError(f"this model is not conditional: remove {'--given' if given else '--class'}")
        return None
    if flow.embedding is not None:
        return _labels(flow.embedding.num_embeddings, given, labels)
    names = model.context_names
    if labels is not None or given is None:
        raise OptionError(f"this model is conditional on {', '.join(names)}: set --given {_example(names)}, or a file")
    if not os.path.exists(given):
        if "=" in given:
            return _values(given, names)
        if given.replace(",", "").replace(".", "").replace("-", "").isdigit():
            raise OptionError(f"--given: name=number expected, got {given!r}; write --given {_example(names)}")
    return load(given, columns=names).x


def _labels(classes: int, given: str | None, labels: Sequence[int] | None) -> Array:
    if given is not None or not labels:
        raise OptionError(f"this model is conditional on class labels 0 to {classes - 1}: choose labels with --class")
    if not 0 <= min(labels) <= max(labels) < classes:
        raise OptionError(f"--class: labels 0 to {classes - 1} expected, got {', '.join(map(str, labels))}")
    return np.asarray(labels, dtype=np.int64)


def _example(names: tuple[str, ...]) -> str:
    return ",".join(f"{name}=VALUE" for name in names)


def _values(given: str, names: tuple[str, ...]) -> Array:
    values: dict[str, float] = {}
    for word in next(csv.reader([given], skipinitialspace=True)):
        name, _, text = word.rpartition("=")
        name = name.strip()
        if name not in names:
            hint = did_you_mean(name, names) or f"this model is conditional on {', '.join(names)}"
            missing = "one value per name expected; a file holds several rows" if not name else f"no context {name!r}"
            raise OptionError(f"--given: {missing}; {hint}")
        try:
            values[name] = float(text)
        except ValueError:
            raise OptionError(f"--given: name=number expected, got {word!r}") from None
    if set(values) != set(names):
        raise OptionError(f"--given: a value of {', '.join(n for n in names if n not in values)} is missing")
    if not np.isfinite(list(values.values())).all():
        raise OptionError(f"--given: finite values expected, got {given!r}")
    return np.asarray([[values[name] for name in names]], dtype=np.float64)
