"""The closed list of bases, and how one is built by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, TypeAlias, cast

from pushforward.bases.base import Base
from pushforward.bases.circle import UniformCircle, VonMises
from pushforward.bases.learned import ConditionalNormal, DiagonalNormal, StudentT
from pushforward.bases.mixture import GaussianMixture
from pushforward.bases.product import ProductBase
from pushforward.bases.standard import StandardLogistic, StandardNormal, UniformBox
from pushforward.errors import OptionError
from pushforward.events import Shape

BASES: dict[str, type[Base]] = {
    "normal": StandardNormal,
    "logistic": StandardLogistic,
    "uniform": UniformBox,
    "learned-normal": DiagonalNormal,
    "conditional-normal": ConditionalNormal,
    "mixture": GaussianMixture,
    "student-t": StudentT,
    "uniform-circle": UniformCircle,
    "von-mises": VonMises,
}


# The bases on the real line, which flows of real data can be built with.
RealBase: TypeAlias = Literal["normal", "logistic", "learned-normal", "conditional-normal", "mixture", "student-t"]


def build_base(name: str, event_shape: Shape, context_dim: int = 0, components: int = 8) -> Base:
    """The base of that name (a key of ``BASES``) for events of the given shape.

    context_dim: length of a context, which ``conditional-normal`` needs. components: of a ``mixture``.

    >>> from pushforward.bases import build_base
    >>> build_base("mixture", (2,), components=3).sample(5).shape
    torch.Size([5, 2])
    """
    if name not in BASES:
        raise OptionError(f"base {name!r} is not known; expected one of {', '.join(BASES)}")
    if name == "conditional-normal":
        if not context_dim:
            raise OptionError("base 'conditional-normal' needs a flow with a context; give context_dim or classes")
        return ConditionalNormal(event_shape, context_dim)
    if name == "mixture":
        return GaussianMixture(event_shape, components)
    make = cast(Callable[[Shape], Base], BASES[name])
    return make(event_shape)


def is_registered(base: Base) -> bool:
    """Whether a model with this base can be saved: `build_base` knows it, or all of the parts of a product.

    >>> from pushforward.bases import StandardNormal, is_registered
    >>> is_registered(StandardNormal((2,)))
    True
    """
    if isinstance(base, ProductBase):
        return all(is_registered(part) for part in base.bases.children() if isinstance(part, Base))
    return type(base) in BASES.values()
