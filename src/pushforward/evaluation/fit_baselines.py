"""Fitting of baselines: the choice of the preprocessing that matches the flow, and of the baselines for the data."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from pushforward import noise as noise_source
from pushforward.array_types import Array
from pushforward.data.toys import log_density
from pushforward.errors import ShapeError
from pushforward.evaluation.baselines import Baseline, BaselineData, gaussian, kernel_density, mixture
from pushforward.flow import Flow
from pushforward.rows import Rows
from pushforward.transforms import Logit
from pushforward.transforms.base import steps
from pushforward.transforms.dequantisation import Dequantise, dequantisation

_PARTS = ("train", "validation", "test")
_MOST_VALUES = 20_000_000


def fit_baselines(flow: Flow, parts: dict[str, Rows], seed: int, toy: str | None = None) -> list[Baseline]:
    """Baselines fitted to ``parts["train"]``, chosen on ``parts["validation"]``, scored on ``parts["test"]``.

    toy: name of the toy distribution of the rows; its true density is the last of the baselines.
    """
    views = baseline_views(flow, parts, seed)
    baselines = [gaussian(views), mixture(views, seed)]
    if flow.transform.domain.kind != "integers":
        baselines.append(kernel_density(views[0], seed))
    if toy is not None:
        values = log_density(toy, parts["test"].x.numpy())
        baselines.append(Baseline("truth", "the distribution of the points", values, math.nan))
    return baselines


def baseline_views(flow: Flow, parts: dict[str, Rows], seed: int) -> list[BaselineData]:
    """Views of the data: the data themselves or, for integers, dequantised values before and after the flow's logit."""
    dimensions = math.prod(flow.event_shape)
    most = max(2000, _MOST_VALUES // dimensions)
    some = {name: part if name == "test" else part.sample(most, seed) for name, part in parts.items()}
    integers = flow.transform.domain.kind == "integers"
    if not integers:
        given = [some[name].values() for name in _PARTS]
        return [_view("", given, [np.zeros(len(x)) for x in given], flow, some)]
    # Held-out rows get the flow's noise, keyed by the row. Other rows get any noise: keyed noise of many rows would
    # take longer than the fit.
    rng = np.random.default_rng(seed)
    unit = [(some[name].x.numpy() + rng.random(some[name].x.shape)) / _levels(flow) for name in _PARTS[:2]]
    unit.append(dequantised(flow, some["test"].x, seed))
    unit = [x.reshape(-1, dimensions) for x in unit]
    levels = [np.full(len(x), -dimensions * math.log(_levels(flow))) for x in unit]
    logits = [_logit(x, _alpha(flow)) for x in unit]
    terms = [level + term for level, (_, term) in zip(levels, logits, strict=True)]
    return [
        _view("on pixels", unit, levels, flow, some, same_unit=True),
        _view("after the logit", [z for z, _ in logits], terms, flow, some, same_unit=True),
    ]


def dequantised(flow: Flow, x: Tensor, seed: int) -> Array:
    """Integer rows ``(N, *event)`` in [0, 1], float64, with uniform noise.

    A flow with uniform dequantisation gets the same noise from `score`.
    """
    first = dequantisation(flow.transform)
    if first is None:
        raise ShapeError("only a flow that begins with a dequantisation has dequantised data")
    uniform = Dequantise(first.data_shape, first.levels)
    rows = torch.arange(len(x))
    # The first part of a chain uses the beginning of each row's noise stream, whatever parts follow.
    noise = noise_source.keyed(uniform.noise_to_latent, seed, rows, torch.float64, torch.device("cpu"))
    return uniform.to_latent(x.double(), None, noise)[0].numpy()


def _view(
    name: str, x: list[Array], terms: list[Array], flow: Flow, parts: dict[str, Rows], same_unit: bool = False
) -> BaselineData:
    given = [None if (c := parts[part].context) is None else c.numpy() for part in _PARTS]
    vectors = [np.zeros((len(values), 0)) for values in x]
    if flow.embedding is not None:
        x = _without_class_means(x, given)
        name = ", ".join(filter(None, (name, "class means subtracted")))
    elif flow.context_shape is not None:
        vectors = [np.asarray(c, dtype=np.float64).reshape(len(c), -1) for c in given if c is not None]
    given_to = (vectors[0], vectors[1], vectors[2])
    return BaselineData(name, x[0], x[1], x[2], (terms[1], terms[2]), given_to, same_unit)


def _without_class_means(x: list[Array], labels: list[Array | None]) -> list[Array]:
    """Rows minus the training mean of their class: the only use of labels by a baseline.

    A shift does not change densities.
    """
    of_train = labels[0]
    assert of_train is not None  # a flow with an embedding has labels for every row
    mean, centred = x[0].mean(0), []
    means = {label: x[0][of_train == label].mean(0) for label in np.unique(of_train).tolist()}
    for values, classes in zip(x, labels, strict=True):
        assert classes is not None
        centred.append(values - np.stack([means.get(label, mean) for label in classes.tolist()]))
    return centred


def _levels(flow: Flow) -> int:
    first = dequantisation(flow.transform)
    assert first is not None  # a flow on integers begins with one
    return first.levels


def _alpha(flow: Flow) -> float:
    """The margin of the flow's logit, or the default margin for a flow without a logit."""
    return next((step.alpha for step in steps(flow.transform) if isinstance(step, Logit) and step.alpha > 0), 0.05)


def _logit(y: Array, alpha: float) -> tuple[Array, Array]:
    """Values in [0, 1] after ``logit(alpha + (1 - 2 alpha) y)``, and the log-Jacobian (N,) of that."""
    inside = alpha + (1 - 2 * alpha) * y
    log_slope = math.log1p(-2 * alpha) - np.log(inside) - np.log1p(-inside)
    return np.log(inside) - np.log1p(-inside), log_slope.sum(1)
