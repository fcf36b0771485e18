"""Each check is shown something broken and has to say so: a check that cannot fail is worse than none."""

import math
import time
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import pytest
import torch
from test_bounds import exact_log_probability
from test_callers import assert_derivatives, assert_inputs, assert_modes, assert_same_for_every_caller, assert_threads
from test_compiles import assert_compiles
from test_dtypes import test_nothing_is_allocated_on_another_device as assert_device
from test_gradients import test_gradients_are_those_of_finite_differences as assert_gradients
from test_gradients import test_mean_gradient_of_an_estimate_is_the_gradient_of_the_exact_value as assert_mean_gradients
from test_hostile import _finite
from test_learning import equal_components, still_entries
from test_matrix import blanks
from test_units_of_data import assert_shifts_with_units
from torch import Tensor, nn

from pushforward import check, diagnostics
from pushforward.bases import Base, Source, StandardNormal
from pushforward.diagnostics.batching import batch_error, precision_gap
from pushforward.diagnostics.estimates import estimated_log_terms, excess
from pushforward.diagnostics.integration import integrate
from pushforward.diagnostics.inversion import data_round_trip, latent_round_trip
from pushforward.diagnostics.jacobian import log_term_error
from pushforward.diagnostics.sampling import sampling_error
from pushforward.evaluation.calibration import coverage, latent_pit, uniformity
from pushforward.events import zero_log_term
from pushforward.flow import Flow
from pushforward.likelihood import Estimator
from pushforward.maps import Affine, TanhScale
from pushforward.noise import Noise, NoiseValue
from pushforward.rows import Rows
from pushforward.transforms import Abs, Argmax, Dequantise, Identity, Log, LULinear, Standardise, StochasticPermutation
from pushforward.transforms.base import Chain, Transform
from pushforward.transforms.stochastic_log_det import StochasticLogDet
from registry import Entry
from subjects import Subject, make_flow

Fault = Callable[[Tensor], Tensor]
torch_scripts_rules = pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:DeprecationWarning")


class Faulty(Transform):
    """``z = 2 x`` on vectors of 2, right but for what is passed in."""

    def __init__(
        self,
        log_slope: float = 2 * math.log(2),
        back_slope: float | None = None,
        latent: Fault = lambda x: 2 * x,
        data: Fault = lambda z: z / 2,
    ) -> None:
        super().__init__()
        self.data_shape = self.latent_shape = (2,)
        self.slopes = (log_slope, -log_slope if back_slope is None else back_slope)
        self.latent, self.data = latent, data
        self.weight = nn.Parameter(torch.zeros(2))

    def to_latent(self, x: Tensor, context: Tensor | None = None, noise: NoiseValue = None) -> tuple[Tensor, Tensor]:
        return self.latent(x), zero_log_term(x) + self.slopes[0]

    def to_data(self, z: Tensor, context: Tensor | None = None, noise: NoiseValue = None) -> tuple[Tensor, Tensor]:
        return self.data(z), zero_log_term(z) + self.slopes[1]


def _flow(**faults: object) -> Flow:
    return Flow(StandardNormal((2,)), Faulty(**faults)).double().eval()  # type: ignore[arg-type]


def _subject(**faults: object) -> Subject:
    entry = Entry("broken", "transform", lambda dtype: Faulty(**faults), (2,))  # type: ignore[arg-type]
    return Subject(entry, make_flow(entry, torch.float64))


