"""Configuration of the documentation site, which `make docs` builds into build/site. Nothing in it needs a network."""

from __future__ import annotations

import importlib
import inspect
import re
import sys
from pathlib import Path
from typing import Any

import latex2mathml.converter
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective
from sphinx.util.nodes import make_refnode

sys.path.insert(0, str(Path(__file__).parent.parent / "src"))

from pushforward.version import __version__

project = "pushforward"
copyright = "the authors of pushforward"
version = release = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc"]
exclude_patterns = ["measurements"]
myst_enable_extensions = ["dollarmath", "colon_fence"]
myst_heading_anchors = 3

# In docstrings, `Name` is a Python object: a link where one of that name is documented.
default_role = "py:obj"
autodoc_inherit_docstrings = False
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
# As they are written in the signatures, not as the unions that they stand for.
autodoc_type_aliases = {
    name: name
    for name in (
        *("Array", "Direction", "End", "Increasing", "Interpolant", "Interval", "Kind", "LogDensity", "MakeObjective"),
        *("MapFunction", "NoiseSpec", "NoiseValue", "Pairing", "Rows", "RunPart", "Shape", "Stages", "TensorLike"),
    )
}
python_maximum_signature_line_length = 88
python_use_unqualified_type_names = True
toc_object_entries_show_parents = "hide"
html_math_renderer = "mathml"

html_theme = "furo"
html_title = f"pushforward {__version__}"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sourcelink = False
html_show_sphinx = False
pygments_style, pygments_dark_style = "friendly", "monokai"


class Reference(SphinxDirective):
    """The entries of public names: a table with their first lines, then each with its docstring.

    The argument is a package; the content lists names of it, one a line. ``:inherited: Base`` after a name also
    shows the methods of its bases up to ``Base``.
    """

    has_content = True
    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        package = self.arguments[0]
        module = importlib.import_module(package)
        entries = [line.split() for line in self.content if line.strip()]
        lines = [f".. currentmodule:: {package}", "", ".. list-table::", "   :widths: 30 70", ""]
        for name, *_ in entries:
            lines += [f"   * - `{name} <{package}.{name}>`", f"     - {_first_line(getattr(module, name))}"]
        for name, *options in entries:
            value = getattr(module, name)
            if inspect.isclass(value):
                extra = [f"   :inherited-members: {base}" for base in options[1:]]
                lines += ["", f".. autoclass:: {name}", "   :members:", *extra]
            else:
                lines += ["", f".. autofunction:: {name}" if callable(value) else f".. py:data:: {name}"]
        fenced = ["````{eval-rst}", *lines, "````"]
        return self.parse_text_to_nodes("\n".join(fenced), allow_section_headings=False)


def _first_line(value: Any) -> str:
    """The first sentence or line of a docstring; of a constant, what kind of thing it is."""
    if not callable(value):
        return f"a constant of type ``{type(value).__name__}``"
    return " ".join((inspect.getdoc(value) or "").split("\n\n")[0].split())


def _by_short_name(app: Sphinx, env: Any, node: Any, content: nodes.Element) -> nodes.Node | None:
    """The link of a name without its module, where one documented object alone has it: ``Flow``, ``Flow.sample``."""
    if node.get("refdomain") != "py":
        return None
    target = node["reftarget"].removeprefix("pushforward.")
    objects = env.get_domain("py").objects
    found = [name for name, entry in objects.items() if f".{name}".endswith(f".{target}") and not entry.aliased]
    here = [name for name in found if f".{node.get('py:class')}." in f".{name}"]
    chosen = here if len(here) == 1 else found
    if len(chosen) != 1:
        return None
    entry = objects[chosen[0]]
    return make_refnode(app.builder, node["refdoc"], entry.docname, entry.node_id, content)


def _mathml(self: Any, node: nodes.Node) -> None:
    inline = isinstance(node, nodes.math)
    converted = latex2mathml.converter.convert(node.astext(), display="inline" if inline else "block")
    self.body.append(converted if inline else f'<div class="math">{converted}</div>')
    raise nodes.SkipNode


def _skip_requests(app: Sphinx, kind: str, name: str, value: Any, skip: bool, options: Any) -> bool | None:
    """Leave out the methods by which scikit-learn routes metadata: their docstrings refer to its own site."""
    return True if re.fullmatch(r"set_\w+_request", name) else None


def _plain_signature(
    app: Sphinx, kind: str, name: str, value: Any, options: Any, signature: str | None, returned: str | None
) -> tuple[str | None, str | None]:
    """A signature without the wrappers of names and limits; none for an abstract class without a constructor."""
    if signature is not None and re.fullmatch(r"\(\*args: \S+, \*\*kwargs: \S+\)", signature):
        return "", returned
    return _plain(signature), _plain(returned)


def _plain(signature: str | None) -> str | None:
    if signature is None:
        return None
    named = re.sub(r"(?:~?[\w.]+\.)?TypeAliasForwardRef\('(\w+)'\)", r"\1", signature)
    # Of Annotated[int | None, Ge(ge=1)] the type alone.
    return re.sub(r"~?(?:typing|types)\.Annotated\[([^\[\],]*(?:\[[^\]]*\])?[^\[\],]*)(?:, [^\]]*)\]", r"\1", named)


def _with_fields(app: Sphinx, kind: str, name: str, value: Any, options: Any, lines: list[str]) -> None:
    """The descriptions of the options, after the docstring of their schema."""
    fields = getattr(value, "model_fields", {}) if kind == "class" else {}
    lines += ["", *(f"- ``{field}``: {info.description}" for field, info in fields.items() if info.description), ""]


def setup(app: Sphinx) -> None:
    """Register the directive ``reference`` and formulas as MathML, which browsers show without a script."""
    app.add_directive("reference", Reference)
    app.connect("autodoc-process-signature", _plain_signature)
    app.connect("autodoc-process-docstring", _with_fields)
    app.connect("autodoc-skip-member", _skip_requests)
    app.connect("missing-reference", _by_short_name)
    app.add_html_math_renderer("mathml", (_mathml, None), (_mathml, None))
