"""The report of a flow: one page and its numbers."""

from pushforward.report.build_report import Report as Report
from pushforward.report.build_report import build_report as build_report
from pushforward.report.saved_model import report_saved_model as report_saved_model
