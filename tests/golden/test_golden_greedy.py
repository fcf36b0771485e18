"""Whitening, local expansions, and steps of splines along directions, against numpy written from the papers."""

from __future__ import annotations

import numpy as np
import torch
from scipy.stats import norm

from checking import golden
from pushforward.maps.gaussianization import normal_scores
from pushforward.maps.stored_spline import Knots, StoredSpline
from pushforward.transforms import LocalMaps, MarginalGaussianization, SlicedGaussianization
from pushforward.transforms.base import Transform
from registry import BY_NAME
from subjects import subject

Array = np.ndarray


def _assert_both_ways(
    transform: Transform, x: torch.Tensor, z: Array, log_term: Array, context: torch.Tensor | None = None
) -> None:
    found, term = transform.to_latent(x, context)
    np.testing.assert_allclose(found.numpy(), z, atol=1e-10)
    np.testing.assert_allclose(term.numpy(), log_term, atol=1e-10)
    back, back_term = transform.to_data(torch.from_numpy(z), context)
    np.testing.assert_allclose(back.numpy(), x.numpy(), atol=1e-10)
    np.testing.assert_allclose(back_term.numpy(), -log_term, atol=1e-10)


def _rational_quadratic(x: float, xs: Array, ys: Array, slopes: Array) -> tuple[float, float]:
    """Gregory & Delbourgo's interpolant between the knots, straight lines outside: value and slope."""
    if x < xs[0]:
        return ys[0] + slopes[0] * (x - xs[0]), slopes[0]
    if x >= xs[-1]:
        return ys[-1] + slopes[-1] * (x - xs[-1]), slopes[-1]
    k = int(np.searchsorted(xs, x, side="right")) - 1
    s, xi = (ys[k + 1] - ys[k]) / (xs[k + 1] - xs[k]), (x - xs[k]) / (xs[k + 1] - xs[k])
    below = s + (slopes[k + 1] + slopes[k] - 2 * s) * xi * (1 - xi)
    value = ys[k] + (ys[k + 1] - ys[k]) * (s * xi**2 + slopes[k] * xi * (1 - xi)) / below
    above = slopes[k + 1] * xi**2 + 2 * s * xi * (1 - xi) + slopes[k] * (1 - xi) ** 2
    return value, s**2 * above / below**2


def _splines(map: torch.nn.Module, x: Array) -> tuple[Array, Array]:
    """The stored splines of each column of ``x``, from the knots that the map holds: values and slopes."""
    low, size = map.low.numpy(), map.size.numpy()
    values, slopes = x.copy(), np.ones_like(x)
    for j in np.flatnonzero(map.bends.numpy()):
        xs, ys = (low[a, j] + size[a, j] * map.knots[a, j].numpy() for a in (0, 1))
        curve = (xs, ys, map.slopes[j].numpy() * size[1, j] / size[0, j])
        found = np.array([_rational_quadratic(v, *curve) for v in x[:, j]])
        values[:, j], slopes[:, j] = found.T
    return values, slopes


@golden("map: stored spline")
def test_stored_spline_passes_through_its_knots_with_its_slopes() -> None:
    made = subject(BY_NAME["map: stored spline"])
    x = 1.5 * made.data(40)
    values, slopes = _splines(made.transform.map, x.numpy())
    _assert_both_ways(made.transform, x, values, np.log(slopes).sum(1))
    knots = torch.tensor([[-2.0, 0, -1], [-0.5, 1, 0], [0.25, 2, 0.5], [3, 3, 1]], dtype=torch.float64)
    wanted = torch.tensor([[-1.5, 0, 4], [-1.0, 1, 4.5], [0.75, 2, 7], [2, 3, 7.5]], dtype=torch.float64)
    # But for the least size of a bin.
    torch.testing.assert_close(made.transform.to_latent(knots)[0], wanted, atol=1e-4, rtol=0)


