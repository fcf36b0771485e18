"""`pushforward manipulate`: moves examples along the latent direction of an attribute."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from pushforward.cli.parameters import Data, DataSource, Force, Model, Out, Rows, Running


def manipulate(
    model: Model,
    data: Data,
    /,
    *,
    label: Annotated[int, Parameter(help="class label of the rows with the attribute.")],
    against: Annotated[
        int | None, Parameter(help="class label of the rows without it; default: all other classes.")
    ] = None,
    rows: Rows = None,
    amounts: Annotated[
        list[float] | None,
        Parameter(consume_multiple=True, help="multiples of the direction to add; default 0 0.25 0.5 0.75 1."),
    ] = None,
    max_rows: Annotated[
        int,
        Parameter(name=("--max-rows", "--most"), help="largest number of rows per side for computing the direction."),
    ] = 1000,
    out: Out = None,
    source: DataSource = DataSource(),  # noqa: B008 - frozen
    force: Force = False,
    running: Running = Running(),  # noqa: B008 - frozen
) -> None:
    """Move examples along the direction of an attribute.

    The direction is the mean latent of the rows of one class minus that of the others. Each row of the picture shows
    one example with increasing multiples of it; negative multiples remove the attribute. The examples are rows of the
    data, by default four random rows without the attribute.
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
