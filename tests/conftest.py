"""Settings of all tests. Being here also puts this folder on the path, for the registry of what is checked."""

import signal

import hypothesis
import pytest

# A shell's background jobs inherit a SIGINT that is ignored, and the tests of Ctrl-C need one that is not.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# The same examples in every run: a failure is a fact about the commit, not about the day.
hypothesis.settings.register_profile("repeatable", derandomize=True, deadline=None, database=None)
hypothesis.settings.load_profile("repeatable")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Where workers divide the tests by group: those of one entry together, for the weights that they share."""
    if not config.getoption("loadgroup", False):
        return
    for item in items:
        if isinstance(item, pytest.Function) and hasattr(item, "callspec") and "entry" in item.callspec.params:
            item.add_marker(pytest.mark.xdist_group(str(item.callspec.params["entry"])))
        elif item.path.name != "test_docs.py":
            item.add_marker(pytest.mark.xdist_group(item.path.name))
    # What takes longest comes first, so that no worker waits for it at the end: pages of the documentation.
    items.sort(key=lambda item: item.path.name != "test_docs.py")
