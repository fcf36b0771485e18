"""The report of a flow: one page and its numbers."""

from pushforward.report.build_report import Report, build_report
from pushforward.report.saved_model import report_saved_model

__all__ = ["Report", "build_report", "report_saved_model"]
