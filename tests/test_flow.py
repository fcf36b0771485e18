"""`Flow`: shapes, errors, noise, samples, and its view as a torch distribution."""

import math

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Gamma, Laplace, MultivariateNormal, Normal, Poisson

from pushforward.bases import StandardLogistic, StandardNormal, TorchBase, UniformBox, build_base
from pushforward.errors import ContextError, OptionError, ShapeError
from pushforward.flow import Flow
from pushforward.flows import build
from pushforward.likelihood import Estimator
from pushforward.noise import Noise, NoiseValue, keyed
from pushforward.precision import evaluation
from pushforward.transforms import ActNorm, BatchNorm, Dequantise, Identity, Logit, Standardise
from pushforward.transforms.base import Chain


def _conditional(classes: int = 0) -> Flow:
    flow = build("real_nvp", (2,), context_dim=0 if classes else 3, classes=classes, transforms=2, hidden=(8,))
    with torch.no_grad():
        for parameter in flow.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return flow.eval()


def _dequantised(features: int = 3) -> Flow:
    return Flow(StandardNormal((features,)), Chain([Dequantise((features,), 4), Logit((features,))])).eval()


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


@pytest.mark.parametrize("batch", [0, 1, 5])
def test_log_prob_has_one_number_a_row(batch: int) -> None:
    assert Flow(StandardNormal((2,)), Identity((2,))).log_prob(torch.zeros(batch, 2)).shape == (batch,)
    assert Flow(StandardNormal(()), Identity(())).log_prob(torch.zeros(batch)).shape == (batch,)


def test_calling_the_flow_is_log_prob() -> None:
    flow, x, context = _conditional(), torch.randn(4, 2), torch.randn(4, 3)
    assert torch.equal(flow(x, context), flow.log_prob(x, context))


def test_samples_come_in_groups_of_contexts() -> None:
    flow = _conditional()
    context = torch.randn(4, 3)
    x, value = flow.sample_and_log_prob(5, context)
    assert x.shape == flow.sample(5, context).shape == (5, 4, 2)
    assert value.shape == (5, 4)
    for i in range(4):
        torch.testing.assert_close(value[:, i], flow.log_prob(x[:, i], context[i : i + 1]), atol=1e-5, rtol=1e-5)
    assert build("real_nvp", (2,), transforms=1).sample(5).shape == (5, 2)


def test_one_context_serves_all_rows_and_another_number_is_refused() -> None:
    flow, x = _conditional(), torch.randn(4, 2)
    one = torch.randn(1, 3)
    assert torch.equal(flow.log_prob(x, one), flow.log_prob(x, one.expand(4, 3)))
    with pytest.raises(ContextError, match="context for 4 rows expected"):
        flow.log_prob(x, torch.randn(3, 3))


def test_labels_go_through_the_embedding_of_the_flow() -> None:
    flow, x = _conditional(classes=3), torch.randn(4, 2)
    labels = torch.tensor([0, 2, 1, 0])
    assert flow.embedding is not None
    assert torch.equal(flow.log_prob(x, labels), flow.log_prob(x, flow.embedding(labels)))
    assert flow.sample(5, torch.tensor([1, 2])).shape == (5, 2, 2)
    # The labels of images come as bytes.
    for dtype in (torch.uint8, torch.int16, torch.int32):
        assert torch.equal(flow.log_prob(x, labels.to(dtype)), flow.log_prob(x, labels))


def test_a_huge_context_does_not_make_the_density_nan() -> None:
    for shape in ((2,), (1, 4, 4)):
        flow = build("real_nvp", shape, context_dim=2).eval()
        assert flow.log_prob(torch.zeros(1, *shape), torch.full((1, 2), 3e38)).isfinite().all()


@pytest.mark.parametrize("call", ["log_prob", "encode", "likelihood", "sample", "decode", "initialise"])
def test_a_missing_or_unwanted_context_is_refused(call: str) -> None:
    argument: int | Tensor = 2 if call == "sample" else torch.zeros(2, 2)
    with pytest.raises(ContextError, match=r"needs a context of shape \(B, 3\)"):
        getattr(_conditional(), call)(argument)
    with pytest.raises(ContextError, match="built without a context"):
        getattr(build("nice", (2,)), call)(argument, torch.zeros(2, 3))


