"""Six toy densities in the plane, each with an exact sampler and the true log-density of exactly that sampler.

The shapes are those of the FFJORD experiments (Grathwohl et al., 2019), if their density has a formula. Three are a
curve plus Gaussian noise: their density is an integral along the curve, which Gauss-Legendre panels evaluate to about
ten digits. The other three have closed forms.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.polynomial.legendre import leggauss

from pushforward.errors import OptionError

Array = np.ndarray

_LOG_2PI = float(np.log(2 * np.pi))
_CHUNK = 4_000_000  # points x nodes held at once: 32 MB


@dataclass(frozen=True)
class _Toy:
    summary: str
    draw: Callable[[int, np.random.Generator], Array]
    log_density: Callable[[Array], Array]


def sample(name: str, n: int, seed: int = 0) -> Array:
    """`n` independent samples of the toy `name`: `(n, 2)` float64, equal for equal seeds.

    Raises:
        OptionError: if there is no such toy, or `n` is negative.
    """
    if n < 0:
        raise OptionError(f"n: a number of points of at least 0 expected, got {n}")
    return _toy(name).draw(n, np.random.default_rng(seed))


def log_density(name: str, x: Array) -> Array:
    """The true log-density in nats of the toy `name` at `x: (n, 2)`: `(n,)`, -inf outside the support.

    Raises:
        OptionError: if there is no such toy, or `x` has another shape.
    """
    x = np.asarray(x, dtype=np.float64)
    if x.ndim != 2 or x.shape[1] != 2:
        raise OptionError(f"x: shape (n, 2) expected, got {x.shape}")
    # Far outside, squares overflow to inf and the log-density to -inf, which is the right answer.
    with np.errstate(over="ignore"):
        return _toy(name).log_density(x)


def describe(name: str) -> str:
    """The description of the toy `name`, in one line."""
    return _toy(name).summary


def _toy(name: str) -> _Toy:
    if name not in _TOYS:
        raise OptionError(f"toy: one of {', '.join(_TOYS)} expected, got {name!r}")
    return _TOYS[name]


def _log_sum_exp(values: Array, axis: int) -> Array:
    """log sum exp along `axis`, -inf where every value is."""
    top = values.max(axis=axis, keepdims=True)
    top = np.where(np.isfinite(top), top, 0.0)
    with np.errstate(divide="ignore"):
        total: Array = np.log(np.exp(values - top).sum(axis=axis)) + np.squeeze(top, axis=axis)
    return total


# A curve plus Gaussian noise -----------------------------------------------------------------------------------------


def _panels(start: float, end: float, panels: int) -> tuple[Array, Array]:
    """Nodes and weights of Gauss-Legendre quadrature with 16 nodes in each of `panels` equal pieces of [start, end]."""
    nodes, weights = leggauss(16)
    half = (end - start) / (2 * panels)
    centres = start + half * (2 * np.arange(panels) + 1)
    return (centres[:, None] + half * nodes).reshape(-1), np.tile(half * weights, panels)


def _log_noisy_curve(x: Array, points: Array, weights: Array, noise: float) -> Array:
    """log sum_k w_k N(x; c_k, noise^2 I): the density of a weighted curve `points: (K, 2)` under Gaussian noise."""
    result = np.empty(len(x))
    step = max(1, _CHUNK // len(points))
    log_weights = np.log(weights) - 2 * np.log(noise) - _LOG_2PI
    for start in range(0, len(x), step):
        piece = x[start : start + step]
        square = (piece[:, :1] - points[:, 0]) ** 2 + (piece[:, 1:] - points[:, 1]) ** 2
        result[start : start + step] = _log_sum_exp(log_weights - square / (2 * noise**2), axis=1)
    return result


_MOON_NOISE = 0.1


def _moon(t: Array, lower: Array) -> Array:
    """The upper half circle (cos t, sin t), or the lower one (1 - cos t, 1/2 - sin t), t in [0, pi]."""
    upper_x, upper_y = np.cos(t), np.sin(t)
    return np.stack([np.where(lower, 1 - upper_x, upper_x), np.where(lower, 0.5 - upper_y, upper_y)], axis=-1)


def _draw_moons(n: int, rng: np.random.Generator) -> Array:
    lower = rng.random(n) < 0.5
    return _moon(np.pi * rng.random(n), lower) + _MOON_NOISE * rng.standard_normal((n, 2))


def _log_moons(x: Array) -> Array:
    t, weights = _panels(0.0, np.pi, 32)
    points = np.concatenate([_moon(t, np.full(t.shape, side)) for side in (False, True)])
    return _log_noisy_curve(x, points, np.tile(weights / (2 * np.pi), 2), _MOON_NOISE)


_SPIRAL_NOISE = 0.1
_SPIRAL_TURN = 3 * np.pi


def _spiral(t: Array, sign: Array | float) -> Array:
    """Two arms, t in [0, 3 pi]: +-(-t cos t, t sin t) / 3."""
    arm = np.stack([-t * np.cos(t), t * np.sin(t)], axis=-1) / 3
    return np.asarray(np.expand_dims(sign, -1) * arm)


def _draw_spirals(n: int, rng: np.random.Generator) -> Array:
    t = _SPIRAL_TURN * np.sqrt(rng.random(n))  # density 2 t / (3 pi)^2: about even along the arm
    sign = np.where(rng.random(n) < 0.5, 1.0, -1.0)
    return _spiral(t, sign) + _SPIRAL_NOISE * rng.standard_normal((n, 2))


def _log_spirals(x: Array) -> Array:
    t, weights = _panels(0.0, _SPIRAL_TURN, 64)
    points = np.concatenate([_spiral(t, sign) for sign in (1.0, -1.0)])
    return _log_noisy_curve(x, points, np.tile(weights * t / _SPIRAL_TURN**2, 2), _SPIRAL_NOISE)


_RING_NOISE = 0.08
_RING_RADII = np.array([0.75, 1.5, 2.25, 3.0])


def _draw_rings(n: int, rng: np.random.Generator) -> Array:
    radius = rng.choice(_RING_RADII, size=n)
    angle = 2 * np.pi * rng.random(n)
    circle = radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=-1)
    return np.asarray(circle + _RING_NOISE * rng.standard_normal((n, 2)))


def _log_rings(x: Array) -> Array:
    """By symmetry the density depends on |x| only, and the integral over a ring's angle on half of it."""
    angle, weights = _panels(0.0, np.pi, 32)
    points = np.concatenate([r * np.stack([np.cos(angle), np.sin(angle)], axis=-1) for r in _RING_RADII])
    radius = np.hypot(x[:, 0], x[:, 1])
    on_axis = np.stack([radius, np.zeros_like(radius)], axis=-1)
    return _log_noisy_curve(on_axis, points, np.tile(weights / (4 * np.pi), 4), _RING_NOISE)


