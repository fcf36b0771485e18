"""Parts of error messages: the nearest valid name for a misspelt one, and pydantic's first error as a sentence.

This module loads nothing heavy.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from pushforward.errors import PushforwardError

if TYPE_CHECKING:
    from pydantic import ValidationError

_LONGEST_INPUT = 100


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A question that names the ``known`` names nearest to ``name``; empty where none is near.

    >>> did_you_mean("minuts", ["minutes", "epochs"])
    'did you mean minutes?'
    """
    by_lower_case = {word.lower(): word for word in known}
    near = difflib.get_close_matches(name.lower(), by_lower_case, n=3)
    return f"did you mean {' or '.join(by_lower_case[word] for word in near)}?" if near else ""


def advice_on(name: str, known: Sequence[str]) -> str:
    """The question of `did_you_mean` for an unknown name, or the first of the names that there are.

    >>> advice_on("y", ["price", "cost"])
    'there are price, cost'
    """
    return did_you_mean(name, known) or f"there are {', '.join(known[:10])}"


def first_problem(error: ValidationError, owner: str = "", known: Iterable[str] = ()) -> str:
    """A sentence about the first value or name that pydantic refused.

    owner: of the options that were validated, as "training"; empty where the values are not called options.
    known: the valid names, for an unknown one.
    """
    first = error.errors()[0]
    name = ".".join(map(str, first["loc"])) or "options"
    known = list(known)
    if first["type"] == "extra_forbidden":
        subject = f"{owner} has no option {name!r}" if owner else f"{name!r} is not known here"
        listed = f"it has {', '.join(known)}" if owner else f"expected one of {', '.join(known)}"
        return f"{subject}; {did_you_mean(name, known) or listed}" if known else subject
    cause = first.get("ctx", {}).get("error")
    if isinstance(cause, PushforwardError):
        return str(cause)
    subject = f"{owner} option {name}" if owner else name
    return f"{subject}: {first['msg']} (got {repr(first['input'])[:_LONGEST_INPUT]})"
