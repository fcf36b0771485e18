"""A variational autoencoder as a stochastic transform."""

from __future__ import annotations

from torch import Tensor

from pushforward.domain import REAL
from pushforward.errors import OptionError
from pushforward.noise import NoiseValue, required_noise
from pushforward.transforms.base import Transform
from pushforward.transforms.conditional import ConditionalFlow


class VAE(Transform):
    """A variational autoencoder: draws the latent from an encoder ``q(z | x)`` and the data from a decoder ``p(x |
    z)``.

    The log term is ``ln p(x | z) - ln q(z | x)``: with a base on z its mean is the evidence lower bound of Kingma &
    Welling, "Auto-encoding variational Bayes", 2014, eq. 3. Data and latent may be of any two shapes. Source of the
    step as one of a chain: Nielsen, Jaini, Hoogeboom, Winther & Welling, "SurVAE flows", 2020, section 3. Raises
    OptionError.

    >>> from pushforward.transforms import VAE
    >>> from pushforward.transforms.conditional import conditional_gaussian
    >>> step = VAE(conditional_gaussian((1,), 3), conditional_gaussian((3,), 1))
    >>> step.data_shape, step.latent_shape, step.kind
    ((3,), (1,), 'bound')
    """

    kind = "bound"

    def __init__(self, encoder: ConditionalFlow, decoder: ConditionalFlow) -> None:
        super().__init__()
        for name, part in (("encoder", encoder), ("decoder", decoder)):
            if part.support != REAL:
                raise OptionError(f"the {name} of a VAE step must be of the real line, it is of {part.support}")
        self.encoder, self.decoder = encoder, decoder
        self.data_shape, self.latent_shape = decoder.event_shape, encoder.event_shape
        self.noise_to_latent, self.noise_to_data = encoder.noise, decoder.noise
        self.eager = encoder.eager or decoder.eager

    def to_latent(self, x: Tensor, context: Tensor | None = None, noise: NoiseValue = None) -> tuple[Tensor, Tensor]:
        noise = required_noise(noise, self, "from which the latent is drawn, in to_latent")
        z, log_q = self.encoder.draw(noise, x, context)
        return z, self.decoder.log_prob(x, z, context) - log_q

    def to_data(self, z: Tensor, context: Tensor | None = None, noise: NoiseValue = None) -> tuple[Tensor, Tensor]:
        noise = required_noise(noise, self, "from which the data are drawn, in to_data")
        x, log_p = self.decoder.draw(noise, z, context)
        return x, self.encoder.log_prob(z, x, context) - log_p

    def path_noise(self, x: Tensor, z: Tensor, context: Tensor | None = None, back: NoiseValue = None) -> NoiseValue:
        return self.encoder.noise_of(z, x, context)[0]
