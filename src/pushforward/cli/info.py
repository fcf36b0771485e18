"""`pushforward info`: summary of a saved model."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from pushforward.cli.imports import import_files
from pushforward.cli.parameters import Imports, Model


def info(
    model: Model,
    /,
    *,
    imports: Imports = (),
    json: Annotated[bool, Parameter(help="print its config.json.")] = False,
) -> None:
    """Summarise a saved model, after verifying its files against the manifest: of a table also the plan of columns."""
    from pushforward.cli.summary import summary
    from pushforward.storage import load_model
    from pushforward.storage.models import estimator_class

    import_files(imports)
    if estimator_class(model) is not None:
        from pushforward.cli.table_summary import table_config, table_summary

        print(table_config(model) if json else table_summary(model))
        return
    saved = load_model(model)
    print(saved.config.model_dump_json(indent=2) if json else summary(saved))
