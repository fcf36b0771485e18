"""The flows of the benchmarks by name: ours with the defaults of ``pushforward fit``, and peers in our clothes."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from pushforward import flows
from pushforward.bases import StandardNormal
from pushforward.cli.defaults import defaults
from pushforward.data import DataSet
from pushforward.domain import REAL
from pushforward.errors import PushforwardError
from pushforward.flow import Flow
from pushforward.noise import NoiseValue
from pushforward.training import FitResult, TrainingOptions, fit
from pushforward.transforms.base import Transform

# zuko's neural spline flow with its own defaults: autoregressive, and with two passes, which makes it a coupling flow.
PEERS: dict[str, dict[str, Any]] = {"zuko-nsf": {}, "zuko-nsf-coupling": {"passes": 2}}


class UnsuitedError(Exception):
    """This model is not one for this table; the message says why."""


class ZukoTransform(Transform):
    """The transform of a zuko flow, so that `pushforward.fit` trains and scores it exactly as it does ours."""

    def __init__(self, flow: nn.Module, features: int) -> None:
        super().__init__()
        self.data_shape = self.latent_shape = (features,)
        self.flow = flow

    def to_latent(self, x: Tensor, context: Tensor | None = None, noise: NoiseValue = None) -> tuple[Tensor, Tensor]:
        z, log_term = self.flow.transform(context).call_and_ladj(x)
        return z, log_term

    def to_data(self, z: Tensor, context: Tensor | None = None, noise: NoiseValue = None) -> tuple[Tensor, Tensor]:
        x, log_term = self.flow.transform(context).inv.call_and_ladj(z)
        return x, log_term


def training_options(name: str, data: DataSet) -> dict[str, Any]:
    """The training options for a model: a peer gets those of our own spline flow."""
    known = flows.names()
    return defaults(data, name if name in known else "nsf" if "nsf" in known else "real_nvp")[1]


def all_training_options(chosen: dict[str, Any]) -> dict[str, Any]:
    """Every option of a training, the defaults among them, but for the time and the seed, which a cell says itself."""
    return TrainingOptions(**chosen).model_dump(mode="json", exclude={"minutes", "seed"})


def flow_options(name: str, data: DataSet, chosen: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """All options of the flow that `build` makes, the defaults among them; ``chosen`` replace defaults."""
    if name in PEERS:
        return PEERS[name]
    options = {**defaults(data, name)[0], **(chosen or {})}
    return flows.describe(name).validated(data.event_shape, options).model_dump(mode="json")


def digest(flow: Any, training: Any) -> str:
    """Eight letters that stand for the options of a flow and of its training, so that other options are seen."""
    text = json.dumps([flow, training], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def build(name: str, data: DataSet) -> Flow:
    """The flow of that name for rows like those of ``data``; raises UnsuitedError, with the reason, where it is none.

    Weights are drawn from torch's global generator.
    """
    if name in PEERS:
        return build_peer(name, data.event_shape[0])
    try:
        flow = flows.build(name, data.event_shape, **defaults(data, name)[0])
    except PushforwardError as error:
        raise UnsuitedError(str(error)) from error
    if flow.transform.domain != REAL:
        raise UnsuitedError(f"it is for data on {flow.transform.domain}, and these columns lie anywhere")
    return flow


def draws(name: str, data: DataSet, samples: int) -> int | None:
    """``samples``, which makes another cell where the flow's likelihood is a bound or an estimate; None elsewhere."""
    try:
        return None if build(name, data).kind == "exact" else samples
    except UnsuitedError:
        return None


def train(
    flow: Flow,
    parts: tuple[Tensor, Tensor],
    cell: Mapping[str, Any],
    minutes: float | None,
    clock: Callable[[], float] = time.process_time,
) -> FitResult:
    """``flow`` fitted to the rows for training, and by those for validation, as ``cell`` says with its training and
    seed. Raises KeyboardInterrupt where Ctrl-C ended it, so that no cell is taken for finished.
    """
    options = TrainingOptions(**{**cell["training"], "minutes": minutes, "seed": cell["seed"]})
    result = fit(flow, parts[0], validation=parts[1], options=options, progress=False, clock=clock)
    if result.stopped_by == "interrupted":
        raise KeyboardInterrupt
    return result


def warm_up() -> None:
    """One step of a small flow: what torch loads at its first step, seconds of it, belongs to no cell."""
    flow = flows.build("real_nvp", event_shape=(2,), transforms=1)
    fit(flow, torch.zeros(100, 2), options=TrainingOptions(steps=1), progress=False)


def build_peer(name: str, features: int, context_dim: int = 0) -> Flow:
    """The peer of that name for rows ``(N, features)``, given contexts ``(N, context_dim)`` where that is not 0."""
    try:
        import zuko
    except ImportError as error:
        raise UnsuitedError(f"{error}; pip install -c constraints.txt '.[peers]'") from error
    transform = ZukoTransform(zuko.flows.NSF(features, context_dim, **PEERS[name]), features)
    return Flow(StandardNormal((features,)), transform, context_shape=(context_dim,) if context_dim else None)
