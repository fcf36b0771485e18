"""The names that `import pushforward` offers: all of them are there, and none is loaded before it is used."""

from __future__ import annotations

import subprocess
import sys

import pytest

import pushforward


def test_every_name_of_the_front_page_is_there() -> None:
    for name in dir(pushforward):
        assert getattr(pushforward, name) is not None, name
    assert set(pushforward.__all__) <= set(dir(pushforward))


def test_errors_of_the_package_can_be_caught_from_the_front_page() -> None:
    with pytest.raises(pushforward.PushforwardError) as caught:
        pushforward.flows.build("real_nvp", event_shape=(2,), transforms=0)
    assert isinstance(caught.value, ValueError)


def test_importing_the_package_loads_nothing_heavy() -> None:
    heavy = "[m for m in ('torch', 'numpy', 'pydantic', 'sklearn', 'matplotlib', 'pyarrow') if m in sys.modules]"
    code = f"import sys, pushforward; pushforward.errors; print({heavy})"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_importing_an_estimator_does_not_load_the_compiler_of_torch() -> None:
    code = "import sys, pushforward; pushforward.FlowDensity; print('torch._dynamo' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "False"
