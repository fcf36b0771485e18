"""Saved models: a directory with `config.json`, `model.safetensors`, `split.json` and a manifest of their sha256.

Nothing in it is executed: weights are safetensors, the architecture is a name of the closed registry with options that
its own schema validates, and the sizes that the options ask for are bounded by the weights that are really there.
"""

from pushforward.storage.config import ArchitectureConfig as ArchitectureConfig
from pushforward.storage.config import DataConfig as DataConfig
from pushforward.storage.config import ModelConfig as ModelConfig
from pushforward.storage.files import add_file as add_file
from pushforward.storage.migration import FORMAT as FORMAT
from pushforward.storage.models import SavedModel as SavedModel
from pushforward.storage.models import load as load
from pushforward.storage.models import load_model as load_model
from pushforward.storage.models import require_savable as require_savable
from pushforward.storage.models import save as save
