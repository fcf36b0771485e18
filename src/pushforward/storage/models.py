"""Saving a flow to a directory, and loading it again."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_safetensors
from torch import Tensor

from pushforward.bases import BASES, TorchBase, is_registered
from pushforward.data.splits import Split
from pushforward.error_messages import first_problem
from pushforward.errors import DataError, ModelError, OptionError, PushforwardError
from pushforward.flow import Flow, FlowConfig
from pushforward.flows.registry import MOST_COORDINATES, build, describe
from pushforward.maps import DistributionCDF
from pushforward.module_state import CheckedState
from pushforward.storage.allocation import AllocationLimit
from pushforward.storage.config import ArchitectureConfig, DataConfig, ModelConfig
from pushforward.storage.files import (
    CONFIG,
    SPLIT,
    WEIGHTS,
    open_regular,
    read,
    read_object,
    require_free,
    verify,
    write_model,
)
from pushforward.storage.migration import FORMAT, is_later, migrate, present_name
from pushforward.version import __version__

_MAX_SPLIT = 1 << 30
# Bytes written per stored number: weights are drawn and decomposed, masks and index lists are rebuilt.
_BYTES_PER_NUMBER, _SPARE_BYTES = 256, 32 << 20
_CALLS_PER_TENSOR, _SPARE_CALLS = 100, 3000
# Lists of coordinates are not tensors; a flow on vectors stores at least one number for each coordinate.
_SPARE_COORDINATES = 1 << 16
_DTYPES = {
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.float32: "F32",
    torch.float64: "F64",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}


@dataclass(frozen=True)
class SavedModel:
    """A loaded model: its flow in evaluation mode, its configuration, and the split of its data if one was saved."""

    flow: Flow
    config: ModelConfig
    split: Split | None
    path: Path

    @property
    def event_names(self) -> tuple[str, ...]:
        """A name for each number of an event: the columns of the data, or else pixel0, x0, ..."""
        if self.config.data is not None and self.config.data.columns is not None:
            return self.config.data.columns
        prefix = "pixel" if len(self.flow.event_shape) == 3 else "x"
        return tuple(f"{prefix}{i}" for i in range(math.prod(self.flow.event_shape)))

    @property
    def context_names(self) -> tuple[str, ...]:
        """A name for each number of a context: the context columns of the data, or class, or context0, ..."""
        if self.config.data is not None and self.config.data.context_columns is not None:
            return self.config.data.context_columns
        if self.flow.embedding is not None:
            return ("class",)
        return tuple(f"context{i}" for i in range(math.prod(self.flow.context_shape or (0,))))


def save(
    flow: Flow,
    path: str | os.PathLike[str],
    *,
    split: Split | None = None,
    data: dict[str, Any] | None = None,
    training: dict[str, Any] | None = None,
    force: bool = False,
) -> None:
    """Save a flow that `pushforward.flows.build` made to the directory ``path``.

    split: of its data into training, validation and test rows. data: the fields of `DataConfig`. training: facts about
    the fit to store, JSON values. force: replace an existing model; other files in the directory stay.

    Raises OptionError if the flow cannot be rebuilt from its configuration, a weight is NaN or infinite, a field of
    ``data`` is unknown, or the directory is not empty.

    >>> import pathlib
    >>> import tempfile
    >>> import pushforward
    >>> flow = pushforward.flows.build("nice", event_shape=(2,), hidden=(8,))
    >>> with tempfile.TemporaryDirectory() as directory:
    ...     pushforward.save(flow, f"{directory}/model")
    ...     sorted(file.name for file in pathlib.Path(directory, "model").iterdir())
    ['config.json', 'manifest.json', 'model.safetensors']
    """
    config = _config_of(flow, data, training)
    _require_rebuildable(flow, config)
    problem = _nonfinite(flow.state_dict())
    if problem:
        raise OptionError(f"this flow cannot be saved: {problem}; train it again, with a lower learning rate")
    target = Path(path)
    require_free(target, force)
    contents = {
        CONFIG: config.model_dump_json(indent=2).encode() + b"\n",
        WEIGHTS: to_safetensors(
            {name: tensor.detach().cpu().clone().contiguous() for name, tensor in flow.state_dict().items()}
        ),
    }
    if split is not None:
        contents[SPLIT] = split.to_json().encode()
    write_model(target, contents)


def require_savable(flow: Flow) -> None:
    """Raise OptionError, with the reason, if `save` would refuse a flow of this configuration, whatever its weights.

    >>> from pushforward import flows
    >>> from pushforward.storage import require_savable
    >>> require_savable(flows.build("nice", event_shape=(2,), hidden=(8,)))
    """
    _require_rebuildable(flow, _config_of(flow, None, None))


def load(path: str | os.PathLike[str], device: str | torch.device = "cpu") -> Flow:
    """The flow saved to ``path``, in evaluation mode on ``device``; `load_model` also returns its configuration.

    >>> import tempfile
    >>> import pushforward
    >>> flow = pushforward.flows.build("nice", event_shape=(2,), hidden=(8,))
    >>> with tempfile.TemporaryDirectory() as directory:
    ...     pushforward.save(flow, f"{directory}/model")
    ...     again = pushforward.load(f"{directory}/model")
    >>> again.config == flow.config
    True
    """
    return load_model(path, device).flow


def load_model(path: str | os.PathLike[str], device: str | torch.device = "cpu") -> SavedModel:
    """Load a saved model with its configuration; files are verified by the manifest, tensors by the architecture.

    Raises ModelError, with the reason, if anything is missing, changed, unknown or of a newer version.

    >>> import tempfile
    >>> from pushforward import flows, storage
    >>> with tempfile.TemporaryDirectory() as directory:
    ...     storage.save(flows.build("nice", event_shape=(2,), hidden=(8,)), f"{directory}/model")
    ...     model = storage.load_model(f"{directory}/model")
    >>> model.config.flow.name
    'nice'
    """
    directory = Path(path)
    verify(directory)
    raw = read_object(directory / CONFIG)
    _refuse_table(directory, raw)
    config = _checked(directory, migrate(raw))
    flow = _rebuild(directory, config)
    _load_weights(flow, directory, raw["format"])
    split = None
    if (directory / SPLIT).exists():
        try:
            split = Split.from_json(read(directory / SPLIT, _MAX_SPLIT).decode())
        except (DataError, UnicodeDecodeError) as error:
            raise ModelError(f"{directory / SPLIT}: {error}") from error
    return SavedModel(flow.to(device).eval(), config, split, directory)


def estimator_class(path: Path) -> str | None:
    """The name of the class of the estimator that a folder holds; None for any other folder. Nothing is verified."""
    try:
        return _estimator_class(read_object(path / CONFIG))
    except (ModelError, OSError):
        return None


def _estimator_class(raw: dict[str, Any]) -> str | None:
    if raw.get("kind") != "table":
        return None
    stored = raw.get("estimator")
    return str(stored.get("class", "TableModel"))[:40] if isinstance(stored, dict) else "TableModel"


def _refuse_table(directory: Path, raw: dict[str, Any]) -> None:
    name = _estimator_class(raw)
    if name is not None:
        raise ModelError(
            f"{directory} holds a {name}, not a flow: pushforward.{name}.load loads it; of the commands, score, "
            "sample, predict, impute, report and info take it"
        )


def _config_of(flow: Flow, data: dict[str, Any] | None, training: dict[str, Any] | None) -> ModelConfig:
    if flow.config is None:
        reason = "it was not made by pushforward.flows.build; build it with that function"
        if isinstance(flow.base, TorchBase):
            law = type(flow.base.distribution).__name__
            reason = f"its base, torch's {law}, is not in the registry of bases ({', '.join(BASES)})"
        elif not is_registered(flow.base):
            reason = f"its base, a {type(flow.base).__name__}, is not in the registry of bases ({', '.join(BASES)})"
        for module in flow.modules():
            if isinstance(module, DistributionCDF):
                law = type(module.distribution).__name__
                reason = f"its map, the distribution function of torch's {law}, works in memory only"
        raise OptionError(f"this flow cannot be saved: {reason}")
    built: FlowConfig = flow.config
    try:
        return ModelConfig(
            format=FORMAT,
            flow=ArchitectureConfig(
                name=built.name,
                event_shape=built.event_shape,
                context_dim=built.context_dim,
                classes=built.classes,
                options=built.options,
                dtype=str(flow.dtype).removeprefix("torch."),  # type: ignore[arg-type]
            ),
            data=None if data is None else DataConfig(**data),
            training=training or {},
            versions={"pushforward": __version__, "torch": torch.__version__},
        )
    except ValidationError as error:
        raise OptionError(f"this flow cannot be saved: {first_problem(error)}") from None


def _require_rebuildable(flow: Flow, config: ModelConfig) -> None:
    """Raise OptionError if the flow differs from the one that its configuration builds, because parts were replaced."""
    if not is_registered(flow.base):
        raise OptionError(
            f"this flow cannot be saved: its base {type(flow.base).__name__} is not in the registry of bases "
            f"({', '.join(BASES)})"
        )
    layout = _layout(flow.state_dict())
    try:
        rebuilt = _build(config.flow, layout)
    except ModelError as error:
        raise OptionError(f"this flow cannot be saved: {error}") from None
    ours, theirs = ({name: type(part) for name, part in f.named_modules()} for f in (flow, rebuilt))
    if ours != theirs:
        name = min(name for name in ours.keys() | theirs.keys() if ours.get(name) != theirs.get(name))
        raise OptionError(
            f"this flow cannot be saved: its part {name!r} differs from the one that its configuration builds"
        )
    difference = _difference(layout, _layout(rebuilt.state_dict()))
    if difference:
        raise OptionError(
            f"this flow cannot be saved, because it differs from the one that its configuration builds: {difference}"
        )


def _checked(directory: Path, config: dict[str, Any]) -> ModelConfig:
    try:
        return ModelConfig.model_validate(config)
    except ValidationError as error:
        raise ModelError(f"{directory / CONFIG}: {first_problem(error)}") from None


def _rebuild(directory: Path, config: ModelConfig) -> Flow:
    """The flow with initial weights, built under a limit from the size of the weights file."""
    size = math.prod(config.flow.event_shape)
    if size > MOST_COORDINATES:
        raise ModelError(f"{directory / CONFIG}: events of {size:,} numbers, at most {MOST_COORDINATES:,} are modelled")
    with _weights(directory / WEIGHTS) as file:
        stored = _header(file)
    try:
        return _build(config.flow, stored)
    except (PushforwardError, RuntimeError, ValueError, TypeError, OverflowError, MemoryError) as error:
        raise ModelError(f"{directory / CONFIG}: {error}") from error


def _build(config: ArchitectureConfig, stored: _Layout) -> Flow:
    """The flow of a configuration; raises ModelError if it would be far larger than the stored weights.

    `save` and `load` build under the same limit, so that `load` reads every model that `save` writes.
    """
    numbers = sum(math.prod(shape) for shape, _ in stored.values())
    if len(config.event_shape) == 1 and config.event_shape[0] > numbers + _SPARE_COORDINATES:
        raise ModelError(f"its {numbers:,} weights are too few for vectors of {config.event_shape[0]:,} numbers")
    limit = AllocationLimit(_BYTES_PER_NUMBER * numbers + _SPARE_BYTES, _CALLS_PER_TENSOR * len(stored) + _SPARE_CALLS)
    with torch.random.fork_rng(devices=[]), limit:
        options = describe(config.name).validated(config.event_shape, config.options)
        flow = build(
            config.name, config.event_shape, context_dim=config.context_dim, classes=config.classes, options=options
        )
        return flow.to(getattr(torch, config.dtype))


def _load_weights(flow: Flow, directory: Path, saved_format: int) -> None:
    """Load the weights after comparing the names, shapes and dtypes in the file's header with those of the flow."""
    where = directory / WEIGHTS
    with _weights(where) as file:
        header = _header(file)
        names = {present_name(name, saved_format): name for name in header}
        stored = {name: header[saved_name] for name, saved_name in names.items()}
        layout = _layout(flow.state_dict())
        expected = {name: entry for name, entry in layout.items() if name in stored or not is_later(name, saved_format)}
        difference = _difference(stored, expected)
        if difference:
            raise ModelError(f"{where}: {difference}")
        tensors = {name: file.get_tensor(saved_name) for name, saved_name in names.items()}
    problem = _nonfinite(tensors)
    if problem:
        raise ModelError(f"{where}: {problem}")
    flow.load_state_dict(tensors)
    for name, module in flow.named_modules():
        problem = module.state_problem() if isinstance(module, CheckedState) else None
        if problem is not None:
            raise ModelError(f"{where}: {name} {problem}")


