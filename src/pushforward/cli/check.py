"""`pushforward check`: numerical checks of a saved model."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from pushforward.cli.parameters import DataSource, Model, Running


def check(
    model: Model,
    data: Annotated[str | None, Parameter(help="data to check the model on; default: its own samples.")] = None,
    /,
    *,
    rows: Annotated[int, Parameter(help="check on at most this many rows.")] = 256,
    json: Annotated[bool, Parameter(help="print JSON instead of a table.")] = False,
    source: DataSource = DataSource(),  # noqa: B008 - frozen
    running: Running = Running(),  # noqa: B008 - frozen
) -> int:
    """Check the numerics of a saved model: round trips, log terms, precision, samples, the integral.

    The exit code is 5 if a check fails by an error that is large enough to forbid the use of the model.
    """
    from json import dumps

    import numpy as np

    from pushforward.cli.reading import read_for
    from pushforward.diagnostics import check as run_check
    from pushforward.errors import NumericsError, OptionError
    from pushforward.evaluation.verdict import State
    from pushforward.rows import rows_of
    from pushforward.storage import load_model

    if rows < 1:
        raise OptionError(f"rows must be at least 1, got {rows}")
    saved = load_model(model, running.start())
    flow, x, given = saved.flow, None, None
    if data is not None:
        dataset = read_for(saved, data, source)
        chosen = np.random.default_rng(running.chosen_seed).permutation(len(dataset))[:rows]
        part = rows_of(flow, dataset, np.sort(chosen))
        x, given = part.x, part.context
    elif flow.context_shape is not None:
        raise OptionError("this model is conditional: give data to check it on, for their contexts")
    result = run_check(flow, x, context=given, rows=rows, seed=running.chosen_seed)
    print(dumps(result.to_json(), indent=1) if json else result)
    return NumericsError.exit_code if result.verdict.state is State.REFUSE else 0
