"""Every public name that a user calls has an example in its docstring, which `test_docs` runs."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest

import pushforward
from test_public_names import public_names

# Public names that a user does not call, each with the reason. Errors, abstract classes and constants need none here.
_WITHOUT_EXAMPLE = {
    **dict.fromkeys(
        (
            "bases.Source",  # given to the bases that draw
            "data.DataInfo",
            "diagnostics.CheckLine",
            "diagnostics.CheckReport",
            "flows.FlowConfig",
            "inference.Importance",
            "inference.InferenceResult",
            "objectives.Loss",
            "presets.Preset",
            "reports.Report",
            "storage.SavedModel",
            "training.FitResult",
        ),
        "a result, which functions return",
    ),
    **dict.fromkeys(
        ("storage.ArchitectureConfig", "storage.DataConfig", "storage.ModelConfig"),
        "a part of config.json, which `save` writes and `load` reads",
    ),
}
# Methods for objectives and ``torch.distributions``, and former names.
_NO_CALL = {"Flow.prepare", "Flow.prepare_context", "Flow.context_values", "Flow.forward", "Flow.latent", "Flow.data"}


def names_of(package: ModuleType) -> list[str]:
    """The public names of a package, those included that load when they are first used."""
    return sorted({*public_names(package), *getattr(package, "__all__", ())})


def called_by_users() -> Iterator[tuple[str, Any]]:
    """The functions and classes among the public names, but for errors and abstract classes."""
    for package in [*pushforward._PACKAGES, "inference.energies"]:
        module = importlib.import_module(f"pushforward.{package}")
        for name in names_of(module):
            value = getattr(module, name)
            if not callable(value) or inspect.isabstract(value):
                continue
            imported = not hasattr(module, "__path__") and value.__module__ != module.__name__
            if not imported and not (inspect.isclass(value) and issubclass(value, Exception)):
                yield f"{package}.{name}", value


def methods_of_flow() -> Iterator[tuple[str, Any]]:
    for name in dir(pushforward.Flow):
        owner = next(each for each in pushforward.Flow.__mro__ if name in vars(each))
        value = vars(owner)[name]
        if not name.startswith("_") and owner.__module__.startswith("pushforward") and inspect.isfunction(value):
            yield f"Flow.{name}", value


def has_example(value: Any) -> bool:
    return ">>> " in (value.__doc__ or "")


def test_every_name_that_users_call_has_an_example() -> None:
    without = [name for name, value in called_by_users() if not has_example(value)]
    assert sorted(set(without) - set(_WITHOUT_EXAMPLE)) == []


def test_every_method_of_a_flow_that_users_call_has_an_example() -> None:
    without = [name for name, value in methods_of_flow() if not has_example(value)]
    assert sorted(set(without) - _NO_CALL) == []


@pytest.mark.parametrize("name", _WITHOUT_EXAMPLE)
def test_the_exceptions_are_names_without_example(name: str) -> None:
    known = dict(called_by_users())
    assert name in known, f"{name} is not public any more"
    assert not has_example(known[name]), f"{name} has an example"
