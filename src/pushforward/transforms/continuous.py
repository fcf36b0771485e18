"""A flow in continuous time: data follow a learned velocity until they are the latent.

Sources: Chen, Rubanova, Bettencourt & Duvenaud, "Neural ordinary differential equations", 2018; Grathwohl, Chen,
Bettencourt, Sutskever & Duvenaud, "FFJORD: Free-form continuous dynamics for scalable reversible generative models",
2019; Finlay, Jacobsen, Nurbekyan & Oberman, "How to train your neural ODE" (RNODE), 2020.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal, NamedTuple, TypeAlias

import torch
from torch import Tensor
from torch.func import functional_call

from pushforward.differentiation import (
    is_transformed,
    jacobian_row,
    outside_inference_mode,
    pullback,
    with_first_order,
)
from pushforward.errors import NumericsError, OptionError
from pushforward.events import leading_axis, log_dtype, sum_event
from pushforward.likelihood import Estimator
from pushforward.nets.mlp import INPUT_LIMIT
from pushforward.nets.vector_field import VectorField
from pushforward.noise import Noise, NoiseValue, required_noise
from pushforward.precision import full_precision, has_float64
from pushforward.transforms.stochastic_log_det import StochasticLogDet

Trace: TypeAlias = Literal["exact", "hutchinson"]
# Largest number of steps of one solve, of six evaluations each. A field that needs more is too stiff to be of use.
_MAX_STEPS = 1000
_FIRST_ORDER = (
    "the adjoint method of a flow in continuous time gives derivatives of the first order only; set adjoint = False on "
    "its Continuous step (adjoint=False is an option of ffjord) for derivatives of any order"
)
_NO_TRANSFORMATION = (
    "the solver of a flow in continuous time cannot run inside torch.func or in forward mode; use torch.autograd.grad, "
    "with adjoint = False on its Continuous step (adjoint=False is an option of ffjord) for second derivatives"
)


class _Rates(NamedTuple):
    """The results of one evaluation, (B, ...): velocity, divergence, and RNODE's integrands per coordinate."""

    velocity: Tensor
    divergence: Tensor
    kinetic: Tensor
    jacobian: Tensor


class Regularisation(NamedTuple):
    """RNODE's terms of the trajectory of each row, (B,), times their weights."""

    kinetic: Tensor
    jacobian: Tensor


