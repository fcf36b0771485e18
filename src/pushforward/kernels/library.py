"""The shared library with the kernels, as it was built with the package; it may be absent."""

from __future__ import annotations

import ctypes
import os
import platform
from functools import lru_cache
from pathlib import Path
from typing import Any

from pushforward.errors import OptionError

# The interface that this version of the package calls; a library of another one is from another installation.
_INTERFACE = 6
_SETTING = "PUSHFORWARD_KERNELS"


@lru_cache(maxsize=1)
def library() -> ctypes.CDLL | None:
    """The library, or None where it was not built or is turned off. Raises OptionError for an unknown setting."""
    setting = os.environ.get(_SETTING, "compiled")
    if setting not in ("compiled", "reference"):
        raise OptionError(f"${_SETTING} is compiled (the default) or reference, not {setting!r}")
    path = Path(__file__).with_name("compiled.kernels" + (".dll" if platform.system() == "Windows" else ".so"))
    if setting == "reference" or not path.exists():
        return None
    try:
        loaded = ctypes.CDLL(str(path))
    except OSError:  # of another platform
        return None
    loaded.pushforward_interface.restype = ctypes.c_int64
    loaded.pushforward_instructions.restype = ctypes.c_char_p
    return loaded if loaded.pushforward_interface() == _INTERFACE else None


@lru_cache
def function(name: str) -> Any:
    """A function of the library without a result, for callers that know that there is one."""
    loaded = library()
    assert loaded is not None
    found = loaded[f"pushforward_{name}"]
    found.restype = None
    return found


def has_kernels() -> bool:
    """Whether there is a library to call."""
    return library() is not None


# What torch.compiler.assume_constant_result sets, which would import the compiler: a second for all who never compile.
has_kernels._dynamo_marked_constant = True  # type: ignore[attr-defined]


def instructions() -> str | None:
    """The set of instructions that the kernels use on this processor; None where torch's operations compute.

    >>> from pushforward.kernels import instructions
    >>> instructions() in ("avx512", "avx2", "portable", None)
    True
    """
    loaded = library()
    return None if loaded is None else loaded.pushforward_instructions().decode()