def _x(n: int = 8) -> Tensor:
    return torch.randn(n, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def test_the_sound_one_passes_everything() -> None:
    flow, x = _flow(), _x()
    assert data_round_trip(flow.transform, x).max() <= 1e-10
    assert log_term_error(flow.transform, x).max() <= 1e-9
    assert batch_error(flow.transform, x) <= 1e-12
    assert sampling_error(flow, 5).max() <= 1e-10
    assert abs(integrate(flow).value - 1) <= 1e-4
    assert precision_gap(flow, x).max() <= 1e-3
    assert check(flow, x).passed


def test_an_inverse_that_is_off_by_a_thousandth_is_found() -> None:
    transform = _flow(data=lambda z: z / 2 + 1e-3).transform
    assert data_round_trip(transform, _x()).max() > 1e-4
    assert latent_round_trip(transform, _x()).max() > 1e-4


def test_a_nan_on_the_way_back_is_not_mistaken_for_no_error() -> None:
    assert data_round_trip(_flow(data=lambda z: z * math.nan).transform, _x()).max() == math.inf


@pytest.mark.parametrize("direction", ["to_latent", "to_data"])
@pytest.mark.parametrize("method", ["autograd", "differences"])
def test_a_wrong_sign_in_a_log_term_is_found(direction: str, method: str) -> None:
    # Both directions are wrong by the same amount: forward = -backward holds all the same.
    transform = _flow(log_slope=-2 * math.log(2)).transform
    assert log_term_error(transform, _x(), direction, method=method).min() > 1  # type: ignore[arg-type]


def test_a_log_term_that_is_wrong_in_one_direction_is_found() -> None:
    flow = _flow(back_slope=0.0)
    assert log_term_error(flow.transform, _x(), "to_latent").max() <= 1e-9
    assert log_term_error(flow.transform, _x(), "to_data").min() > 1
    assert sampling_error(flow, 5).min() > 1e-2


def test_a_batch_dependent_transform_is_found() -> None:
    assert batch_error(_flow(latent=lambda x: 2 * (x - x.mean(0))).transform, _x()) > 1e-3
    order = torch.arange(8, dtype=torch.float64)[:, None]
    assert batch_error(_flow(latent=lambda x: 2 * x + 1e-6 * order[: len(x)]).transform, _x()) > 1e-9


class _WrongGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx: object, x: Tensor) -> Tensor:
        return 2 * x

    @staticmethod
    def backward(ctx: object, gradient: Tensor) -> Tensor:  # type: ignore[override]
        return 2.01 * gradient


def test_a_wrong_hand_written_gradient_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    made = _subject(latent=_WrongGradient.apply)
    monkeypatch.setattr("test_gradients.subject", lambda entry: made)
    with pytest.raises(RuntimeError, match="Jacobian mismatch"):
        assert_gradients(made.entry, "to_latent")


def test_a_value_or_gradient_that_is_not_finite_is_found() -> None:
    x = torch.zeros(2, 2, requires_grad=True)
    with pytest.raises(AssertionError):
        _finite(x, (x / 0), torch.zeros(2))
    # The branch that `where` did not take still poisons the gradient.
    with pytest.raises(AssertionError):
        _finite(x, torch.where(x > 0, x.log(), x), torch.zeros(2))


def test_a_density_that_integrates_to_nine_tenths_is_found() -> None:
    lost = _flow(log_slope=2 * math.log(2) + math.log(0.9))
    assert integrate(lost).value == pytest.approx(0.9, abs=1e-4)
    wide = Flow(_Lossy(5), Identity((5,))).double()
    integral = integrate(wide)
    assert integral.error <= 0.02
    assert abs(integral.value - 1) > 4 * integral.error


