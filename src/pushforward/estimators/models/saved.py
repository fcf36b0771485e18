"""Saved models of tables: a folder with `config.json`, `model.safetensors`, a manifest, and a folder for each flow.

Loading executes nothing from the files, and allocates no more than the stored weights justify.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file
from safetensors.torch import save as to_safetensors
from torch import Tensor

from pushforward import storage
from pushforward.error_messages import first_problem
from pushforward.errors import ModelError
from pushforward.estimators.columns.calendar import Calendar
from pushforward.estimators.encoded import ColumnShape
from pushforward.estimators.models.blend import Blend, M, Weighted
from pushforward.estimators.models.column_chain import Chain
from pushforward.estimators.models.column_net import ColumnNet
from pushforward.estimators.models.members import (
    ChainMember,
    FlowMember,
    Kind,
    Member,
    MixtureMember,
    StateMember,
    StatesMember,
    ValueMember,
    discrete_columns,
)
from pushforward.estimators.models.mixture import MixedMixture
from pushforward.estimators.models.recalibration import Recalibration
from pushforward.estimators.models.table_model import TableModel
from pushforward.storage.allocation import AllocationLimit
from pushforward.storage.files import CONFIG, WEIGHTS, read_object, require_free, verify, write_model
from pushforward.storage.migration import FORMAT
from pushforward.version import __version__

_BYTES_PER_NUMBER, _SPARE_BYTES, _CALLS = 256, 32 << 20, 20_000
_MOST_COLUMNS = 100_000


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Net(_Strict):
    """The sizes of the nets of conditional densities."""

    count: Annotated[int, Field(ge=1, le=100)]
    hidden: Annotated[int, Field(ge=1, le=1 << 16)]
    blocks: Annotated[int, Field(ge=0, le=100)]
    components: Annotated[int, Field(ge=1, le=1 << 12)]


class _Member(_Strict):
    """A member of the blend and its weights; a flow lies in the folder ``name``. content: JSON values of its own."""

    kind: Kind
    states: Annotated[float, Field(ge=0, le=1)]
    values: Annotated[float, Field(ge=0, le=1)]
    content: dict[str, Any] | None
    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,40}\z")]


class TableConfig(_Strict):
    """The content of `config.json` of a saved model of a table. estimator: what the estimator stores beside it."""

    format: int
    kind: Literal["table"]
    version: str
    states: Annotated[list[Annotated[int, Field(ge=1, le=1 << 24)]], Field(min_length=1, max_length=_MOST_COLUMNS)]
    values: Annotated[list[bool], Field(max_length=_MOST_COLUMNS)]
    calendars: Annotated[dict[Annotated[int, Field(ge=0)], Calendar], Field(max_length=_MOST_COLUMNS)] = {}
    targets: Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1, max_length=_MOST_COLUMNS)]
    net: _Net
    members: Annotated[list[_Member], Field(min_length=1, max_length=20)]
    recalibrations: Annotated[dict[Annotated[int, Field(ge=0)], Recalibration], Field(max_length=_MOST_COLUMNS)] = {}
    blend_recalibrations: Annotated[dict[Annotated[int, Field(ge=0)], Recalibration], Field(max_length=1)] = {}
    notes: list[str]
    estimator: dict[str, Any]


def save_table(
    model: TableModel,
    path: str | os.PathLike[str],
    *,
    estimator: Mapping[str, Any] | None = None,
    files: Mapping[str, bytes] | None = None,
    force: bool = False,
) -> None:
    """Save a model to the folder ``path``. estimator: JSON values that `load_table` returns. files: further ones.

    Raises OptionError if the folder is not empty, unless ``force`` is true.
    """
    target = Path(path)
    require_free(target, force)
    net = model.chain.nets[0]
    tensors = {
        f"net{i}.{name}": tensor
        for i, each in enumerate(model.chain.nets)
        for name, tensor in each.state_dict().items()
    }
    members = []
    for member in model.blend.members:
        states, values = (min(weight, 1.0) for weight in model.blend.weights_of(member))
        content, more = member.state() or (None, {})
        members.append(_Member(kind=member.kind, states=states, values=values, content=content, name=member.name))
        tensors |= {f"{member.kind}.{name}": tensor for name, tensor in more.items()}
    config = TableConfig(
        format=FORMAT,
        kind="table",
        version=__version__,
        states=[shape.states for shape in model.shapes],
        values=[shape.value for shape in model.shapes],
        calendars={j: shape.calendar for j, shape in enumerate(model.shapes) if shape.calendar is not None},
        targets=list(model.targets),
        net=_Net(
            count=len(model.chain.nets), hidden=net.last.in_features, blocks=len(net.blocks), components=net.components
        ),
        members=members,
        recalibrations=model.chain.recalibrations,
        blend_recalibrations=model.blend.recalibrations,
        notes=model.notes,
        estimator=dict(estimator or {}),
    )
    weights = to_safetensors({name: tensor.detach().clone().contiguous() for name, tensor in tensors.items()})
    for member in model.blend.members:
        member.save_parts(target, force)
    content = {CONFIG: config.model_dump_json(indent=2).encode() + b"\n", WEIGHTS: weights, **(files or {})}
    write_model(target, content)


def load_table(path: str | os.PathLike[str]) -> tuple[TableModel, dict[str, Any]]:
    """The model saved to ``path``, and what its estimator stored beside it. Raises ModelError with the reason."""
    folder = Path(path)
    verify(folder)
    raw = read_object(folder / CONFIG)
    if raw.get("kind") != "table":
        raise ModelError(f"{folder} holds a flow, not a model of a table; `score`, `sample` and `report` take it")
    try:
        config = TableConfig.model_validate(raw)
    except ValidationError as error:
        raise ModelError(f"{folder / CONFIG}: {first_problem(error)}") from None
    if len(config.states) != len(config.values) or max(config.targets) >= len(config.states):
        raise ModelError(f"{folder / CONFIG}: the columns do not agree with each other")
    try:
        tensors = load_file(folder / WEIGHTS)
    except SafetensorError as error:
        raise ModelError(f"{folder / WEIGHTS}: {error}") from None
    pairs = enumerate(zip(config.states, config.values, strict=True))
    shapes = tuple(ColumnShape(n, v, config.calendars.get(j)) for j, (n, v) in pairs)
    chain = Chain(_nets(folder, config, shapes, tensors), config.recalibrations)
    members = [(each, _member(folder, config, each, shapes, chain, tensors)) for each in config.members]
    states = [(member, each.states) for each, member in members if each.states and isinstance(member, StateMember)]
    values = [(member, each.values) for each, member in members if each.values and isinstance(member, ValueMember)]
    if not states or not values:
        raise ModelError(f"{folder / CONFIG}: no member has a weight for states, or none for values")
    if any(config.targets != [column] or not config.values[column] for column in config.blend_recalibrations):
        raise ModelError(f"{folder / CONFIG}: a recalibration is that of no target")
    blend = Blend(_weighted(states), _weighted(values), config.blend_recalibrations)
    return TableModel(shapes, config.targets, blend, chain, config.notes), config.estimator


def _weighted(members: list[tuple[M, float]]) -> Weighted[M]:
    weights = torch.tensor([weight for _, weight in members], dtype=torch.float64)
    return Weighted([member for member, _ in members], weights)


def _nets(
    folder: Path, config: TableConfig, shapes: tuple[ColumnShape, ...], tensors: Mapping[str, Tensor]
) -> list[ColumnNet]:
    stored = sum(tensor.numel() for name, tensor in tensors.items() if name.startswith("net"))
    nets = []
    sizes = config.net.model_dump(exclude={"count"})
    with AllocationLimit(_BYTES_PER_NUMBER * stored + _SPARE_BYTES, _CALLS + 100 * len(shapes)):
        for i in range(config.net.count):
            net = ColumnNet(shapes, targets=config.targets, **sizes)
            own = {name.partition(".")[2]: t for name, t in tensors.items() if name.startswith(f"net{i}.")}
            if any(tensor.dtype == torch.float64 for tensor in own.values()):
                net = net.double()
            try:
                net.load_state_dict(own)
            except RuntimeError as error:
                raise ModelError(f"{folder / WEIGHTS}: {str(error).splitlines()[-1].strip()}") from None
            if not all(bool(tensor.isfinite().all()) for tensor in own.values()):
                raise ModelError(f"{folder / WEIGHTS}: a weight is not finite")
            nets.append(net.eval())
    return nets


def _member(
    folder: Path,
    config: TableConfig,
    member: _Member,
    shapes: tuple[ColumnShape, ...],
    chain: Chain,
    tensors: Mapping[str, Tensor],
) -> Member:
    if member.kind == "conditionals":
        return ChainMember(chain)
    own = {name.partition(".")[2]: t for name, t in tensors.items() if name.startswith(f"{member.kind}.")}
    content = member.content or {}
    if member.kind == "mixture":
        return MixtureMember(MixedMixture.from_state(content, own, shapes), config.targets)
    if member.kind == "states":
        of_states = [ColumnShape(shapes[j].states, value=False) for j in discrete_columns(shapes)]
        return StatesMember(MixedMixture.from_state(content, own, of_states), shapes)
    # Older models do not store the block, which was that of the columns in which every row has a value.
    block = content.get("block", [j for j, shape in enumerate(shapes) if shape.states == 1])
    numbers = isinstance(block, list) and all(type(j) is int for j in block)
    if not numbers or block != sorted({j for j, shape in enumerate(shapes) if shape.value}.intersection(block)):
        raise ModelError(f"{folder / CONFIG}: ascending numbers of columns with values expected, got {str(block)[:80]}")
    flow = storage.load(folder / member.name)
    if flow.event_shape != (len(block),):
        raise ModelError(f"{folder / member.name}: a flow of {len(block)} columns expected, got {flow.event_shape}")
    return FlowMember(flow, member.name, block, chain)
