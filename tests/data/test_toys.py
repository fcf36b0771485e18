"""The toys' log-densities are those of their samplers."""

import itertools

import numpy as np
import pytest
from scipy import integrate, special

from pushforward.data import toys
from pushforward.errors import OptionError

_HALF_WIDTH = 5.2


def _grid(name: str) -> tuple[np.ndarray, np.ndarray, float]:
    """Midpoints of a grid that holds all mass but 1e-6, the log-density there, and the area of a cell."""
    cells = 260 if name in ("spirals", "rings", "two-moons") else 520
    edges = np.linspace(-_HALF_WIDTH, _HALF_WIDTH, cells + 1)
    centres = (edges[:-1] + edges[1:]) / 2
    points = np.stack(np.meshgrid(centres, centres, indexing="ij"), axis=-1).reshape(-1, 2)
    return points, toys.log_density(name, points), (edges[1] - edges[0]) ** 2


@pytest.fixture(scope="module")
def grids() -> dict[str, tuple[np.ndarray, np.ndarray, float]]:
    return {name: _grid(name) for name in toys.TOYS}


def _mean_of_log_p(log_p: np.ndarray, cell: float) -> float:
    p = np.exp(log_p)
    return float((p * np.where(p > 0, log_p, 0.0)).sum() * cell)


def _z_score_against_grid(draws: np.ndarray, name: str, log_p: np.ndarray, cell: float) -> float:
    values = toys.log_density(name, draws)
    error = max(values.std() / np.sqrt(len(values)), 1e-12)
    return abs(values.mean() - _mean_of_log_p(log_p, cell)) / error


