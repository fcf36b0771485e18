"""Help is there, says what it should, and loads nothing heavy."""

import os
import subprocess
import sys

import pytest
from small_models import Run

from pushforward import __version__
from pushforward.cli import _COMMANDS, main

HEAVY = ("torch", "numpy", "pydantic", "pyarrow", "sklearn", "matplotlib", "PIL", "scipy", "safetensors")


def test_help_of_every_command_loads_nothing_heavy() -> None:
    code = (
        "import sys\n"
        "from pushforward.cli import _COMMANDS, main\n"
        "assert main(['--help']) == 0 and main(['--version']) == 0\n"
        "for name in _COMMANDS:\n"
        "    assert main([name, '--help']) == 0, name\n"
        f"loaded = [name for name in {HEAVY!r} if name in sys.modules]\n"
        "assert not loaded, loaded\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_running_the_package_is_running_the_command() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pushforward", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == __version__


def test_the_first_page_lists_every_command_with_what_it_does_and_the_exit_codes(run: Run) -> None:
    code, out, _ = run("--help")
    assert code == 0
    for name in _COMMANDS:
        line = next(line for line in out.splitlines() if line.startswith(f"│ {name} "))
        assert len(line.removeprefix(f"│ {name}").strip(" │")) > 10
    for number in ("0 success", "1 ", "2 ", "3 ", "4 ", "5 ", "130 "):
        assert number in out


@pytest.mark.parametrize("name", ["fit", "score", "sample", "interpolate", "report", "check", "encode", "decode"])
def test_commands_that_compute_take_device_seed_and_threads(run: Run, name: str) -> None:
    _, out, _ = run(name, "--help")
    assert all(flag in out for flag in ("--device", "--seed", "--threads"))
    assert "Exit codes" in out


@pytest.mark.parametrize(
    "words",
    [["ft"], ["fit", "--colour", "red"], ["score"], ["sample", "a", "-n", "many"], ["fit", "digits", "--steps"]],
)
def test_wrong_usage_is_one_sentence_and_exit_code_2(run: Run, words: list[str]) -> None:
    code, out, err = run(*words)
    assert (code, out) == (2, "")
    assert err.startswith("pushforward: ")
    assert len(err.strip().splitlines()) == 1


def test_an_interrupt_is_exit_code_130(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("pushforward.data.names", interrupted)
    assert main(["data"]) == 130


def test_an_error_of_the_system_is_exit_code_1_and_a_sentence(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pushforward.data.names", full)
    code, _, err = run("data")
    assert code == 1
    assert "No space left" in err
    assert "Traceback" not in err


def test_a_reader_that_goes_away_is_no_error() -> None:
    command = f"{sys.executable} -m pushforward data | head -c 1"
    done = subprocess.run(["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        ("sys.argv = ['pushforward', 'flows']; main()", "PASSIVE"),
        # The process that calls the function belongs to somebody else.
        ("main(['flows'])", "None"),
    ],
)
def test_a_process_of_the_command_lets_threads_wait_passively_before_torch_is_loaded(call: str, expected: str) -> None:
    code = (
        "import os, sys\n"
        "def note(event, arguments):\n"
        "    if event == 'import' and arguments[0] == 'torch':\n"
        "        print(os.environ.get('OMP_WAIT_POLICY'), file=sys.stderr)\n"
        "sys.addaudithook(note)\n"
        "from pushforward.cli import main\n"
        f"{call}\n"
    )
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "GOMP_", "KMP_"))}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert set(done.stderr.split()) == {expected}


def test_the_first_page_says_how_many_threads_there_are_and_how_they_wait(run: Run) -> None:
    _, out, _ = run("--help")
    assert all(word in out for word in ("OMP_NUM_THREADS", "OMP_WAIT_POLICY", "affinity"))
