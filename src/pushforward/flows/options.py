"""The contract of an architecture: for each kind of event, a schema of options and a recipe of steps."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Generic, Literal, TypeAlias, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pushforward.bases import Base, RealBase
from pushforward.error_messages import first_problem
from pushforward.errors import OptionError, ShapeError
from pushforward.events import Shape
from pushforward.objectives import MakeObjective
from pushforward.transforms.base import Transform


class _CoordinateMark:
    """A mark of options that are numbers of coordinates of the data."""


# The number of a coordinate, from 0. Where the data have columns, the name of a column may replace its number.
Coordinate: TypeAlias = Annotated[int, Field(ge=0), _CoordinateMark()]


class Options(BaseModel):
    """Base of every schema of options: unknown names are refused, values are validated and cannot be changed.

    >>> from pushforward.flows import Options
    >>> class MyOptions(Options):
    ...     transforms: int = 4
    >>> MyOptions().transforms
    4
    """

    model_config = ConfigDict(extra="forbid", frozen=True)


# The kinds of events.
Kind: TypeAlias = Literal["vectors", "images"]
AnyOptions = TypeVar("AnyOptions", bound=Options)


@dataclass(frozen=True)
class Steps:
    """The transforms of a flow after its data layers, from the data to the latent.

    base: a base on their latent shape, or the name of one of ``pushforward.bases.BASES``. objective: makes the loss of
    training from the flow; None: maximum likelihood.

    >>> from pushforward.flows import Steps
    >>> from pushforward.transforms import LULinear
    >>> Steps([LULinear(2), LULinear(2)], base="logistic").base
    'logistic'
    """

    transforms: Sequence[Transform]
    base: Base | RealBase = "normal"
    objective: MakeObjective | None = None


@dataclass(frozen=True)
class Recipe(Generic[AnyOptions]):
    """The recipe of an architecture for one kind of event.

    steps: called as ``steps(event_shape, context_dim, options)``. Options that are `DataOptions` get their data layers
    before these steps.

    >>> from pushforward.flows import FlowOptions, Recipe, Steps
    >>> from pushforward.transforms import LULinear
    >>> def steps(event_shape, context_dim, options):
    ...     return Steps([LULinear(event_shape)], options.base)
    >>> len(Recipe(FlowOptions, steps).steps((3,), 0, FlowOptions()).transforms)
    1
    """

    options: type[AnyOptions]
    steps: Callable[[Shape, int, AnyOptions], Steps]


@dataclass(frozen=True)
class Architecture:
    """One architecture: its recipes for vectors ``(D,)`` and for images ``(C, H, W)``, and when to choose it.

    vectors, images: None for an architecture that has no such flow. summary: one line; when: one sentence.

    >>> from pushforward import flows
    >>> flows.describe("nice").summary
    'additive couplings and one diagonal scaling, on vectors or flattened images'
    """

    name: str
    summary: str
    when: str
    source: str
    vectors: Recipe[Any] | None = None
    images: Recipe[Any] | None = None

    @property
    def recipes(self) -> dict[Kind, Recipe[Any]]:
        """The existing recipes, by kind of event."""
        both: dict[Kind, Recipe[Any] | None] = {"vectors": self.vectors, "images": self.images}
        return {kind: recipe for kind, recipe in both.items() if recipe is not None}

    def recipe(self, event_shape: Shape) -> Recipe[Any]:
        """The recipe for events of that shape; raises ShapeError where there is none."""
        kind = kind_of(event_shape)
        if kind not in self.recipes:
            form = "vectors, event_shape (D,)" if kind == "images" else "images, event_shape (channels, height, width)"
            raise ShapeError(
                f"{self.name}: {form}, expected, got {tuple(event_shape)}; for {kind} use real_nvp, glow or nsf"
            )
        return self.recipes[kind]

    def validated(self, event_shape: Shape, options: Mapping[str, Any]) -> Options:
        """``options`` by the schema for such events; raises OptionError with the first thing that is wrong."""
        schema: type[Options] = self.recipe(event_shape).options
        try:
            return schema(**options)
        except ValidationError as error:
            raise OptionError(self._problem(error, event_shape)) from None

    def _problem(self, error: ValidationError, event_shape: Shape) -> str:
        kind = kind_of(event_shape)
        owner, known = f"{self.name} on {kind}", list(self.recipes[kind].options.model_fields)
        first = error.errors()[0]
        if first["type"] != "extra_forbidden":
            return first_problem(error, f"{self.name}:")
        for other, recipe in self.recipes.items():
            if first["loc"][0] in recipe.options.model_fields:
                return f"{owner} has no option {first['loc'][0]!r} (it is for {other}); it has {', '.join(known)}"
        return first_problem(error, owner, known)


def is_coordinate(annotation: Any) -> bool:
    """Whether an option of such a type holds numbers of coordinates."""
    return isinstance(annotation, _CoordinateMark) or any(is_coordinate(part) for part in get_args(annotation))


def kind_of(event_shape: Shape) -> Kind:
    """``vectors`` or ``images``; raises ShapeError for events that are neither."""
    if len(event_shape) not in (1, 3):
        raise ShapeError(f"event_shape (D,) or (channels, height, width) expected, got {tuple(event_shape)}")
    return "vectors" if len(event_shape) == 1 else "images"


def refuse_unused(options: Options, names: Sequence[str], reason: str) -> None:
    """Raise OptionError where one of the options differs from its default although the others make it useless."""
    for name in names:
        value = getattr(options, name)
        if value != type(options).model_fields[name].default:
            raise OptionError(f"option {name}={value!r} has no use here: {reason}; leave it out")