class _Lossy(Base):
    """A normal density with a tenth of its mass gone."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.event_shape = (features,)
        self.normal = StandardNormal((features,))

    def log_prob(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        return self.normal.log_prob(z) + math.log(0.9)

    def _draw(self, n: int, context: Tensor | None, temperature: float, source: Source) -> Tensor:
        return self.normal._draw(n, context, temperature, source)


def test_samples_that_do_not_come_from_the_density_are_found() -> None:
    assert sampling_error(_flow(data=lambda z: z / 2.1), 5).max() > 1e-3


def test_a_dtype_leak_is_found() -> None:
    leak = _flow(latent=lambda x: (2 * x).float().double())
    assert data_round_trip(leak.transform, _x()).max() > 1e-10
    rough = Flow(StandardNormal((2,)), Faulty(latent=lambda x: x * 2 + 0.1 * (x.dtype == torch.float32)))
    assert precision_gap(rough, _x()).max() > 1e-2


def test_a_tensor_allocated_on_another_device_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    made = _subject(latent=lambda x: 2 * x + torch.zeros(2))
    monkeypatch.setattr("test_dtypes.subject", lambda entry, dtype: made)
    with pytest.raises(RuntimeError, match="device"):
        assert_device(made.entry)


def test_a_graph_break_is_found() -> None:
    def branches(x: Tensor) -> Tensor:
        return 2 * x if x.sum() > 0 else 2.0 * x

    torch._dynamo.reset()
    with pytest.raises(torch._dynamo.exc.Unsupported):
        assert_compiles(_subject(latent=branches), "eager")
    torch._dynamo.reset()


def test_a_parameter_that_does_not_move_and_equal_components_are_found() -> None:
    before = {"moved": torch.zeros(3), "half": torch.zeros(2)}
    assert still_entries(before, {"moved": torch.ones(3), "half": torch.tensor([0.0, 1.0])}) == {"half": 1}
    different = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
    assert not equal_components(different)
    assert equal_components(torch.cat([different, different[1:2]]))


def test_a_bound_above_the_exact_value_is_found() -> None:
    class Generous(Dequantise):
        def to_latent(
            self, x: Tensor, context: Tensor | None = None, noise: NoiseValue = None
        ) -> tuple[Tensor, Tensor]:
            y, term = super().to_latent(x, context, noise)
            return y, term + 0.5

    entry = Entry("generous", "transform", lambda dtype: Dequantise((1,), 3), (1,))
    flow = Flow(_Ramp(), Generous((1,), 3)).double()
    exact = exact_log_probability(Subject(entry, Flow(_Ramp(), Dequantise((1,), 3)).double()), _levels())
    claimed = torch.stack([flow.likelihood(_levels(), seed=seed).value for seed in range(200)])
    error = claimed.std(0) / math.sqrt(200)
    assert (claimed.mean(0) > exact + 4 * error).all()


def test_a_weight_of_the_wrong_size_is_found() -> None:
    class Generous(StochasticPermutation):
        def to_latent(
            self, x: Tensor, context: Tensor | None = None, noise: NoiseValue = None
        ) -> tuple[Tensor, Tensor]:
            z, term = super().to_latent(x, context, noise)
            return z, term + 0.1

    # By its own noise it is a bound of itself; the integral over all data says otherwise.
    transform = Chain([Generous((2,)), Standardise((2,)), LULinear(2)])
    integral = integrate(Flow(StandardNormal((2,)), transform).double(), samples=60_000)
    assert integral.method == "importance"
    assert integral.value - 1 > 4 * integral.error
    categories = Flow(StandardNormal((3,)), Chain([Argmax((1,), 3), Faulty3()])).double()
    integral = integrate(categories, samples=60_000)
    assert integral.method == "summation"
    assert abs(integral.value - 1) > 4 * integral.error


def test_a_surjection_whose_way_back_is_off_is_found() -> None:
    class Off(Abs):
        def to_data(self, z: Tensor, context: Tensor | None = None, noise: NoiseValue = None) -> tuple[Tensor, Tensor]:
            x, term = super().to_data(z, context, noise)
            return 1.001 * x, term

    for make, passed in ((Abs, True), (Off, False)):
        report = check(Flow(StandardNormal((2,)), Chain([make((2,)), Log((2,))])).double(), _x(64))
        lines = {line.name: line.passed for line in report.lines}
        assert report.passed is passed
        assert lines["latent -> data -> latent, float64"] is passed
        assert lines["latent of data -> data -> latent, float64"] is passed


class Faulty3(Identity):
    """The identity of vectors of 3 with a log term of a tenth."""

    def __init__(self) -> None:
        super().__init__((3,))

    def to_latent(self, x: Tensor, context: Tensor | None = None, noise: NoiseValue = None) -> tuple[Tensor, Tensor]:
        return x, zero_log_term(x) + 0.1


def _levels() -> Tensor:
    return torch.arange(3, dtype=torch.float64)[:, None]


class _Ramp(Base):
    """The density 0.5 + y on the unit interval."""

    event_shape = (1,)

    def __init__(self) -> None:
        super().__init__()
        self.support = Dequantise((1,), 2).codomain

    def log_prob(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        return (0.5 + z[:, 0]).log()

    def _draw(self, n: int, context: Tensor | None, temperature: float, source: Source) -> Tensor:
        raise NotImplementedError


class Probed(StochasticLogDet):
    """``z = 2 x`` on vectors of 2, with a log term that is right on average but for what is passed in."""

    kind = "estimate"
    estimators = (Estimator("one probe", unbiased=True),)
    noise_to_latent = noise_to_data = Noise((1,), "uniform", "probe")

    def __init__(self, bias: float = 0.0, wrong_gradient: float = 0.0) -> None:
        super().__init__()
        self.data_shape = self.latent_shape = (2,)
        self.bias, self.wrong = bias, wrong_gradient
        self.log_scale = nn.Parameter(torch.tensor(math.log(2.0)))

    def _log_term(self, x: Tensor, noise: NoiseValue) -> Tensor:
        term = zero_log_term(x) + 2 * self.log_scale
        if self.exact:
            return term
        assert isinstance(noise, Tensor)
        surrogate = self.log_scale - self.log_scale.detach()
        return term * (2 * noise[:, 0]) + self.bias + self.wrong * surrogate

    def to_latent(self, x: Tensor, context: Tensor | None = None, noise: NoiseValue = None) -> tuple[Tensor, Tensor]:
        return self.log_scale.exp() * x, self._log_term(x, noise)

    def to_data(self, z: Tensor, context: Tensor | None = None, noise: NoiseValue = None) -> tuple[Tensor, Tensor]:
        return (-self.log_scale).exp() * z, -self._log_term(z, noise)


def _probed(**faults: float) -> Subject:
    entry = Entry("probed", "transform", lambda dtype: Probed(**faults), (2,))
    return Subject(entry, make_flow(entry, torch.float64))


@pytest.mark.parametrize("direction", ["to_latent", "to_data"])
def test_an_estimate_with_a_bias_is_found(direction: str) -> None:
    sound, biased = (_probed(bias=bias).transform for bias in (0.0, 0.2))
    assert excess(*estimated_log_terms(sound, _x(), direction)).max() <= 0  # type: ignore[arg-type]
    assert excess(*estimated_log_terms(biased, _x(), direction)).min() > 0  # type: ignore[arg-type]
    assert excess(*estimated_log_terms(biased, _x(), direction), bias=0.2).max() <= 0  # type: ignore[arg-type]


def test_an_estimate_with_a_biased_gradient_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    for wrong in (0.0, 0.2):
        made = _probed(wrong_gradient=wrong)
        monkeypatch.setattr("test_gradients.subject", lambda entry, made=made: made)
        with pytest.raises(AssertionError) if wrong else nullcontext():
            assert_mean_gradients(made.entry, "to_latent")


def test_the_public_check_judges_estimates() -> None:
    for bias, passed in ((0.0, True), (0.2, False)):
        report = check(_probed(bias=bias).flow, _x())
        line = next(line for line in report.lines if line.name.startswith("estimated log term"))
        assert line.passed is passed
        assert next(line for line in report.lines if line.name.startswith("integral")).passed


def test_a_miscalibrated_flow_is_found() -> None:
    standardise = Standardise((2,)).double()
    standardise.std.fill_(1.15)
    flow = Flow(StandardNormal((2,)), standardise).double()
    x = torch.randn(10_000, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert uniformity(latent_pit(flow, x)[:, 0]) < 0.01
    assert coverage(flow, Rows(x))[0] != pytest.approx(0.5, abs=0.02)


class _Floored(Standardise):
    """Takes every deviation below a millionth for that of a constant."""

    def initialise(self, x: Tensor, context: Tensor | None = None, noise: NoiseValue = None) -> None:
        super().initialise(x, context, noise)
        self.std.copy_(torch.where(self.std > 1e-6, self.std, 1.0))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_density_that_does_not_shift_with_the_unit_is_found(dtype: torch.dtype) -> None:
    factor, offset = torch.full((2,), 1e-12).double(), torch.zeros(2).double()
    for layer, found in ((Standardise((2,)), False), (_Floored((2,)), True)):
        entry = Entry("floored", "transform", lambda dtype: Chain([layer, Faulty()]), (2,))  # noqa: B023
        made = Subject(entry, make_flow(entry, dtype))
        assert_shifts_with_units(made, torch.ones(2).double(), offset + 1)
        with pytest.raises(AssertionError) if found else nullcontext():
            assert_shifts_with_units(made, factor, offset)


class _WrongForwardMode(torch.autograd.Function):
    """``2 x``, whose forward-mode derivative is 0."""

    @staticmethod
    def forward(x: Tensor) -> Tensor:
        return 2 * x

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: Tensor) -> None:
        pass

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:  # type: ignore[override]
        return 2 * gradient

    @staticmethod
    def jvp(ctx: Any, tangent: Tensor) -> Tensor:  # type: ignore[override]
        return 0 * tangent


class _Remembered:
    """``2 x`` of the rows of the last call."""

    def __init__(self) -> None:
        self.rows = torch.zeros(0)

    def __call__(self, x: Tensor) -> Tensor:
        self.rows = x
        time.sleep(0.05)
        return 2 * self.rows


@torch_scripts_rules
def test_a_sound_subject_passes_for_every_caller() -> None:
    assert_same_for_every_caller(_subject())


@torch_scripts_rules
def test_a_wrong_forward_mode_is_found() -> None:
    with pytest.raises(AssertionError, match="jvp"):
        assert_derivatives(_subject(latent=_WrongForwardMode.apply))


@torch_scripts_rules
def test_a_second_derivative_that_is_silently_lost_is_found() -> None:
    with pytest.raises(AssertionError, match="second derivative"):
        assert_derivatives(_subject(latent=lambda x: 2 * x + x.detach() ** 2 * x))


def test_a_flow_that_keeps_something_between_calls_is_found_by_two_threads() -> None:
    with pytest.raises(AssertionError):
        assert_threads(_subject(latent=_Remembered()))


def test_a_flow_that_differs_in_inference_mode_or_changes_its_input_is_found() -> None:
    with pytest.raises(AssertionError, match="inference mode"):
        assert_modes(_subject(latent=lambda x: x * (2 + torch.is_inference_mode_enabled())))
    with pytest.raises(AssertionError, match="with gradients"):
        assert_modes(_subject(latent=lambda x: x * (2 + torch.is_grad_enabled())))
    with pytest.raises(AssertionError, match="changed"):
        assert_inputs(_subject(latent=lambda x: x.mul_(2)))


def test_an_unexplained_blank_in_the_matrix_is_found() -> None:
    assert blanks({"a": set()}, checks=("a",)) != []


@pytest.mark.parametrize(
    ("faults", "line"),
    [
        ({"data": lambda z: z / 2 + 1e-3}, "data -> latent -> data, float64"),
        ({"log_slope": -1.0}, "log term to latent against the Jacobian"),
        ({"back_slope": 0.0}, "log_prob(sample) against sample_and_log_prob"),
        ({"latent": lambda x: 2 * (x - x.mean(0))}, "batched against one row at a time"),
        ({"log_slope": 2 * math.log(2) + math.log(0.9)}, "integral of the density"),
        ({"latent": lambda x: x * math.nan}, "fraction of rows with a NaN or infinite density"),
        ({"latent": lambda x: 2 * x + 0.1 * (x.dtype == torch.float32)}, "log_prob, float32 against float64"),
    ],
)
def test_the_public_check_names_the_line_that_fails(faults: dict[str, object], line: str) -> None:
    report = check(_flow(**faults), _x(64))
    assert not report.passed
    assert {entry.name: entry.passed for entry in report.lines}[line] is False
    assert "FAILED" in str(report)
    assert diagnostics.CheckReport is type(report)


def test_the_public_check_finds_a_parameter_that_is_not_finite() -> None:
    flow = _flow()
    with torch.no_grad():
        flow.transform.weight[0] = math.nan
    assert check(flow, _x()).lines[0].passed is False
    assert "weight" in check(flow, _x()).lines[0].detail


def test_a_map_with_a_wrong_log_slope_is_found() -> None:
    class Wrong(Affine):
        def forward(self, x: Tensor, params: Tensor) -> tuple[Tensor, Tensor]:
            y, log_slope = super().forward(x, params)
            return y, log_slope.abs()

    entry = Entry("wrong", "map", lambda dtype: Wrong(TanhScale()), (2,))
    flow = make_flow(entry, torch.float64)
    with torch.no_grad():
        next(p for n, p in flow.named_parameters() if n.endswith("weight")).fill_(-0.5)
    assert log_term_error(flow.transform, _x()).max() > 0.1
