"""Continuously indexed bijections: a random index selects one of infinitely many bijections for each event."""

from __future__ import annotations

from torch import Tensor

from pushforward.domain import REAL
from pushforward.errors import OptionError, ShapeError
from pushforward.noise import NoiseValue, required_noise
from pushforward.transforms.base import Transform
from pushforward.transforms.conditional import ConditionalFlow


class ContinuouslyIndexed(Transform):
    """A bijection ``z = F_u(x)`` with an index u drawn from ``posterior`` given x, in `to_data` from ``prior`` given z.

    inner: a bijection f of the real line. by_index: a conditional flow of events given u, whose bijection follows f;
    with shifts and scales, ``F_u(x) = exp(s(u)) f(x) + t(u)``. The log term of `to_latent`, for the pair of x and u, is
    ``ln|det dF_u / dx| + ln p(u | z) - ln q(u | x)``, whose mean over u gives a lower bound. As u takes infinitely many
    values, the images of F_u overlap, and one mode becomes several without filaments between them.

    Source: Cornish, Caterini, Deligiannidis & Doucet, "Relaxing bijectivity constraints with continuously indexed
    normalising flows", 2020, eqs. 5 to 9. Raises OptionError, ShapeError.

    >>> from pushforward.transforms import ContinuouslyIndexed, LULinear
    >>> from pushforward.transforms.conditional import conditional_gaussian
    >>> by_index = conditional_gaussian((2,), 1)
    >>> prior, posterior = conditional_gaussian((1,), 2), conditional_gaussian((1,), 2)
    >>> ContinuouslyIndexed(LULinear(2), by_index, prior, posterior).kind
    'bound'
    """

    kind = "bound"

    def __init__(
        self, inner: Transform, by_index: ConditionalFlow, prior: ConditionalFlow, posterior: ConditionalFlow
    ) -> None:
        super().__init__()
        if not inner.is_bijection or inner.kind != "exact" or not inner.domain == inner.codomain == REAL:
            raise OptionError(
                f"a ContinuouslyIndexed takes a bijection of the real line, {type(inner).__name__} is not one"
            )
        if by_index.event_shape != inner.latent_shape or by_index.support != REAL:
            raise ShapeError(
                f"by_index must be of real events {inner.latent_shape}, it is of {by_index.event_shape} on "
                f"{by_index.support}"
            )
        if prior.event_shape != posterior.event_shape:
            raise ShapeError(
                f"prior and posterior must be of the same index, they are of {prior.event_shape} and "
                f"{posterior.event_shape}"
            )
        self.inner, self.by_index, self.prior, self.posterior = inner, by_index, prior, posterior
        self.data_shape, self.latent_shape = inner.data_shape, by_index.transform.latent_shape
        self.noise_to_latent, self.noise_to_data = posterior.noise, prior.noise
        self.eager = next((part.eager for part in (inner, by_index, prior, posterior) if part.eager is not None), None)

    def to_latent(self, x: Tensor, context: Tensor | None = None, noise: NoiseValue = None) -> tuple[Tensor, Tensor]:
        noise = required_noise(noise, self, "from which the index is drawn, in to_latent")
        u, log_q = self.posterior.draw(noise, x, context)
        y, inner_term = self.inner.to_latent(x, context)
        z, index_term = self.by_index.transform.to_latent(y, self.by_index.condition(u, context))
        return z, inner_term + index_term + self.prior.log_prob(u, z, context) - log_q

    def to_data(self, z: Tensor, context: Tensor | None = None, noise: NoiseValue = None) -> tuple[Tensor, Tensor]:
        noise = required_noise(noise, self, "from which the index is drawn, in to_data")
        u, log_p = self.prior.draw(noise, z, context)
        y, index_term = self.by_index.transform.to_data(z, self.by_index.condition(u, context))
        x, inner_term = self.inner.to_data(y, context)
        return x, inner_term + index_term + self.posterior.log_prob(u, x, context) - log_p

    def initialise(self, x: Tensor, context: Tensor | None = None, noise: NoiseValue = None) -> None:
        self.inner.initialise(x, context)

    def path_noise(self, x: Tensor, z: Tensor, context: Tensor | None = None, back: NoiseValue = None) -> NoiseValue:
        u, _ = self.prior.draw(required_noise(back, self, "from which the index is drawn, of to_data"), z, context)
        return self.posterior.noise_of(u, x, context)[0]
