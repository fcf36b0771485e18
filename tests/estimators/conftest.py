"""Random numbers of the tests of the estimators."""

from __future__ import annotations

import copy
from typing import Any

import pytest

_STATES: dict[str, Any] = {}


@pytest.fixture(autouse=True)
def same_numbers_in_any_order(request: pytest.FixtureRequest) -> None:
    """Each test draws from the generator of its module as it was after the import, whatever tests ran before."""
    generator = vars(request.module).get("RNG")
    if generator is not None:
        state = _STATES.setdefault(request.module.__name__, copy.deepcopy(generator.bit_generator.state))
        generator.bit_generator.state = copy.deepcopy(state)
