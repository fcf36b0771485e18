"""Presets: published models and their training, as run files that the package ships."""

from pushforward.presets.preset import Preset as Preset
from pushforward.presets.preset import load as load
from pushforward.presets.preset import names as names
