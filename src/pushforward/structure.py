"""The printed structure of a flow: a table of its steps, their shapes and their numbers of parameters."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias

from torch import nn

from pushforward.bases import Base
from pushforward.events import Shape
from pushforward.transforms.base import Inverse, Transform, steps

# A step, the shape of an event after it, and its own number of parameters.
_Row: TypeAlias = tuple[str, str, int]


def structure(
    title: str,
    base: Base,
    transform: Transform,
    *,
    likelihood: str,
    context_shape: Shape | None = None,
    embedding: nn.Embedding | None = None,
) -> str:
    """A heading and one line a step, from the data to the base.

    title: name of the flow; likelihood: its kind in words; embedding: that of integer labels as contexts.
    """
    rows = [("data", str(transform.data_shape), 0), *_step_rows(transform, ""), *_base_rows(base, "", "base: ")]
    if embedding is not None:
        labels = f"{embedding.num_embeddings} labels as contexts"
        rows.insert(0, (labels, str((embedding.embedding_dim,)), _count(embedding)))
    widths = max(len(row[0]) for row in rows), max(len(row[1]) for row in rows)
    counts = [f"{count:,}" if count else "-" for *_, count in rows]
    widest = max(map(len, counts))
    lines = [
        f"  {name:<{widths[0]}}  {shape:<{widths[1]}}  {count:>{widest}}"
        for (name, shape, _), count in zip(rows, counts, strict=True)
    ]
    context = "" if context_shape is None else f", context {context_shape}"
    total = sum(count for *_, count in rows)
    head = f"{title}: events {transform.data_shape}{context}, {total:,} parameters, likelihood {likelihood}"
    return "\n".join([head, *lines])


def _step_rows(transform: Transform, indent: str, inverse: bool = False) -> Iterator[_Row]:
    """The steps from the data to the latent; the transforms inside a step follow it, indented.

    inverse: an `Inverse` around the transform exchanges its directions, and those of all transforms inside it.
    """
    while isinstance(transform, Inverse):
        transform, inverse = transform.transform, not inverse
    chain = steps(transform)
    if chain != (transform,):
        for step in chain[:: -1 if inverse else 1]:
            yield from _step_rows(step, indent, inverse)
        return
    inside = [child for child in _children(transform) if isinstance(child, Transform)]
    shape = transform.data_shape if inverse else transform.latent_shape
    name = ("inverse of " if inverse else "") + _named(transform)
    yield indent + name, str(shape), _count(transform) - sum(map(_count, inside))
    for child in inside:
        yield from _step_rows(child, indent + "  ", inverse)


def _base_rows(base: Base, indent: str, label: str = "") -> Iterator[_Row]:
    """A base, and below it the bases that it consists of."""
    inside = [child for child in _children(base) if isinstance(child, Base)]
    yield f"{indent}{label}{_named(base)}", str(base.event_shape), _count(base) - sum(map(_count, inside))
    for child in inside:
        yield from _base_rows(child, indent + "  ")


def _children(module: nn.Module) -> Iterator[nn.Module]:
    for child in module.children():
        yield from child if isinstance(child, nn.ModuleList) else (child,)


def _named(module: nn.Module) -> str:
    """The name of a module with its own description, and those of the map and the net that it joins."""
    name, extra, children = type(module).__name__, module.extra_repr(), dict(module.named_children())
    described = f"{name}({extra})" if extra else name
    return " · ".join([described, *(_named(children[role]) for role in ("map", "net") if role in children)])


def _count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())
