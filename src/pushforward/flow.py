"""A `Flow`: a base and a chain of transforms, hence a density to evaluate, to sample and to encode with."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Distribution
from typing_extensions import deprecated

from pushforward import noise as noise_source
from pushforward.bases import Base, as_base
from pushforward.context_scale import ContextScale
from pushforward.density import Density
from pushforward.distribution import FlowDistribution
from pushforward.errors import OptionError, ShapeError
from pushforward.events import Shape, repeat_rows
from pushforward.inputs import Inputs, TensorLike, as_rows
from pushforward.likelihood import Kind, Likelihood, combined
from pushforward.noise import NoiseValue, has_role, key_of
from pushforward.objectives import MakeObjective, MaximumLikelihood, Objective
from pushforward.precision import evaluation
from pushforward.row_blocks import TO_DATA, TO_LATENT, in_blocks
from pushforward.structure import structure
from pushforward.threads import PassThreads
from pushforward.transforms.base import Transform
from pushforward.transforms.dequantisation import Dequantisation

# Largest numbers of rows and of values of events in one pass of `likelihood`, to limit memory.
_BATCH_ROWS, _BATCH_VALUES = 1024, 2**18
_HELD_VALUES = 2**22
_PROBES = 8


@dataclass(frozen=True)
class FlowConfig:
    """The architecture and options that rebuild a flow without its weights; ``options`` includes the defaults."""

    name: str
    event_shape: Shape
    context_dim: int
    classes: int
    options: dict[str, Any]


class Flow(Density):
    """A probability density: ``base`` pushed forward from the latent to the data through ``transform``.

    base: a `Base` or a ``torch.distributions.Distribution`` on the transform's latent shape. context_shape: shape of
    one context, None for an unconditional flow. embedding: turns integer labels (B,) into contexts. context_scale: the
    standardisation of contexts, a new one where none is given. config: the architecture and options that rebuild this
    flow. objective: makes the loss that training minimises from the flow;
    `MaximumLikelihood` where none is given.

    Calling the module is `log_prob`; `objective` is a module too, whose call is the loss. Wrappers that hook
    ``forward`` (DDP, FSDP, torch.compile) take either. Data and contexts are tensors or numpy arrays.
    Raises ShapeError, OptionError where base and transform do not fit.

    >>> import torch
    >>> from pushforward import Chain, Flow
    >>> from pushforward.bases import StandardNormal
    >>> from pushforward.transforms import LULinear, Standardise
    >>> flow = Flow(StandardNormal((2,)), Chain([Standardise((2,)), LULinear(2)]))
    >>> x = 10 + torch.randn(100, 2)
    >>> flow.initialise(x)
    >>> flow.log_prob(x).shape, flow.sample(5).shape
    (torch.Size([100]), torch.Size([5, 2]))
    """

    def __init__(
        self,
        base: Base | Distribution,
        transform: Transform,
        context_shape: Shape | None = None,
        *,
        embedding: nn.Embedding | None = None,
        context_scale: ContextScale | None = None,
        config: FlowConfig | None = None,
        objective: MakeObjective | None = None,
    ) -> None:
        super().__init__(as_base(base, transform.latent_shape), transform, context_shape, embedding, context_scale)
        self.config, self._pass_threads = config, PassThreads()
        self._make_objective = MaximumLikelihood if objective is None else objective

    def __repr__(self) -> str:
        """The steps from data to base, one a line, with shapes and numbers of parameters."""
        return structure(
            f"Flow {self.config.name!r}" if self.config is not None else "Flow",
            self.base,
            self.transform,
            likelihood=self.kind_in_words,
            context_shape=self.context_shape,
            embedding=self.embedding,
        )

    @property
    def kind(self) -> Kind:
        """The kind of `log_prob`: the weakest among the transforms."""
        return self.transform.kind

    @property
    def dequantisation(self) -> str | None:
        """The dequantisation that makes a bound of `log_prob`, ``uniform`` or ``variational``; None where none does."""
        kinds = {step.law for step in self.transform.modules() if isinstance(step, Dequantisation)}
        return " and ".join(sorted(kinds)) or None

    @property
    def kind_in_words(self) -> str:
        """The kind as it is printed: a bound with the dequantisation that makes it one, an estimate with its method.

        A kind that is both is an "estimate of a bound". These words describe one draw; those of `Likelihood` describe
        more.
        """
        return self._in_words(1, 1)

    def _in_words(self, draws: int, probes: int) -> str:
        words: list[str] = [self.kind]
        if self.kind == "estimate":
            if has_role(self.transform.noise_to_latent, "draw"):
                words = ["estimate of a bound"]
            estimators = self.transform.estimators
            if draws > 1 and has_role(self.transform.noise_to_latent, "probe"):
                # The log term of each draw may be unbiased; the log-mean-exp over draws is not.
                words += ["; ".join(estimator.text for estimator in estimators)]
                words += [f"biased upwards by the noise of {probes} probes a draw"]
            elif estimators:
                words += ["; ".join(map(str, estimators))]
        return ", ".join([*words, f"{self.dequantisation} dequantisation"] if self.dequantisation else words)

    @property
    def objective(self) -> Objective:
        """A module that takes rows to the loss of training: ``flow.objective(x, context).value`` is to be minimised.

        Every access makes a new one, bound to this flow; keep it during a loop. It includes the regularisation of the
        architecture, such as Real NVP's L2 penalty.

        >>> import torch
        >>> from pushforward import flows
        >>> flow, x = flows.build("nice", event_shape=(2,), hidden=(8,)), torch.randn(16, 2)
        >>> flow.initialise(x)
        >>> flow.objective(x).value.backward()
        """
        return self._make_objective(self)

    def encode(
        self,
        x: TensorLike,
        context: TensorLike | None = None,
        *,
        noise: NoiseValue = None,
        generator: torch.Generator | None = None,
        seed: int | None = None,
    ) -> Tensor:
        """The latents ``(B, *latent_shape)`` of data ``x: (B, *event_shape)``, in evaluation mode.

        noise: that of the stochastic transforms; drawn by ``generator`` or ``seed`` where it is not given. Raises
        ShapeError, ContextError, DtypeError.

        >>> import torch
        >>> from pushforward import flows
        >>> flow, x = flows.build("nsf", event_shape=(2,), hidden=(8,)), torch.randn(3, 2)
        >>> z = flow.encode(x)
        >>> torch.allclose(flow.decode(z), x, atol=1e-4)
        True
        """
        with evaluation(self):
            inputs = self.prepare(x, context, noise=noise, generator=generator, seed=seed)
            return in_blocks(self.transform.to_latent, inputs, TO_LATENT)[0]

    def decode(
        self,
        z: TensorLike,
        context: TensorLike | None = None,
        *,
        noise: NoiseValue = None,
        generator: torch.Generator | None = None,
        seed: int | None = None,
    ) -> Tensor:
        """The data ``(B, *event_shape)`` of latents ``z: (B, *latent_shape)``, in evaluation mode; see `encode`.

        >>> import torch
        >>> from pushforward import flows
        >>> flow = flows.build("nsf", event_shape=(2,), hidden=(8,))
        >>> flow.decode(torch.zeros(1, 2)).shape
        torch.Size([1, 2])
        """
        with evaluation(self):
            inputs = self.prepare(z, context, noise=noise, generator=generator, seed=seed, direction="to_data")
            return in_blocks(self.transform.to_data, inputs, TO_DATA)[0]

    @deprecated("Flow.latent is now Flow.encode")
    def latent(self, x: TensorLike, context: TensorLike | None = None, **more: Any) -> Tensor:
        """The former name of `encode`."""
        return self.encode(x, context, **more)

    @deprecated("Flow.data is now Flow.decode")
    def data(self, z: TensorLike, context: TensorLike | None = None, **more: Any) -> Tensor:
        """The former name of `decode`."""
        return self.decode(z, context, **more)

    @torch.no_grad()
    def likelihood(
        self,
        x: TensorLike,
        context: TensorLike | None = None,
        *,
        samples: int = 1,
        seed: int | None = None,
        generator: torch.Generator | None = None,
        first_row: int = 0,
        batch_size: int | None = None,
        probes: int | None = None,
    ) -> Likelihood:
        """Log-likelihoods of ``x: (B, *event_shape)`` with their kind, in evaluation mode, without gradients.

        For a bound, ``samples`` draws per row make the importance-weighted log-mean-exp (Burda, Grosse & Salakhutdinov,
        "Importance weighted autoencoders", 2016, eq. 8), which tightens as they grow. For an estimate they are probes,
        and the value is the mean of the log values. An exact flow needs neither. For an estimate of a bound each draw's
        log weight is first averaged over ``probes`` probes (None: 1 for one draw, else 8): their remaining noise, of
        variance v, raises a log-mean-exp of many draws by about v / 2.

        Noise is keyed by ``seed`` (0, or drawn from ``generator`` where one is given) and by the number of the row
        (counted from ``first_row``): neither ``batch_size``,
        how many rows and draws go through the flow at once (None: bounded by their size), nor the order of calls
        changes a value, but for rounding and, of flows in continuous time, within the tolerance of the solver, whose
        steps suit all rows of a batch.

        >>> import torch
        >>> from pushforward import flows
        >>> flow = flows.build("vflow", event_shape=(2,), hidden=(8,))
        >>> score = flow.likelihood(torch.zeros(3, 2), samples=16)
        >>> score.kind, score.samples, score.value.shape
        ('bound', 16, torch.Size([3]))
        """
        for name, number, least in (
            ("samples", samples, 1), ("probes", probes, 1), ("batch_size", batch_size, 1), ("first_row", first_row, 0),
        ):  # fmt: skip
            if number is not None and (not isinstance(number, int) or number < least):
                raise OptionError(f"{name} must be a whole number of at least {least}, got {number}")
        x = as_rows(x, "x", self.event_shape, self._anchor)
        key = key_of(generator, seed)
        batch_size = batch_size or min(_BATCH_ROWS, max(1, _BATCH_VALUES // max(1, math.prod(self.event_shape))))
        spec = self.transform.noise_to_latent
        draws, each = samples if has_role(spec, "draw") else 1, 1
        if has_role(spec, "probe"):
            each = probes or (1 if draws == 1 else _PROBES) if has_role(spec, "draw") else samples * (probes or 1)
        estimates = []
        with evaluation(self):
            context = self.prepare_context(context, x.shape[0])
            # The values of all draws of a row are held at once: of many draws, for few rows.
            rows = max(1, min(batch_size, _HELD_VALUES // (draws * each)))
            for start in range(0, max(1, x.shape[0]), rows):
                part = slice(start, min(start + rows, x.shape[0]))
                first, contexts = first_row + start, None if context is None else context[part]
                values = self._keyed_values(x[part], contexts, (draws, each), key, first, batch_size)
                estimates.append(combined(values.reshape(draws, each, -1)))
        value, standard_error = (torch.cat(parts) for parts in zip(*estimates, strict=True))
        error = None if draws * each == 1 else standard_error
        used = draws if has_role(spec, "draw") else each
        return Likelihood(value, self.kind, used, error, self._in_words(draws, each), each)

    @torch.no_grad()
    def initialise(
        self,
        x: TensorLike,
        context: TensorLike | None = None,
        *,
        generator: torch.Generator | None = None,
        seed: int | None = None,
    ) -> None:
        """Set offsets and moments, also those of contexts, from a batch of data ``x: (B, *event_shape)``.

        `fit` does this before its first step; a loop of your own calls it once. State that is set already does not
        change.

        >>> import torch
        >>> from pushforward import flows
        >>> flow, x = flows.build("nice", event_shape=(2,), hidden=(8,)), 100 + torch.randn(50, 2)
        >>> flow.initialise(x)
        >>> bool(flow.encode(x).mean().abs() < 0.1)
        True
        """
        self.initialise_context(context)
        inputs = self.prepare(x, context, generator=generator, seed=seed)
        if inputs.x.shape[0] == 0:
            raise ShapeError("initialise needs at least one row, got none")
        self.transform.initialise(*inputs)

    def with_transform(self, transform: Transform) -> Flow:
        """A flow with the same base and the same treatment of contexts around another transform; weights are shared.

        >>> from pushforward import flows
        >>> from pushforward.transforms import Chain, Log, Product
        >>> flow = flows.build("nice", event_shape=(2,), hidden=(8,))
        >>> positive = flow.with_transform(Chain([Log((2,)), *flow.transform]))
        >>> bool((positive.sample(10) > 0).all())
        True
        """
        return Flow(
            self.base, transform, self.context_shape, embedding=self.embedding, context_scale=self.context_scale
        )

    def distribution(self, context: TensorLike | None = None) -> Distribution:
        """This flow as a ``torch.distributions.Distribution``; one context row, or none, gives an empty batch shape.

        >>> from pushforward import flows
        >>> density = flows.build("nice", event_shape=(2,), hidden=(8,)).distribution()
        >>> density.sample((3,)).shape
        torch.Size([3, 2])
        """
        return FlowDistribution(self, context)

    def _keyed_values(
        self, x: Tensor, context: Tensor | None, repeats: tuple[int, int], seed: int, first_row: int, batch_size: int
    ) -> Tensor:
        """Values ``(draws * probes, B)`` of all rows; repeats: the numbers of draws and probes, many of them in one
        pass."""
        spec, rows = self.transform.noise_to_latent, torch.arange(first_row, first_row + x.shape[0])
        total, at_once, values = math.prod(repeats), max(1, batch_size // max(1, x.shape[0])), []
        for start in range(0, total, at_once):
            count = min(at_once, total - start)
            number = torch.arange(start, start + count).repeat_interleave(x.shape[0])
            draw, probe = number // repeats[1], number % repeats[1]
            noise = noise_source.keyed(spec, seed, rows.repeat(count), x.dtype, x.device, draw, probe)
            contexts = None if context is None else repeat_rows(context, count)
            inputs = Inputs(repeat_rows(x, count), contexts, noise)
            with self._pass_threads.suited(len(number), x.device):
                values.append(self.log_density(inputs).reshape(count, -1))
        return torch.cat(values)
