"""`pushforward sweep`: the same samples at several temperatures."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from pushforward.cli.parameters import Force, Given, Labels, Model, Out, Running


def sweep(
    model: Model,
    /,
    *,
    n: Annotated[
        int, Parameter(name=("-n", "--n"), help="number of draws for each context, the columns of a picture.")
    ] = 8,
    temperatures: Annotated[
        list[float] | None,
        Parameter(consume_multiple=True, help="temperatures, the rows of a picture; default 0.5 0.6 0.7 0.8 0.9 1."),
    ] = None,
    out: Out = None,
    given: Given = (),
    labels: Labels = None,
    force: Force = False,
    running: Running = Running(),  # noqa: B008 - frozen
) -> None:
    """Draw the same latents at several temperatures.

    A temperature scales the distance of latents from the centre of the base: low ones give typical samples, 1 the
    model's own. Each column of the picture has one draw, each row one temperature.
    """
    from pushforward.cli.conditions import given_context
    from pushforward.cli.edits import sweep_sheet
    from pushforward.cli.events import require_event_output, write_events
    from pushforward.storage import load_model

    saved = load_model(model, running.start())
    require_event_output(saved, out, force)
    context = given_context(saved, ",".join(given) or None, labels)
    x, beside = sweep_sheet(saved.flow, temperatures, n, context, running.chosen_seed)
    write_events(saved, x.reshape(-1, *x.shape[2:]), out, beside, columns=x.shape[1])