@golden("transform: whitening")
def test_whitening_is_a_triangle_of_the_covariance() -> None:
    made = subject(BY_NAME["transform: whitening"], stage="start")
    x = made.data(50)
    made.transform.initialise(x)
    rows = x.numpy()
    covariance = np.cov(rows.T, bias=True)
    covariance = (50 * covariance + 3 * np.diag(np.diag(covariance))) / 53
    z = np.linalg.solve(np.linalg.cholesky(covariance), (rows - rows.mean(0)).T).T
    _assert_both_ways(made.transform, x, z, np.full(50, -0.5 * np.linalg.slogdet(covariance)[1]))


def test_whitening_removes_what_the_context_says_of_the_mean() -> None:
    made = subject(BY_NAME["transform: whitening, context"], stage="start")
    context, x = made.context(50), made.data(50)
    assert context is not None
    x = x + context @ torch.tensor([[1.0, 0, -2], [0.5, 3, 1]], dtype=torch.float64)
    made.transform.initialise(x, context)
    design = np.column_stack([np.ones(50), context.numpy()])
    left = x.numpy() - design @ np.linalg.lstsq(design, x.numpy(), rcond=None)[0]
    z, _ = made.transform.to_latent(x, context)
    np.testing.assert_allclose(z.numpy().T @ z.numpy() / 50, np.eye(3), atol=0.1)
    np.testing.assert_allclose(z.numpy().T @ design / 50, 0, atol=1e-10)
    np.testing.assert_allclose(np.linalg.lstsq(left, z.numpy(), rcond=None)[1], 0, atol=1e-10)


def _radial(z: Array, centre: Array, radius: float, amplitude: float | Array, power: int) -> tuple[Array, Array]:
    """``z0 + (1 + f(r)) (z - z0)`` and ``(D - 1) log(1 + f) + log(1 + f + r f')``, the derivative by a formula."""
    r = np.linalg.norm(z - centre, axis=1)
    v, b = (r / radius) ** power, np.exp(amplitude)
    stretch = ((v + b) / (v + 1)) ** (1 / power)
    # d/dr of r (1 + f), by the chain rule through v.
    slope = stretch + r * stretch / power * (1 / (v + b) - 1 / (v + 1)) * power * v / np.where(r > 0, r, 1)
    return centre + stretch[:, None] * (z - centre), (z.shape[1] - 1) * np.log(stretch) + np.log(slope)


@golden("transform: expansions, radial", "transform: expansions, context")
def test_radial_expansions() -> None:
    for name, power in (("radial", 4), ("context", 2)):
        made = subject(BY_NAME[f"transform: expansions, {name}"])
        step, x, context = made.transform, made.data(30), made.context(30)
        assert isinstance(step, LocalMaps)
        assert (step.amplitude != 0).all()
        z, log_term = x.numpy(), np.zeros(30)
        for i in range(step.maps):
            amplitude: float | Array = step.amplitude[i].item()
            if context is not None:
                away = (context - step.place[i]) / step.reach[i]
                amplitude = amplitude / (1 + away.square().sum(1).numpy())
            z, term = _radial(z, step.centre[i].numpy(), step.radius[i].item(), amplitude, power)
            log_term = log_term + term
        _assert_both_ways(step, x, z, log_term, context)


@golden("transform: expansions, marginal")
def test_marginal_expansions_act_on_each_coordinate_after_a_rotation() -> None:
    made = subject(BY_NAME["transform: expansions, marginal"])
    step, x = made.transform, made.data(30)
    assert isinstance(step, LocalMaps)
    assert step.packed is not None
    z, log_term = x.numpy(), np.zeros(30)
    for i in range(step.maps):
        frame = _reflected(step.packed[i].numpy())
        turned = z @ frame
        for j in range(3):
            numbers = (step.radius[i, j].item(), step.amplitude[i, j].item())
            column, term = _radial(turned[:, [j]], step.centre[i, [j]].numpy(), *numbers, 2)
            turned[:, [j]], log_term = column, log_term + term
        z = turned @ frame.T
    _assert_both_ways(step, x, z, log_term)