def test_a_context_of_another_shape_is_refused() -> None:
    with pytest.raises(ContextError, match=r"\(B, 3\) expected, got \(2, 4\)"):
        _conditional().log_prob(torch.zeros(2, 2), torch.zeros(2, 4))


def test_events_of_another_shape_or_dtype_are_refused() -> None:
    flow = build("nice", (2,))
    with pytest.raises(ShapeError, match=r"x of shape \(B, 2\) expected, got \(5, 3\)"):
        flow.log_prob(torch.zeros(5, 3))
    with pytest.raises(ShapeError, match=r"x of shape \(B, 2\) expected, got \(2,\)"):
        flow.log_prob(torch.zeros(2))
    with pytest.raises(ShapeError, match=r"z of shape \(B, 2\) expected"):
        flow.decode(torch.zeros(5, 1))
    with pytest.raises(ShapeError, match="convert one"):
        flow.log_prob(torch.zeros(5, 2, dtype=torch.float64))
    assert flow.log_prob(torch.zeros(5, 2, dtype=torch.uint8)).shape == (5,)


def test_latent_and_data_undo_each_other_in_evaluation_mode() -> None:
    flow = build("real_nvp", (3,), norm="batch", transforms=2).train()
    x = torch.randn(9, 3)
    torch.testing.assert_close(flow.decode(flow.encode(x)), x, atol=1e-5, rtol=1e-5)
    assert flow.training
    assert all(module.training for module in flow.modules())


def test_evaluation_restores_each_module_mode() -> None:
    flow = build("real_nvp", (3,), norm="batch", transforms=2).train()
    norm = next(m for m in flow.modules() if isinstance(m, BatchNorm)).eval()
    with evaluation(flow):
        assert not any(module.training for module in flow.modules())
    assert flow.training
    assert not norm.training


def test_keyed_noise_is_a_function_of_seed_row_and_repetition() -> None:
    spec = (Noise((3,), "uniform"), None, Noise((2, 2), "normal"), Noise((), "rademacher"))

    def drawn(rows: list[int], seed: int = 7, repetition: int = 0) -> list[Tensor]:
        made = keyed(spec, seed, torch.tensor(rows), torch.float32, torch.device("cpu"), repetition)
        assert isinstance(made, tuple)
        assert made[1] is None
        return [part for part in made if isinstance(part, Tensor)]

    whole = drawn([0, 1, 2, 3])
    assert [tuple(part.shape) for part in whole] == [(4, 3), (4, 2, 2), (4,)]
    for part, again in zip(whole, drawn([3, 1]), strict=True):
        assert torch.equal(part[[3, 1]], again)
    for other in (drawn([0, 1, 2, 3], seed=8), drawn([0, 1, 2, 3], repetition=1)):
        assert not torch.equal(whole[0], other[0])
    assert len({tuple(row.tolist()) for row in whole[0]}) == 4
    assert (drawn([0])[0] < 1).all()
    assert set(drawn(list(range(50)))[2].tolist()) == {-1.0, 1.0}


def test_keyed_noise_tells_apart_seeds_of_64_bits() -> None:
    spec, cpu = Noise((4,), "uniform"), torch.device("cpu")
    seeds = (-1, -2, 2**63, 2**63 + 1)
    drawn = [keyed(spec, seed, torch.arange(1), torch.float32, cpu) for seed in seeds]
    assert len({tuple(part.flatten().tolist()) for part in drawn if isinstance(part, Tensor)}) == len(seeds)


def test_likelihood_does_not_depend_on_batches_or_order() -> None:
    flow, x = _dequantised().double(), torch.randint(0, 4, (11, 3))
    whole = flow.likelihood(x, samples=3, seed=7).value
    # The noise is the same to the bit; the arithmetic of a vector unit may differ in the last one.
    for batch_size in (1, 4, 11):
        other = flow.likelihood(x, samples=3, seed=7, batch_size=batch_size).value
        torch.testing.assert_close(other, whole, atol=1e-13, rtol=1e-13)
    torch.testing.assert_close(flow.likelihood(x[5:], samples=3, seed=7, first_row=5).value, whole[5:])
    assert not torch.isclose(flow.likelihood(x, samples=3, seed=8).value, whole).any()


