"""Finished cells of the tables benchmark as Markdown: rows models, columns tables, best first."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

# Cells that differ in one of these do not belong into one table of figures; lr and batch are told apart by the name.
_BUDGET = ("seconds", "threads", "floor")


def markdown(lines: Sequence[Mapping[str, Any]]) -> list[str]:
    """One Markdown table for each budget among ``lines``, the longest first, each with a caption that says it.

    A figure is the mean test log-likelihood in nats ± its standard error over the test rows; over several seeds it is
    the mean of the seeds, with their lowest and highest in brackets. Of cells that differ only in their options, such
    as those of changed defaults, the newest are shown, and below the table it says what is left out. Models are sorted
    by their mean rank over the tables; one that misses a table ranks last there. The best of each column is bold.
    """
    budgets: dict[tuple[Any, ...], list[Mapping[str, Any]]] = defaultdict(list)
    for line in lines:
        budgets[tuple(line[name] for name in _BUDGET)].append(line)
    return [_one(budget, budgets[budget]) for budget in sorted(budgets, reverse=True)]


def _newest(lines: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Of the lines, in the order in which they were finished, those with the options of the last one of their row.

    Seeds with other options are left out too: their mean would be that of no model.
    """
    last = {_place(line): line.get("options") for line in lines}
    kept = {(_place(line), line.get("seed")): line for line in lines if line.get("options") == last[_place(line)]}
    return list(kept.values())


def _place(line: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(line[name] for name in ("table", "model", "lr", "batch"))


def _one(budget: tuple[Any, ...], lines: Sequence[Mapping[str, Any]]) -> str:
    everything, lines = lines, _newest(lines)
    tables = list(dict.fromkeys(line["table"] for line in lines))
    cells: dict[tuple[str, str], list[Mapping[str, Any]]] = defaultdict(list)
    usual = _usual_options(lines)
    for line in lines:
        cells[_label(line, usual), line["table"]].append(line)
    models = list(dict.fromkeys(label for label, _ in cells))
    scores = {where: _mean(found) for where, found in cells.items()}

    def rank(model: str, table: str) -> int:
        own = scores.get((model, table), -math.inf)
        return sum(scores.get((other, table), -math.inf) > own for other in models) + (own == -math.inf) * len(models)

    rows = [["model", *tables], ["---"] * (1 + len(tables))]
    for model in sorted(models, key=lambda model: sum(rank(model, table) for table in tables)):
        rows.append([model, *(_figure(cells.get((model, t), []), best=rank(model, t) == 0) for t in tables)])
    seconds, threads, floor = budget
    caption = f"{seconds:g} s on {threads} thread{'s' * (threads != 1)} a cell; floor {floor:g}; nats a row"
    text = "\n".join([f"{caption}\n", *("| " + " | ".join(row) + " |" for row in rows)])
    older = Counter(f"{line['table']} {line['model']}" for line in everything if not any(line is one for one in lines))
    if not older:
        return text
    named = ", ".join(f"{where} ({count})" if count > 1 else where for where, count in older.items())
    return f"{text}\n\nLeft out, older cells with other options: {named}."


def _mean(lines: Sequence[Mapping[str, Any]]) -> float:
    """Mean over the seeds; -inf where one of them gave a row no density."""
    values = [-math.inf if line["test"] is None else line["test"] for line in lines]
    return math.fsum(values) / len(values) if all(map(math.isfinite, values)) else -math.inf


def _figure(lines: Sequence[Mapping[str, Any]], best: bool) -> str:
    if not lines:
        return ""
    if not math.isfinite(_mean(lines)):
        return "-inf"
    text = f"{_mean(lines):.3f}"
    errors = [line["standard_error"] for line in lines if line["standard_error"] is not None]
    if errors:
        text += f" ± {math.fsum(errors) / len(errors):.3f}"
    text = f"**{text}**" if best else text
    if len(lines) > 1:
        values = [line["test"] for line in lines]
        text += f" [{min(values):.3f}, {max(values):.3f}]"
    kind, draws = lines[0]["kind"], lines[0].get("draws", 1)
    return text if kind == "exact" else f"{text} ({kind}, k = {draws})" if draws > 1 else f"{text} ({kind})"


def _usual_options(lines: Sequence[Mapping[str, Any]]) -> dict[str, set[Any]]:
    """The learning rates and batches of each table and model; where there are several, the label has to say which."""
    found: dict[str, set[Any]] = defaultdict(set)
    for line in lines:
        found[f"{line['table']} {line['model']}"].add((line["lr"], line["batch"]))
    return found


def _label(line: Mapping[str, Any], options: Mapping[str, set[Any]]) -> str:
    several = any(len(found) > 1 for where, found in options.items() if where.endswith(f" {line['model']}"))
    return f"{line['model']} (lr {line['lr']:g}, batch {line['batch']})" if several else line["model"]
