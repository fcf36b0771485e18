"""What the monotone maps promise beyond the checks of the registry: tails, ends of their intervals, starts, errors."""

import copy
import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.distributions import (
    Beta,
    Categorical,
    Cauchy,
    Distribution,
    Exponential,
    Gamma,
    Gumbel,
    HalfNormal,
    Laplace,
    LogNormal,
    MixtureSameFamily,
    MultivariateNormal,
    Normal,
    Pareto,
    Poisson,
    StudentT,
    Uniform,
    Weibull,
)

from pushforward import storage
from pushforward.bases import UniformBox
from pushforward.errors import OptionError, ShapeError
from pushforward.flow import Flow
from pushforward.maps import (
    Affine,
    Bernstein,
    Composed,
    DeepSigmoidal,
    DistributionCDF,
    LogisticMixture,
    Map,
    SoftClampScale,
    SumOfSquares,
    UnconstrainedMonotone,
)
from pushforward.maps.unconstrained_monotone import clenshaw_curtis
from pushforward.nets import MADE, MLP
from pushforward.nets.masks import full_adjacency
from pushforward.transforms import Autoregressive, Coupling, Elementwise
from pushforward.transforms.base import Chain, Inverse
from pushforward.transforms.partition import half

MAPS: dict[str, Callable[[], Map]] = {
    "deep sigmoidal": DeepSigmoidal,
    "logistic mixture": LogisticMixture,
    "sum of squares": SumOfSquares,
    "bernstein": Bernstein,
    "unconstrained monotone": lambda: UnconstrainedMonotone((16, 16), 4),
}
BOUNDED = ("sum of squares", "bernstein", "unconstrained monotone")
every_map = pytest.mark.parametrize("name", MAPS)


def _made(name: str, dtype: torch.dtype = torch.float64, seed: int = 0) -> Map:
    """The map with random weights where it has any."""
    torch.manual_seed(seed)
    made = MAPS[name]().to(dtype)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.normal_(0.0, 0.3)
    return made


