"""The public names and signatures, as text in a file: a change of one shows in the diff.

After a change that is meant: PUSHFORWARD_WRITE_NAMES=1 pytest tests/test_public_names.py
"""

from __future__ import annotations

import importlib
import inspect
import os
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import pushforward

_FILE = Path(__file__).with_name("public_names.txt")


def public_names(module: ModuleType) -> list[str]:
    """The names of a package that are its own: neither private ones nor modules."""
    own = {
        name
        for name, value in vars(module).items()
        if not name.startswith("_")
        and not isinstance(value, ModuleType)
        and getattr(value, "__module__", "pushforward").startswith("pushforward")
    }
    return sorted(own - {"annotations"})


def described(name: str, value: Any) -> list[str]:
    """One line for a function or constant; for a class a line for its constructor and one for each public method."""
    if not callable(value) or not hasattr(value, "__module__"):
        return [name]
    lines = [f"{name}{_signature(value)}"]
    if inspect.isclass(value):
        lines += [
            f"    .{method}{_signature(function)}"
            for method, function in sorted(vars(value).items())
            if not method.startswith("_") and inspect.isfunction(function)
        ]
    return lines


def _signature(function: Any) -> str:
    try:
        # Addresses in memory, which annotations may have, differ from run to run.
        return re.sub(r" at 0x[0-9a-f]+", "", str(inspect.signature(function)).replace("'", ""))
    except ValueError:
        return "(...)"


def listing() -> str:
    """All public names with their signatures, package by package."""
    front = [(name, getattr(pushforward, name)) for name in pushforward.__all__ if name != "__version__"]
    lines = ["pushforward"]
    for name, value in front:
        lines += [f"  {line}" for line in (described(name, value) if not isinstance(value, ModuleType) else [name])]
    for package in pushforward._PACKAGES:
        module = importlib.import_module(f"pushforward.{package}")
        lines += ["", f"pushforward.{package}"]
        for name in public_names(module):
            lines += [f"  {line}" for line in described(name, getattr(module, name))]
    return "\n".join(lines) + "\n"


def test_public_names_and_signatures_are_those_on_record() -> None:
    now = listing()
    if os.environ.get("PUSHFORWARD_WRITE_NAMES") == "1":
        _FILE.write_text(now)
    assert _FILE.read_text() == now, "public names changed: if that is meant, write them anew as this file says"


def test_everything_after_the_first_two_arguments_is_keyword_only() -> None:
    long = {}
    for name in pushforward.__all__:
        value = getattr(pushforward, name)
        if inspect.isclass(value) and issubclass(value, Exception):
            continue
        functions = [value] if inspect.isfunction(value) else []
        if inspect.isclass(value) and name == "Flow":
            functions = [
                f for base in value.__mro__ if base.__module__.startswith("pushforward") for f in vars(base).values()
            ]
        for function in functions:
            if not inspect.isfunction(function) or function.__name__.startswith("_"):
                continue
            parameters = [p for p in inspect.signature(function).parameters.values() if p.name != "self"]
            positional = [p.name for p in parameters if p.kind == inspect.Parameter.POSITIONAL_OR_KEYWORD]
            if len(positional) > 2:
                long[function.__qualname__] = positional
    assert long == {}
