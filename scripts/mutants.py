"""Mutation testing: plants small faults in the package, one at a time, and tells which of them the tests find.

The faults stand in `scripts/mutants/*.toml`, under the file that they are planted in: ``before`` is replaced by
``after``, and must occur exactly once; ``tests`` are the arguments for pytest that select the tests likely to find it.
The checkout is never changed: each fault is planted in a copy of `src/` in a temporary folder.

    python scripts/mutants.py                    all faults, one after the other
    python scripts/mutants.py --only 12 13       these alone
    python scripts/mutants.py --package training
    python scripts/mutants.py --whole            a fault that its selection misses meets the whole suite

Each run of pytest is a fork of this process, which has loaded torch and numpy already; the package and the tests are
loaded in the fork. At the end every test that found a fault runs once more without one, and must pass.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import multiprocessing
import os
import re
import shlex
import shutil
import signal
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SECONDS = 300.0  # of one run of pytest; a fault that makes the tests take longer counts as found
WHOLE_SECONDS = 3600.0
# Exit codes of pytest: all passed; an argument that is no test; no test selected.
_PASSED, _NO_TESTS = 0, (4, 5)
_LATE = "ran out of time"
_FAILURE = re.compile(r"^(?:FAILED|ERROR) (.+?)(?: - .*)?$", re.MULTILINE)
# Loaded before the forks. None of pytest's plugins: their assertions are rewritten when pytest loads them.
_LOADED = (
    "torch",
    "torch._dynamo",
    "numpy",
    "scipy.stats",
    "scipy.optimize",
    "pydantic",
    "safetensors.torch",
    "mpmath",
)


@dataclasses.dataclass(frozen=True)
class Mutant:
    """One fault: ``before`` becomes ``after`` in ``file``, a path in the package; tests: arguments for pytest."""

    number: int
    file: str
    before: str
    after: str
    what: str
    tests: str

    def plant(self, source: Path) -> None:
        """Plant the fault in the package in the folder ``source``; raises ValueError where its text does not fit."""
        where = source / "pushforward" / self.file
        head, *tails = where.read_text(encoding="utf-8").split(self.before)
        (tail,) = tails
        where.write_text(head + self.after + tail, encoding="utf-8")


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What became of a mutant: the first test that failed, or how else it was found; None: it survived.

    selected: whether its arguments select any test.
    """

    mutant: Mutant
    found_by: str | None
    seconds: float
    selected: bool = True


def mutants(folder: Path) -> list[Mutant]:
    """All mutants of the tables in ``folder``, numbered in the order of the files' names."""
    rows = []
    for table in sorted(folder.glob("*.toml")):
        for file, entries in tomllib.loads(table.read_text(encoding="utf-8")).items():
            rows += [Mutant(len(rows) + i, file, **entry) for i, entry in enumerate(entries, 1)]
    return rows


def stale(mutant: Mutant, source: Path) -> str | None:
    """Why a mutant cannot be planted any more; None where it can."""
    where = source / "pushforward" / mutant.file
    for path in (
        where,
        *(source.parent / a.split("::")[0] for a in shlex.split(mutant.tests) if a.startswith("tests/")),
    ):
        if not path.exists():
            return f"there is no {path.relative_to(source.parent)}"
    if mutant.before == mutant.after:
        return "before and after are the same"
    count = where.read_text(encoding="utf-8").count(mutant.before)
    return None if count == 1 else f"the text to replace occurs {count} times in {mutant.file}: {mutant.before!r}"


@contextlib.contextmanager
def copy_of(source: Path) -> Iterator[Path]:
    """A copy of the folder ``source`` without compiled files, removed afterwards."""
    with tempfile.TemporaryDirectory(prefix="mutant-") as folder:
        copy = Path(folder) / "src"
        shutil.copytree(source, copy, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
        yield copy


def run_tests(root: Path, source: Path, arguments: Sequence[str], limit: float) -> tuple[int | None, str]:
    """The exit code of pytest on the package in ``source``, None where it ran out of time, and its output."""
    log = source.parent / "output.txt"
    child = os.fork()
    if not child:
        try:
            os.setpgid(0, 0)
            output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(output, 1)
            os.dup2(output, 2)
            os.chdir(root)
            # The tests' own subprocesses get the mutated package too; examples that failed are not remembered.
            os.environ.update(PYTHONPATH=str(source), HYPOTHESIS_STORAGE_DIRECTORY=str(source.parent / "examples"))
            sys.path[:0] = [str(source), str(root)]
            import pytest

            options = ["-x", "-q", "--tb=no", "-rfE", "-p", "no:cacheprovider", "-p", "no:xdist"]
            code = int(pytest.main([*options, *arguments]))
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
        finally:
            os._exit(70)
    end = time.monotonic() + limit
    while time.monotonic() < end:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status), log.read_text(encoding="utf-8", errors="replace")
        time.sleep(0.05)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return None, ""


def first_failure(output: str) -> str:
    """The id of the first test that failed, or the file that could not be loaded."""
    match = _FAILURE.search(output)
    return match[1] if match else "the tests could not be run"


