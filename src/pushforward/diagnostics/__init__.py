"""Numerical checks of a density. `check` runs them on a flow; the tests run them on every transform and base."""

from pushforward.diagnostics.check import check as check
from pushforward.diagnostics.check_report import CheckLine as CheckLine
from pushforward.diagnostics.check_report import CheckReport as CheckReport
