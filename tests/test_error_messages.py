"""Error messages name the nearest valid name, and say in one sentence what pydantic refused."""

from __future__ import annotations

import pytest
from pydantic import BaseModel, ConfigDict, ValidationError, field_validator

from pushforward.error_messages import did_you_mean, first_problem
from pushforward.errors import OptionError


class Options(BaseModel):
    model_config = ConfigDict(extra="forbid")

    bins: int = 8
    hidden: tuple[int, ...] = ()

    @field_validator("bins")
    @classmethod
    def _even(cls, bins: int) -> int:
        if bins % 2:
            raise OptionError(f"bins: an even number expected, got {bins}")
        return bins


def problem(owner: str = "", **values: object) -> str:
    with pytest.raises(ValidationError) as raised:
        Options(**values)  # type: ignore[arg-type]
    return first_problem(raised.value, owner, Options.model_fields)


def test_the_nearest_names_are_suggested_whatever_the_case() -> None:
    assert did_you_mean("HIDEN", ["hidden", "bins"]) == "did you mean hidden?"
    assert did_you_mean("context", ["context_a", "contexts", "bins"]) == "did you mean contexts or context_a?"
    assert did_you_mean("colour", ["hidden", "bins"]) == ""


def test_an_unknown_name_is_answered_with_the_nearest_or_with_all() -> None:
    assert problem("nsf", bin=3) == "nsf has no option 'bin'; did you mean bins?"
    assert problem("nsf", colour=3) == "nsf has no option 'colour'; it has bins, hidden"
    assert problem(bin=3) == "'bin' is not known here; did you mean bins?"
    assert problem(colour=3) == "'colour' is not known here; expected one of bins, hidden"


def test_a_refused_value_is_named_and_shown_shortened() -> None:
    assert problem("nsf", hidden=[8, "wide"]).startswith("nsf option hidden.1: Input should be a valid integer")
    assert problem(hidden=[8, "wide"]).endswith("(got 'wide')")
    assert len(problem(bins="x" * 1000)) < 250


def test_an_error_of_our_own_is_a_sentence_already() -> None:
    assert problem("nsf", bins=3) == "bins: an even number expected, got 3"