def _params(made: Map, shape: tuple[int, ...], scale: float, seed: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(made.n_params, *shape, generator=generator, dtype=torch.float64)
    start = made.start.reshape(-1, *(1,) * len(shape))
    return (start + scale * noise).to(made.start.dtype)


@every_map
def test_start_is_near_the_identity(name: str) -> None:
    made = MAPS[name]().double()
    x = torch.linspace(-20, 20, 401, dtype=torch.float64)
    y, log_slope = made(x, made.start[:, None].expand(-1, 401))
    exact = name in ("bernstein", "unconstrained monotone")
    assert (log_slope.abs() < (1e-6 if exact else 0.15)).all()
    assert ((y - x).abs() <= (1e-6 if exact else 0.21) * (1 + (x.abs() if name == "sum of squares" else 0))).all()


@pytest.mark.parametrize("made", [DeepSigmoidal(1), LogisticMixture(1)], ids=["deep sigmoidal", "logistic mixture"])
def test_a_single_component_starts_as_the_identity(made: Map) -> None:
    x = torch.linspace(-30, 30, 61)
    y, log_slope = made(x, made.start[:, None].expand(-1, 61))
    torch.testing.assert_close(y, x)
    torch.testing.assert_close(log_slope, torch.zeros_like(x), atol=1e-6, rtol=0)


def test_polynomials_that_are_squared_start_different_and_of_more_than_one_direction() -> None:
    # From multiples of one polynomial, gradient steps reach multiples of one polynomial only.
    made = SumOfSquares(5, 3)
    rows = made.start[:-1].reshape(5, 4)
    assert torch.linalg.matrix_rank(rows, atol=1e-3) == 4


@every_map
def test_maps_take_any_shape_and_none_at_all(name: str) -> None:
    made = _made(name)
    for shape in ((0, 2), (0,), (), (1,), (3, 2, 2)):
        params = _params(made, shape, 0.5)
        x = torch.full(shape, 0.7, dtype=torch.float64)
        y, log_slope = made(x, params)
        back, log_slope_back = made.inverse(y, params)
        assert y.shape == log_slope.shape == back.shape == log_slope_back.shape == shape
        torch.testing.assert_close(back, x, atol=1e-10, rtol=0)


@every_map
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("scale", [0.0, 1.0, 30.0, 1e6])
def test_values_slopes_and_gradients_are_finite_whatever_a_net_answers(
    name: str, dtype: torch.dtype, scale: float
) -> None:
    made = _made(name, dtype)
    far = [0.0, 1e-30, 1.0, 1.5, 5.0, 10.0, 1e3, 1e10, 1e30]
    values = torch.tensor([-v for v in far] + far, dtype=dtype).requires_grad_(True)
    params = _params(made, (len(values),), scale).requires_grad_(True)
    for direction in (made, made.inverse):
        there, log_slope = direction(values, params)
        assert there.isfinite().all()
        assert log_slope.isfinite().all()
        for output in (there * 1e-6, log_slope):
            for gradient in torch.autograd.grad(output.sum(dtype=torch.float64), [values, params], retain_graph=True):
                assert gradient.isfinite().all()


@every_map
def test_maps_increase_strictly_and_invert_far_from_the_start(name: str) -> None:
    made = _made(name)
    params = _params(made, (1,), 1.0).expand(-1, 400)
    x = torch.linspace(-15, 15, 400, dtype=torch.float64)
    y, log_slope = made(x, params)
    assert (y.diff() > 0).all()
    back, log_slope_back = made.inverse(y, params)
    torch.testing.assert_close(back, x, atol=1e-9, rtol=0)
    torch.testing.assert_close(log_slope_back, -log_slope, atol=1e-7, rtol=0)


@pytest.mark.parametrize("name", ["deep sigmoidal", "logistic mixture"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_both_tails_grow_linearly_with_the_smallest_rate(name: str, dtype: torch.dtype) -> None:
    made = _made(name, dtype)
    params = _params(made, (1,), 1.0)
    k = made.components
    if name == "deep sigmoidal":
        slope = torch.nn.functional.softplus(params[k : 2 * k].double() + math.log(math.expm1(0.999))).min() + 1e-3
    else:
        rates, a = params[2 * k : 3 * k].double(), params[3 * k].double()
        slope = (-(rates / (1 + rates.abs() / 5)).max() + a / (1 + a.abs() / 5)).exp()
    x = torch.tensor([-1e30, -1e20, -1e6, 1e6, 1e20, 1e30], dtype=dtype)
    y, log_slope = made(x, params.expand(-1, 6))
    torch.testing.assert_close(y.double(), slope * x.double(), rtol=1e-4, atol=0)
    torch.testing.assert_close(log_slope, slope.log().expand_as(log_slope).to(dtype), rtol=0, atol=1e-5)


def test_deep_sigmoidal_map_is_not_clipped() -> None:
    # The published code bounds y to 14.5, and nothing beyond can come back.
    made = DeepSigmoidal().double()
    y = torch.tensor([-700.0, -15.0, 15.0, 700.0, 1e6], dtype=torch.float64)
    params = made.start[:, None].expand(-1, 5)
    x, _ = made.inverse(y, params)
    torch.testing.assert_close(made(x, params)[0], y, rtol=1e-12, atol=0)


@pytest.mark.parametrize("name", BOUNDED)
def test_map_and_slope_continue_without_a_jump_at_the_bound(name: str) -> None:
    made = _made(name)
    made.requires_grad_(False)
    for end in (-made.bound, made.bound):
        x = torch.tensor([np.nextafter(end, -np.inf), end, np.nextafter(end, np.inf)], dtype=torch.float64)
        params = _params(made, (1,), 1.0).expand(-1, 3)
        y, log_slope = made(x, params)
        assert (y.diff().abs() < 1e-13).all()
        assert (log_slope.diff().abs() < 1e-13).all()
        outside = torch.tensor([end * 2, end * 3], dtype=torch.float64)
        further, slopes = made(outside, params[:, :2])
        torch.testing.assert_close(slopes, log_slope[:2].clone().fill_(float(log_slope[1])))
        torch.testing.assert_close(further, y[1] + log_slope[1].exp() * (outside - end))
        back, _ = made.inverse(y, params)
        torch.testing.assert_close(back, x, atol=1e-12, rtol=0)


@pytest.mark.parametrize("nodes", [3, 4, 9, 33])
def test_clenshaw_curtis_is_exact_for_polynomials_and_has_positive_weights(nodes: int) -> None:
    at, weights = (np.array(v) for v in clenshaw_curtis(nodes))
    assert at[0] == 0
    assert at[-1] == 1
    assert (weights > 0).all()
    for power in range(nodes):
        assert (weights * at**power).sum() == pytest.approx(1 / (power + 1), abs=1e-14)


def test_slope_of_the_monotone_network_is_that_of_its_value() -> None:
    made = _made("unconstrained monotone")
    params = _params(made, (1,), 1.0).expand(-1, 101)
    x, step = torch.linspace(-8, 8, 101, dtype=torch.float64), 1e-5
    rise = made(x + step, params)[0] - made(x - step, params)[0]
    torch.testing.assert_close((rise / (2 * step)).log(), made(x, params)[1], atol=1e-7, rtol=0)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: DeepSigmoidal(0), "components must be at least 1, got 0"),
        (lambda: LogisticMixture(-1), "components must be at least 1, got -1"),
        (lambda: SumOfSquares(0), "polynomials must be"),
        (lambda: SumOfSquares(2, 0), "degree must be"),
        (lambda: Bernstein(0), "degree must be"),
        (lambda: Bernstein(3, 0.0), "bound must be a finite number above 0"),
        (lambda: SumOfSquares(bound=math.inf), "bound must be a finite number above 0"),
        (lambda: UnconstrainedMonotone(()), "hidden must be"),
        (lambda: UnconstrainedMonotone(embedding=0), "embedding must be"),
        (lambda: UnconstrainedMonotone(nodes=2), "nodes must be at least 3, got 2"),
    ],
)
def test_options_out_of_range_are_named(make: Callable[[], Map], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        make()


LAWS: dict[str, Distribution] = {
    "cauchy": Cauchy(0.5, 2.0),
    "exponential": Exponential(2.0),
    "gumbel": Gumbel(0.5, 2.0),
    "half-normal": HalfNormal(2.0),
    "laplace": Laplace(0.5, 2.0),
    "log-normal": LogNormal(0.2, 0.5),
    "pareto": Pareto(1.5, 3.0),
    "weibull": Weibull(1.5, 2.0),
    "gamma below 1": Gamma(0.5, 1.0),
    "mixture": MixtureSameFamily(Categorical(torch.tensor([0.3, 0.7])), Gamma(torch.tensor([1.0, 5.0]), 2.0)),
}
every_law = pytest.mark.parametrize("law", LAWS)


@every_law
def test_distribution_function_and_its_inverse_agree_with_the_distribution(law: str) -> None:
    made = DistributionCDF(LAWS[law]).double()
    y = torch.tensor([1e-3, 0.2, 0.5, 0.7, 0.99], dtype=torch.float64)
    none = y.new_zeros(0, 5)
    x, log_slope_back = made.inverse(y, none)
    again, log_slope = made(x, none)
    torch.testing.assert_close(again, y, atol=1e-12, rtol=0)
    torch.testing.assert_close(log_slope, -log_slope_back, atol=1e-12, rtol=0)
    # The distribution itself was made in float32.
    torch.testing.assert_close(LAWS[law].cdf(x.float()), y.float(), atol=1e-5, rtol=0)
    torch.testing.assert_close(LAWS[law].log_prob(x.float()), log_slope.float(), atol=1e-4, rtol=0)


@every_law
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_samples_of_the_whole_unit_interval_are_finite_and_ascend(law: str, dtype: torch.dtype) -> None:
    made = DistributionCDF(LAWS[law]).to(dtype)
    info = torch.finfo(dtype)
    y = torch.tensor([0.0, info.tiny, info.eps / 2, 1e-3, 0.5, 0.999, 1 - info.eps / 2, 1.0], dtype=dtype)
    x, log_slope = made.inverse(y, y.new_zeros(0, 8))
    assert x.isfinite().all()
    assert log_slope.isfinite().all()
    assert (x.diff() >= 0).all()
    assert (x >= made.domain.low).all()


def test_values_outside_the_support_have_density_zero_and_a_nan_stays_one() -> None:
    made = DistributionCDF(Exponential(2.0))
    y, log_slope = made(torch.tensor([-1.0, 0.0, 1.0, math.nan]), torch.zeros(0, 4))
    torch.testing.assert_close(y[:3], torch.tensor([0.0, 0.0, 1 - math.exp(-2)]))
    torch.testing.assert_close(log_slope[:3], torch.tensor([-math.inf, math.log(2), math.log(2) - 2]))
    assert y[3].isnan()
    assert log_slope[3].isnan()
    _, back = made.inverse(torch.tensor([-0.1, 0.5, 1.1]), torch.zeros(0, 3))
    assert back.isinf().tolist() == [True, False, True]


def test_inverse_transform_sampling_draws_from_the_distribution() -> None:
    law = Gamma(torch.tensor(2.0), torch.tensor(3.0))
    flow = Flow(UniformBox((1,)), Elementwise(DistributionCDF(law), (1,)))
    x = flow.sample(20_000, generator=torch.Generator().manual_seed(0))
    assert abs(float(x.mean()) - 2 / 3) < 4 * float(law.stddev) / math.sqrt(20_000)
    torch.testing.assert_close(flow.log_prob(x), law.log_prob(x[:, 0]))


def test_a_normal_becomes_an_exponential_by_two_distribution_functions() -> None:
    to_uniform = Elementwise(DistributionCDF(Exponential(2.0)), (1,))
    to_normal = Inverse(Elementwise(DistributionCDF(Normal(0.0, 1.0)), (1,)))
    flow = Flow(Normal(torch.zeros(1), torch.ones(1)), Chain([to_uniform, to_normal])).double()
    x = torch.linspace(0.01, 5, 50, dtype=torch.float64)[:, None]
    torch.testing.assert_close(flow.log_prob(x), math.log(2) - 2 * x[:, 0])


def test_gradients_reach_the_tensors_of_the_distribution() -> None:
    for law in (Normal, Laplace):
        mean = torch.tensor(0.5, requires_grad=True)
        made = DistributionCDF(law(mean, torch.tensor(2.0)))
        x, _ = made.inverse(torch.tensor([0.3, 0.9]), torch.zeros(0, 2))
        (gradient,) = torch.autograd.grad(x.sum(), mean)
        torch.testing.assert_close(gradient, torch.tensor(2.0))


def test_the_given_distribution_is_left_as_it_was() -> None:
    law = Gumbel(torch.tensor(0.5), torch.tensor(2.0), validate_args=True)
    made = DistributionCDF(law).double()
    assert law.loc.dtype == torch.float32
    assert law._validate_args
    assert made.distribution.loc.dtype == torch.float64
    twin = copy.deepcopy(made)
    x = torch.tensor([0.3], dtype=torch.float64)
    assert torch.equal(twin(x, x.new_zeros(0, 1))[0], made(x, x.new_zeros(0, 1))[0])
    assert twin.distribution.loc is not made.distribution.loc


@pytest.mark.parametrize(
    ("law", "message"),
    [
        (StudentT(3.0), "StudentT has no cdf"),
        (Beta(2.0, 3.0), "Beta has no cdf"),
        (Poisson(2.0), "continuous distribution"),
        (Categorical(torch.ones(3)), "continuous distribution"),
        (MultivariateNormal(torch.zeros(2), torch.eye(2)), r"events of shape \(2,\)"),
        (Uniform(torch.zeros(2), torch.tensor([1.0, 2.0])), "bounds of Uniform must be the same"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_distributions_that_cannot_be_a_map_are_named(law: Distribution, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        DistributionCDF(law)


def test_a_batch_of_distributions_that_does_not_fit_is_named() -> None:
    made = DistributionCDF(Normal(torch.zeros(3), torch.ones(3)))
    with pytest.raises(ShapeError, match=r"batch shape \(3,\)"):
        made(torch.zeros(5, 2), torch.zeros(0, 5, 2))
    with pytest.raises(ShapeError, match="Normal"):
        made.inverse(torch.tensor(0.5), torch.zeros(0))


def test_distributions_of_each_coordinate_stand_in_an_elementwise_only() -> None:
    def law(*batch: int) -> DistributionCDF:
        return DistributionCDF(Normal(torch.zeros(batch), torch.ones(batch)))

    assert law().shape is law(1).shape is None
    for made in (law(2), Composed([Affine(SoftClampScale()), law(2)])):
        with pytest.raises(OptionError, match="a Coupling needs a map that is the same"):
            Coupling(half(4), made, MLP(2, 4, (4,)))
        assert Elementwise(made, (2,)).to_latent(torch.zeros(2, 2))[0].shape == (2, 2)
    with pytest.raises(OptionError, match=r"an Autoregressive needs a map that is the same .* shape \(2,\)"):
        Autoregressive(made, MADE(full_adjacency(2), 2, (4,)))
    # As many rows as the batch axis of the distributions would otherwise do.
    for shape in ((3,), (5, 2)):
        with pytest.raises(ShapeError, match="DistributionCDF is made for events that end in"):
            Elementwise(law(5, 2) if shape == (3,) else law(3), shape)


def test_a_map_without_parameters_takes_no_net() -> None:
    transform = Elementwise(DistributionCDF(Normal(0.0, 1.0)), (2,))
    assert list(transform.parameters()) == []
    with pytest.raises(OptionError, match="DistributionCDF has no parameters"):
        Elementwise(DistributionCDF(Normal(0.0, 1.0)), (2,), MLP(2, 2, (4,)))


def test_a_flow_with_a_distribution_function_is_refused_by_save(tmp_path: object) -> None:
    flow = Flow(UniformBox((1,)), Elementwise(DistributionCDF(Gamma(2.0, 1.0)), (1,)))
    with pytest.raises(OptionError, match="distribution function of torch's Gamma, works in memory only"):
        storage.save(flow, f"{tmp_path}/model")