def test_likelihood_names_its_kind() -> None:
    bound = _dequantised().likelihood(torch.zeros(4, 3), samples=5)
    assert (bound.kind, bound.samples) == ("bound", 5)
    assert bound.standard_error is not None
    assert (bound.standard_error > 0).all()
    exact = build("nice", (3,)).likelihood(torch.zeros(4, 3), samples=5)
    assert (exact.kind, exact.samples, exact.standard_error) == ("exact", 1, None)
    with pytest.raises(OptionError, match="samples must be a whole number of at least 1"):
        _dequantised().likelihood(torch.zeros(4, 3), samples=0)


class _Estimated(Identity):
    """The identity, whose log term is a probe of variance 1/3 around 0."""

    kind, estimators = "estimate", (Estimator("for this test", unbiased=True),)
    noise_to_latent = noise_to_data = Noise((3,), "normal", "probe")

    def to_latent(self, x: Tensor, context: Tensor | None = None, noise: NoiseValue = None) -> tuple[Tensor, Tensor]:
        assert isinstance(noise, Tensor)
        return x, noise.mean(1)

    def to_data(self, z: Tensor, context: Tensor | None = None, noise: NoiseValue = None) -> tuple[Tensor, Tensor]:
        return z, -self.to_latent(z, context, noise)[1]


def test_an_estimate_is_the_mean_of_log_values_over_its_probes() -> None:
    flow, x = Flow(StandardNormal((3,)), _Estimated((3,))).double().eval(), torch.zeros(4, 3).double()
    found = flow.likelihood(x, samples=200)
    assert (found.kind, found.samples, found.in_words) == ("estimate", 200, "estimate, unbiased, for this test")
    assert found.standard_error is not None
    torch.testing.assert_close(found.standard_error, torch.full_like(found.value, (1 / 600) ** 0.5), rtol=0.2, atol=0)
    assert ((found.value - flow.base.log_prob(x)).abs() < 4 * found.standard_error).all()
    one = flow.likelihood(x)
    assert (one.samples, one.standard_error) == (1, None)
    x, claimed = flow.sample_and_log_prob(5, generator=torch.Generator().manual_seed(0))
    assert not torch.isclose(claimed, flow.base.log_prob(x)).any()


def test_an_estimate_of_a_bound_averages_probes_within_each_log_weight() -> None:
    flow = Flow(StandardNormal((3,)), Chain([Dequantise((3,), 4), Logit((3,)), _Estimated((3,))])).double().eval()
    x, without = torch.tensor([[0.0, 1, 2]]).double(), _dequantised().double()
    assert flow.kind_in_words == "estimate of a bound, unbiased, for this test, uniform dequantisation"
    values = torch.stack([flow.likelihood(x, samples=50, probes=400, seed=seed).value for seed in range(4)])
    wanted = torch.stack([without.likelihood(x, samples=50, seed=seed).value for seed in range(4)])
    # The noise of the draws is the same; that of 400 probes has a standard deviation of 0.03 a log weight.
    torch.testing.assert_close(values, wanted, atol=0.02, rtol=0)
    biased = torch.stack([flow.likelihood(x, samples=50, probes=1, seed=seed).value for seed in range(40)])
    assert (biased.mean() - wanted.mean()) > 0.08, (
        "the log-mean-exp of single probes lies above, by half their variance"
    )
    found = flow.likelihood(x, probes=9)
    assert (found.samples, found.probes, found.in_words) == (1, 9, flow.kind_in_words)
    assert found.standard_error is not None
    many = flow.likelihood(x, samples=2)
    assert (many.samples, many.probes) == (2, 8)
    assert many.in_words == (
        "estimate of a bound, for this test, biased upwards by the noise of 8 probes a draw, uniform dequantisation"
    )


def test_what_is_no_number_of_draws_or_rows_is_refused() -> None:
    x = torch.zeros(1, 3)
    for name, value in (("samples", 2.5), ("samples", 0), ("probes", 0), ("batch_size", -1), ("first_row", -5)):
        with pytest.raises(OptionError, match=f"{name} must be a whole number"):
            _dequantised().likelihood(x, **{name: value})


def test_noise_of_another_shape_than_declared_is_refused() -> None:
    flow, x = _dequantised(), torch.zeros(2, 3)
    u = torch.full((2, 3), 0.5)
    flow.log_prob(x, noise=(u, None))
    for wrong in (u, (u,), (u, u), (u[:, :1], None), (u[:1], None), (None, None), ((u,), None)):
        with pytest.raises(ShapeError, match=r"noise: .* expected, got"):
            flow.log_prob(x, noise=wrong)
    with pytest.raises(ShapeError, match="noise: none expected"):
        Flow(StandardNormal((3,)), Identity((3,))).log_prob(x, noise=u)


