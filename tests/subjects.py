"""Entries of the registry as subjects: made, perturbed or shortly trained, with data, latents, context and noise."""

from __future__ import annotations

import copy
import functools
import math
from dataclasses import dataclass
from typing import Literal, TypeAlias

import torch
from torch import Tensor

from pushforward import noise as noise_source
from pushforward.bases import Base
from pushforward.diagnostics.inversion import has_square_jacobian
from pushforward.domain import REAL, Domain
from pushforward.events import Shape
from pushforward.flow import Flow
from pushforward.maps import Map
from pushforward.noise import NoiseSpec, NoiseValue
from pushforward.training import TrainingOptions, fit
from pushforward.training.greedy import is_greedy
from pushforward.transforms import Elementwise, GreedyTransform, Identity
from pushforward.transforms.base import Transform, steps
from registry import BY_NAME, CHAINS, LABELS, Entry, Reason

Stage: TypeAlias = Literal["start", "perturbed", "trained"]
STAGES: tuple[Stage, ...] = ("start", "perturbed", "trained")


@dataclass
class Subject:
    """An entry made: a flow in evaluation mode; ``flow.transform`` is the entry's transform."""

    entry: Entry
    flow: Flow

    @property
    def transform(self) -> Transform:
        return self.flow.transform

    @property
    def dtype(self) -> torch.dtype:
        return self.flow.dtype

    def data(self, n: int, seed: int = 0) -> Tensor:
        """``n`` events of structured data in the domain, the same values (rounded to float32) in any dtype."""
        generator = torch.Generator().manual_seed(1000 + seed)
        if self.entry.rows is not None:
            x = self.entry.rows(n, generator)
        elif self.entry.truth is not None:
            x = self.entry.truth(n, 1000 + seed)
        elif isinstance(self.transform, Identity):
            x = structured(n, self.entry.event_shape, self.flow.base.support, generator)
        else:
            x = structured(n, self.entry.event_shape, self.transform.domain, generator)
        return x.float().to(self.dtype)

    def latents(self, n: int, seed: int = 0) -> Tensor:
        """``n`` latents from the base, the same in any dtype."""
        generator = torch.Generator().manual_seed(2000 + seed)
        context = self.embedded(n, seed)
        return self.flow.base.sample(n, context, generator=generator, dtype=torch.float32).detach().to(self.dtype)

    def context(self, n: int, seed: int = 0) -> Tensor | None:
        """``n`` contexts as a user would give them."""
        generator = torch.Generator().manual_seed(3000 + seed)
        if self.entry.context is None:
            return None
        if self.entry.context == "labels":
            return torch.randint(0, LABELS, (n,), generator=generator)
        return torch.randn(n, *self.entry.context, generator=generator).to(self.dtype)

    def embedded(self, n: int, seed: int = 0) -> Tensor | None:
        """`context` as the transforms see it."""
        context = self.flow.prepare_context(self.context(n, seed), n)
        return None if context is None else context.detach()

    def noise(self, n: int, seed: int = 0, back: bool = False) -> NoiseValue:
        """The noise that a direction wants, the same in any dtype."""
        return self.noise_of(self.transform.noise_to_data if back else self.transform.noise_to_latent, n, seed)

    def noise_of(self, spec: NoiseSpec, n: int, seed: int = 0) -> NoiseValue:
        """Noise as ``spec`` declares it, the same in any dtype."""
        return noise_source.keyed(spec, 4000 + seed, torch.arange(n), self.dtype, torch.device("cpu"))


def structured(n: int, event_shape: Shape, domain: Domain, generator: torch.Generator) -> Tensor:
    """Data with something to learn, skewed and correlated, brought into the domain: ``(n, *event)`` in float64."""
    size = math.prod(event_shape)
    mixing = torch.randn(size, size, generator=torch.Generator().manual_seed(7), dtype=torch.float64) / size**0.5
    noise = torch.randn(n, size, generator=generator, dtype=torch.float64)
    x = 0.8 * noise + 0.6 * (noise @ mixing) + 0.5 * (1.5 * noise.roll(1, 1)).sin() + 0.3
    if domain.kind == "product":
        return torch.stack([_into(x[:, i], domain.coordinate(i)) for i in range(size)], 1)
    if domain.kind == "ordered":
        x = x.sort(1).values
    return _into(x, domain).reshape(n, *event_shape)


def _into(x: Tensor, domain: Domain) -> Tensor:
    """Real numbers of about unit size, brought into the domain of one coordinate."""
    unit = torch.special.ndtr(x)
    if domain.kind == "integers":
        levels = domain.high - domain.low + 1
        return domain.low + (unit * levels).floor().clamp(max=levels - 1)
    if math.isfinite(domain.low) and math.isfinite(domain.high):
        return domain.low + (domain.high - domain.low) * (0.002 + 0.996 * unit)
    if math.isfinite(domain.low):
        return domain.low + (0.7 * x).exp()
    if math.isfinite(domain.high):
        return domain.high - (0.7 * x).exp()
    return x


def make_flow(entry: Entry, dtype: torch.dtype) -> Flow:
    """The entry as a flow, whatever its kind."""
    made = entry.make(dtype)
    assert entry.context != "labels" or isinstance(made, Flow), "only a built flow has an embedding of its own"
    context = None if isinstance(entry.context, str) else entry.context
    if isinstance(made, Flow):
        flow = made
    elif isinstance(made, Base):
        flow = Flow(made, Identity(entry.event_shape, made.support), context)
    else:
        transform = Elementwise(made, entry.event_shape) if isinstance(made, Map) else made
        assert isinstance(transform, Transform)
        flow = Flow(entry.base(dtype, transform.latent_shape), transform, context)
    return flow.to(dtype).eval()


