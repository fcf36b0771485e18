"""Variational dequantisation: where it starts, what it gains, and that a bound says which one it is."""

import math

import pytest
import torch
from scipy.stats import beta
from torch import Tensor
from torch.distributions import Beta

from pushforward import flows
from pushforward.diagnostics.sampling import clamped_fractions
from pushforward.errors import OptionError, ShapeError
from pushforward.flow import Flow
from pushforward.flows.data_layers import variational
from pushforward.noise import DisplacedNoise
from pushforward.transforms import Dequantise, Logit, VariationalDequantise
from pushforward.transforms.base import Chain
from pushforward.transforms.logistic_noise import as_logistic, as_normal
from pushforward.transforms.permutation import reverse

_LEVELS = 3


def _perturbed(transform: VariationalDequantise) -> VariationalDequantise:
    with torch.no_grad():
        for parameter in transform.parameters():
            step = torch.randn(parameter.shape, generator=torch.Generator().manual_seed(0))
            parameter.add_(0.1 * step / math.prod(parameter.shape[1:]) ** 0.5)
    return transform


def _beta_flow(first: Dequantise | VariationalDequantise) -> Flow:
    """Two independent values of the density ``12 y (1 - y)^2``, in levels."""
    ends = (torch.full(first.latent_shape, end, dtype=torch.float64) for end in (2.0, 3.0))
    return Flow(Beta(*ends), first).double()


def _truth(x: Tensor) -> Tensor:
    mass = beta.cdf((x.numpy() + 1) / _LEVELS, 2, 3) - beta.cdf(x.numpy() / _LEVELS, 2, 3)
    return torch.from_numpy(mass).log().flatten(1).sum(1)


@pytest.mark.parametrize("shape", [(1,), (3,), (1, 1, 1), (2, 4, 3)])
@pytest.mark.parametrize("context_dim", [0, 2])
def test_it_starts_as_uniform_dequantisation(shape: tuple[int, ...], context_dim: int) -> None:
    first, uniform = variational(shape, context_dim, 7).double(), Dequantise(shape, 7)
    x, eps = torch.randint(0, 7, (5, *shape)).double(), torch.randn(5, *shape, dtype=torch.float64)
    context = torch.randn(5, context_dim, dtype=torch.float64) if context_dim else None
    found, wanted = first.to_latent(x, context, eps), uniform.to_latent(x, None, torch.special.ndtr(eps))
    for mine, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(mine, other, atol=1e-12, rtol=0)


def test_a_learned_bound_is_tighter_and_still_a_bound() -> None:
    torch.manual_seed(0)
    flow, uniform = _beta_flow(variational((2,), 0, _LEVELS)), _beta_flow(Dequantise((2,), _LEVELS))
    x = torch.cartesian_prod(*[torch.arange(_LEVELS, dtype=torch.float64)] * 2)
    truth = _truth(x)
    optimiser = torch.optim.Adam(flow.parameters(), 1e-2)
    for _ in range(100):
        loss = -flow.log_prob(x.repeat(10, 1)).mean()
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()

    def gap(flow: Flow) -> tuple[Tensor, Tensor]:
        """What the mean bound of each event lacks of the truth, and its standard error."""
        values = torch.stack([flow.likelihood(x, seed=seed).value for seed in range(200)])
        return truth - values.mean(0), values.std(0) / math.sqrt(len(values))

    (learned, error), (fixed, _) = gap(flow), gap(uniform)
    assert (learned >= -4 * error).all()
    assert learned.mean() < 0.3 * fixed.mean()


@pytest.mark.parametrize("shape", [(2,), (1, 1, 2), (2, 1, 1)])
def test_weights_average_to_the_probability(shape: tuple[int, ...]) -> None:
    # Importance weights: whatever the noise flow is, as long as its density is the one in the log term. Their mean log,
    # which is the bound, lies below.
    torch.manual_seed(0)
    flow = _beta_flow(_perturbed(variational(shape, 0, _LEVELS)))
    cells = torch.special.ndtri((torch.arange(100, dtype=torch.float64) + 0.5) / 100)
    noise = torch.cartesian_prod(cells, cells).reshape(-1, *shape)
    for event in ((0.0, 2.0), (1.0, 1.0)):
        x = torch.tensor(event, dtype=torch.float64).reshape(1, *shape)
        with torch.no_grad():
            values = flow.log_prob(x.expand(len(noise), *shape), None, noise=noise)
        torch.testing.assert_close(values.logsumexp(0) - math.log(len(noise)), _truth(x)[0], atol=1e-2, rtol=0)
        assert values.mean() < _truth(x)[0] - 1e-2


