"""The command line: one file per command. A command is loaded only when called, so that help never loads torch."""

from __future__ import annotations

import errno
import importlib
import os
import sys
from collections.abc import Sequence

from cyclopts import App, CycloptsError, Parameter

from pushforward.cli.progress import tell_warnings
from pushforward.errors import PushforwardError
from pushforward.processors import set_environment
from pushforward.version import __version__

_HELP = (
    "Normalizing flows you can evaluate, sample and trust: fit one to a table or to images, score, sample, check it."
)

EXIT_CODES = """Exit codes: 0 success; 1 an internal or system error (disk full, no permission); 2 wrong usage or
options; 3 data that cannot be found, read or used; 4 a saved model that is incomplete, changed or unknown; 5 numerics:
training kept diverging, or a check failed; 130 interrupted before anything was saved. Ctrl-C during `fit`
ends training early and saves the best model so far; a second one stops at once."""

THREADS = """Threads: at most $OMP_NUM_THREADS or, if it is unset, the number of processors that the process may use
(affinity, CPU quota). Training uses fewer threads if its work is too small for more. Threads wait without spinning,
unless $OMP_WAIT_POLICY, $GOMP_SPINCOUNT, $KMP_BLOCKTIME or $KMP_LIBRARY is set."""

# An impossible path is wrong usage; a full disk or a missing permission is not.
_WRONG_PATHS = (errno.ENAMETOOLONG, errno.ENOTDIR, errno.EISDIR, errno.ENOENT, errno.EEXIST, errno.ELOOP)

# Each command is a module with a function of the same name.
_COMMANDS = (
    "fit",
    "score",
    "sample",
    "predict",
    "impute",
    "sweep",
    "interpolate",
    "manipulate",
    "reconstruct",
    "report",
    "check",
    "encode",
    "decode",
    "info",
    "flows",
    "data",
    "columns",
)


def make_app(words: Sequence[str] = ()) -> App:
    """The application. It loads only the command that ``words`` call, or all commands if they call none."""
    app = App(
        name="pushforward",
        help=_HELP,
        help_format="plaintext",
        help_epilogue="\n\n".join(" ".join(text.split()) for text in (THREADS, EXIT_CODES)),
        version=__version__,
        # No --no-force and no --empty-rows, unless a parameter asks for it.
        default_parameter=Parameter(negative=()),
        suppress_keyboard_interrupt=False,
    )
    called = {words[0]} if words and words[0] in _COMMANDS else set(_COMMANDS)
    for place, name in enumerate(_COMMANDS):
        text = _help_of(name) if name in called else None
        app.command(f"pushforward.cli.{name}:{name}", name=name, help=text, sort_key=place)
    return app


def _help_of(name: str) -> str:
    """The help text of a command: its docstring with one line per paragraph, to be wrapped for the terminal."""
    command = getattr(importlib.import_module(f"pushforward.cli.{name}"), name)
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in (command.__doc__ or "").split("\n\n"))


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line (default: the process's own) and return the exit code; see `EXIT_CODES`.

    The command-line process sets OpenMP's environment variables before torch loads OpenMP.
    """
    if argv is None:
        set_environment()
    words = sys.argv[1:] if argv is None else list(argv)
    try:
        with tell_warnings():
            result = make_app(words)(
                words,
                exit_on_error=False,
                print_error=False,
                result_action="return_value",
            )
            sys.stdout.flush()
        return result if isinstance(result, int) else 0
    except PushforwardError as error:
        return _fail(str(error), error.exit_code)
    except CycloptsError as error:
        return _fail(" ".join(str(error).split()), 2, "; `pushforward --help` lists the commands")
    except KeyboardInterrupt:
        return _fail("interrupted", 130)
    except BrokenPipeError:
        # The reader closed the pipe, like `head`: this is no error, and stdout accepts no more output.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        where = "" if error.filename is None else f"{error.filename}: "
        return _fail(f"{where}{error.strerror or error}", 2 if error.errno in _WRONG_PATHS else 1)
    except MemoryError:
        return _fail("out of memory; use fewer rows (--limit) or a smaller model", 1)


def _fail(message: str, code: int, hint: str = "") -> int:
    print(f"pushforward: {message}{hint}", file=sys.stderr)
    return code