@functools.lru_cache(maxsize=512)
def _weights(name: str, stage: Stage) -> dict[str, Tensor]:
    """The state of an entry at a stage, made in float32 so that both dtypes can hold the same weights."""
    entry = BY_NAME[name]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(11)
        flow = make_flow(entry, torch.float32)
        subject = Subject(entry, flow)
        if stage != "start":
            n = 64
            flow.initialise(subject.data(n, 1), subject.context(n, 1), generator=torch.Generator().manual_seed(5))
        if stage == "perturbed":
            perturb(subject)
        elif stage == "trained":
            train(subject)
    return flow.state_dict()


def subject(entry: Entry, dtype: torch.dtype = torch.float64, stage: Stage = "perturbed") -> Subject:
    """A fresh copy of the entry at a stage: at its start, with random weights, or after a short training."""
    state = copy.deepcopy(_weights(entry.name, stage))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(11)
        flow = make_flow(entry, dtype)
    flow.load_state_dict(state)
    return Subject(entry, flow.eval())


@torch.no_grad()
def perturb(subject: Subject, scale: float = 0.2) -> None:
    """Move every parameter at random, so that nothing sits at the identity, and let running moments see data.

    Much larger steps push samples of the image flows so far beyond the ends of the pixel range that the sigmoid has no
    float32 digits left to return by.
    """
    if is_greedy(subject.flow):
        fit_every_step(subject)
        return
    generator = torch.Generator().manual_seed(23)
    for parameter in subject.flow.parameters():
        fan_in = math.prod(parameter.shape[1:]) if parameter.ndim > 1 else 1
        step = torch.randn(parameter.shape, generator=generator).to(parameter)
        parameter.add_(scale * step / max(1, fan_in) ** 0.5)
    subject.flow.train()
    for seed in range(3):
        n = 64
        subject.flow.log_prob(subject.data(n, seed), subject.context(n, seed), noise=subject.noise(n, seed))
    subject.flow.eval()


def fit_every_step(subject: Subject, n: int = 300) -> None:
    """Fit all greedy steps to rows that are bent enough for each of them to have something to do."""
    generator = torch.Generator().manual_seed(23)
    x, context = subject.data(n, 5), subject.embedded(n, 5)
    x = x + 0.3 * (2 * x).sin() + (0 if context is None else context.mean(1, keepdim=True))
    transform = subject.transform
    for step in steps(transform):
        if isinstance(step, GreedyTransform):
            step.fit(x, context, generator)
        x, _ = step.to_latent(x, context)


def train(subject: Subject, steps: int = 20, n: int = 256, lr: float = 1e-2) -> None:
    """A short training by the flow's objective on structured data; ends in evaluation mode."""
    if is_greedy(subject.flow):
        options = TrainingOptions(steps=steps)
        fit(subject.flow, subject.data(n), context=subject.context(n), options=options, progress=False)
        return
    parameters = [p for p in subject.flow.parameters() if p.requires_grad]
    if not parameters:
        return
    optimiser = torch.optim.Adam(parameters, lr)
    objective = subject.flow.train().objective
    n = n if subject.entry.size <= 8 else 64
    for step in range(steps):
        x, context, noise = subject.data(n, step), subject.context(n, step), subject.noise_of(objective.noise, n, step)
        loss = objective(x, context, noise).value
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    subject.flow.eval()


def reason_against(entry: Entry, check: str) -> Reason | None:
    """Why a check does not apply to an entry, None where it does."""
    if check in entry.skips:
        return entry.skips[check]
    # Rounding grows with the number of coordinates, so that large flows are tried in every dtype.
    if entry.name in CHAINS and (check in "cdeiop" or (check == "h" and entry.size < 64)):
        return Reason.CLOSED_UNDER_CHAIN
    flow = built(entry.name)
    if entry.kind == "base" and check in "ab":
        return Reason.BASE_ONLY
    if check == "b" and not has_square_jacobian(flow.transform):
        return Reason.NOT_A_BIJECTION
    if check == "f" and entry.size > 8:
        return Reason.TOO_LARGE
    if check == "i":
        if flow.transform.eager is not None:
            return Reason.EAGER
        return Reason.COMPILE_SIZE if entry.size > 4 else None
    if check == "l" and not any(p.requires_grad for p in flow.parameters()):
        return Reason.NO_PARAMETERS
    if check == "m":
        if flow.kind == "exact":
            return Reason.EXACT
        if estimates(entry):
            return Reason.TOO_LARGE if entry.size > 8 else None
        return Reason.BOUND_SIZE if entry.size > 2 else None
    if check == "n" and entry.truth is None:
        return Reason.NO_KNOWN_TRUTH
    if check == "k" and not entry.golden:
        return Reason.NO_GOLDEN_VALUE
    if check == "o" and not standardises(flow):
        return Reason.OWN_UNITS
    return None


def standardises(flow: Flow) -> bool:
    """Whether a flow begins with a data layer that standardises every number of an event."""
    options = {} if flow.config is None else flow.config.options
    whole = flow.transform.domain == REAL and options.get("levels") is None
    return whole and bool(options.get("standardise", False))


def estimates(entry: Entry) -> bool:
    """Whether the entry's log-density is an estimate, of its value or of a bound."""
    return built(entry.name).kind == "estimate"


@functools.lru_cache(maxsize=512)
def built(name: str) -> Flow:
    """The entry of that name at its start, for what its class says of it: never to be trained or changed."""
    return make_flow(BY_NAME[name], torch.float32)