class Continuous(StochasticLogDet):
    """A flow in continuous time: the solution at time 1 of ``dx/dt = f(t, x; context)`` that starts at the data.

    `to_data` solves the equation backwards. The log term is the integral of the divergence of f along the trajectory
    (FFJORD, eq. 3): ``exact`` by a backward pass for each coordinate, or ``hutchinson``, ``v^T (df/dx) v`` with one
    probe v, whose entries are -1 or 1 and stay the same during a solve: its mean over probes is the exact one.

    Both have the error of the solver, the method of Dormand and Prince of order 5. Its steps adapt until no row's error
    exceeds ``tolerance``, absolute and relative; ``training_tolerance`` in training mode. ``evaluations`` is the number
    of evaluations of f in the last solve. With ``adjoint`` the derivatives follow a solve backwards, at the same
    tolerance and in memory that does not grow with the steps; else they are those of the solver's steps, which are
    stored.

    A row with a coordinate beyond 1e6 is not changed, and its log term is 0. All rows have the same steps: a row's
    values may depend on the other rows of the batch, within the tolerance. Inside `exactly` the trace is exact, and the
    tolerance is the square root of the machine precision.

    kinetic, jacobian: weights of RNODE's regularisation, the integrals of ``|f|^2 / D`` and ``|df/dx|^2 / D``, which
    `to_latent_with_regularisation` returns.

    Raises OptionError, also where torchdiffeq is not installed, and NumericsError where a solve takes too many steps.

    >>> import torch
    >>> from pushforward.nets import ConcatSquashMLP
    >>> from pushforward.transforms import Continuous
    >>> step, x = Continuous(ConcatSquashMLP(2, hidden=(8,))), torch.randn(3, 2)
    >>> z, log_term = step.to_latent(x)
    >>> torch.allclose(step.to_data(z)[0], x, atol=1e-3)
    True
    """

    eager = "solves a differential equation with adaptive steps"
    kind = "estimate"

    def __init__(
        self,
        field: VectorField,
        trace: Trace = "exact",
        tolerance: float = 1e-5,
        training_tolerance: float = 1e-4,
        adjoint: bool = True,
        kinetic: float = 0.0,
        jacobian: float = 0.0,
    ) -> None:
        super().__init__()
        _solvers()
        if trace not in ("exact", "hutchinson"):
            raise OptionError(f"trace {trace!r} is not known; expected exact or hutchinson")
        for name, value in (("tolerance", tolerance), ("training_tolerance", training_tolerance)):
            if not 0 < value < 1:
                raise OptionError(f"{name} must be above 0 and below 1, got {value}")
        for name, value in (("kinetic", kinetic), ("jacobian", jacobian)):
            if not 0 <= value < float("inf"):
                raise OptionError(f"{name} must be finite and not negative, got {value}")
        self.field, self.trace, self.adjoint = field, trace, adjoint
        self.tolerance, self.training_tolerance = tolerance, training_tolerance
        self.kinetic, self.jacobian = kinetic, jacobian
        self.data_shape = self.latent_shape = field.event_shape
        if trace == "hutchinson":
            self.noise_to_latent = self.noise_to_data = Noise(field.event_shape, "rademacher", "probe")
        method, unbiased = ("exact trace", None) if trace == "exact" else ("Hutchinson's trace", True)
        self.estimators = (Estimator(f"{method}, solver tolerance {tolerance:g}", unbiased),)
        self.evaluations = 0

    def extra_repr(self) -> str:
        return "; ".join(map(str, self.estimators))

    def to_latent(self, x: Tensor, context: Tensor | None = None, noise: NoiseValue = None) -> tuple[Tensor, Tensor]:
        with outside_inference_mode(x, context, noise) as (x, context, noise):
            return self._solve(x, context, noise, (0.0, 1.0))[:2]

    def to_data(self, z: Tensor, context: Tensor | None = None, noise: NoiseValue = None) -> tuple[Tensor, Tensor]:
        with outside_inference_mode(z, context, noise) as (z, context, noise):
            return self._solve(z, context, noise, (1.0, 0.0))[:2]

    def to_latent_with_regularisation(
        self, x: Tensor, context: Tensor | None = None, noise: NoiseValue = None
    ) -> tuple[Tensor, Tensor, Regularisation]:
        """Latents and log term as `to_latent` returns them, and the regularisation of the trajectory of each row."""
        z, integral, terms = self._solve(x, context, noise, (0.0, 1.0), self.kinetic > 0 or self.jacobian > 0)
        return z, integral, Regularisation(self.kinetic * terms[:, 0], self.jacobian * terms[:, 1])

    def _solve(
        self,
        x: Tensor,
        context: Tensor | None,
        noise: NoiseValue,
        times: tuple[float, float],
        regularised: bool = False,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The end of the trajectory of x, the integral of the divergence, and RNODE's two integrals (B, 2), else 0."""
        probe = None
        if self.trace == "hutchinson" and not self.exact:
            probe = required_noise(noise, self, "the probes of its trace, in both directions")
        # A NaN row would make every step too large for the solver, and a very distant row almost every step.
        sound, moving = x.isfinite().flatten(1).all(1), (x.abs() <= INPUT_LIMIT).flatten(1).all(1)
        if context is not None:
            finite = context.isfinite().flatten(1).all(1)
            sound, moving = sound & finite, moving & finite
            context = torch.where(leading_axis(moving, context.ndim), context, 0)
        start, size = torch.where(leading_axis(moving, x.ndim), x, 0), x[:1].numel()
        # The present weights: in the backward pass of `functional_call` or averaged weights the module may hold others.
        weights: dict[str, Tensor] = dict(self.field.named_parameters())
        if is_transformed():
            raise OptionError(_NO_TRANSFORMATION)
        if self._by_adjoint():
            start, context, weights = _of_first_order(start, context, weights)

        def field(*arguments: Tensor | None) -> Tensor:
            velocity: Tensor = functional_call(self.field, weights, arguments)
            return velocity

        self.evaluations = 0
        if x.shape[0] == 0:
            return x, x.new_zeros(0, dtype=log_dtype(x)), x.new_zeros(0, 2)

        def rates(t: Tensor, state: Tensor) -> Tensor:
            self.evaluations += 1
            now = _rates(field, t, state[:, :size].reshape(x.shape), context, probe)
            parts = [now.velocity.flatten(1), now.divergence[:, None]]
            if regularised:
                parts += [now.kinetic[:, None], now.jacobian[:, None]]
            return torch.cat(parts, 1)

        state = torch.cat([start.flatten(1), x.new_zeros(x.shape[0], 3 if regularised else 1)], 1)
        with full_precision(x):
            end = self._integrated(rates, state, x.new_tensor(times), list(weights.values()), context)
        z = torch.where(leading_axis(moving, x.ndim), end[:, :size].reshape(x.shape), x)
        integral = torch.where(moving, end[:, size], torch.where(sound, 0.0, torch.nan)).to(log_dtype(x))
        return z, integral, end[:, size + 1 :] if regularised else x.new_zeros(x.shape[0], 2)

    def _integrated(
        self,
        rates: Callable[[Tensor, Tensor], Tensor],
        state: Tensor,
        times: Tensor,
        weights: list[Tensor],
        context: Tensor | None,
    ) -> Tensor:
        training = self.training and not self.exact
        tolerance = self.training_tolerance if training else self.tolerance_now(state.dtype)
        # The solver takes times in float64 unless told otherwise.
        common = {"max_num_steps": _MAX_STEPS, "dtype": torch.float64 if has_float64(state.device) else state.dtype}
        more: dict[str, Any] = {"options": {"norm": self._largest_error, **common}}
        solve, solve_by_adjoint = _solvers()
        if self._by_adjoint():
            solve = solve_by_adjoint
            contexts = [] if context is None or not context.requires_grad else [context]
            wanted = [p for p in weights if p.requires_grad]
            # The error of the parameters' gradients is a sum over all rows and times: no step need be small for it
            # (Kidger, Chen & Lyons, "Hey, that's not an ODE", 2021).
            back = {"norm": "seminorm", **common}
            more |= {"adjoint_params": (*wanted, *contexts), "adjoint_options": back}
        try:
            solution: Tensor = solve(rates, state, times, rtol=tolerance, atol=tolerance, method="dopri5", **more)
        except AssertionError as error:
            if self.training or not all(p.isfinite().all() for p in weights):
                # A training loop takes this for a failed step and continues; the weights are in its graph.
                return (state + sum(0 * p.sum() for p in weights)) * torch.nan
            raise NumericsError(
                f"the differential equation could not be solved to tolerance {tolerance:g} in {_MAX_STEPS} steps; "
                "raise the tolerance, or train with more regularisation (kinetic, jacobian)"
            ) from error
        return solution[-1]

    def _by_adjoint(self) -> bool:
        """Whether derivatives of a solve are now computed by the adjoint method."""
        return self.adjoint and torch.is_grad_enabled()

    def _largest_error(self, error: Tensor) -> Tensor:
        """The largest error of a row, without that of the regularisation."""
        counted = error[:, : math.prod(self.data_shape) + 1] if error.ndim == 2 else error[None]
        return counted.square().mean(1).amax().sqrt()


def _of_first_order(
    start: Tensor, context: Tensor | None, weights: dict[str, Tensor]
) -> tuple[Tensor, Tensor | None, dict[str, Tensor]]:
    """The arguments of a solve, with derivatives of the first order only; torchdiffeq gives 0 for the second."""
    contexts = () if context is None else (context,)
    given = (start, *contexts, *weights.values())
    wanted = [i for i, value in enumerate(given) if value.requires_grad]
    marked = dict(zip(wanted, with_first_order(tuple(given[i] for i in wanted), _FIRST_ORDER), strict=True))
    values = [marked.get(i, value) for i, value in enumerate(given)]
    named = dict(zip(weights, values[1 + len(contexts) :], strict=True))
    return values[0], values[1] if contexts else None, named


def _rates(f: Callable[..., Tensor], t: Tensor, x: Tensor, context: Tensor | None, probe: Tensor | None) -> _Rates:
    """Velocity and divergence at x; without a probe the divergence is exact."""
    size = x[:1].numel()
    velocity, pull = pullback(lambda x: f(t, x, context), x)
    if probe is None:
        # Row by row: the whole Jacobian has the square of the event's size.
        divergence = jacobian = sum_event(velocity.new_zeros(velocity.shape))
        for i in range(size):
            row = jacobian_row(pull, velocity, i)
            divergence, jacobian = divergence + row[:, i], jacobian + sum_event(row.square())
    else:
        row = pull(probe)
        divergence, jacobian = sum_event(row * probe), sum_event(row.square())
    return _Rates(velocity, divergence, sum_event(velocity.square()) / size, jacobian / size)


def _solvers() -> tuple[Callable[..., Tensor], Callable[..., Tensor]]:
    """``odeint`` and ``odeint_adjoint`` of torchdiffeq."""
    try:
        from torchdiffeq import odeint, odeint_adjoint
    except ImportError as error:
        raise OptionError(
            "flows in continuous time need torchdiffeq, which is not installed: pip install 'pushforward[ode]'"
        ) from error
    return odeint, odeint_adjoint
