"""Every example in the README, in docs/ and in the docstrings runs, and prints what the page says it prints.

A page is run from top to bottom in one directory and one Python namespace. A ``python`` block that a ``text`` block
follows must print that text, floats to within two units of their last printed digit. In a ``console`` block the
lines that start with ``$`` are run, and of ``make`` targets the ``pushforward fit`` that they would run: setting up and
testing are not repeated inside of a test. Training gets a tiny budget in the place of the minutes that it would take.
"""

from __future__ import annotations

import argparse
import contextlib
import doctest
import importlib
import io
import json
import pkgutil
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import pushforward
from pushforward.cli import main
from pushforward.flows import registry

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
TINY = "0.02"
NUMBER = re.compile(r"[-+]?\d+\.\d+(?:e[-+]?\d+)?")


@dataclass(frozen=True)
class Block:
    """A fenced block of a page: its language, its text, the line that it starts on, and the output that follows it."""

    language: str
    text: str
    line: int
    output: str | None = None


def blocks(page: str) -> list[Block]:
    found: list[Block] = []
    lines = page.splitlines()
    i = 0
    last_end = -2
    while i < len(lines):
        if not lines[i].startswith("```"):
            last_end = last_end if lines[i].strip() else last_end + (last_end == i - 1)
            i += 1
            continue
        language, start = lines[i][3:].strip(), i + 1
        end = lines.index("```", start)
        text = "\n".join(lines[start:end]) + "\n"
        if language == "text" and last_end == i - 1 and found and found[-1].language == "python":
            previous = found.pop()
            found.append(Block("python", previous.text, previous.line, text))
        else:
            found.append(Block(language, text, start + 1))
        last_end, i = end, end + 1
    return found


def same_output(expected: str, got: str) -> bool:
    """Equal but for white space at line ends and floats that differ by at most two units of their last digit."""
    expected, got = ("\n".join(line.rstrip() for line in s.strip().splitlines()) for s in (expected, got))
    if NUMBER.sub("#", expected) != NUMBER.sub("#", got):
        return False
    for mine, theirs in zip(NUMBER.findall(expected), NUMBER.findall(got), strict=True):
        mantissa, _, exponent = mine.partition("e")
        unit = 10.0 ** (int(exponent or 0) - len(mantissa.partition(".")[2]))
        if abs(float(mine) - float(theirs)) > 2.001 * unit:
            return False
    return True


def run_python(block: Block, namespace: dict[str, Any], name: str) -> None:
    code = re.sub(r"\bminutes=[\d.]+", f"minutes={TINY}", block.text)
    code = re.sub(r"\bmax_seconds=[\d.]+", f"max_seconds={60 * float(TINY)}", code)
    # Empty lines before the code make line numbers in a traceback those of the page.
    compiled = compile("\n" * (block.line - 1) + code, name, "exec")
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compiled, namespace)
    if block.output is not None:
        assert same_output(block.output, printed.getvalue()), (
            f"{name}:{block.line} prints\n{printed.getvalue()}\nbut the page says\n{block.output}"
        )


def commands(block: Block) -> list[list[str]]:
    """The commands of a console block, with a tiny budget for those that train."""
    joined = block.text.replace("\\\n", " ")
    found = [shlex.split(line[2:], comments=True) for line in joined.splitlines() if line.startswith("$ ")]
    return [with_tiny_budget(command) for command in found if command]


def with_tiny_budget(command: list[str]) -> list[str]:
    if command[:2] != ["pushforward", "fit"]:
        return command
    if "--minutes" in command:
        at = command.index("--minutes")
        return [*command[: at + 1], TINY, *command[at + 2 :]]
    return [*command, "--minutes", TINY]


def fits_of_target(target: list[str]) -> list[list[str]]:
    """The ``pushforward fit`` commands that a make target would run, with a tiny budget; raises if there is none."""
    dry = subprocess.run(["make", "--dry-run", *target], cwd=ROOT, check=True, capture_output=True, text=True)
    found = [line.partition("pushforward fit ")[2] for line in dry.stdout.splitlines() if "/pushforward fit " in line]
    return [with_tiny_budget(["pushforward", "fit", *shlex.split(arguments)]) for arguments in found]


def run_command(command: list[str], directory: Path, where: str) -> None:
    if command[0] == "make":
        for fit in fits_of_target(command[1:]):
            run_command(fit, directory, where)
        return
    assert command[0] == "pushforward", f"{where}: the tests do not know how to run {command[0]!r}"
    printed = io.StringIO()
    # In this process, which has loaded what every one of the commands would load.
    with contextlib.chdir(directory), contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
        code = main(command[1:])
    assert code == 0, f"{where}: {shlex.join(command)} ended with {code}: {printed.getvalue()[-2000:]}"


@pytest.mark.timeout(600)
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_example_of_the_page_runs(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    # A page may register an architecture; the tests after it must not see that.
    monkeypatch.setattr(registry, "_ARCHITECTURES", dict(registry._ARCHITECTURES))
    namespace: dict[str, Any] = {"__name__": "__main__"}
    for block in blocks(page.read_text(encoding="utf-8")):
        if block.language == "python":
            run_python(block, namespace, page.name)
        elif block.language == "console":
            for command in commands(block):
                run_command(command, tmp_path, f"{page.name}:{block.line}")
        else:
            assert block.language in ("text", "toml"), f"{page.name}:{block.line}: a block of {block.language!r}"


def test_the_program_of_the_pages_is_installed_beside_python() -> None:
    program = Path(sys.executable).parent / "pushforward"
    assert subprocess.run([str(program), "--version"], check=True, capture_output=True, text=True).stdout.strip()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_of_the_page_leads_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text):
        if not target.startswith(("http://", "https://")):
            assert (page.parent / target).exists(), f"{page.name} links to {target}, which is not there"


