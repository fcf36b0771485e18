"""`pushforward reconstruct`: partial reconstruction of examples from their coarse latents."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from pushforward.cli.parameters import Data, DataDir, DataSource, Force, Model, Out, Rows, Running


def reconstruct(
    model: Model,
    data: Data,
    /,
    *,
    rows: Rows = None,
    keep: Annotated[
        list[int] | None,
        Parameter(consume_multiple=True, help="numbers of coarsest scales to keep; default: from all to 0."),
    ] = None,
    temperature: Annotated[
        float, Parameter(help="temperature of the resampled latents; near 0 they are the most likely ones.")
    ] = 1.0,
    out: Out = None,
    data_dir: DataDir = None,
    force: Force = False,
    running: Running = Running(),  # noqa: B008 - frozen
) -> None:
    """Rebuild images from the coarsest scales of their latents.

    The latents of the finer scales are sampled. Each row of the picture goes from the image itself, with all scales
    kept, to an independent sample, with none. For models with several scales.
    """
    from pushforward.cli.edits import reconstruction_sheet
    from pushforward.cli.events import require_event_output, write_events
    from pushforward.cli.reading import read_for
    from pushforward.storage import load_model

    saved = load_model(model, running.start())
    require_event_output(saved, out, force)
    dataset = read_for(saved, data, DataSource(data_dir=data_dir))
    x = reconstruction_sheet(saved.flow, dataset, rows, keep, temperature, running.chosen_seed)
    write_events(saved, x.reshape(-1, *x.shape[2:]), out, columns=x.shape[1])
