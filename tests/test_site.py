"""The documentation site, without Sphinx: its reference has every public name, and its links are checked."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

import pushforward
from pushforward.likelihood import Likelihood
from test_examples_of_names import names_of

ROOT = Path(__file__).parent.parent
_BLOCK = re.compile(r"^:::\{reference\} (\S+)\n(.*?)^:::$", re.MULTILINE | re.DOTALL)


def reference() -> list[tuple[str, str]]:
    """The packages and names on the pages of the API reference."""
    pages = sorted((ROOT / "docs" / "api").glob("*.md"))
    blocks = [block for page in pages for block in _BLOCK.findall(page.read_text(encoding="utf-8"))]
    return [(package, line.split()[0]) for package, lines in blocks for line in lines.splitlines() if line]


def test_the_reference_has_every_public_name_once() -> None:
    documented = [getattr(importlib.import_module(package), name) for package, name in reference()]
    identities = [id(value) for value in documented]
    assert len(set(identities)) == len(identities)
    missing = []
    for package in pushforward._PACKAGES:
        module = importlib.import_module(f"pushforward.{package}")
        names = [name for name in names_of(module) if name not in ("TYPE_CHECKING", "energies")]
        missing += [f"{package}.{name}" for name in names if id(getattr(module, name)) not in identities]
    assert missing == []
    assert {id(pushforward.Flow), id(Likelihood)} <= set(identities)


def test_every_page_is_in_a_table_of_contents() -> None:
    docs = ROOT / "docs"
    trees = re.findall(r"^:::\{toctree\}\n(.*?)^:::$", (docs / "index.md").read_text(), re.MULTILINE | re.DOTALL)
    listed = {line for tree in trees for line in tree.splitlines() if line and not line.startswith(":")}
    pages = {page.relative_to(docs).with_suffix("").as_posix() for page in docs.rglob("*.md")}
    assert listed == pages - {"index"}


@pytest.fixture
def check_site() -> ModuleType:
    spec = importlib.util.spec_from_file_location("check_site", ROOT / "scripts" / "check_site.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_dead_links_dead_anchors_and_resources_of_a_network_are_found(check_site: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "good.html").write_text('<h1 id="top">A</h1><a href="good.html#top">B</a><a href="https://a.org">C</a>')
    assert check_site.problems(tmp_path) == []
    (tmp_path / "bad.html").write_text(
        '<a href="gone.html">A</a><a href="good.html#gone">B</a><script src="https://cdn.org/a.js"></script>'
    )
    found = "\n".join(check_site.problems(tmp_path))
    for part in ("gone.html, which is not there", "good.html#gone, which has no such anchor", "loads https://cdn.org"):
        assert part in found
