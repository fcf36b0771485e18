"""Parts of pages in docs/ that a test makes: written by `make docs-write`, compared otherwise."""

from __future__ import annotations

import os
from pathlib import Path

DOCS = Path(__file__).resolve().parents[1] / "docs"


def out_of_date(page: str, start: str, end: str, text: str) -> str:
    """Advice on a page that lacks ``text`` between two marks, else empty; PUSHFORWARD_WRITE_DOCS writes it there."""
    path = DOCS / page
    old = path.read_text()
    first, last = old.index(start) + len(start), old.index(end)
    wanted = f"{old[:first]}\n\n{text}\n\n{old[last:]}"
    if os.environ.get("PUSHFORWARD_WRITE_DOCS") == "1":
        path.write_text(wanted)
    return "" if path.read_text() == wanted else f"docs/{page} is out of date: run `make docs-write`"
