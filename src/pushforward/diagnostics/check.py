"""The numerical check of a flow on data and on its own samples."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from pushforward.diagnostics.batching import batch_error, noise_to, precision_gap
from pushforward.diagnostics.check_case import Case, prepare
from pushforward.diagnostics.check_report import CheckLine, CheckReport
from pushforward.diagnostics.effects import DEVIATIONS, NATS, consequence, consequence_of_many, deviations
from pushforward.diagnostics.estimates import estimated_log_terms, excess, has_probes
from pushforward.diagnostics.integration import IMPORTANCE_LIMIT, continuous_part, integrate
from pushforward.diagnostics.inversion import (
    data_returned,
    has_square_jacobian,
    latent_round_trip,
    relative_error,
    returns_to_data,
)
from pushforward.diagnostics.jacobian import log_term_error, take_rows
from pushforward.diagnostics.sampling import clamped_fractions, sampling_error
from pushforward.errors import OptionError, ShapeError
from pushforward.evaluation.verdict import State
from pushforward.flow import Flow
from pushforward.inputs import TensorLike
from pushforward.noise import key_of
from pushforward.transforms.base import Direction
from pushforward.transforms.dequantisation import dequantisation
from pushforward.transforms.stochastic_log_det import exactly, numeric_error

ROUND_TRIP_64, ROUND_TRIP_32, ROUND_TRIP_32_TYPICAL = 1e-10, 1e-4, 1e-5
LOG_TERM, LOG_TERM_DIFFERENCES = 1e-9, 1e-6
SAMPLING, BATCHING = 1e-10, 1e-12
PRECISION_P99, PRECISION_MAX = 1e-3, 1e-2
INTEGRAL = 1e-4
# The largest ratio of errors in float32 and in float64 that rounding alone explains.
_AMPLIFIED = 100 * torch.finfo(torch.float32).eps / torch.finfo(torch.float64).eps
# Relative errors of log-densities in float64 without effect, and those that ask for care.
_RELATIVE = (1e-6, 1e-3)
# The same in nats, of the worst of many rows.
_OF_ROWS = (10 * NATS[0], 10 * NATS[1])

# A Jacobian takes one pass per coordinate; above this size it would take minutes.
_JACOBIAN_LIMIT = 4096
# Larger Jacobians are computed in float32, which is much faster for convolutions, with the tolerance of float32.
_JACOBIAN_FLOAT64 = 256
# Probes per row: the mean of their estimates is compared with the exact log term.
_PROBES = 400

_METHODS = {"quadrature": "quadrature", "importance": "importance sampling", "summation": "draws for each event"}


def check(
    flow: Flow,
    x: TensorLike | None = None,
    *,
    context: TensorLike | None = None,
    rows: int = 256,
    seed: int | None = None,
    generator: torch.Generator | None = None,
) -> CheckReport:
    """Check a flow's numerics on data ``x: (B, *event_shape)`` or, without data, on its own samples.

    Round trips, log term against the Jacobian, float32 against float64, sampling against scoring, batches, the integral
    (up to 8 dimensions), samples clamped at the ends, non-finite values. If `to_latent` discards information that
    `to_data` samples, the round trip begins with latents of data, and there is no Jacobian. At most ``rows`` rows are
    used, fewer for large events, chosen by ``seed`` or ``generator``. The flow itself is not changed. A check that
    cannot be computed fails and gives the reason. Raises ShapeError or ContextError for data or a context that do not
    match the flow.

    >>> import torch
    >>> import pushforward
    >>> flow = pushforward.flows.build("nice", event_shape=(2,), hidden=(8,))
    >>> x = torch.randn(64, 2)
    >>> flow.initialise(x)
    >>> pushforward.check(flow, x, rows=32).passed
    True
    """
    if rows < 1:
        raise ShapeError(f"rows must be at least 1, got {rows}")
    case = prepare(flow, x, context, rows, key_of(generator, seed))
    lines = [_finite_parameters(flow)]
    for name, measure in _MEASUREMENTS.items():
        try:
            lines += measure(case)
        except (RuntimeError, ValueError, ArithmeticError) as error:
            # A broken flow can make a measurement itself fail, for instance the covariance of its samples.
            lines.append(CheckLine(name, None, "computable", False, str(error).splitlines()[0]))
    return CheckReport(tuple(lines))


def _finite_parameters(flow: Flow) -> CheckLine:
    bad = [name for name, value in flow.state_dict().items() if not bool(value.isfinite().all())]
    detail = f"not finite: {', '.join(bad[:3])}" if bad else ""
    return CheckLine("non-finite parameters and buffers", float(len(bad)), "0", not bad, detail)


@torch.no_grad()
def _finite_density(case: Case) -> list[CheckLine]:
    value = case.flow.log_prob(case.x.float(), case.context, noise=noise_to(case.noise, torch.float32))
    nan, outside = int(value.isnan().sum()), int((value == -math.inf).sum())
    infinite = int((value == math.inf).sum())
    detail = f"{outside} of {len(value)} rows have density 0" if outside else ""
    broken = (nan + infinite) / len(value)
    return [
        CheckLine("fraction of rows with a NaN or infinite density", broken, "0", broken == 0, detail),
        CheckLine("fraction of rows with density 0", outside / len(value), "reported", None),
    ]


@torch.no_grad()
def _data_round_trips(case: Case) -> list[CheckLine]:
    if returns_to_data(case.wide.transform):
        noise, back = noise_to(case.noise, torch.float32), noise_to(case.back(), torch.float32)
        wide = data_returned(case.wide.transform, case.x, case.embedded(), case.noise, case.back())
        narrow = data_returned(case.flow.transform, case.x.float(), case.narrow_context, noise, back)
        errors = relative_error(wide, case.x), relative_error(narrow, case.x)
        effects = deviations(wide, case.x), deviations(narrow, case.x)
        return _round_trip_lines("data -> latent -> data", *errors, case.numeric, effects)
    z, _ = case.wide.transform.to_latent(case.x, case.embedded(), case.noise)
    return _returns(case, z, "latent of data -> data -> latent")


@torch.no_grad()
def _latents(case: Case) -> Tensor:
    generator = torch.Generator(case.wide.device).manual_seed(case.seed)
    z = case.wide.base.sample(
        len(case.x), case.embedded(), generator=generator, dtype=torch.float64, device=case.wide.device
    )
    return z.float().double()


@torch.no_grad()
def _latent_round_trips(case: Case) -> list[CheckLine]:
    z = narrow = _latents(case)
    if not returns_to_data(case.wide.transform):
        return _returns(case, z, "latent -> data -> latent")
    if dequantisation(case.flow.transform) is not None:
        # Latents of data: latents of clamped samples lie where a float32 sigmoid has few significant digits.
        noise = noise_to(case.noise, torch.float32)
        narrow = case.flow.transform.to_latent(case.x.float(), case.narrow_context, noise)[0]
    return _round_trip_lines("latent -> data -> latent", *_latent_errors(case, z, narrow), case.numeric)


def _latent_errors(case: Case, wide: Tensor, narrow: Tensor) -> tuple[Tensor, Tensor]:
    """Relative errors of the round trips of latents ``wide`` in float64, and of ``narrow`` in float32."""
    back = case.back()
    return (
        latent_round_trip(case.wide.transform, wide, case.embedded(), back),
        latent_round_trip(case.flow.transform, narrow.float(), case.narrow_context, noise_to(back, torch.float32)),
    )


def _returns(case: Case, z: Tensor, name: str) -> list[CheckLine]:
    """The round trips of latents ``z`` in float64, for a flow whose `to_data` draws.

    Clamped rows are excluded: their latents lie where a sigmoid has few significant digits.
    """
    wide, narrow = _latent_errors(case, z, z)
    inside = torch.ones(len(z), dtype=torch.bool, device=z.device)
    first = dequantisation(case.wide.transform)
    if first is not None:
        rest, back = continuous_part(case.wide).transform, case.back()
        y, _ = rest.to_data(z, case.embedded(), back[1:] if isinstance(back, tuple) else None)
        inside = ((y >= first.codomain.low) & (y <= first.codomain.high)).flatten(1).all(1)
    if not bool(inside.any()):
        return [CheckLine(name, None, f"<= {ROUND_TRIP_64:g}", None, "not computed: every sample has a clamped value")]
    return _round_trip_lines(name, wide[inside], narrow[inside], case.numeric)


def _round_trip_lines(
    name: str, wide: Tensor, narrow: Tensor, numeric: float, effects: tuple[Tensor, Tensor] | None = None
) -> list[CheckLine]:
    """The lines of relative errors in float64 and float32; ``effects``: the same errors in standard deviations.

    None is for latents, whose errors are in standard deviations. Where float64 has the same errors, smaller by the
    ratio of the precisions, a steep map amplifies the rounding of right samples: that asks for care only.
    """
    limit, most, middle = (bar + numeric for bar in (ROUND_TRIP_64, ROUND_TRIP_32, ROUND_TRIP_32_TYPICAL))
    worst, typical, exact = float(narrow.max()), float(narrow.median()), float(wide.max())
    bars = f"<= {limit:.2g}", f"<= {most:.2g}, typical {middle:.2g}"
    passed = exact <= limit, worst <= most and typical <= middle
    details = "relative", f"relative; typical {typical:.1e}"
    lines = []
    for i, (precision, errors) in enumerate(zip(("float64", "float32"), effects or (wide, narrow), strict=True)):
        largest, middling = float(errors.max()), float(errors.median())
        words = f"{name} in {precision} is off by up to {largest:.2g} standard deviations, typically {middling:.2g}"
        state = consequence_of_many(largest, middling, DEVIATIONS)
        if state is State.REFUSE and effects is None and worst <= _AMPLIFIED * exact:
            state, words = State.CARE, f"{words}, because a steep map amplifies the rounding"
        value = (exact, worst)[i]
        lines.append(CheckLine(f"{name}, {precision}", value, bars[i], passed[i], details[i], state, words))
    return lines


def _log_terms(case: Case) -> list[CheckLine]:
    size = math.prod(case.wide.event_shape)
    names: tuple[tuple[str, Direction], ...] = (
        ("log term to latent against the Jacobian", "to_latent"),
        ("log term to data against the Jacobian", "to_data"),
    )
    exact = size <= _JACOBIAN_FLOAT64
    limit = LOG_TERM * max(1.0, size / 8) if exact else PRECISION_MAX * size / 64
    flow, dtype = (case.wide, torch.float64) if exact else (case.flow, torch.float32)
    with exactly(flow.transform):
        # At this tolerance a solver takes ten times as many steps, and their rounding errors accumulate.
        limit += 10 * numeric_error(flow, dtype)
    bar = f"<= {limit:.2g}"
    most = _JACOBIAN_FLOAT64 if case.wide.kind == "estimate" else _JACOBIAN_LIMIT
    reason = None
    if not has_square_jacobian(case.wide.transform):
        reason = "not computed for a flow that is not a bijection"
    elif size > most or case.wide.transform.data_shape == ():
        reason = f"not computed for events of {size} values (limit {most})"
    if reason is not None:
        return [CheckLine(name, None, bar, None, reason) for name, _ in names]
    count = max(1, min(len(case.x), 2048 // size, 32)) if exact else 1
    noise = noise_to(take_rows(case.noise, slice(0, count)), dtype)
    latents, back = _latents(case)[:count].to(dtype), noise_to(case.back(count), dtype)
    inputs = {"to_latent": (case.x[:count].to(dtype), noise), "to_data": (latents, back)}
    context = case.embedded(count)
    context = None if context is None else context.to(dtype)
    lines = []
    for name, direction in names:
        rows, part = inputs[direction]
        error = float(log_term_error(flow.transform, rows, direction, context, part).max())
        detail = f"nats, {str(dtype).removeprefix('torch.')}, {count} row{'s' * (count > 1)}"
        lines.append(CheckLine(name, error, bar, error <= limit, detail, consequence(error, NATS)))
    return lines


def _estimated_log_terms(case: Case) -> list[CheckLine]:
    """The mean of an estimated log term against its exact value, if that takes few passes."""
    size = math.prod(case.wide.event_shape)
    if not has_probes(case.wide.transform) or size > _JACOBIAN_FLOAT64:
        return []
    count, probes = max(1, min(len(case.x), 2048 // size, 8)), _PROBES
    x, context = case.x[:count], case.embedded(count)
    values, exact = estimated_log_terms(case.wide.transform, x, "to_latent", context, probes, case.seed)
    gap = (values.mean(0) - exact).abs()
    unbiased = all(estimator.unbiased is not False for estimator in case.wide.transform.estimators)
    bar = "mean within 4 standard errors" if unbiased else "reported, biased"
    passed = bool((excess(values, exact, bias=case.numeric) <= 0).all()) if unbiased else None
    detail = f"nats, {probes} probes; standard deviation of one {float(values.std(0).max()):.1e}"
    worst = float(gap.max())
    effect = consequence(worst, NATS)
    return [CheckLine("estimated log term against the exact one", worst, bar, passed, detail, effect)]


def _precision(case: Case) -> list[CheckLine]:
    gap = precision_gap(case.flow, case.x, case.context, case.noise)
    scale = max(1.0, math.prod(case.flow.event_shape) / 64)
    worst, p99 = float(gap.max()), float(gap.quantile(0.99)) if bool(gap.isfinite().all()) else math.inf
    most, nearly = (limit * scale + case.numeric for limit in (PRECISION_MAX, PRECISION_P99))
    passed, bar = p99 <= nearly and worst <= most, f"<= {most:.2g}, p99 {nearly:.2g}"
    words = f"log-densities in float32 are off by up to {worst:.2g} nats"
    effect = consequence_of_many(worst / scale, p99 / scale, _OF_ROWS)
    return [CheckLine("log_prob, float32 against float64", worst, bar, passed, f"nats; p99 {p99:.1e}", effect, words)]


def _sampling(case: Case) -> list[CheckLine]:
    n = max(1, min(len(case.x), 64))
    context = case.context
    if context is not None:
        n, context = 1, context[:64]
    error = float(sampling_error(case.wide, n, context, case.seed).max())
    limit = SAMPLING + case.numeric
    bar, detail = f"<= {limit:.2g}", "relative"
    if case.flow.kind != "exact":
        detail += ", with the noise that leads to each sample"
    name, effect = "log_prob(sample) against sample_and_log_prob", consequence(error, _RELATIVE)
    return [CheckLine(name, error, bar, error <= limit, detail, effect)]


def _batches(case: Case) -> list[CheckLine]:
    count = min(len(case.x), 16)
    noise, context = take_rows(case.noise, slice(0, count)), case.embedded(count)
    errors = [
        batch_error(case.wide.transform, case.x[:count], "to_latent", context, noise),
        batch_error(case.wide.transform, _latents(case)[:count], "to_data", context, case.back(count)),
    ]
    name, worst = "batched against one row at a time", max(errors)
    limit = BATCHING + case.numeric
    return [
        CheckLine(name, worst, f"<= {limit:.2g}", worst <= limit, "relative, float64", consequence(worst, _RELATIVE))
    ]


def _integral(case: Case) -> list[CheckLine]:
    size, name = math.prod(case.wide.event_shape), "integral of the density"
    if size > IMPORTANCE_LIMIT:
        detail = f"not computed above {IMPORTANCE_LIMIT} dimensions"
        detail += "; round trip and log term imply it" if has_square_jacobian(case.wide.transform) else ""
        return [CheckLine(name, None, "1", None, detail)]
    context = None if case.context is None else case.context[:1]
    try:
        with exactly(case.wide):
            integral = integrate(case.wide, context, case.seed)
    except OptionError as error:
        return [CheckLine(name, None, "1", None, str(error))]
    if continuous_part(case.wide) is not case.wide:
        name += " before dequantisation"
    if integral.method == "quadrature":
        converged = integral.error <= INTEGRAL
        bar, passed = f"1 +- {INTEGRAL:g}", abs(integral.value - 1) <= INTEGRAL if converged else None
        detail = f"quadrature on {integral.points} points"
        if not converged:
            detail += f", not converged (changed by {integral.error:.1e}): the density is too narrow for the grid"
        return [CheckLine(name, integral.value, bar, passed, detail, consequence(abs(integral.value - 1), NATS))]
    if integral.method == "summation":
        name = "sum of all probabilities"
    # The standard error is unreliable if the proposal misses the density, so only small ones are judged.
    passed = abs(integral.value - 1) <= 4 * integral.error if integral.error <= 0.02 else None
    detail = f"{_METHODS[integral.method]}, standard error {integral.error:.1e}"
    effect = consequence(abs(integral.value - 1), NATS)
    return [CheckLine(name, integral.value, "1 within 4 standard errors", passed, detail, effect)]


def _clamped(case: Case) -> list[CheckLine]:
    if dequantisation(case.flow.transform) is None:
        return []
    context = None if case.context is None else case.context[:256]
    n = 256 if context is None else max(1, 256 // len(context))
    low, high = clamped_fractions(case.flow, n, context, case.seed)
    return [
        CheckLine("fraction of sampled values clamped at the ends", low + high, "reported", None),
        CheckLine("clamped at the low end", low, "reported", None),
        CheckLine("clamped at the high end", high, "reported", None),
    ]


# Names of the lines for measurements that raise an error.
_MEASUREMENTS: dict[str, Callable[[Case], list[CheckLine]]] = {
    "finite density": _finite_density,
    "round trips from data": _data_round_trips,
    "round trips from latents": _latent_round_trips,
    "log terms": _log_terms,
    "estimated log terms": _estimated_log_terms,
    "precision": _precision,
    "sampling": _sampling,
    "batches": _batches,
    "integral": _integral,
    "clamped samples": _clamped,
}
