"""`pushforward manipulate`: examples with more or less of an attribute."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from pushforward.cli.parameters import Data, DataSource, Force, Model, Out, Rows, Running


def manipulate(
    model: Model,
    data: Data,
    /,
    *,
    label: Annotated[int, Parameter(help="the class whose rows have the attribute.")],
    against: Annotated[int | None, Parameter(help="the class whose rows lack it; default: all others.")] = None,
    rows: Rows = None,
    amounts: Annotated[
        list[float] | None,
        Parameter(consume_multiple=True, help="how much is added; default 0 0.25 0.5 0.75 1."),
    ] = None,
    max_rows: Annotated[
        int, Parameter(name=("--max-rows", "--most"), help="rows a side that the direction is taken from, at most.")
    ] = 1000,
    out: Out = None,
    source: DataSource = DataSource(),  # noqa: B008 - frozen
    force: Force = False,
    running: Running = Running(),  # noqa: B008 - frozen
) -> None:
    """Move examples along the direction of an attribute.

    The direction is the mean latent of the rows of one class minus that of the others. Each line of the picture is one
    example with growing amounts of it; negative amounts take it away. The examples are rows of the data, by default
    four that lack the attribute, drawn by the seed.
    """
    from pushforward.cli.edits import attribute_sheet
    from pushforward.cli.events import require_event_output, write_events
    from pushforward.cli.reading import read_for
    from pushforward.storage import load_model

    saved = load_model(model, running.start())
    require_event_output(saved, out, force)
    dataset = read_for(saved, data, source)
    x = attribute_sheet(saved.flow, dataset, label, against, rows, amounts, max_rows, running.chosen_seed)
    write_events(saved, x.reshape(-1, *x.shape[2:]), out, columns=x.shape[1])
