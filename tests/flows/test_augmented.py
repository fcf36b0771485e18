"""What the theory says of flows that draw something beside the data, where it can be computed."""

import math

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Normal

from pushforward.bases import StandardNormal
from pushforward.errors import OptionError, ShapeError
from pushforward.flow import Flow
from pushforward.flows import build
from pushforward.maps import Affine, SoftClampScale
from pushforward.transforms import (
    VAE,
    ActNorm,
    Augment,
    ConditionalFlow,
    ContinuouslyIndexed,
    Coupling,
    Elementwise,
    LULinear,
)
from pushforward.transforms.base import Chain, Transform

_LIMIT = 5.0


def _raw(log_scale: float) -> float:
    """What `SoftClampScale` takes to this log-scale."""
    return log_scale / (1 - abs(log_scale) / _LIMIT)


def _linear_normal(slope: float, offset: float, deviation: float) -> ConditionalFlow:
    """One value given another: ``N(slope given + offset, deviation)``, as noise = value exp(s) + t."""
    net = nn.Linear(1, 2).double()
    with torch.no_grad():
        net.weight.copy_(torch.tensor([[-slope / deviation], [0.0]], dtype=torch.float64))
        net.bias.copy_(torch.tensor([-offset / deviation, _raw(-math.log(deviation))], dtype=torch.float64))
    return ConditionalFlow(Elementwise(Affine(SoftClampScale(_LIMIT)), (1,), net).double())


def _likelihood(flow: Flow, x: Tensor) -> tuple[Tensor, Tensor]:
    with torch.no_grad():
        found = flow.likelihood(x, samples=16, seed=3)
    return found.value, found.standard_error


def _assert_exact(flow: Flow, x: Tensor, wanted: Tensor) -> None:
    value, error = _likelihood(flow, x)
    torch.testing.assert_close(value, wanted, rtol=0, atol=1e-10)
    assert float(error.max()) < 1e-9


def test_augmentation_from_the_exact_posterior_is_the_exact_likelihood() -> None:
    torch.manual_seed(0)
    linear = LULinear(2).double()
    with torch.no_grad():
        for parameter in linear.parameters():
            parameter.add_(0.4 * torch.randn_like(parameter))
        matrix = linear.to_latent(torch.eye(2).double())[0].T - linear.to_latent(torch.zeros(1, 2).double())[0].T
        offset = linear.to_latent(torch.zeros(1, 2).double())[0][0]
        # z = A (x, e) + b is standard normal: the precision of (x, e) is A^T A, its mean -A^-1 b.
        precision, mean = matrix.T @ matrix, -torch.linalg.solve(matrix, offset)
        covariance = torch.linalg.inv(precision)
    slope = float(covariance[1, 0] / covariance[0, 0])
    posterior = _linear_normal(slope, float(mean[1] - slope * mean[0]), float(precision[1, 1]) ** -0.5)
    flow = Flow(StandardNormal((2,)), Chain([Augment((1,), posterior), linear])).double()
    x = torch.linspace(-3, 3, 13).double()[:, None]
    wanted = Normal(mean[0], covariance[0, 0].sqrt()).log_prob(x[:, 0])
    _assert_exact(flow, x, wanted)
    # A wider one, off by 0.3: a bound from below, by the divergence from the one to the other.
    wide = _linear_normal(slope, float(mean[1] - slope * mean[0]) + 0.3, 1.2 * float(precision[1, 1]) ** -0.5)
    next(iter(flow.transform)).posterior = wide  # type: ignore[call-overload]
    with torch.no_grad():
        term = torch.stack([flow.log_prob(x, generator=torch.Generator().manual_seed(i)) for i in range(4000)])
    exact = Normal(0.0, float(precision[1, 1]) ** -0.5)
    other = Normal(0.3, 1.2 * float(precision[1, 1]) ** -0.5)
    gap = float(torch.distributions.kl_divergence(other, exact))
    error = term.std(0) / math.sqrt(len(term))
    assert ((term.mean(0) - (wanted - gap)).abs() < 4 * error).all()


def test_an_autoencoder_of_a_linear_decoder_and_the_exact_encoder_is_probabilistic_pca() -> None:
    weight, offset, noise = 1.7, 0.4, 0.6
    variance = 1 / (1 + (weight / noise) ** 2)
    encoder = _linear_normal(variance * weight / noise**2, -variance * weight * offset / noise**2, variance**0.5)
    flow = Flow(StandardNormal((1,)), VAE(encoder, _linear_normal(weight, offset, noise))).double()
    x = torch.linspace(-4, 4, 9).double()[:, None]
    wanted = Normal(torch.tensor(offset, dtype=torch.float64), math.hypot(weight, noise)).log_prob(x[:, 0])
    _assert_exact(flow, x, wanted)


