"""Run folder -> report: one page that says whether the curation helped, and the same numbers as JSON."""

from teachable.report.build import ReportFiles, build_report
from teachable.report.config import ReportConfig

__all__ = ["ReportConfig", "ReportFiles", "build_report"]