# Closed forms --------------------------------------------------------------------------------------------------------

_EIGHT_RADIUS = 2 * np.sqrt(2.0)
_EIGHT_NOISE = 0.5 / np.sqrt(2.0)
_EIGHT_ANGLES = np.arange(8) * np.pi / 4
_EIGHT_CENTRES = _EIGHT_RADIUS * np.stack([np.cos(_EIGHT_ANGLES), np.sin(_EIGHT_ANGLES)], axis=-1)


def _draw_eight(n: int, rng: np.random.Generator) -> Array:
    centres = _EIGHT_CENTRES[rng.integers(0, 8, size=n)]
    return np.asarray(centres + _EIGHT_NOISE * rng.standard_normal((n, 2)))


def _log_eight(x: Array) -> Array:
    return _log_noisy_curve(x, _EIGHT_CENTRES, np.full(8, 1 / 8), _EIGHT_NOISE)


def _draw_checkerboard(n: int, rng: np.random.Generator) -> Array:
    column = rng.integers(-2, 2, size=n)
    row = 2 * rng.integers(-1, 1, size=n) + column % 2  # in each column of squares, the two of its own colour
    return 2.0 * (np.stack([column, row], axis=-1) + rng.random((n, 2)))


def _log_checkerboard(x: Array) -> Array:
    inside = np.asarray(((x >= -4) & (x < 4)).all(axis=1, keepdims=True))
    square = np.floor(np.where(inside, x, 0.0) / 2)
    black = square.sum(axis=1) % 2 == 0
    log_p: Array = np.where(np.isnan(x).any(axis=1), np.nan, np.where(inside[:, 0] & black, -np.log(32.0), -np.inf))
    return log_p


_PINWHEEL_BLADES = 5
_PINWHEEL_RATE = 0.25
_PINWHEEL_STD = np.array([0.3, 0.1])  # along and across a blade


def _swirl(radius: Array) -> Array:
    """The rotation angle of a point at `radius`; beyond 20, far outside all samples, it stays finite."""
    return np.asarray(_PINWHEEL_RATE * np.exp(np.minimum(radius, 20.0)))


def _turn(x: Array, angle: Array) -> Array:
    cos, sin = np.cos(angle), np.sin(angle)
    return np.stack([cos * x[:, 0] - sin * x[:, 1], sin * x[:, 0] + cos * x[:, 1]], axis=-1)


def _draw_pinwheel(n: int, rng: np.random.Generator) -> Array:
    blade = 2 * np.pi * rng.integers(0, _PINWHEEL_BLADES, size=n) / _PINWHEEL_BLADES
    x = np.array([1.0, 0.0]) + _PINWHEEL_STD * rng.standard_normal((n, 2))
    return 2.0 * _turn(x, blade + _swirl(np.hypot(x[:, 0], x[:, 1])))


def _log_pinwheel(x: Array) -> Array:
    """The log-density of the unrotated Gaussian: a rotation by an angle that depends on the radius preserves areas."""
    half = x / 2
    swirl = _swirl(np.hypot(half[:, 0], half[:, 1]))
    blades = []
    for blade in range(_PINWHEEL_BLADES):
        back = _turn(half, -swirl - 2 * np.pi * blade / _PINWHEEL_BLADES)
        normed = (back - np.array([1.0, 0.0])) / _PINWHEEL_STD
        blades.append(-0.5 * (normed**2).sum(axis=1))
    constant = _LOG_2PI + np.log(_PINWHEEL_STD).sum() + np.log(_PINWHEEL_BLADES) + np.log(4.0)
    return np.asarray(_log_sum_exp(np.stack(blades), axis=0) - constant)


_TOYS = {
    "two-moons": _Toy("two interleaved half circles with Gaussian noise", _draw_moons, _log_moons),
    "eight-gaussians": _Toy("eight Gaussians on a circle", _draw_eight, _log_eight),
    "checkerboard": _Toy("uniform on the eight black squares of a board", _draw_checkerboard, _log_checkerboard),
    "spirals": _Toy("two spiral arms with Gaussian noise", _draw_spirals, _log_spirals),
    "pinwheel": _Toy("five Gaussian blades, swirled", _draw_pinwheel, _log_pinwheel),
    "rings": _Toy("four concentric rings with Gaussian noise", _draw_rings, _log_rings),
}

TOYS: tuple[str, ...] = tuple(_TOYS)
