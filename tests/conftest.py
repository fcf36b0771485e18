"""Settings of all tests. Being here also puts this folder on the path, for the registry of what is checked."""

import hypothesis

# The same examples in every run: a failure is a fact about the commit, not about the day.
hypothesis.settings.register_profile("repeatable", derandomize=True, deadline=None, database=None)
hypothesis.settings.load_profile("repeatable")
