"""Summary of a saved model in a few lines of text."""

from __future__ import annotations

from typing import Any

from pushforward.cli.events import levels_of
from pushforward.storage import SavedModel
from pushforward.storage.files import read_manifest


def summary(model: SavedModel) -> str:
    """The summary: architecture, data, context, split, training, versions and files, one per line."""
    config, flow = model.config, model.flow
    count = sum(p.numel() for p in flow.parameters())
    levels = levels_of(model)
    facts: list[tuple[str, str]] = [
        ("flow", f"{config.flow.name}, {count:,} parameters, {config.flow.dtype}, likelihood {flow.kind_in_words}"),
        ("event shape", " x ".join(map(str, flow.event_shape)) + ("" if levels is None else f", {levels} levels")),
        ("options", _named(config.flow.options)),
    ]
    if flow.embedding is not None:
        facts.append(("given", f"class labels 0 to {flow.embedding.num_embeddings - 1}"))
    elif flow.context_shape is not None:
        names = config.data.context_columns if config.data is not None else None
        facts.append(("given", ", ".join(names) if names else f"{flow.context_shape[0]} numbers"))
    if config.data is not None:
        data = config.data
        facts.append(("data", f"{data.name}, {data.rows:,} rows, sha256 {data.fingerprint[:12]}..."))
        if data.columns is not None:
            facts.append(("columns", ", ".join(data.columns)))
        if data.left_out:
            facts.append(("left out", f"{', '.join(data.left_out)}: numbers of the rows"))
    if model.split is not None:
        sizes = [f"{len(rows):,} {name}" for name, rows in model.split.parts.items()]
        facts.append(("split", ", ".join(sizes)))
    if config.training:
        facts.append(("training", _named({k: v for k, v in config.training.items() if k != "options" and v != []})))
    facts.append(("versions", _named(config.versions)))
    facts.append(("files", ", ".join(read_manifest(model.path).files) + " (unchanged)"))
    return "\n".join(f"{name:<12} {text}" for name, text in facts)


def _named(values: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items() if value is not None)