def _reflected(packed: Array) -> Array:
    """The product of reflections along the columns, those with ones on the diagonal; minus its first columns."""
    product = np.eye(len(packed))
    for k in range(packed.shape[1]):
        v = np.tril(packed, -1)[:, k] + np.eye(len(packed))[k]
        product = product @ (np.eye(len(v)) - 2 * np.outer(v, v) / (v @ v))
    return -product[:, : packed.shape[1]]


@golden("transform: marginal gaussianization")
def test_a_step_of_rbig_is_splines_and_a_rotation() -> None:
    made = subject(BY_NAME["transform: marginal gaussianization"])
    step, x = made.transform, made.data(30)
    assert isinstance(step, MarginalGaussianization)
    assert step.map.bends.all()
    values, slopes = _splines(step.map, x.numpy())
    _assert_both_ways(step, x, values @ _reflected(step.packed.numpy()), np.log(slopes).sum(1))


@golden("transform: sliced gaussianization")
def test_a_sliced_step_moves_along_its_directions_only() -> None:
    made = subject(BY_NAME["transform: sliced gaussianization"])
    step, x = made.transform, made.data(60)
    assert isinstance(step, SlicedGaussianization)
    directions = np.linalg.qr(np.array([[1.0, 1], [1, -1], [1, 2]]))[0]
    step.along(torch.from_numpy(directions), x + (2 * x).sin())
    frame = _reflected(step.packed.numpy())
    np.testing.assert_allclose(np.abs(np.sum(frame * directions, 0)), 1, atol=1e-10)
    before = x.numpy() @ frame
    after, slopes = _splines(step.map, before)
    assert np.abs(after - before).max() > 0.1
    _assert_both_ways(step, x, x.numpy() + (after - before) @ frame.T, np.log(slopes).sum(1))


def test_normal_scores_are_those_of_a_known_distribution() -> None:
    # Two normals of the same weight: what the curve should be is ndtri of their distribution function.
    def cdf(x: Array) -> Array:
        return 0.5 * norm.cdf(x, -2, 0.5) + 0.5 * norm.cdf(x, 2, 1)

    fine = np.linspace(-8, 8, 100_001)
    quantiles = np.interp((np.arange(4000) + 0.5) / 4000, cdf(fine), fine)
    knots = normal_scores(torch.from_numpy(quantiles)[:, None], 20)
    x, y = knots.x[0].numpy(), knots.y[0].numpy()
    assert knots.bends.all()
    np.testing.assert_allclose(y, norm.ppf(cdf(x)), atol=0.05)
    density = 0.5 * norm.pdf(x, -2, 0.5) + 0.5 * norm.pdf(x, 2, 1)
    inner = slice(1, -1)
    wanted = (density / norm.pdf(norm.ppf(cdf(x))))[inner]
    np.testing.assert_allclose(knots.slopes[0].numpy()[inner], wanted, atol=0.1)


def test_a_damped_curve_is_the_mean_of_the_curve_and_the_identity() -> None:
    v = torch.from_numpy(np.random.default_rng(0).gamma(2.0, size=(500, 1)))
    whole, damped = normal_scores(v, 8), normal_scores(v, 8, damping=0.25)
    torch.testing.assert_close(damped.x, whole.x)
    torch.testing.assert_close(damped.y, 0.75 * whole.y + 0.25 * whole.x)
    torch.testing.assert_close(damped.slopes, 0.75 * whole.slopes + 0.25)


def test_a_stored_spline_has_the_slopes_of_its_knots() -> None:
    x = torch.tensor([[-2.0, 0.5, 4.0]], dtype=torch.float64)
    knots = Knots(x, torch.tensor([[1.0, 1.5, 3.0]]), torch.tensor([[0.25, 0.75, 2.0]]), torch.tensor([True]))
    map = StoredSpline(1, 2).double()
    map.store(knots)
    y, log_slope = map(x.T, x.new_zeros(0, 3, 1))
    # But for the least size of a bin.
    torch.testing.assert_close(y.T, knots.y.double(), atol=1e-4, rtol=0)
    torch.testing.assert_close(log_slope.exp().T, knots.slopes.double(), atol=1e-3, rtol=0)
