"""Stochastic permutation: a random order for every event, in both directions."""

from __future__ import annotations

from torch import Tensor

from pushforward.domain import REAL, Domain
from pushforward.errors import OptionError, ShapeError
from pushforward.events import Shape, zero_log_term
from pushforward.noise import Noise, NoiseValue, required_noise
from pushforward.transforms.base import Transform


class StochasticPermutation(Transform):
    """A random permutation of axis 1: ``z[:, i] = x[:, order[i]]``, with equally likely orders in both directions.

    The log term is 0: the density of the order given the latent and that given the data cancel. The model is
    exchangeable, and its log-density is ``ln mean_order p(x[order])``, and one draw gives a lower bound of it, exact
    where the rest of the flow ignores the order. domain: where all coordinates lie.

    Source: Nielsen, Jaini, Hoogeboom, Winther & Welling, "SurVAE flows", 2020, appendix E.

    >>> from pushforward.transforms import StochasticPermutation
    >>> StochasticPermutation((3,)).kind
    'bound'
    """

    kind = "bound"

    def __init__(self, event_shape: Shape, domain: Domain = REAL) -> None:
        super().__init__()
        if not event_shape:
            raise ShapeError("a StochasticPermutation needs events with an axis to reorder, got scalars")
        if domain.kind in ("product", "ordered"):
            raise OptionError(f"a StochasticPermutation takes coordinates that all lie in one set, got {domain}")
        self.data_shape = self.latent_shape = tuple(event_shape)
        self.domain = self.codomain = domain
        self.noise_to_latent = self.noise_to_data = Noise((event_shape[0],), "uniform")

    def to_latent(self, x: Tensor, context: Tensor | None = None, noise: NoiseValue = None) -> tuple[Tensor, Tensor]:
        return reordered(x, random_order(noise, self)), zero_log_term(x)

    def to_data(self, z: Tensor, context: Tensor | None = None, noise: NoiseValue = None) -> tuple[Tensor, Tensor]:
        return reordered(z, random_order(noise, self)), zero_log_term(z)

    def path_noise(self, x: Tensor, z: Tensor, context: Tensor | None = None, back: NoiseValue = None) -> NoiseValue:
        # Noise that is sorted by the inverse of the order that `to_data` used.
        return (random_order(back, self).to(x.dtype) + 0.5) / self.data_shape[0]


def random_order(noise: NoiseValue, transform: Transform) -> Tensor:
    """The order ``(B, n)`` of uniform noise ``(B, n)``; all are equally likely."""
    return required_noise(noise, transform, "one uniform number per place").argsort(dim=1, stable=True)


def reordered(x: Tensor, order: Tensor) -> Tensor:
    """``x: (B, n, ...)`` with the entries of axis 1 of each row in the order ``(B, n)``."""
    index = order.reshape(*order.shape, *(1,) * (x.ndim - 2))
    return x.gather(1, index.expand_as(x))
