"""Saved models: a directory with `config.json`, `model.safetensors`, `split.json` and a manifest of their sha256.

Nothing in it is executed: weights are safetensors, the architecture is a name of the closed registry with options that
its own schema validates, and the sizes that the options ask for are bounded by the weights that are really there.
"""

from pushforward.storage.config import ArchitectureConfig, DataConfig, ModelConfig
from pushforward.storage.files import add_file
from pushforward.storage.migration import FORMAT
from pushforward.storage.models import SavedModel, load, load_model, save

__all__ = [
    "FORMAT",
    "ArchitectureConfig",
    "DataConfig",
    "ModelConfig",
    "SavedModel",
    "add_file",
    "load",
    "load_model",
    "save",
]