def _weights(where: Path) -> Any:
    open_regular(where).close()
    try:
        return safe_open(where, framework="pt", device="cpu")
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{where}: not a whole safetensors file ({error})") from error


_Layout = dict[str, tuple[tuple[int, ...], str]]


def _header(file: Any) -> _Layout:
    """Names, shapes and dtypes of the tensors in an open safetensors file."""
    slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118 - it is no mapping
    return {name: (tuple(part.get_shape()), part.get_dtype()) for name, part in slices.items()}


def _layout(state: dict[str, Tensor]) -> _Layout:
    return {name: (tuple(tensor.shape), _DTYPES[tensor.dtype]) for name, tensor in state.items()}


def _nonfinite(tensors: dict[str, Tensor]) -> str | None:
    """A phrase that names the first tensor with NaN or infinite numbers; None if all are finite."""
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
            return f"tensor {name!r} has NaN or infinite numbers"
    return None


def _difference(found: _Layout, expected: _Layout) -> str:
    """A phrase for the first difference of two layouts of tensors; empty if they are equal."""
    for name in sorted(found.keys() | expected.keys()):
        if name not in found:
            return f"tensor {name!r} is missing"
        if name not in expected:
            return f"tensor {name[:200]!r} is not part of this architecture"
        if found[name] != expected[name]:
            (shape, dtype), (wanted, wanted_dtype) = found[name], expected[name]
            return f"tensor {name!r} of shape {wanted} and dtype {wanted_dtype} expected, got {shape} and {dtype}"
    return ""
