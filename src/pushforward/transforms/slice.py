"""A surjection that keeps some coordinates and models the others given those."""

from __future__ import annotations

import torch
from torch import Tensor

from pushforward.domain import REAL, Domain, product
from pushforward.errors import OptionError, ShapeError
from pushforward.events import Shape
from pushforward.noise import NoiseValue, required_noise
from pushforward.transforms.base import Transform
from pushforward.transforms.conditional import Conditional


class Slice(Transform):
    """A surjection that keeps the first entries of axis 1 (coordinates or channels) and drops the rest.

    rest: the density of the dropped entries given the kept ones and the context; the log term is its value, ``ln p(x2 |
    x1)``, and the likelihood is exact. `to_data` draws the rest. kept: number of kept entries, at least one; a
    `Permutation` before it keeps others than the first. domain: that of the kept entries; for images the rest must lie
    there too.

    Source: Nielsen, Jaini, Hoogeboom, Winther & Welling, "SurVAE flows", 2020, section 3.1 and appendix A. Raises
    OptionError, ShapeError.

    >>> from pushforward.transforms import Slice
    >>> from pushforward.transforms.conditional import conditional_gaussian
    >>> step = Slice((3,), kept=2, rest=conditional_gaussian((1,), 2))
    >>> step.latent_shape, step.kind
    ((2,), 'exact')
    """

    def __init__(self, event_shape: Shape, kept: int, rest: Conditional, domain: Domain = REAL) -> None:
        super().__init__()
        if not event_shape or not 0 < kept < event_shape[0]:
            raise ShapeError(
                f"a Slice keeps some entries of axis 1 and drops some, got kept={kept} of {tuple(event_shape)}"
            )
        dropped = (event_shape[0] - kept, *event_shape[1:])
        if rest.event_shape != dropped:
            raise ShapeError(f"rest of a Slice must be of events {dropped}, it is of {rest.event_shape}")
        self.kept, self.rest, self.eager = kept, rest, rest.eager
        self.data_shape, self.latent_shape = tuple(event_shape), (kept, *event_shape[1:])
        self.domain, self.codomain = _whole(domain, rest.support, kept, dropped), domain
        self.noise_to_data = rest.noise

    def to_latent(self, x: Tensor, context: Tensor | None = None, noise: NoiseValue = None) -> tuple[Tensor, Tensor]:
        z, rest = x[:, : self.kept], x[:, self.kept :]
        return z, self.rest.log_prob(rest, z, context)

    def to_data(self, z: Tensor, context: Tensor | None = None, noise: NoiseValue = None) -> tuple[Tensor, Tensor]:
        noise = required_noise(noise, self, "from which the rest is drawn, in to_data")
        rest, log_p = self.rest.draw(noise, z, context)
        return torch.cat([z, rest], 1), -log_p


def _whole(domain: Domain, rest: Domain, kept: int, dropped: Shape) -> Domain:
    """The domain of events whose first entries lie in ``domain`` and the others in ``rest``."""
    if domain == rest and domain.kind not in ("ordered", "product"):
        return domain
    if len(dropped) > 1 or "ordered" in (domain.kind, rest.kind):
        raise OptionError(
            f"a Slice keeps {domain} and drops {rest}: different domains need vectors, and not ordered ones"
        )
    return product([*map(domain.coordinate, range(kept)), *map(rest.coordinate, range(dropped[0]))])