def judge(mutant: Mutant, root: Path, whole: bool, seconds: float) -> Outcome:
    """Plant one mutant and run its tests; with ``whole`` all tests, where those miss it."""
    started = time.monotonic()
    with copy_of(root / "src") as source:
        mutant.plant(source)
        selections = [(shlex.split(mutant.tests), seconds)] + ([([], WHOLE_SECONDS)] if whole else [])
        found_by = None
        for arguments, limit in selections:
            code, output = run_tests(root, source, arguments, limit)
            if code in _NO_TESTS:
                return Outcome(mutant, None, time.monotonic() - started, selected=False)
            if code != _PASSED:
                found_by = f"{_LATE} ({limit:g} s)" if code is None else first_failure(output)
                break
    return Outcome(mutant, found_by, time.monotonic() - started)


def unsound(outcomes: Sequence[Outcome], root: Path, seconds: float) -> list[str]:
    """Tests that found a fault, and fail or run out of time without one too."""
    ids = sorted({o.found_by for o in outcomes if o.found_by is not None and o.found_by.startswith("tests/")})
    late = sorted({o.mutant.tests for o in outcomes if o.found_by is not None and o.found_by.startswith(_LATE)})
    wrong = []
    with copy_of(root / "src") as source:
        if ids:
            code, output = run_tests(root, source, ["--maxfail=1000", *ids], WHOLE_SECONDS)
            wrong += [] if code == _PASSED else _FAILURE.findall(output) or [output]
        for tests in late:
            code, _ = run_tests(root, source, shlex.split(tests), seconds)
            wrong += [] if code == _PASSED else [tests]
    return wrong


def shown(outcome: Outcome, markdown: bool) -> str:
    """One line of the table."""
    m, found_by = outcome.mutant, outcome.found_by
    if found_by is None:
        found_by = "SURVIVED" if outcome.selected else f"SELECTS NO TESTS: {m.tests}"
    if markdown:
        cells = (str(m.number), f"`{m.file}`", m.what, found_by if outcome.found_by is None else f"`{found_by}`")
        return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"
    return f"{m.number:4d}  {outcome.seconds:5.1f} s  {m.file}: {m.what}\n                {found_by}"


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description="Plant small faults in the package and see whether the tests find them."
    )
    parser.add_argument("--only", type=int, nargs="+", metavar="N", help="these mutants alone")
    parser.add_argument("--package", nargs="+", metavar="NAME", help="mutants of these folders of the package alone")
    parser.add_argument("--list", action="store_true", help="list the mutants and run nothing")
    parser.add_argument(
        "--seconds", type=float, default=SECONDS, help="limit of one run of pytest (default: %(default)g)"
    )
    parser.add_argument("--whole", action="store_true", help="run the whole suite on those that their tests miss")
    parser.add_argument("--jobs", type=int, default=1, help="mutants at a time (default: 1)")
    parser.add_argument("--markdown", action="store_true", help="print the table as Markdown")
    parser.add_argument("--root", type=Path, default=ROOT, help="checkout whose package and tests are used")
    parser.add_argument("--faults", type=Path, default=ROOT / "scripts" / "mutants", help="folder of the tables")
    given = parser.parse_args(argv)
    root = given.root.resolve()
    everything = mutants(given.faults)
    problems = [(m.number, why) for m in everything if (why := stale(m, root / "src"))]
    for number, why in problems:
        print(f"mutant {number} is stale: {why}", file=sys.stderr)
    chosen = [m for m in everything if given.only is None or m.number in given.only]
    chosen = [m for m in chosen if given.package is None or m.file.split("/")[0].removesuffix(".py") in given.package]
    if given.list:
        print("\n".join(f"{m.number:4d}  {m.file}: {m.what}" for m in chosen))
    if given.list or problems:
        return 2 if problems else 0

    os.environ["OMP_NUM_THREADS"] = "1"
    for name in _LOADED:
        __import__(name)
    started, outcomes = time.monotonic(), []
    if given.markdown:
        print("| | file | fault | found by |\n|--:|---|---|---|")
    with ProcessPoolExecutor(given.jobs, multiprocessing.get_context("fork")) as pool:
        for outcome in pool.map(partial(judge, root=root, whole=given.whole, seconds=given.seconds), chosen):
            outcomes.append(outcome)
            print(shown(outcome, given.markdown), flush=True)
    survivors = [o.mutant.number for o in outcomes if o.found_by is None]
    wrong = unsound(outcomes, root, given.seconds)
    for test in wrong:
        print(f"fails without a fault too: {test}", file=sys.stderr)
    killed, minutes = len(outcomes) - len(survivors), (time.monotonic() - started) / 60
    print(f"\n{killed} of {len(outcomes)} mutants killed, {minutes:.0f} minutes")
    if survivors:
        print(f"survivors: {', '.join(map(str, survivors))}")
    return 1 if survivors or wrong else 0


if __name__ == "__main__":
    sys.exit(main())
