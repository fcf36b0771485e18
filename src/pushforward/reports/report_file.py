"""A finished report: its page and its numbers, and the files that hold them."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pushforward.atomic_files import write_atomically


@dataclass(frozen=True)
class Report:
    """A report: a self-contained HTML page, and all its numbers as JSON values."""

    html: str
    numbers: dict[str, Any]

    @property
    def json(self) -> str:
        """The numbers as JSON text."""
        return json.dumps(self.numbers, indent=1, allow_nan=False) + "\n"

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the page to ``path`` and the numbers to the same folder, with the ending ``.json``."""
        page = Path(path)
        page.parent.mkdir(parents=True, exist_ok=True)
        for name, content in self.files(page.name).items():
            write_atomically(page.parent / name, content)

    def files(self, name: str) -> dict[str, bytes]:
        """The page by its file ``name``, and the numbers by the same with the ending ``.json``."""
        return {name: self.html.encode(), str(Path(name).with_suffix(".json")): self.json.encode()}
