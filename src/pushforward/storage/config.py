"""The content of a saved model's `config.json`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from pushforward.preparation import Preparation


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ArchitectureConfig(_Strict):
    """The architecture: its name in the registry and everything except the weights that is needed to rebuild it."""

    name: str
    event_shape: Annotated[tuple[Annotated[int, Field(ge=1)], ...], Field(min_length=1, max_length=4)]
    context_dim: Annotated[int, Field(ge=0)] = 0
    classes: Annotated[int, Field(ge=0)] = 0
    options: dict[str, JsonValue]
    dtype: Literal["float16", "bfloat16", "float32", "float64"] = "float32"


class DataConfig(_Strict):
    """The data of a fit: enough to read other data in the same way and to recognise the same data."""

    name: str
    kind: Literal["image", "table"]
    rows: int
    levels: int | None = None
    columns: tuple[str, ...] | None = None
    context_columns: tuple[str, ...] | None = None
    left_out: tuple[str, ...] = ()
    fingerprint: str
    source: str = ""
    preparation: Preparation = Preparation()
    seed: int = 0


class ModelConfig(_Strict):
    """The content of `config.json`. ``training`` is a summary for the reader; nothing is rebuilt from it."""

    format: int
    flow: ArchitectureConfig
    data: DataConfig | None = None
    training: dict[str, JsonValue] = {}
    versions: dict[str, str] = {}