def test_an_index_that_changes_nothing_leaves_the_likelihood_of_the_inner_flow() -> None:
    inner = Elementwise(Affine(SoftClampScale(_LIMIT)), (1,)).double()
    with torch.no_grad():
        assert inner.weight is not None
        inner.weight.copy_(torch.tensor([[0.3], [0.5]]))
    still = Elementwise(Affine(SoftClampScale(_LIMIT)), (1,), nn.Linear(1, 2)).double()
    nn.init.zeros_(still.net.weight)  # type: ignore[union-attr, arg-type]
    nn.init.zeros_(still.net.bias)  # type: ignore[union-attr, arg-type]
    same = _linear_normal(0.0, -0.2, 1.3)
    step = ContinuouslyIndexed(inner, ConditionalFlow(still), same, same)
    x = torch.linspace(-3, 3, 7).double()[:, None]
    wanted = Flow(StandardNormal((1,)), inner).double().log_prob(x)
    _assert_exact(Flow(StandardNormal((1,)), step).double(), x, wanted.detach())


def test_one_step_of_anf_is_a_variational_autoencoder_with_the_same_weights() -> None:
    torch.manual_seed(0)
    flow = build("anf", (2,), transforms=1, extra=3, hidden=(8,), standardise=False).double()
    with torch.no_grad():
        for parameter in flow.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    steps = list(flow.transform)  # type: ignore[call-overload]
    augment = next(step for step in steps if isinstance(step, Augment))
    encoder, decoder = (step for step in steps if isinstance(step, Coupling))
    norm = next(step for step in steps if isinstance(step, ActNorm))
    x, e = torch.randn(20, 2).double(), torch.randn(20, 3).double()

    def moments(coupling: Coupling, given: Tensor) -> tuple[Tensor, Tensor]:
        out = coupling.net(given)
        shift, raw = out.chunk(2, 1)
        return shift, raw / (1 + raw.abs() / 2)

    shift, log_scale = moments(encoder, x)
    z = e * log_scale.exp() + shift
    log_q = Normal(shift, log_scale.exp()).log_prob(z).sum(1)
    shift, log_scale = moments(decoder, z)
    # What follows, a scale and a shift of data and latent, is of the decoder's and the prior's.
    deviation, offset = norm.log_std.exp(), norm.offset
    log_p = Normal((deviation[:2] * 0 + offset[:2] - shift) * (-log_scale).exp(), deviation[:2] * (-log_scale).exp())
    prior = Normal(offset[2:], deviation[2:])
    elbo = log_p.log_prob(x).sum(1) + prior.log_prob(z).sum(1) - log_q
    noise = tuple(e if step is augment else None for step in steps)
    latent, log_term = flow.transform.to_latent(x, None, noise)
    torch.testing.assert_close(flow.base.log_prob(latent) + log_term, elbo, rtol=0, atol=1e-10)


def test_parts_that_do_not_fit_are_refused_with_what_does_not_fit() -> None:
    drawn = _linear_normal(0.0, 0.0, 1.0)
    with pytest.raises(ShapeError, match=r"cannot be followed by|adds entries along axis 1"):
        Augment((1, 4, 4), drawn)
    inner: Transform = Elementwise(Affine(SoftClampScale()), (1,))
    with pytest.raises(OptionError, match="takes a bijection of the real line, Augment is not one"):
        ContinuouslyIndexed(Augment((1,), drawn), drawn, drawn, drawn)
    two = ConditionalFlow(Elementwise(Affine(SoftClampScale()), (2,)))
    with pytest.raises(ShapeError, match="by_index must be of real events"):
        ContinuouslyIndexed(inner, two, drawn, drawn)
    with pytest.raises(ShapeError, match="prior and posterior must be of the same index"):
        ContinuouslyIndexed(inner, drawn, drawn, two)


@pytest.mark.parametrize(("shape", "extra"), [((1,), None), ((3,), 1)])
def test_couplings_of_a_posterior_that_has_nothing_to_couple_are_refused(
    shape: tuple[int, ...], extra: int | None
) -> None:
    build("vflow", shape, extra=extra)
    with pytest.raises(OptionError, match="posterior"):
        build("vflow", shape, extra=extra, posterior=2)
