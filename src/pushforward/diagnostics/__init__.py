"""Numerical checks of a density: numbers, no drawing. `check` runs them on a flow; the tests run them on every part."""

from pushforward.diagnostics.check import check
from pushforward.diagnostics.check_report import CheckLine, CheckReport

__all__ = ["CheckLine", "CheckReport", "check"]
