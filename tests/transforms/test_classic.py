"""Planar, radial and Sylvester steps: invertible whatever the numbers, with parameters of their own or of a context."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from pushforward.diagnostics.inversion import data_round_trip, latent_round_trip
from pushforward.errors import ContextError, OptionError, ShapeError
from pushforward.flows import build
from pushforward.transforms import FixedOrder, HouseholderColumns, Planar, QRColumns, Radial, Sylvester
from pushforward.transforms.base import Inverse, Transform
from pushforward.transforms.orthonormal import OrthonormalColumns

_FRAMES: dict[str, Callable[[int], OrthonormalColumns]] = {
    "orthogonal": lambda d: QRColumns(d, max(1, d - 1)),
    "householder": lambda d: HouseholderColumns(d, max(1, d - 1)),
    "triangular": lambda d: FixedOrder(d, reverse=True),
}
_STEPS: dict[str, Callable[[int, int], Transform]] = {
    "planar": lambda d, c: Planar(d, c, (8,)),
    "radial": lambda d, c: Radial(d, c, (8,)),
    **{name: lambda d, c, frame=frame: Sylvester(frame(d), c, (8,)) for name, frame in _FRAMES.items()},
}


def _step(name: str, features: int = 3, context_dim: int = 0, scale: float = 0.0) -> Transform:
    torch.manual_seed(4)
    step = _STEPS[name](features, context_dim).double()
    with torch.no_grad():
        for parameter in step.parameters():
            parameter.add_(scale * torch.randn_like(parameter))
    return step


def _rows(n: int, features: int = 3, scale: float = 1.0) -> Tensor:
    return scale * torch.randn(n, features, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("features", [1, 2, 17])
@pytest.mark.parametrize("name", _STEPS)
def test_a_step_starts_at_the_identity(name: str, features: int) -> None:
    step, x = _step(name, features), _rows(5, features)
    for direction in (step.to_latent, step.to_data):
        value, log_term = direction(x)
        assert torch.equal(value, x)
        assert log_term.abs().max() <= 1e-14


@pytest.mark.parametrize("scale", [3.0, 30.0])
@pytest.mark.parametrize("name", _STEPS)
@torch.no_grad()
def test_a_step_is_invertible_whatever_its_numbers(name: str, scale: float) -> None:
    # A least slope of 0.001 costs three digits of the numbers on the way, which reach some thousands here.
    step = _step(name, scale=scale)
    for x in (_rows(200), _rows(200, scale=100.0)):
        z, log_term = step.to_latent(x)
        back, back_term = step.to_data(z)
        assert (back - x).abs().max() <= 1e-10 * (1 + z.abs().max())
        assert log_term.isfinite().all()
        assert (log_term + back_term).abs().max() <= 1e-6 * (1 + z.abs().max())


@pytest.mark.parametrize("name", _STEPS)
def test_a_step_returns_from_far_away(name: str) -> None:
    step, x = _step(name, scale=0.5), _rows(8, scale=1e30)
    for value, log_term in (step.to_latent(x), step.to_data(x)):
        assert value.isfinite().all()
        assert log_term.isfinite().all()
    assert data_round_trip(step, x).max() <= 1e-12


@pytest.mark.parametrize("name", _STEPS)
def test_each_row_has_the_parameters_of_its_context(name: str) -> None:
    step, alone = _step(name, context_dim=2, scale=0.5), _step(name)
    x, context = _rows(6), _rows(6, 2)
    assert isinstance(step, Planar | Radial | Sylvester)
    assert isinstance(alone, Planar | Radial | Sylvester)
    params = step.params(context)
    assert (params[:, 0] != params[:, 1]).all()
    for direction in ("to_latent", "to_data"):
        value, log_term = getattr(step, direction)(x, context)
        for i in range(len(x)):
            with torch.no_grad():
                alone.params.values.copy_(params[:, i])
            wanted, wanted_term = getattr(alone, direction)(x[i : i + 1])
            torch.testing.assert_close(value[i : i + 1], wanted, atol=1e-12, rtol=0)
            torch.testing.assert_close(log_term[i : i + 1], wanted_term, atol=1e-12, rtol=0)


@pytest.mark.parametrize("name", _STEPS)
def test_a_context_that_is_missing_or_not_wanted_is_refused(name: str) -> None:
    x, context = _rows(2), _rows(2, 2)
    with pytest.raises(ContextError, match="this transform takes a context of 2 numbers, got 0"):
        _step(name, context_dim=2).to_latent(x)
    with pytest.raises(ContextError, match="this transform takes a context of 0 numbers, got 2"):
        _step(name).to_data(x, context)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_a_planar_step_without_a_direction_is_a_shift(dtype: torch.dtype) -> None:
    step = Planar(3).to(dtype)
    with torch.no_grad():
        step.params.values[:3] = 0
        step.params.values[3:] = torch.tensor([1.0, 2.0, -1.0, 0.5])
    x = _rows(4).to(dtype).requires_grad_(True)
    z, log_term = step.to_latent(x)
    torch.testing.assert_close(z, x + math.tanh(0.5) * torch.tensor([1.0, 2.0, -1.0], dtype=dtype))
    assert log_term.abs().max() <= 1e-6
    (z.sum() + log_term.sum()).backward()
    assert x.grad is not None
    assert x.grad.isfinite().all()
    assert step.params.values.grad is not None
    assert step.params.values.grad.isfinite().all()


def test_the_length_of_a_planar_direction_is_bounded() -> None:
    step = Planar(3).double()
    for size in (1e-100, 1e-18, 1.0, 1e18, 1e100):
        with torch.no_grad():
            step.params.values[:3] = size * torch.tensor([0.6, 0.0, -0.8], dtype=torch.float64)
        length = float(step._parts(None)[0].detach().norm())
        assert math.exp(-5) <= length <= math.exp(5)
        assert size != 1.0 or length == pytest.approx(1.0)


@pytest.mark.parametrize("direction", ["to_latent", "to_data"])
def test_the_centre_of_a_radial_step_stays_where_it_is(direction: str) -> None:
    step = _step("radial", scale=0.5)
    assert isinstance(step, Radial)
    centre, _, slope = step._parts(None)
    x = centre.detach().t().clone().requires_grad_(True)
    value, log_term = getattr(step, direction)(x)
    assert torch.equal(value, x)
    sign = 1 if direction == "to_latent" else -1
    assert float(log_term.detach()) == pytest.approx(sign * 3 * math.log(float(slope.detach())))
    (value.sum() + log_term.sum()).backward()
    assert x.grad is not None
    torch.testing.assert_close(x.grad, (slope**sign).detach().expand(1, 3))


@pytest.mark.parametrize(("features", "columns"), [(1, 1), (2, 1), (5, 5), (20, 7)])
@pytest.mark.parametrize("make", [QRColumns, HouseholderColumns])
def test_a_frame_is_orthonormal_whatever_the_numbers(
    make: type[OrthonormalColumns], features: int, columns: int
) -> None:
    generator = torch.Generator().manual_seed(0)
    frame = make(features, columns)
    count = len(frame.start())
    for scale in (1e-4, 1.0, 1e4):
        raw = scale * torch.randn(count, 6, generator=generator, dtype=torch.float64)
        q = frame.double()(raw)
        assert q.shape[1:] == (features, columns)
        eye = torch.eye(columns, dtype=torch.float64)
        assert (q.mT @ q - eye).abs().max() <= 1e-12


def test_nearly_equal_columns_still_make_an_orthonormal_frame() -> None:
    raw = torch.ones(12, 1, dtype=torch.float64) + 1e-9 * _rows(12, 1)
    q = QRColumns(6, 2).double()(raw)
    assert (q.mT @ q - torch.eye(2)).abs().max() <= 1e-12


@pytest.mark.parametrize("name", ["planar", "radial", "sylvester"])
def test_the_direction_says_which_way_is_the_formula(name: str) -> None:
    for direction, turned in (("to_latent", False), ("to_data", True)):
        flow = build(name, (2,), transforms=2, direction=direction, standardise=False)
        assert [isinstance(step, Inverse) for step in flow.transform] == [turned] * 2  # type: ignore[attr-defined]


@pytest.mark.parametrize("make", [QRColumns, HouseholderColumns])
@pytest.mark.parametrize("columns", [0, 4])
def test_more_columns_than_coordinates_are_refused(make: type[OrthonormalColumns], columns: int) -> None:
    with pytest.raises(
        OptionError, match=f"columns must be between 1 and the 3 coordinates of an event, got {columns}"
    ):
        make(3, columns)


def test_options_that_cannot_be_are_refused() -> None:
    with pytest.raises(OptionError, match="columns must be between 1 and the 3 coordinates"):
        build("sylvester", (3,), columns=4)
    with pytest.raises(OptionError, match="option columns=2 has no use here: a triangular step that left out a column"):
        build("sylvester", (3,), variant="triangular", columns=2)
    with pytest.raises(OptionError, match="option variant='householder' has no use here: there is a single coordinate"):
        build("sylvester", (1,), variant="householder")
    for name in ("planar", "radial", "sylvester"):
        with pytest.raises(OptionError, match=f"{name}: option direction: .*'to_latent' or 'to_data'"):
            build(name, (2,), direction="forward")
        with pytest.raises(ShapeError, match=r"vectors, event_shape \(D,\), expected, got \(1, 4, 4\)"):
            build(name, (1, 4, 4))


_TRAINED = [("planar", {}), ("radial", {}), *(("sylvester", {"variant": variant}) for variant in _FRAMES)]


@pytest.mark.parametrize(("name", "options"), _TRAINED, ids=str)
def test_a_trained_flow_returns_in_both_precisions(name: str, options: dict[str, str]) -> None:
    torch.manual_seed(0)
    flow = build(name, (3,), transforms=8, **options)
    x = _rows(2000).float()
    x = torch.stack([x[:, 0], x[:, 0].square() + 0.3 * x[:, 1], (2 * x[:, 1]).sin() + 0.2 * x[:, 2]], 1)
    flow.initialise(x)
    optimiser = torch.optim.Adam(flow.parameters(), 2e-2)
    for step in range(60):
        optimiser.zero_grad()
        loss = -flow.log_prob(x[step % 8 :: 8]).mean()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    flow.eval()
    z = torch.randn(2000, 3, generator=torch.Generator().manual_seed(1))
    for value, bar in ((x, 1e-5), (x.double(), 1e-12)):
        transform = flow.to(value.dtype).transform
        assert data_round_trip(transform, value).max() <= bar
        assert latent_round_trip(transform, z.to(value.dtype)).max() <= 10 * bar
