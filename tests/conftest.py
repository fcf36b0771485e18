"""Settings of all tests. Being here also puts this folder on the path, for the registry of what is checked."""

import signal

import hypothesis

# A shell's background jobs inherit a SIGINT that is ignored, and the tests of Ctrl-C need one that is not.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# The same examples in every run: a failure is a fact about the commit, not about the day.
hypothesis.settings.register_profile("repeatable", derandomize=True, deadline=None, database=None)
hypothesis.settings.load_profile("repeatable")
