"""What a flow is made of, as a table to read: its steps, their shapes and how many parameters each has."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, TypeAlias

from torch import nn

from pushforward.bases import Base
from pushforward.bases.mixture import FlowBase
from pushforward.transforms.base import Chain, Inverse, Transform

if TYPE_CHECKING:
    from pushforward.flow import Flow

_Row: TypeAlias = tuple[str, str, int]


def structure(flow: Flow) -> str:
    """One line a step, from the data to the base: what it is, the shape of an event after it, its parameters."""
    rows = [("data", str(flow.event_shape), 0), *_steps(flow.transform, ""), *_base(flow.base, "", "base: ")]
    if flow.embedding is not None:
        labels = f"{flow.embedding.num_embeddings} labels as contexts"
        rows.insert(0, (labels, str((flow.embedding.embedding_dim,)), _count(flow.embedding)))
    widths = max(len(row[0]) for row in rows), max(len(row[1]) for row in rows)
    counts = [f"{count:,}" if count else "-" for *_, count in rows]
    widest = max(map(len, counts))
    lines = [
        f"  {what:<{widths[0]}}  {shape:<{widths[1]}}  {count:>{widest}}"
        for (what, shape, _), count in zip(rows, counts, strict=True)
    ]
    context = "" if flow.context_shape is None else f", context {flow.context_shape}"
    kind = f"likelihood {flow.kind_in_words}"
    head = f"{_title(flow)}: events {flow.event_shape}{context}, {_count(flow):,} parameters, {kind}"
    return "\n".join([head, *lines])


def _steps(transform: Transform, indent: str, inverse: bool = False) -> Iterator[_Row]:
    """The steps from the data to the latent, what is inside a step indented below it.

    inverse: the transform is run turned round, and so is all that is inside it.
    """
    while isinstance(transform, Inverse):
        transform, inverse = transform.transform, not inverse
    if isinstance(transform, Chain):
        for step in list(transform)[:: -1 if inverse else 1]:
            yield from _steps(step, indent, inverse)
        return
    inside = [child for child in _children(transform) if isinstance(child, Transform)]
    shape = transform.data_shape if inverse else transform.latent_shape
    what = ("inverse of " if inverse else "") + _named(transform)
    yield indent + what, str(shape), _count(transform) - sum(map(_count, inside))
    for child in inside:
        yield from _steps(child, indent + "  ", inverse)


def _base(base: Base, indent: str, label: str = "") -> Iterator[_Row]:
    """A base, and below it the bases that it consists of; a flow among them with its steps."""
    if isinstance(base, FlowBase):
        yield f"{indent}{_title(base.flow)}", str(base.event_shape), 0
        yield from _steps(base.flow.transform, indent + "  ")
        yield from _base(base.flow.base, indent + "  ", "base: ")
        return
    inside = [child for child in _children(base) if isinstance(child, Base)]
    yield f"{indent}{label}{_named(base)}", str(base.event_shape), _count(base) - sum(map(_count, inside))
    for child in inside:
        yield from _base(child, indent + "  ")


def _children(module: nn.Module) -> Iterator[nn.Module]:
    for child in module.children():
        yield from child if isinstance(child, nn.ModuleList) else (child,)


def _title(flow: Flow) -> str:
    return f"Flow {flow.config.name!r}" if flow.config is not None else "Flow"


def _named(module: nn.Module) -> str:
    """The name of a module with what it says of itself, and the map and net that it joins."""
    name = type(module).__name__
    extra = module.extra_repr()
    parts = [f"{name}({extra})" if extra else name]
    for role in ("map", "net"):
        part = getattr(module, role, None)
        if isinstance(part, nn.Module):
            parts.append(_named(part))
    return " · ".join(parts)


def _count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())
