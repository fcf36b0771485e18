"""The contract of every transform, and the two ways of putting transforms together: `Chain` and `Inverse`.

A transform has two directions, named by its methods: `to_latent` maps data towards the latent, `to_data` maps latents
towards the data. Each returns the log term of its own direction, ``log|det d output / d input|`` for a bijection, and
nothing is cached between calls.
"""

from __future__ import annotations

import itertools
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import Literal, TypeAlias

from torch import Tensor, nn

from pushforward.domain import REAL, Domain
from pushforward.errors import OptionError, ShapeError
from pushforward.events import Shape, zero_log_term
from pushforward.likelihood import Estimator, Kind, weakest
from pushforward.noise import NoiseSpec, NoiseValue, has_role, join_noise, part_noise

Direction: TypeAlias = Literal["to_latent", "to_data"]
# A function that runs one part of a transform to the latent, called as ``run(part, x, context, noise)``.
RunPart: TypeAlias = "Callable[[Transform, Tensor, Tensor | None, NoiseValue], tuple[Tensor, Tensor]]"


class Transform(nn.Module, ABC):
    """A map between data of shape ``(B, *data_shape)`` and latents of shape ``(B, *latent_shape)``.

    Attributes that a subclass sets: ``data_shape`` and ``latent_shape``; ``domain`` (where the data lie) and
    ``codomain`` (where the latents lie); ``kind`` of the likelihood that it allows; ``estimators``, how a log term of
    kind ``estimate`` is computed; ``noise_to_latent`` and ``noise_to_data``, the noise of each direction; ``eager``,
    the reason why ``torch.compile`` cannot make one graph of it, or None; ``clamps``, whether `to_data` also takes
    values outside ``codomain``, by moving them to its nearest end.

    >>> import math
    >>> import torch
    >>> from pushforward import Transform
    >>> class Double(Transform):
    ...     def __init__(self, event_shape):
    ...         super().__init__()
    ...         self.data_shape = self.latent_shape = event_shape
    ...     def to_latent(self, x, context=None, noise=None):
    ...         return 2 * x, torch.full_like(x[:, 0], x.shape[1] * math.log(2))
    ...     def to_data(self, z, context=None, noise=None):
    ...         return z / 2, torch.full_like(z[:, 0], -z.shape[1] * math.log(2))
    >>> Double((2,)).to_latent(torch.ones(1, 2))
    (tensor([[2., 2.]]), tensor([1.3863]))
    """

    data_shape: Shape
    latent_shape: Shape
    domain: Domain = REAL
    codomain: Domain = REAL
    kind: Kind = "exact"
    estimators: tuple[Estimator, ...] = ()
    eager: str | None = None
    clamps: bool = False
    noise_to_latent: NoiseSpec = None
    noise_to_data: NoiseSpec = None

    @property
    def is_bijection(self) -> bool:
        """Whether data and latents correspond one to one: neither direction draws noise, and no size changes.

        The log term of a bijection may still be an estimate from probes.
        """
        draws = has_role(self.noise_to_latent, "draw") or has_role(self.noise_to_data, "draw")
        return not draws and math.prod(self.data_shape) == math.prod(self.latent_shape)

    def parts(self) -> Sequence[Transform]:
        """The transforms that this one runs one after the other, from the data to the latent; () for a single step."""
        return ()

    def part_name(self, index: int) -> str:
        """The name of part ``index`` in messages."""
        return f"transform {index} ({type(self.parts()[index]).__name__})"

    def part_data(self, index: int, values: Tensor) -> Tensor:
        """The input of part ``index``: those of the ``values`` from the part before that it takes."""
        return values

    def map_params(self, x: Tensor, context: Tensor | None = None) -> Tensor | None:
        """The parameters ``(P, B, ...)`` of this transform's map for data ``x``; None for a transform without a map."""
        return None

    @abstractmethod
    def to_latent(self, x: Tensor, context: Tensor | None = None, noise: NoiseValue = None) -> tuple[Tensor, Tensor]:
        """Data ``(B, *data_shape)`` to latents ``(B, *latent_shape)`` and a log term ``(B,)``.

        context: ``(B, *context_shape)`` or None; noise: as ``noise_to_latent`` declares.
        """

    @abstractmethod
    def to_data(self, z: Tensor, context: Tensor | None = None, noise: NoiseValue = None) -> tuple[Tensor, Tensor]:
        """Latents ``(B, *latent_shape)`` to data ``(B, *data_shape)`` and a log term ``(B,)``, of this direction."""

    def to_latent_through(
        self, run: RunPart, x: Tensor, context: Tensor | None = None, noise: NoiseValue = None
    ) -> tuple[Tensor, Tensor]:
        """`to_latent` with ``run`` instead of each part's `to_latent`; a transform without parts runs itself."""
        return self.to_latent(x, context, noise)

    def initialise(self, x: Tensor, context: Tensor | None = None, noise: NoiseValue = None) -> None:
        """Set moments and offsets from a batch of data ``x: (B, *data_shape)``; most transforms have none."""

    def path_noise(self, x: Tensor, z: Tensor, context: Tensor | None = None, back: NoiseValue = None) -> NoiseValue:
        """The noise with which `to_latent` takes ``x`` to ``z``; None for a transform without noise.

        back: the noise with which `to_data` took ``z`` to ``x``. Probes are the same in both directions.
        """
        if self.noise_to_latent is None:
            return None
        if not has_role(self.noise_to_latent, "draw") and self.noise_to_latent == self.noise_to_data:
            return back
        raise OptionError(f"{type(self).__name__} cannot compute the noise that leads from given data to given latents")


