"""The benchmark of hostile tables: the most telling ones end as they should."""

import hostile_tables
import pytest
from hostile_data import CASES

# The word for the outcome, and a part of the sentence or of the remarks.
TELLING = {
    "no rows": ("refused", "the table has no rows"),
    "two equal names": ("refused", "every column needs a name of its own"),
    "decimals of 38 digits": ("refused", "double precision cannot tell apart"),
    "weights with NaN": ("refused", "a weight of 0 or above in every row expected"),
    "a bound that data break": ("refused", "outside the kind bounded:0:1"),
    "a target with gaps": ("refused", "NaN"),
    "UTF-16": ("refused", "save the file as UTF-8"),
    "ragged rows": ("refused", "the number of cells is 2 in row 121 (line 122)"),
    "an open quote": ("refused", "line 2: the quoted cell that starts with '\"-1.361' runs to line 3 and hides rows"),
    "NUL bytes": ("refused", "line 2 holds a NUL byte"),
    "one infinity": ("fitted", "1 row is infinite"),
    "a label that training lacks": ("fitted", "-inf]"),
    "one typo in 120 numbers": ("fitted", "but for '1.5O' in 1 row"),
}


@pytest.mark.parametrize("name", TELLING)
def test_a_telling_table_ends_as_it_should(name: str) -> None:
    outcome = hostile_tables.try_table(CASES[name])
    word, said = TELLING[name]
    assert outcome.word == word, outcome
    assert said in outcome.sentence + " ".join(outcome.remarks)


def test_a_check_that_fails_is_a_fault() -> None:
    outcome = hostile_tables.Outcome(sentence="refused")
    outcome.require(False, "a bound is broken")
    assert outcome.word == "fault"


def test_tables_are_chosen_by_their_names() -> None:
    assert hostile_tables.parse_arguments([]).tables == list(CASES)
    chosen = hostile_tables.parse_arguments(["--tables", "no rows;no header, a typo in the first row"])
    assert chosen.tables == ["no rows", "no header, a typo in the first row"]
