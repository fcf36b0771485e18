"""`pushforward encode`: encoding of data to latents."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from pushforward.cli.parameters import Data, DataSource, Force, Model, Running


def encode(
    model: Model,
    data: Data,
    /,
    *,
    out: Annotated[
        Path | None, Parameter(help="file ending in .npy, .csv, .parquet or .jsonl; default: CSV to stdout.")
    ] = None,
    source: DataSource = DataSource(),  # noqa: B008 - frozen
    force: Force = False,
    running: Running = Running(),  # noqa: B008 - frozen
) -> None:
    """Encode data to latents: one row of z0, z1, ... for each row of the data.

    Integer data are dequantised with noise keyed by the seed and the row.
    """
    import numpy as np

    from pushforward.cli.latents import encode_data
    from pushforward.cli.output import TABLES, require_output, write_table
    from pushforward.cli.reading import read_for
    from pushforward.storage import load_model

    require_output(out, TABLES, force)
    saved = load_model(model, running.start())
    rows = read_for(saved, data, source)
    z = encode_data(saved, rows, running.chosen_seed)
    write_table({f"z{i}": np.ascontiguousarray(column) for i, column in enumerate(z.T)}, out)
