"""The report of a trained flow: one page and its numbers, and the pictures and walks that it is made of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pushforward.report.build_report import make_report

__all__ = ["make_report"]


def __getattr__(name: str) -> Any:
    # `pushforward.report.figures` needs no torch: importing this package must not load it.
    if name == "make_report":
        from pushforward.report.build_report import make_report

        return make_report
    raise AttributeError(f"module 'pushforward.report' has no attribute {name!r}")
