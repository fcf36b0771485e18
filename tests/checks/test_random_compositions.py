"""Random chains, inverses and products of the registry's bijections: what fits is a bijection, the rest is refused."""

import functools
import math
from dataclasses import dataclass

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from pushforward.diagnostics.inversion import data_round_trip, latent_round_trip
from pushforward.diagnostics.jacobian import log_term_error
from pushforward.domain import Domain
from pushforward.errors import OptionError, ShapeError
from pushforward.transforms import Product
from pushforward.transforms.base import Chain, Inverse, Transform
from registry import BY_NAME, ENTRIES, Entry
from subjects import built, structured, subject

_CONTEXT = (2,)


@dataclass(frozen=True)
class Part:
    """An entry's transform with random weights, in one of its two directions."""

    name: str
    inverted: bool

    @functools.cached_property
    def transform(self) -> Transform:
        made = subject(BY_NAME[self.name]).transform
        return Inverse(made) if self.inverted else made


@functools.cache
def _parts(conditional: bool) -> tuple[Part, ...]:
    """Both directions of every exact bijection of 4 coordinates or fewer that a solver's tolerance does not limit."""

    def suits(entry: Entry) -> bool:
        transform = built(entry.name).transform
        exact = (
            transform.is_bijection and transform.kind == "exact" and not (entry.tolerance or entry.inverse_tolerance)
        )
        contexts = (_CONTEXT,) if conditional else (None,)
        return entry.kind in ("map", "transform") and entry.size <= 4 and exact and entry.context in contexts

    return tuple(Part(entry.name, inverted) for entry in ENTRIES if suits(entry) for inverted in (False, True))


def _fit(first: Transform, second: Transform) -> bool:
    try:
        Chain([first, second])
    except (OptionError, ShapeError):
        return False
    return True


@st.composite
def compositions(draw: st.DrawFn) -> tuple[Transform, list[str], bool]:
    """A transform of two to four parts, the names of these, and whether it has a context."""
    conditional = draw(st.booleans())
    parts = _parts(conditional)
    chosen = [draw(st.sampled_from(parts))]
    whole = chosen[0].transform
    for _ in range(draw(st.integers(1, 3))):
        how = draw(st.sampled_from(["after", "before", "beside", "inverted"]))
        fitting = [
            part
            for part in parts
            if (how == "after" and _fit(whole, part.transform))
            or (how == "before" and _fit(part.transform, whole))
            or (how == "beside" and _beside(whole, part.transform))
        ]
        if how == "inverted" or not fitting:
            whole = Inverse(whole)
            continue
        part = draw(st.sampled_from(fitting))
        chosen.append(part)
        if how == "beside":
            size, more = whole.data_shape[0], part.transform.data_shape[0]
            order = draw(st.permutations(range(size + more)))
            whole = Product([whole, part.transform], [order[:size], order[size:]])
        else:
            whole = Chain([whole, part.transform] if how == "after" else [part.transform, whole])
    return whole, [f"{part.name}{', inverted' if part.inverted else ''}" for part in chosen], conditional


def _beside(whole: Transform, part: Transform) -> bool:
    vectors = all(len(shape) == 1 for shape in (whole.data_shape, part.data_shape))
    ordered = "ordered" in {domain.kind for t in (whole, part) for domain in (t.domain, t.codomain)}
    return vectors and not ordered and math.prod(whole.data_shape) + math.prod(part.data_shape) <= 4


def _rows(shape: tuple[int, ...], domain: Domain, n: int = 5) -> Tensor:
    return structured(n, shape, domain, torch.Generator().manual_seed(0))


@settings(max_examples=60)
@given(compositions())
def test_parts_that_fit_make_a_bijection_with_the_log_term_of_its_jacobian(
    composition: tuple[Transform, list[str], bool],
) -> None:
    whole, names, conditional = composition
    x, z = _rows(whole.data_shape, whole.domain), _rows(whole.latent_shape, whole.codomain)
    context = torch.linspace(-1, 1, 10, dtype=x.dtype).reshape(5, *_CONTEXT) if conditional else None
    assert max(data_round_trip(whole, x, context).max(), latent_round_trip(whole, z, context).max()) <= 1e-10, names
    assert log_term_error(whole, x, "to_latent", context).max() <= 1e-9, names
    assert log_term_error(whole, z, "to_data", context).max() <= 1e-9, names


def _inside(values: Tensor, domain: Domain) -> bool:
    """Whether all rows of values lie in a domain, by looking at them."""
    if domain.kind == "product":
        return all(_inside(values[:, i], part) for i, part in enumerate(domain.parts))
    ascends = domain.kind != "ordered" or bool((values.diff(dim=1) >= 0).all())
    whole = domain.kind != "integers" or torch.equal(values, values.round())
    return ascends and whole and bool(((values >= domain.low) & (values <= domain.high)).all())


def _circles(domain: Domain, size: int) -> list[bool]:
    return [domain.coordinate(i).kind == "circle" for i in range(size)]


@settings(max_examples=300)
@given(st.data())
def test_parts_are_refused_where_the_latents_of_one_are_not_the_data_of_the_next(data: st.DataObject) -> None:
    parts = _parts(data.draw(st.booleans()))
    first = data.draw(st.sampled_from(parts)).transform
    second = data.draw(st.sampled_from([p for p in parts if p.transform.data_shape == first.latent_shape])).transform
    latents, rows = (_rows(first.latent_shape, d, n=400) for d in (first.codomain, second.domain))
    # An angle and a number of the same interval are different things.
    same_circles = _circles(first.codomain, latents[0].numel()) == _circles(second.domain, latents[0].numel())
    fits = same_circles and _inside(latents, second.domain) and (first.clamps or _inside(rows, first.codomain))
    assert _fit(first, second) == fits


def test_the_bijections_that_are_put_together_are_most_of_the_registry() -> None:
    names = {part.name for conditional in (False, True) for part in _parts(conditional)}
    small = {e.name for e in ENTRIES if e.kind in ("map", "transform") and e.size <= 4 and e.context != "labels"}
    assert len(names) > 0.6 * len(small)
