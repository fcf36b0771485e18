"""`pushforward sample`: new data from a saved model."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from pushforward.cli.parameters import Force, Given, Labels, Model, Out, Running

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
    given: Given = None,
    labels: Labels = None,
    force: Force = False,
    running: Running = Running(),  # noqa: B008 - frozen
) -> None:
    """Sample from a saved model: a picture of images, or a table with the columns of the data."""
    from pushforward.cli.conditions import given_context
    from pushforward.cli.events import holds_events, open_events, require_event_output
    from pushforward.cli.sampling import draw
    from pushforward.storage import load_model

    saved = load_model(model, running.start())
    require_event_output(saved, out, force)
    context = given_context(saved, given, labels)
    # In a picture, a column for each of a few contexts.
    columns = len(context) if context is not None and 1 < len(context) <= _COLUMNS else None
    with open_events(saved, out, columns) as write:
        held = out is not None and holds_events(out)
        for x, beside in draw(saved.flow, n, context, temperature, running.chosen_seed, held=held):
            write(x, beside)