def test_noise_sees_the_data_and_the_context_of_the_flow() -> None:
    for shape in ((3,), (1, 2, 2)):
        first = _perturbed(variational(shape, 2, 4)).double()
        noise = torch.zeros(4, *shape, dtype=torch.float64)
        x, context = torch.zeros(4, *shape, dtype=torch.float64), torch.zeros(4, 2, dtype=torch.float64)
        x[1] += 1
        context[2:, 0], context[3:, 1] = 1, 1
        y, _ = first.to_latent(x, context, noise)
        u = y * 4 - x
        assert (u[1:] - u[:-1]).abs().flatten(1).amin(1).gt(1e-6).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_no_noise_rounds_a_value_into_the_next_level(dtype: torch.dtype) -> None:
    first = variational((3,), 0, 255).to(dtype)
    x = torch.arange(255, dtype=dtype)[:, None].expand(255, 3)
    for size in (5.0, 9.0, 30.0):
        y, log_term = first.to_latent(x, None, torch.tensor([-size, 0, size], dtype=dtype).expand(255, 3))
        assert torch.equal(first.to_data(y)[0], x)
        assert log_term.isfinite().all()


def test_a_sample_beyond_the_range_is_scored_on_its_own_path() -> None:
    first = _perturbed(variational((3,), 0, 4)).double()
    y = torch.tensor([[-0.04, 0.3, 1.05], [0.0, 1.0, 0.999]], dtype=torch.float64)
    x, term = first.to_data(y)
    assert x.tolist() == [[0, 1, 3], [0, 3, 3]]
    there, back = first.to_latent(x, None, first.path_noise(x, y))
    torch.testing.assert_close(there, y, atol=1e-12, rtol=0)
    torch.testing.assert_close(back, -term, atol=1e-9, rtol=0)


def test_displaced_noise_is_taken_only_where_it_is_declared() -> None:
    x, noise = torch.zeros(2, 2), torch.zeros(2, 2)
    for kind in ("uniform", "variational"):
        flow = flows.build("maf", (2,), levels=4, dequantisation=kind, hidden=(4,), transforms=1)
        others = (None,) * (len(flow.transform.noise_to_latent) - 1)  # type: ignore[arg-type]
        with pytest.raises(ShapeError, match=r"noise: shape .* expected, got a tuple of 2 parts"):
            flow.log_prob(x, None, noise=((noise, noise), *others))
        displaced = (DisplacedNoise(noise, noise), *others)
        if kind == "variational":
            assert torch.equal(flow.log_prob(x, None, noise=displaced), flow.log_prob(x, None, noise=(noise, *others)))
        else:
            with pytest.raises(ShapeError, match=r"noise: shape .* expected, got displaced noise"):
                flow.log_prob(x, None, noise=displaced)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_normal_and_logistic_noise_of_one_rank_are_found_from_each_other(dtype: torch.dtype) -> None:
    # As far as the inverse of a noise flow can lead, and where a probability is 0 or 1 in this dtype.
    logistic = torch.tensor([0.0, 1e-6, 0.7, 20.0, 79.9, 80.1, 200.0, 1e4, 1e8, 1e30], dtype=dtype)
    logistic = torch.cat([-logistic, logistic])
    back = as_logistic(as_normal(logistic))
    torch.testing.assert_close(back, logistic, rtol=40 * torch.finfo(dtype).eps, atol=torch.finfo(dtype).eps)


def test_clamping_is_counted_for_both_kinds_alike() -> None:
    fractions = []
    for kind in ("uniform", "variational"):
        torch.manual_seed(0)
        flow = flows.build("nice", (2,), levels=4, dequantisation=kind, hidden=(4,), base="logistic")
        fractions.append(clamped_fractions(flow, 200))
    assert fractions[0] == fractions[1]
    assert min(fractions[0]) > 0


def test_a_flow_says_which_bound_it_gives() -> None:
    said = {}
    for kind in ("uniform", "variational"):
        flow = flows.build("maf", (2,), levels=4, dequantisation=kind, hidden=(4,), transforms=1)
        assert flow.kind == "bound"
        assert flow.dequantisation == kind
        assert f"likelihood bound, {kind} dequantisation" in str(flow)
        said[kind] = flow.kind_in_words
    assert said == {"uniform": "bound, uniform dequantisation", "variational": "bound, variational dequantisation"}
    exact = flows.build("maf", (2,), hidden=(4,), transforms=1)
    assert (exact.dequantisation, exact.kind_in_words) == (None, "exact")


def test_what_cannot_make_noise_is_refused() -> None:
    with pytest.raises(ShapeError, match=r"noise_flow must map events \(2,\) to themselves, it maps \(3,\) to \(3,\)"):
        VariationalDequantise((2,), 4, reverse((3,)))
    for wrong in (Logit((2,)), Dequantise((2,), 4), Chain([Dequantise((2,), 4), Logit((2,))])):
        with pytest.raises(OptionError, match="noise_flow must be a bijection of the real line"):
            VariationalDequantise((2,), 4, wrong)
    with pytest.raises(OptionError, match="VariationalDequantise needs its noise, one normal number per coordinate"):
        VariationalDequantise((2,), 4, reverse((2,))).to_latent(torch.zeros(1, 2))
    with pytest.raises(OptionError, match="option dequantisation='variational' has no use here: it is for data with"):
        flows.build("maf", (2,), dequantisation="variational")
