"""The arrows of import: one way between the layers, and no cycle, those for type checking and in functions included."""

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

import pushforward

SOURCE = Path(pushforward.__file__).parent

# From the lowest layer to the highest. A module may import its own layer and lower ones; the longest prefix counts.
LAYERS = (
    "version errors error_messages data_frames domain domain_values support events noise likelihood held_flags "
    "precision differentiation module_state array_types atomic_files preparation channel_moments option_checks "
    "triangular coordinate_blocks inputs row_blocks context_scale processors threads",
    "maps nets kernels data mixtures",
    "transforms bases structure density",
    "objectives",
    "flow distribution units rows row_domain",
    "flows presets",
    "training inference",
    "evaluation diagnostics",
    "storage",
    "reports",
    "estimators",
    "cli __main__",
)

Graph = Mapping[str, set[str]]


def modules(source: Path) -> dict[str, Path]:
    """The file of each module of a package, by dotted name."""
    found = {}
    for path in sorted(source.rglob("*.py")):
        parts = path.relative_to(source.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def import_graph(source: Path) -> dict[str, set[str]]:
    """The modules of the package that each of its modules imports, anywhere in its text.

    A name that a package's ``__init__`` takes from another module counts as an import of that module.
    """
    files = modules(source)
    trees = {name: ast.parse(path.read_text()) for name, path in files.items()}
    packages = {name for name, path in files.items() if path.name == "__init__.py"}
    exported = {name: {as_name: origin for origin, as_name in _imported(trees[name], name)} for name in packages}

    def defining(module: str, name: str | None) -> str | None:
        if module not in files:
            return None
        if name is None or module not in packages:
            return module
        if f"{module}.{name}" in files:
            return f"{module}.{name}"
        origin = exported[module].get(name)
        return defining(*origin) if origin is not None else module

    graph = {}
    for name in files:
        origins = (defining(*origin) for origin, _ in _imported(trees[name], name))
        graph[name] = {origin for origin in origins if origin is not None} - {name}
    return graph


def _imported(tree: ast.Module, module: str) -> Iterator[tuple[tuple[str, str | None], str]]:
    """Each import of a module as ``(module, name or None)``, and the name that it has here."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield (alias.name, None), alias.asname or alias.name
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: relative import"
            for alias in node.names:
                yield (str(node.module), alias.name), alias.asname or alias.name


def cycles(graph: Graph) -> list[list[str]]:
    """The groups of modules that import each other, directly or by way of others (Tarjan)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    groups: list[list[str]] = []

    def visit(name: str) -> None:
        index[name] = low[name] = len(index)
        stack.append(name)
        for other in sorted(graph[name]):
            if other not in index:
                visit(other)
                low[name] = min(low[name], low[other])
            elif other in stack:
                low[name] = min(low[name], index[other])
        if low[name] == index[name]:
            group = stack[stack.index(name) :]
            del stack[stack.index(name) :]
            if len(group) > 1:
                groups.append(sorted(group))

    for name in sorted(graph):
        if name not in index:
            visit(name)
    return groups


def layer(module: str) -> int:
    """The number of the layer of a module ``package.part...``; the front page is above all layers."""
    part = module.split(".")[1] if "." in module else ""
    if not part:
        return len(LAYERS)
    return next(i for i, names in enumerate(LAYERS) if part in names.split())


def upward(graph: Graph) -> list[str]:
    """The imports of a module of a higher layer, as ``module -> module``."""
    arrows = ((name, other) for name, others in graph.items() for other in others)
    return sorted(f"{name} -> {other}" for name, other in arrows if layer(other) > layer(name))


def test_no_module_imports_itself_by_way_of_others() -> None:
    assert cycles(import_graph(SOURCE)) == []


def test_every_import_goes_to_the_same_layer_or_a_lower_one() -> None:
    assert upward(import_graph(SOURCE)) == []


def test_every_module_has_a_layer() -> None:
    for name in modules(SOURCE):
        assert 0 <= layer(name) <= len(LAYERS)


@pytest.fixture
def small_package(tmp_path: Path) -> Path:
    """A package in which a map imports a flow for type checking, and a cycle goes through a re-export in a function."""
    files = {
        "__init__.py": "",
        "errors.py": "import math",
        "maps/__init__.py": "from pushforward.maps.affine import Affine",
        "maps/affine.py": "import typing\nif typing.TYPE_CHECKING:\n    from pushforward.flow import Flow\n",
        "transforms/__init__.py": "",
        "transforms/base.py": "from pushforward import errors\n",
        "flow.py": "def f():\n    from pushforward.maps import Affine\n    import pushforward.transforms.base\n",
    }
    for name, text in files.items():
        path = tmp_path / "pushforward" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    return tmp_path / "pushforward"


def test_the_graph_sees_imports_in_functions_for_type_checking_and_through_packages(small_package: Path) -> None:
    graph = import_graph(small_package)
    assert graph["pushforward.flow"] == {"pushforward.maps.affine", "pushforward.transforms.base"}
    assert graph["pushforward.maps.affine"] == {"pushforward.flow"}
    assert graph["pushforward.transforms.base"] == {"pushforward.errors"}


def test_a_cycle_and_an_upward_import_are_found(small_package: Path) -> None:
    graph = import_graph(small_package)
    assert cycles(graph) == [["pushforward.flow", "pushforward.maps.affine"]]
    assert upward(graph) == ["pushforward.maps.affine -> pushforward.flow"]