def benchmark_commands(page: str) -> list[list[str]]:
    """The ``python benchmarks/...`` commands of a page, without what stands before and after them on their lines."""
    joined = page.replace("\\\n", " ")
    found = re.findall(r"\bpython (benchmarks/[^`\n|>]*)", joined)
    return [shlex.split(command, comments=True) for command in found]


def arguments_of_benchmark(command: list[str]) -> argparse.Namespace:
    """What the benchmark reads from its command line; raises SystemExit where it does not understand it."""
    path = ROOT / command[0]
    assert path.is_file(), f"{command[0]} is not there"
    sys.path.insert(0, str(path.parent))
    try:
        parsed: argparse.Namespace = importlib.import_module(path.stem).parse_arguments(command[1:])
    finally:
        sys.path.remove(str(path.parent))
    return parsed


def is_understood(command: list[str]) -> bool:
    """Whether the benchmark can read its command line."""
    try:
        arguments_of_benchmark(command)
    except SystemExit:
        return False
    return True


COMMANDS = {page.name: benchmark_commands(page.read_text(encoding="utf-8")) for page in PAGES}


@pytest.mark.parametrize("name", [name for name, commands in COMMANDS.items() if commands])
def test_every_command_of_a_benchmark_on_the_page_is_understood(name: str) -> None:
    assert [command for command in COMMANDS[name] if not is_understood(command)] == []


def test_a_command_that_a_benchmark_does_not_understand_is_caught(capsys: pytest.CaptureFixture[str]) -> None:
    page = "```text\npython benchmarks/toys.py --flows nsf \\\n  --seconds 5  # short\n```\n`python benchmarks/toys.py`"
    found = benchmark_commands(page)
    assert found == [["benchmarks/toys.py", "--flows", "nsf", "--seconds", "5"], ["benchmarks/toys.py"]]
    assert arguments_of_benchmark(found[0]).seconds == 5
    assert is_understood(found[0])
    for wrong in (["--minutes", "1"], ["--flows", "glowing"]):
        assert not is_understood(["benchmarks/toys.py", *wrong])
    assert "unrecognized arguments: --minutes" in capsys.readouterr().err


def modules() -> list[str]:
    return sorted(m.name for m in pkgutil.walk_packages(pushforward.__path__, "pushforward."))


@pytest.mark.parametrize("name", modules())
def test_docstring_examples_run(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # An example that registers an architecture does so for itself only.
    monkeypatch.setattr(registry, "_ARCHITECTURES", dict(registry._ARCHITECTURES))
    if name.endswith("__main__"):
        pytest.skip("importing it runs the program")
    if name.startswith("pushforward.estimators.adapters."):
        pytest.importorskip(name.rpartition(".")[2], reason="an adapter to a library that is not installed")
    failed, _ = doctest.testmod(importlib.import_module(name), optionflags=doctest.NORMALIZE_WHITESPACE)
    assert failed == 0


@pytest.mark.demo
@pytest.mark.timeout(1800)
def test_the_demo_beats_every_baseline_by_a_tenth_of_a_bit(tmp_path: Path) -> None:
    model = tmp_path / "digits"
    subprocess.run(["make", "demo", f"DEMO={model}"], cwd=ROOT, check=True, stdin=subprocess.DEVNULL)
    for name in ("config.json", "model.safetensors", "split.json", "metrics.jsonl", "report.html", "report.json"):
        assert (model / name).stat().st_size > 0
    numbers = json.loads((model / "report.json").read_text())["likelihood"]
    assert numbers["unit"] == "bits/dim"
    assert numbers["value"]["mean"] <= 2.13
    for baseline in numbers["baselines"]:
        assert baseline["value"]["mean"] >= numbers["value"]["mean"] + 0.10, baseline["name"]
    run_command(["pushforward", "score", str(model), "digits", "--out", "scores.csv"], tmp_path, "demo")
    assert len((tmp_path / "scores.csv").read_text().splitlines()) == 1797 + 1


PAGE = """\
```python
print(1.25, 3)
```

```text
1.24 3
```

Words.

```text
not an output
```
"""


def test_a_page_falls_into_blocks_with_their_output() -> None:
    found = blocks(PAGE)
    assert [(b.language, b.output) for b in found] == [("python", "1.24 3\n"), ("text", None)]
    assert found[0].line == 2


@pytest.mark.parametrize(
    ("expected", "got", "same"),
    [
        ("a 1.24", "a 1.25", True),
        ("a 1.24", "a 1.27", False),
        ("a 1.24", "b 1.24", False),
        ("3 rows", "4 rows", False),
        ("1.2e-05", "1.3e-05", True),
        ("1.2e-05", "1.2e-04", False),
        ("1.0 2.0", "1.0", False),
    ],
)
def test_outputs_may_differ_in_the_last_digit_only(expected: str, got: str, same: bool) -> None:
    assert same_output(expected, got) is same


def test_an_example_that_prints_something_else_is_caught() -> None:
    block = Block("python", "print('two')\n", 1, "one\n")
    with pytest.raises(AssertionError, match="but the page says"):
        run_python(block, {}, "page.md")


def test_the_demo_target_fits_digits() -> None:
    assert fits_of_target(["demo"]) == [
        ["pushforward", "fit", "digits", "--out", "runs/digits", "--force", "--minutes", TINY]
    ]


def test_training_on_a_page_gets_a_tiny_budget() -> None:
    block = Block(
        "console", "$ pushforward fit digits --minutes 5 --out a\n$ pushforward fit rings \\\n    --out b\n", 1
    )
    budgets = [command[command.index("--minutes") + 1] for command in commands(block)]
    assert budgets == [TINY, TINY]