def _chi_square_per_cell(draws: np.ndarray, log_p: np.ndarray, cell: float) -> float:
    """Chi-square statistic over degrees of freedom, of counts in 26 x 26 squares; 1 +- 0.1 if the density is right."""
    side = round(len(log_p) ** 0.5)
    mass = np.exp(log_p).reshape(26, side // 26, 26, side // 26).sum(axis=(1, 3)) * cell
    edges = np.linspace(-_HALF_WIDTH, _HALF_WIDTH, 27)
    counts, _, _ = np.histogram2d(draws[:, 0], draws[:, 1], bins=[edges, edges])
    expected = mass * len(draws)
    full = expected >= 5
    return float((((counts - expected) ** 2)[full] / expected[full]).mean())


@pytest.mark.parametrize("name", toys.TOYS)
def test_density_integrates_to_one(name, grids):
    _, log_p, cell = grids[name]
    assert np.exp(log_p).sum() * cell == pytest.approx(1.0, abs=1e-3)


@pytest.mark.parametrize("name", toys.TOYS)
def test_mean_log_density_of_samples_is_minus_the_entropy(name, grids):
    _, log_p, cell = grids[name]
    draws = toys.sample(name, 20_000, seed=3)
    if name == "checkerboard":
        # Constant on its support: there is no sampling error to compare with.
        assert np.allclose(toys.log_density(name, draws), -np.log(32))
        assert _mean_of_log_p(log_p, cell) == pytest.approx(-np.log(32), abs=1e-9)
    else:
        assert _z_score_against_grid(draws, name, log_p, cell) < 4


@pytest.mark.parametrize("name", toys.TOYS)
def test_histogram_of_samples_is_that_of_the_density(name, grids):
    _, log_p, cell = grids[name]
    assert _chi_square_per_cell(toys.sample(name, 50_000, seed=5), log_p, cell) < 1.35


@pytest.mark.parametrize("name", toys.TOYS)
def test_histogram_check_sees_samples_that_are_moved_by_a_tenth(name, grids):
    _, log_p, cell = grids[name]
    assert _chi_square_per_cell(toys.sample(name, 50_000, seed=5) + 0.1, log_p, cell) > 1.8


def test_entropy_check_sees_noise_that_is_a_tenth_too_large(grids):
    _, log_p, cell = grids["eight-gaussians"]
    draws = toys.sample("eight-gaussians", 20_000, seed=3)
    draws = draws + 0.46 * 0.5 / np.sqrt(2) * np.random.default_rng(1).standard_normal(draws.shape)
    assert _z_score_against_grid(draws, "eight-gaussians", log_p, cell) > 4


def test_rings_are_the_rice_density_in_closed_form():
    x = toys.sample("rings", 300, seed=1) * np.array([1.0, 1.1])
    rho, noise = np.hypot(*x.T)[:, None], 0.08
    radii = np.array([0.75, 1.5, 2.25, 3.0])
    log_each = -((rho - radii) ** 2) / (2 * noise**2) + np.log(special.i0e(rho * radii / noise**2))
    expected = special.logsumexp(log_each, axis=1) - np.log(4 * 2 * np.pi * noise**2)
    assert np.allclose(toys.log_density("rings", x), expected, atol=1e-9, rtol=0)


@pytest.mark.parametrize("point", [(0.0, 1.0), (0.5, 0.25), (1.9, 0.5), (-1.2, -0.1), (3.0, 3.0)])
def test_two_moons_are_the_integral_along_two_half_circles(point):
    def along(t: float, lower: bool) -> float:
        x, y = (1 - np.cos(t), 0.5 - np.sin(t)) if lower else (np.cos(t), np.sin(t))
        return float(np.exp(-((point[0] - x) ** 2 + (point[1] - y) ** 2) / (2 * 0.1**2)))

    # Divided at many points, so that the adaptive quadrature cannot step over a narrow peak.
    stops = np.linspace(0, np.pi, 40)
    whole = sum(
        integrate.quad(along, a, b, args=(lower,), epsabs=0, epsrel=1e-12)[0]
        for lower in (False, True)
        for a, b in itertools.pairwise(stops)
    )
    expected = np.log(whole / (2 * np.pi) / (2 * np.pi * 0.1**2))
    assert toys.log_density("two-moons", np.array([point]))[0] == pytest.approx(expected, abs=1e-8)


@pytest.mark.parametrize("point", [(0.0, 0.0), (1.0, 0.7), (-2.9, 0.4), (3.1, 0.05), (0.3, -2.2)])
def test_spirals_are_the_integral_along_two_arms(point):
    t = np.linspace(0, 3 * np.pi, 400_001)
    density = 0.0
    for sign in (1, -1):
        x, y = sign * -t * np.cos(t) / 3, sign * t * np.sin(t) / 3
        kernel = np.exp(-((point[0] - x) ** 2 + (point[1] - y) ** 2) / (2 * 0.1**2)) / (2 * np.pi * 0.1**2)
        density += 0.5 * integrate.simpson(kernel * 2 * t / (3 * np.pi) ** 2, x=t)
    assert toys.log_density("spirals", np.array([point]))[0] == pytest.approx(np.log(density), abs=1e-8)


def test_checkerboard_is_uniform_inside_and_zero_outside():
    x = np.array([[1.0, 1.0], [1.0, 3.0], [-1.0, -1.0], [-3.9, 0.1], [4.0, 1.0], [1e300, 0.0]])
    expected = [-np.log(32), -np.inf, -np.log(32), -np.log(32), -np.inf, -np.inf]
    assert toys.log_density("checkerboard", x).tolist() == expected


@pytest.mark.parametrize("name", toys.TOYS)
def test_far_and_odd_points_never_give_nan(name):
    x = np.array([[0.0, -0.0], [1e3, -1e3], [1e30, 1e30], [1e300, -1e300], [5e-324, 1.0]])
    log_p = toys.log_density(name, x)
    assert not np.isnan(log_p).any()
    assert (log_p < 10).all()


@pytest.mark.parametrize("name", toys.TOYS)
def test_density_of_no_points_and_of_one_point_keep_their_shapes(name):
    assert toys.log_density(name, np.empty((0, 2))).shape == (0,)
    assert toys.log_density(name, np.zeros((1, 2))).shape == (1,)
    assert toys.sample(name, 0).shape == (0, 2)


@pytest.mark.parametrize("name", toys.TOYS)
def test_sample_is_float64_and_repeats_with_its_seed(name):
    first = toys.sample(name, 50, seed=1)
    assert first.shape == (50, 2)
    assert first.dtype == np.float64
    assert (first == toys.sample(name, 50, seed=1)).all()
    assert (first != toys.sample(name, 50, seed=2)).any()


def test_unknown_toy_and_wrong_shape_are_refused():
    with pytest.raises(OptionError, match="two-moons"):
        toys.sample("three-moons", 5)
    with pytest.raises(OptionError, match=r"\(n, 2\)"):
        toys.log_density("rings", np.zeros((3, 3)))
    with pytest.raises(OptionError, match="-1"):
        toys.sample("rings", -1)
