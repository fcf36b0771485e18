"""The HTML page of a report: a template filled with numbers and charts, without external scripts, fonts or pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any


def page(template: str, numbers: Mapping[str, Any], charts: Mapping[str, Any], **content: Any) -> str:
    """The page of a ``template`` in this folder. charts: ``<svg>`` elements, in lists or in dicts of lists, by name."""
    from jinja2 import Environment, FunctionLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=FunctionLoader(_text), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"number": number_text, "signed": _signed, "percent": percent_text}
    environment.filters |= {"p_value": _p_value, "compact": _compact}
    style = Markup(_text("page.css"))
    return environment.get_template(template).render(n=numbers, charts=_marked(charts), style=style, **content)


def number_text(value: float | None, digits: int = 3) -> str:
    """A number as text: fixed digits for moderate sizes, powers of ten otherwise."""
    if value is None:
        return "–"
    size = abs(value)
    text = f"{value:.{digits}g}" if size and (size < 10**-digits or size >= 1e5) else f"{value:.{digits}f}"
    return text.replace("-", "−")


def percent_text(value: float) -> str:
    """A fraction as a percentage."""
    return f"{100 * value:.2f} %" if value == 0 or value >= 1e-4 else f"{100 * value:.1g} %"


def _signed(value: float) -> str:
    return ("+" if value > 0 else "") + number_text(value)


def _p_value(value: float | None) -> str:
    if value is None:
        return "–"
    return "< 0.0001" if value < 1e-4 else f"{value:.2g}"


def _compact(value: float | None) -> str:
    """A number with four digits that count."""
    if value is None:
        return "–"
    text = f"{value:,.0f}" if 1000 <= abs(value) < 1e7 else f"{value:.4g}"
    return text.replace("-", "−")


def _text(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")


def _marked(charts: Any) -> Any:
    """The charts as markup, which the template does not escape."""
    from markupsafe import Markup

    if isinstance(charts, str):
        return Markup(charts)
    if isinstance(charts, Mapping):
        return {name: _marked(part) for name, part in charts.items()}
    return [_marked(part) for part in charts] if isinstance(charts, Sequence) else charts
