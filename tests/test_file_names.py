"""Comments and docstrings name files of the repository that exist."""

import ast
import io
import re
import tokenize
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FOLDERS = ("src", "tests", "benchmarks", "scripts", "docs")
FILES = sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))


def prose(source: str) -> list[str]:
    """The comments and docstrings of a module."""
    comments = [t.string for t in tokenize.generate_tokens(io.StringIO(source).readline) if t.type == tokenize.COMMENT]
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    nodes = [node for node in ast.walk(ast.parse(source)) if isinstance(node, documented)]
    return comments + [text for node in nodes if (text := ast.get_docstring(node))]


def missing(source: str) -> list[str]:
    """The files that the prose of a module names and that are not there: by file name, or by path from the root."""
    known = {path.name for path in FILES}
    texts = prose(source)
    names = {name for text in texts for name in re.findall(r"\b(\w+\.py)\b", text)}
    paths = {path for text in texts for path in re.findall(rf"\b(?:{'|'.join(FOLDERS)})/[\w/.]*\w", text)}
    gone = [path for path in paths if not (ROOT / path).exists() and not (ROOT / f"{path}.py").exists()]
    return sorted(names - known) + sorted(gone)


@pytest.mark.parametrize("folder", FOLDERS)
def test_files_that_comments_name_exist(folder: str) -> None:
    paths = [path for path in FILES if path.relative_to(ROOT).parts[0] == folder]
    stale = {str(path): names for path in paths if (names := missing(path.read_text(encoding="utf-8")))}
    assert not stale


def test_a_file_that_does_not_exist_is_found() -> None:
    source = '"""See `tests/no_such_folder`."""\nx = "made_up.py"  # of those, see test_of_nothing.py\n'
    assert missing(source) == ["test_of_nothing.py", "tests/no_such_folder"]
