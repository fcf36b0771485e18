"""What a flow is made of, as a table to read: its steps, their shapes and how many parameters each has."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, TypeAlias

from torch import nn

from pushforward.transform import Chain, Inverse, Transform

if TYPE_CHECKING:
    from pushforward.flow import Flow

_Row: TypeAlias = tuple[str, str, int]


def structure(flow: Flow) -> str:
    """One line a step, from the data to the base: what it is, the shape of an event after it, its parameters."""
    rows = [("data", str(flow.event_shape), 0), *_steps(flow.transform, "")]
    rows.append((f"base: {_named(flow.base)}", str(flow.base.event_shape), _count(flow.base)))
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
    name = f"Flow {flow.config.name!r}" if flow.config is not None else "Flow"
    context = "" if flow.context_shape is None else f", context {flow.context_shape}"
    head = f"{name}: events {flow.event_shape}{context}, {_count(flow):,} parameters, likelihood {flow.kind}"
    return "\n".join([head, *lines])


def _steps(transform: Transform, indent: str) -> Iterator[_Row]:
    """The steps of a chain in their order, those inside other transforms indented below them."""
    if isinstance(transform, Chain):
        for step in transform:
            yield from _steps(step, indent)
        return
    inside = [child for child in _children(transform) if isinstance(child, Transform)]
    if isinstance(transform, Inverse) and not isinstance(transform.transform, Chain):
        what, _, count = next(_steps(transform.transform, ""))
        yield f"{indent}inverse of {what}", str(transform.latent_shape), count
        return
    within = sum(_count(child) for child in inside)
    yield indent + _named(transform), str(transform.latent_shape), _count(transform) - within
    for child in inside:
        yield from _steps(child, indent + "  ")


def _children(module: nn.Module) -> Iterator[nn.Module]:
    for child in module.children():
        yield from child if isinstance(child, nn.ModuleList) else (child,)


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
