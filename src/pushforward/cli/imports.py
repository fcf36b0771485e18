"""`--import FILE`: Python files with a user's own architectures, run before a command builds or loads a flow."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path

from pushforward.errors import OptionError, PushforwardError


def import_files(files: Sequence[Path]) -> None:
    """Run each file as a module; flows that it registers with `pushforward.flows.register` are then available by name.

    The paths come from the command line only, never from a saved model or a run file. Raises OptionError for a file
    that cannot be read or whose code raises.
    """
    for place, file in enumerate(files):
        name = f"pushforward_import_{place}_{file.stem}"
        spec = importlib.util.spec_from_file_location(name, file.expanduser())
        if spec is None or spec.loader is None:
            raise OptionError(f"--import: a Python file ending in .py expected, got {file}")
        module = importlib.util.module_from_spec(spec)
        # Pydantic resolves the annotations of option classes in this module.
        sys.modules[name] = module
        try:
            spec.loader.exec_module(module)
        except PushforwardError as error:
            raise OptionError(f"--import {file}: {error}") from error
        except OSError as error:
            raise OptionError(f"--import {file}: the file cannot be read ({error.strerror})") from None
        except Exception as error:
            raise OptionError(f"--import {file}: {type(error).__name__}: {error}") from error
