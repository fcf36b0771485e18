"""The progress line, on a terminal and elsewhere."""

from __future__ import annotations

import io

import pytest

from pushforward.training import progress
from pushforward.training.progress import Live, Plain, Silent, Status, clock, make_progress

STATUS = Status(
    step=1234,
    fraction=0.5,
    epoch=3.25,
    figures=("train 2.500 bits/dim", "validation 2.600, best 2.550 bits/dim (bound)"),
    gradient_norm=12.3,
    rate=812.0,
    left=3725.0,
)


def test_status_says_everything_with_unit_and_kind():
    assert str(STATUS) == (
        "step 1,234 · epoch 3.2 · train 2.500 bits/dim · validation 2.600, best 2.550 bits/dim (bound) · "
        "gradient 12 · 812 rows/s · 1:02:05 left"
    )


def test_what_is_not_known_yet_is_left_out():
    assert str(Status(0, 0.0)) == "step 0"


@pytest.mark.parametrize(("seconds", "text"), [(0, "0:00"), (59.6, "1:00"), (3599.7, "1:00:00"), (83, "1:23")])
def test_clock(seconds, text):
    assert clock(seconds) == text


def test_plain_lines_come_now_and_then(capsys):
    often, rarely = Plain(every=0), Plain(every=1e9)
    often.show(STATUS)
    rarely.show(STATUS)
    assert capsys.readouterr().err.count("step 1,234") == 1
    rarely.show(STATUS, final=True)
    rarely.note("a message")
    written = capsys.readouterr()
    assert written.err.count("step 1,234") == 1
    assert "a message" in written.err
    assert written.out == ""


def test_live_line_draws_to_its_console():
    from rich.console import Console

    stream = io.StringIO()
    with Live(Console(file=stream, force_terminal=True, width=300)) as shown:
        shown.show(STATUS)
        shown.note("a [message] with brackets")
        shown.show(STATUS, final=True)
    assert "1:02:05 left" in stream.getvalue()
    assert "a [message] with brackets" in stream.getvalue()


def test_the_kind_of_progress_follows_the_stream(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    assert isinstance(make_progress(False), Silent)
    monkeypatch.setattr(progress.sys, "stderr", io.StringIO())
    assert isinstance(make_progress(None), Plain)
    assert isinstance(make_progress(True), Plain)
    monkeypatch.setattr(progress.sys, "stderr", Terminal())
    assert isinstance(make_progress(None), Live)
    monkeypatch.setattr(progress.sys, "stderr", None)
    assert isinstance(make_progress(None), Silent)