def test_a_row_that_is_impossible_in_every_draw_has_no_standard_error() -> None:
    found = _dequantised().likelihood(torch.tensor([[0.0, 1, 2], [0, 1, 9]]), samples=3)
    assert found.standard_error is not None
    assert found.value[1] == -math.inf
    assert found.standard_error[0] > 0
    assert found.standard_error[1] == 0


def test_likelihood_of_no_rows_is_empty() -> None:
    assert _dequantised().likelihood(torch.zeros(0, 3), samples=2).value.shape == (0,)


def test_a_generator_makes_samples_and_drawn_noise_repeatable() -> None:
    flow, x = _dequantised(), torch.randint(0, 4, (6, 3))

    def seeded() -> torch.Generator:
        return torch.Generator().manual_seed(3)

    assert torch.equal(flow.log_prob(x, generator=seeded()), flow.log_prob(x, generator=seeded()))
    assert torch.equal(flow.sample(5, generator=seeded()), flow.sample(5, generator=seeded()))
    state = torch.get_rng_state()
    flow.sample(5, generator=seeded())
    assert torch.equal(torch.get_rng_state(), state)


def test_temperature_scales_the_latent_deviations() -> None:
    flow = Flow(StandardNormal((2,)), Identity((2,)))

    def seeded() -> torch.Generator:
        return torch.Generator().manual_seed(3)

    hot, cold = flow.sample(50, generator=seeded()), flow.sample(50, temperature=0.5, generator=seeded())
    torch.testing.assert_close(cold, 0.5 * hot)
    for wrong in (0.0, -1.0, math.nan):
        with pytest.raises(OptionError, match="temperature must be above 0"):
            flow.sample(1, temperature=wrong)
    for base in (UniformBox((2,)), Normal(torch.zeros(2), torch.ones(2))):
        with pytest.raises(OptionError, match="has no temperature"):
            Flow(base, Identity((2,))).sample(1, temperature=0.5)


def test_a_negative_number_of_samples_is_refused() -> None:
    with pytest.raises(OptionError, match="whole number of at least 0"):
        build("nice", (2,)).sample(-1)


def test_outside_the_support_the_density_is_zero_and_nan_stays_nan() -> None:
    box = Flow(UniformBox((2,)), Identity((2,)))
    value = box.log_prob(torch.tensor([[0.5, 0.5], [0.5, 1.5], [math.nan, 0.5], [math.nan, 2.0]]))
    assert value[0] == 0
    assert value[1] == -math.inf
    assert value[2:].isnan().all()
    integers = _dequantised(1).log_prob(torch.tensor([[0.0], [4.0], [-1.0], [1.5], [math.nan]]))
    assert integers[0].isfinite()
    assert (integers[1:4] == -math.inf).all()
    assert integers[4].isnan()


class _Overflows(Identity):
    """The identity, computed such that numbers far out become infinity divided by infinity."""

    def to_latent(self, x: Tensor, context: Tensor | None = None, noise: NoiseValue = None) -> tuple[Tensor, Tensor]:
        return x**4 / x**3, x.new_zeros(len(x))


def test_where_a_finite_value_overflows_the_density_is_zero() -> None:
    flow = Flow(StandardNormal((2,)), _Overflows((2,)))
    value = flow.log_prob(torch.tensor([[1.0, 2.0], [1e20, 1.0], [math.nan, 1.0], [math.nan, 1e20]]))
    torch.testing.assert_close(value[0], torch.tensor(-2.5 - math.log(2 * math.pi)))
    assert value[1] == -math.inf
    assert value[2:].isnan().all()


@pytest.mark.parametrize("normalisation", [Standardise, ActNorm])
def test_initialise_needs_a_row_and_sets_moments_once(normalisation: type[Standardise | ActNorm]) -> None:
    flow = Flow(StandardNormal((2,)), normalisation((2,)))
    with pytest.raises(ShapeError, match="at least one row"):
        flow.initialise(torch.zeros(0, 2))
    x = 3 + 2 * torch.randn(500, 2)
    flow.initialise(x)
    z = flow.encode(x)
    torch.testing.assert_close(z.mean(0), torch.zeros(2), atol=1e-5, rtol=0)
    torch.testing.assert_close(z.std(0, correction=0), torch.ones(2), atol=1e-5, rtol=0)
    flow.initialise(x + 5)
    assert torch.equal(flow.encode(x), z)


