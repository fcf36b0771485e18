"""`pushforward interpolate`: interpolation in the latent space between two or four examples."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from pushforward.cli.parameters import DataSource, Force, Model, Out, Running


def interpolate(
    model: Model,
    images: Annotated[list[str] | None, Parameter(help="two or four image files.")] = None,
    /,
    *,
    data: Annotated[str | None, Parameter(help="data with the examples (see --rows), instead of image files.")] = None,
    rows: Annotated[
        list[int] | None,
        Parameter(consume_multiple=True, help="numbers of two or four rows of --data, counted from 0."),
    ] = None,
    steps: Annotated[int, Parameter(help="pictures along each side.")] = 8,
    out: Out = None,
    source: DataSource = DataSource(),  # noqa: B008 - frozen
    force: Force = False,
    running: Running = Running(),  # noqa: B008 - frozen
) -> None:
    """Interpolate between examples in the latent space.

    Four span the manifold z = cos a (cos b z1 + sin b z2) + sin a (cos b z3 + sin b z4), with both angles through a
    full circle, as in the Real NVP paper. Two examples are joined by the arc between their latents.
    """
    from pushforward.cli.events import require_event_output, write_events
    from pushforward.cli.examples import read_examples, walk
    from pushforward.storage import load_model

    saved = load_model(model, running.start())
    require_event_output(saved, out, force)
    examples = read_examples(
        saved,
        images or [],
        data,
        rows,
        source,
    )
    write_events(saved, walk(saved.flow, examples, steps, running.chosen_seed), out, columns=steps)
