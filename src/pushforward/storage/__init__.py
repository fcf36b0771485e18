"""Saved models: a directory with `config.json`, `model.safetensors`, `split.json` and a manifest of their sha256.

Loading a model executes nothing from its files. The weights are safetensors, and the architecture is a name in the
closed registry, whose schema validates the options. The stored weights bound the sizes that the options may request.
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
