"""Reports of flows: an HTML page and its numbers."""

from pushforward.reports.flow_report import report as report
from pushforward.reports.report_file import Report as Report
from pushforward.reports.saved_model import report_saved_model as report_saved_model