def to_latent(part: Transform, x: Tensor, context: Tensor | None, noise: NoiseValue) -> tuple[Tensor, Tensor]:
    """The plain run of a part, for `Transform.to_latent_through`."""
    return part.to_latent(x, context, noise)


def check_fits(first: Transform, second: Transform, names: tuple[str, str]) -> None:
    """Raise unless the latents of ``first`` fit the data of ``second``, in shape and in domain."""
    if first.latent_shape != second.data_shape:
        raise ShapeError(
            f"{names[1]} takes events of shape {second.data_shape}, but {names[0]} before it gives {first.latent_shape}"
        )
    if not first.codomain.within(second.domain):
        raise OptionError(f"{names[1]} takes {second.domain}, but {names[0]} before it gives {first.codomain}")
    if not (first.clamps or second.domain.within(first.codomain)):
        raise OptionError(
            f"{names[1]} takes {second.domain}, of which {names[0]} before it reaches only {first.codomain}: "
            "the density would lose mass"
        )


class Chain(Transform):
    """A chain of transforms, applied in order from the data to the latent.

    Raises ShapeError or OptionError, naming the two, where the shapes or domains of neighbours do not fit.

    >>> import torch
    >>> from pushforward.transforms import Chain, LULinear, Standardise
    >>> chain, x = Chain([Standardise((2,)), LULinear(2)]), torch.randn(50, 2)
    >>> chain.initialise(x)
    >>> z, log_term = chain.to_latent(x)
    >>> torch.allclose(chain.to_data(z)[0], x, atol=1e-5)
    True
    """

    def __init__(self, transforms: Sequence[Transform]) -> None:
        super().__init__()
        if not transforms:
            raise OptionError("a Chain needs at least one transform; use Identity for none")
        names = [f"transform {i} ({type(t).__name__})" for i, t in enumerate(transforms)]
        for i in range(len(transforms) - 1):
            check_fits(transforms[i], transforms[i + 1], (names[i], names[i + 1]))
        self.transforms = nn.ModuleList(transforms)
        self.data_shape, self.latent_shape = transforms[0].data_shape, transforms[-1].latent_shape
        self.domain, self.codomain = transforms[0].domain, transforms[-1].codomain
        self.clamps = transforms[-1].clamps
        join_parts(self, transforms)

    def __iter__(self) -> Iterator[Transform]:
        return iter(self.transforms)  # type: ignore[arg-type]

    def __len__(self) -> int:
        return len(self.transforms)

    def parts(self) -> Sequence[Transform]:
        return tuple(self)

    def to_latent(self, x: Tensor, context: Tensor | None = None, noise: NoiseValue = None) -> tuple[Tensor, Tensor]:
        return self.to_latent_through(to_latent, x, context, noise)

    def to_latent_through(
        self, run: RunPart, x: Tensor, context: Tensor | None = None, noise: NoiseValue = None
    ) -> tuple[Tensor, Tensor]:
        log_term = zero_log_term(x)
        for transform, part in zip(self, part_noise(noise, len(self)), strict=True):
            x, term = run(transform, x, context, part)
            log_term = log_term + term
        return x, log_term

    def to_data(self, z: Tensor, context: Tensor | None = None, noise: NoiseValue = None) -> tuple[Tensor, Tensor]:
        log_term = zero_log_term(z)
        # A list and not an iterator, because a compiler that traces a loop inside a part runs this line again.
        for transform, part in list(zip(self, part_noise(noise, len(self)), strict=True))[::-1]:
            z, term = transform.to_data(z, context, part)
            log_term = log_term + term
        return z, log_term

    def initialise(self, x: Tensor, context: Tensor | None = None, noise: NoiseValue = None) -> None:
        before: tuple[Transform, NoiseValue] | None = None
        for transform, part in zip(self, part_noise(noise, len(self)), strict=True):
            if before is not None:
                x, _ = before[0].to_latent(x, context, before[1])
            transform.initialise(x, context, part)
            before = transform, part

    def path_noise(self, x: Tensor, z: Tensor, context: Tensor | None = None, back: NoiseValue = None) -> NoiseValue:
        if self.noise_to_latent is None:
            return None
        given, values = part_noise(back, len(self)), [z]
        for transform, part in list(zip(self, given, strict=True))[:0:-1]:
            values.insert(0, transform.to_data(values[0], context, part)[0])
        ends = zip(self, itertools.pairwise([x, *values]), given, strict=True)
        return tuple(part.path_noise(before, after, context, own) for part, (before, after), own in ends)


