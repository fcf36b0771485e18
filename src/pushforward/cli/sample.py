"""`pushforward sample`: new data from a saved model."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from pushforward.cli.parameters import Force, Given, Labels, Model, Out, Running, refuse_options

_COLUMNS = 32


def sample(
    model: Model,
    /,
    *,
    n: Annotated[int, Parameter(name=("-n", "--n"), help="number of samples for each context.")] = 64,
    out: Out = None,
    temperature: Annotated[
        float,
        Parameter(help="factor of the base's standard deviation; below 1 samples are more typical, not more accurate."),
    ] = 1.0,
    given: Given = (),
    labels: Labels = None,
    complete: Annotated[
        bool, Parameter(help="model of a table: rows without gaps; by default gaps are as frequent as in the data.")
    ] = False,
    force: Force = False,
    running: Running = Running(),  # noqa: B008 - frozen
) -> None:
    """Sample from a saved model: a picture of images, or a table with the columns of the data.

    Rows from the model of a table have the columns, types, labels and dates of its training table. --given column=value
    conditions on any columns; a file conditions on each of its rows, with -n samples of each. A FlowRegressor draws its
    targets for the columns of --given.
    """
    from pushforward.storage.models import estimator_class

    if estimator_class(model) is not None:
        from pushforward.cli.table_sampling import run_table_sample

        refuse_options(
            {"--temperature": temperature != 1.0, "--class": labels}, "does not apply to the model of a table"
        )
        run_table_sample(model, n, given, out=out, complete=complete, force=force, running=running)
        return
    from pushforward.cli.conditions import given_context
    from pushforward.cli.events import holds_events, open_events, require_event_output
    from pushforward.cli.sampling import draw
    from pushforward.storage import load_model

    refuse_options({"--complete": complete}, "is for the model of a table; this is a plain flow")
    saved = load_model(model, running.start())
    require_event_output(saved, out, force)
    context = given_context(saved, ",".join(given) or None, labels)
    # In a picture, a column for each of a few contexts.
    columns = len(context) if context is not None and 1 < len(context) <= _COLUMNS else None
    with open_events(saved, out, columns) as write:
        held = out is not None and holds_events(out)
        for x, beside in draw(saved.flow, n, context, temperature, running.chosen_seed, held=held):
            write(x, beside)
