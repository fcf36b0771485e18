"""`pushforward decode`: decoding of latents to data."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from pushforward.cli.parameters import Force, Model, Out, Running


def decode(
    model: Model,
    latents: Annotated[Path, Parameter(help="file of latents, one per row, as written by `pushforward encode`.")],
    /,
    *,
    out: Out = None,
    given: Annotated[
        str | None,
        Parameter(help="context of a conditional model: name=value,..., or a file with a row for each latent."),
    ] = None,
    labels: Annotated[
        list[int] | None,
        Parameter(name="--class", consume_multiple=True, help="class labels: one, or one for each latent."),
    ] = None,
    force: Force = False,
    running: Running = Running(),  # noqa: B008 - frozen
) -> None:
    """Decode latents to data: a picture of images, or a table with the columns of the data."""
    from pushforward.cli.conditions import given_context
    from pushforward.cli.events import require_event_output, write_events
    from pushforward.cli.latents import decode_file
    from pushforward.storage import load_model

    saved = load_model(model, running.start())
    require_event_output(saved, out, force)
    x, beside = decode_file(saved, latents, given_context(saved, given, labels), running.chosen_seed)
    write_events(saved, x, out, beside)