class Inverse(Transform):
    """A bijection with its two directions exchanged: its latents are the data.

    `initialise` does nothing here: moments that ``transform`` takes from data must be set before. Raises OptionError
    where ``transform`` is no bijection.

    >>> import torch
    >>> from pushforward.transforms import Inverse, LULinear
    >>> step, x = LULinear(2), torch.randn(3, 2)
    >>> torch.equal(Inverse(step).to_data(x)[0], step.to_latent(x)[0])
    True
    """

    def __init__(self, transform: Transform) -> None:
        super().__init__()
        if not transform.is_bijection:
            raise OptionError(f"Inverse takes a bijection; {type(transform).__name__} is not one")
        self.transform = transform
        self.data_shape, self.latent_shape = transform.latent_shape, transform.data_shape
        self.domain, self.codomain = transform.codomain, transform.domain
        self.kind, self.estimators, self.eager = transform.kind, transform.estimators, transform.eager
        self.noise_to_latent, self.noise_to_data = transform.noise_to_data, transform.noise_to_latent

    def to_latent(self, x: Tensor, context: Tensor | None = None, noise: NoiseValue = None) -> tuple[Tensor, Tensor]:
        return self.transform.to_data(x, context, noise)

    def to_data(self, z: Tensor, context: Tensor | None = None, noise: NoiseValue = None) -> tuple[Tensor, Tensor]:
        return self.transform.to_latent(z, context, noise)


def steps(transform: Transform) -> tuple[Transform, ...]:
    """The transforms of a `Chain` from the data to the latent; any other transform alone."""
    return tuple(transform) if isinstance(transform, Chain) else (transform,)


def join_parts(whole: Transform, parts: Sequence[Transform]) -> None:
    """Set the attributes of ``whole`` that follow from its ``parts``: kind, estimators, noise and reasons."""
    whole.kind = weakest(*(part.kind for part in parts))
    whole.estimators = tuple(dict.fromkeys(estimator for part in parts for estimator in part.estimators))
    whole.eager = next((part.eager for part in parts if part.eager is not None), None)
    whole.noise_to_latent = join_noise([part.noise_to_latent for part in parts])
    whole.noise_to_data = join_noise([part.noise_to_data for part in parts])
