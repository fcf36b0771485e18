"""Parts of pages in docs/ that a test makes: written by `make docs-write`, compared otherwise."""

from __future__ import annotations

import os
from pathlib import Path

DOCS = Path(__file__).resolve().parents[1] / "docs"


def require_up_to_date(page: str, start: str, end: str, text: str) -> None:
    """Fail where the page does not have ``text`` between the two marks; write it there under PUSHFORWARD_WRITE_DOCS."""
    path = DOCS / page
    old = path.read_text()
    first, last = old.index(start) + len(start), old.index(end)
    wanted = f"{old[:first]}\n\n{text}\n\n{old[last:]}"
    if os.environ.get("PUSHFORWARD_WRITE_DOCS") == "1":
        path.write_text(wanted)
    assert path.read_text() == wanted, f"docs/{page} is out of date: run `make docs-write`"
