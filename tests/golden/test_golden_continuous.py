"""A continuous step against scipy's solver of another family, with the field and its trace written in numpy."""

import numpy as np
import torch
from scipy.integrate import solve_ivp

from checking import golden
from formulas import Array, as_numpy, weights_of
from pushforward.transforms import Continuous
from pushforward.transforms.stochastic_log_det import exactly
from registry import BY_NAME
from subjects import subject


def _sigmoid(h: Array) -> Array:
    return 1 / (1 + np.exp(-h))


def _rates(w: dict[str, Array], t: float, x: Array) -> Array:
    """Velocity (3,) and divergence of FFJORD's concatsquash net with one hidden layer of tanh."""
    seen = np.array([t])
    gates, shifts = [], []
    for i in (0, 1):
        gates.append(_sigmoid(w[f"field.squashes.{i}.gate.weight"] @ seen + w[f"field.squashes.{i}.gate.bias"]))
        shifts.append(w[f"field.squashes.{i}.shift.weight"] @ seen)
    first, second = (w[f"field.layers.{i}.weight"] for i in (0, 1))
    h = np.tanh((first @ x + w["field.layers.0.bias"]) * gates[0] + shifts[0])
    velocity = (second @ h + w["field.layers.1.bias"]) * gates[1] + shifts[1]
    jacobian = (gates[1][:, None] * second) @ ((1 - h**2)[:, None] * gates[0][:, None] * first)
    return np.concatenate([velocity, [np.trace(jacobian)]])


@golden("transform: continuous, exact")
def test_a_solution_and_its_log_term_are_those_of_another_solver() -> None:
    made = subject(BY_NAME["transform: continuous, exact"])
    assert isinstance(made.transform, Continuous)
    w, x = weights_of(made), as_numpy(made.data(4))
    ends = np.stack(
        [
            solve_ivp(lambda t, s: _rates(w, t, s[:3]), (0, 1), [*row, 0.0], "DOP853", rtol=1e-12, atol=1e-12).y[:, -1]
            for row in x
        ]
    )
    with exactly(made.transform):
        z, log_term = made.transform.to_latent(torch.from_numpy(x))
        back, back_term = made.transform.to_data(z.detach())
    np.testing.assert_allclose(as_numpy(z), ends[:, :3], atol=1e-6)
    np.testing.assert_allclose(as_numpy(log_term), ends[:, 3], atol=1e-6)
    np.testing.assert_allclose(as_numpy(back), x, atol=1e-6)
    np.testing.assert_allclose(as_numpy(back_term), -ends[:, 3], atol=1e-6)
