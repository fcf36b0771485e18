"""`pushforward flows`: the architectures."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from pushforward.cli.imports import import_files
from pushforward.cli.parameters import Imports


def flows(
    name: Annotated[str | None, Parameter(help="an architecture whose options are shown.")] = None,
    /,
    *,
    imports: Imports = (),
) -> None:
    """List the architectures and their uses or, with a name, the options of one architecture."""
    from pushforward import flows as registry
    from pushforward import presets

    import_files(imports)
    if name is None:
        width = max(map(len, registry.names()))
        for each in registry.names():
            about = registry.describe(each)
            print(f"{each:<{width}} {about.summary} ({about.source})\n{'':<{width}} {about.when}")
        print("\n`pushforward flows NAME` lists the options; give them to fit as --option NAME=VALUE.")
        return
    about = registry.describe(name)
    print(f"{about.name}: {about.summary} ({about.source})\n{about.when}\n")
    if published := [preset for preset in presets.names() if presets.load(preset).flow == name]:
        print(f"Presets of fit: {', '.join(published)}\n")
    for kind, recipe in about.recipes.items():
        print(f"Options on {kind}:")
        for option, field in recipe.options.model_fields.items():
            print(f"  {option} = {field.default}: {field.description}")
