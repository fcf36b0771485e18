"""The baselines of one report: the data as a flow of this kind sees them, handed to each baseline that suits."""

from __future__ import annotations

import math

import numpy as np

from pushforward.array_types import Array
from pushforward.data.dataset import DataSet
from pushforward.data.toys import TOYS, log_density
from pushforward.evaluation.baselines import Baseline, Sight, gaussian, kernel_density, mixture
from pushforward.evaluation.scores import Part, dequantised
from pushforward.flow import Flow
from pushforward.transforms import Logit
from pushforward.transforms.base import steps
from pushforward.transforms.dequantisation import dequantisation

_PARTS = ("train", "validation", "test")
_MOST_VALUES = 20_000_000


def rivals(flow: Flow, data: DataSet, parts: dict[str, Part], seed: int) -> list[Baseline]:
    """Baselines fitted to ``parts["train"]``, chosen on ``parts["validation"]``, scored on ``parts["test"]``.

    For a toy the density that it was drawn from is the last of them: it is what no model can beat on average.
    """
    seen = sights(flow, parts, seed)
    found = [gaussian(seen), mixture(seen, seed)]
    if flow.transform.domain.kind != "integers":
        found.append(kernel_density(seen[0], seed))
    if data.name in TOYS and data.columns == ("x", "y") and data.context is None:
        values = log_density(data.name, parts["test"].x)
        found.append(Baseline("True density", "what the points were drawn from", values, math.nan))
    return found


def sights(flow: Flow, parts: dict[str, Part], seed: int) -> list[Sight]:
    """The data as they are; for integers dequantised, and the same again after the flow's logit."""
    dimensions = math.prod(flow.event_shape)
    most = max(2000, _MOST_VALUES // dimensions)
    some = {name: part if name == "test" else part.first(most) for name, part in parts.items()}
    integers = flow.transform.domain.kind == "integers"
    if not integers:
        given = [some[name].x.reshape(-1, dimensions).astype(np.float64) for name in _PARTS]
        return [_sight("", given, [np.zeros(len(x)) for x in given], flow, some)]
    # Held-out rows get noise keyed by the row, as the flow does. Those that a baseline is fitted to and chosen on need
    # any: keyed noise of many rows would take longer than the fit.
    chance = np.random.default_rng(seed)
    unit = [(some[name].x + chance.random(some[name].x.shape)) / _levels(flow) for name in _PARTS[:2]]
    unit.append(dequantised(flow, some["test"].x, seed))
    unit = [x.reshape(-1, dimensions) for x in unit]
    levels = [np.full(len(x), -dimensions * math.log(_levels(flow))) for x in unit]
    turned = [_logit(x, _alpha(flow)) for x in unit]
    terms = [level + term for level, (_, term) in zip(levels, turned, strict=True)]
    return [
        _sight("on pixels", unit, levels, flow, some),
        _sight("after the logit", [z for z, _ in turned], terms, flow, some),
    ]


def _sight(name: str, x: list[Array], terms: list[Array], flow: Flow, parts: dict[str, Part]) -> Sight:
    given = [parts[part].context for part in _PARTS]
    vectors = [np.zeros((len(values), 0)) for values in x]
    if flow.embedding is not None:
        x = _without_class_means(x, given)
        name = ", ".join(filter(None, (name, "class means taken out")))
    elif flow.context_shape is not None:
        vectors = [np.asarray(c, dtype=np.float64).reshape(len(c), -1) for c in given if c is not None]
    return Sight(name, x[0], x[1], x[2], (terms[1], terms[2]), (vectors[0], vectors[1], vectors[2]))


def _without_class_means(x: list[Array], labels: list[Array | None]) -> list[Array]:
    """What a baseline knows of a label: the mean of its class in training. A shift leaves densities as they are."""
    of_train = labels[0]
    assert of_train is not None  # a flow with an embedding has labels for every row
    mean, taken = x[0].mean(0), []
    means = {label: x[0][of_train == label].mean(0) for label in np.unique(of_train).tolist()}
    for values, own in zip(x, labels, strict=True):
        assert own is not None
        taken.append(values - np.stack([means.get(label, mean) for label in own.tolist()]))
    return taken


def _levels(flow: Flow) -> int:
    first = dequantisation(flow.transform)
    assert first is not None  # what a flow on integers begins with
    return first.levels


def _alpha(flow: Flow) -> float:
    """The margin of the flow's logit; the usual one for a flow without a logit."""
    return next((step.alpha for step in steps(flow.transform) if isinstance(step, Logit) and step.alpha > 0), 0.05)


def _logit(y: Array, alpha: float) -> tuple[Array, Array]:
    """Values in [0, 1] after ``logit(alpha + (1 - 2 alpha) y)``, and the log-Jacobian (N,) of that."""
    share = alpha + (1 - 2 * alpha) * y
    log_slope = math.log1p(-2 * alpha) - np.log(share) - np.log1p(-share)
    return np.log(share) - np.log1p(-share), log_slope.sum(1)