def test_gradients_reach_the_weights_through_samples() -> None:
    flow = _conditional()
    flow.sample_and_log_prob(4, torch.randn(2, 3))[1].sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in flow.parameters())


def test_the_distribution_is_the_flow() -> None:
    flow, x = _conditional(), torch.randn(6, 4, 2)
    context = torch.randn(4, 3)
    grouped = flow.distribution(context)
    assert grouped.batch_shape == (4,)
    assert grouped.event_shape == (2,)
    rows = torch.stack([flow.log_prob(x[i], context) for i in range(6)])
    torch.testing.assert_close(grouped.log_prob(x), rows)
    assert grouped.sample((3, 2)).shape == (3, 2, 4, 2)
    assert grouped.rsample((3,)).requires_grad
    one = flow.distribution(context[:1])
    assert one.batch_shape == ()
    assert one.sample((3,)).shape == (3, 2)
    assert one.sample().shape == (2,)
    torch.testing.assert_close(one.log_prob(x), torch.stack([flow.log_prob(x[i], context[:1]) for i in range(6)]))


@pytest.mark.parametrize(
    ("distribution", "inside", "outside"),
    [
        (Gamma(torch.tensor([2.0]), torch.tensor([1.0])), 1.5, -1.0),
        (Laplace(torch.zeros(1), torch.ones(1)), -3.0, None),
    ],
)
def test_a_torch_distribution_is_a_base_with_its_own_support(
    distribution: torch.distributions.Distribution, inside: float, outside: float | None
) -> None:
    base = TorchBase(distribution)
    value = base.log_prob(torch.tensor([[inside]]))
    torch.testing.assert_close(value, distribution.log_prob(torch.tensor([inside])))
    if outside is not None:
        assert base.log_prob(torch.tensor([[outside]])) == -math.inf
    assert base.log_prob(torch.tensor([[math.nan]])).isnan()
    generator = torch.Generator().manual_seed(1)
    state = torch.get_rng_state()
    first = base.sample(5, generator=generator)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(first, base.sample(5, generator=generator.manual_seed(1)))


def test_scoring_with_a_torch_distribution_seeds_no_accelerator(monkeypatch: pytest.MonkeyPatch) -> None:
    seeded: list[int] = []
    monkeypatch.setattr(torch.cuda, "manual_seed_all", seeded.append)
    TorchBase(Normal(torch.zeros(2), torch.ones(2))).log_prob(torch.zeros(1, 2))
    assert not seeded


def test_logistic_samples_reach_no_further_than_their_uniform_numbers_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    for u, wanted in ((0.0, -17.3), (1 - 2**-24, 16.6)):
        monkeypatch.setattr(torch, "rand", lambda *shape, u=u, dtype, **_: torch.full(shape, u, dtype=dtype))
        torch.testing.assert_close(StandardLogistic((1,)).sample(1).item(), wanted, atol=0.1, rtol=0)


def test_batch_dimensions_of_a_torch_distribution_are_part_of_the_event() -> None:
    assert TorchBase(Normal(torch.zeros(3), torch.ones(3))).event_shape == (3,)
    assert TorchBase(MultivariateNormal(torch.zeros(3), torch.eye(3))).event_shape == (3,)


def test_a_discrete_distribution_is_refused_as_a_base() -> None:
    with pytest.raises(OptionError, match="Poisson"):
        TorchBase(Poisson(torch.ones(2)))


def test_base_and_transform_must_fit() -> None:
    with pytest.raises(ShapeError, match=r"\(3,\).*\(2,\)"):
        Flow(StandardNormal((3,)), Identity((2,)))
    with pytest.raises(OptionError, match="part of its mass would be lost"):
        Flow(StandardNormal((2,)), Dequantise((2,), 4))
    with pytest.raises(OptionError, match="low < high"):
        UniformBox((2,), 1.0, 1.0)
    with pytest.raises(OptionError, match="base 'cauchy' is not known"):
        build_base("cauchy", (2,))
    assert isinstance(build_base("logistic", (2,)), StandardLogistic)


def test_evaluation_is_possible_on_a_device_without_autocast() -> None:
    net = nn.Linear(2, 2, device="meta")
    with evaluation(net):
        assert not net.training
    assert net.training
