"""Linear layers between steps, which mix the coordinates of vectors or the channels of images."""

from __future__ import annotations

from collections.abc import Sequence

from pushforward.events import Shape
from pushforward.flows.options import Options, refuse_unused
from pushforward.flows.parts.fields import LinearName
from pushforward.transforms import DenseLinear, LULinear, Transform
from pushforward.transforms.linear import Start
from pushforward.transforms.permutation import random_permutation, reverse


def linear_layers(event_shape: Shape, linear: LinearName, start: Start = "identity") -> list[Transform]:
    """The linear layer of that name, in a list; an empty list for a single coordinate, which cannot be mixed.

    start: starting value of a learned matrix.
    """
    if linear == "none" or event_shape[0] == 1:
        return []
    if linear in ("lu", "dense"):
        return [(LULinear if linear == "lu" else DenseLinear)(event_shape, start)]
    return [reverse(event_shape) if linear == "reverse" else random_permutation(event_shape)]


def refuse_mixing(event_shape: Shape, options: Options, names: Sequence[str]) -> None:
    """Raise OptionError where an option says how coordinates take turns or mix, and there is only one."""
    if event_shape == (1,):
        refuse_unused(options, names, "there is a single coordinate, and no other to take turns or mix with")
