"""Members of the blend: densities of complete encoded rows, each with the probability of its states alone."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeAlias

import torch
from torch import Tensor
from torch.nn import functional as F

from pushforward import storage
from pushforward.estimators.encoded import UNKNOWN, ColumnShape, EncodedRows
from pushforward.estimators.models.column_chain import Chain
from pushforward.estimators.models.column_distribution import ColumnDistribution
from pushforward.estimators.models.mixture import MixedMixture
from pushforward.flow import Flow

_BATCH = 8192


class Scores(NamedTuple):
    """Log-probabilities of N rows: ``total`` of the whole row, ``states`` of its discrete part alone."""

    total: Tensor
    states: Tensor


Kind: TypeAlias = Literal["mixture", "conditionals", "flow"]


class Member(ABC):
    """A density of encoded rows. ``kind`` and ``name`` describe it in files and reports."""

    kind: Kind
    name: str

    def state(self) -> tuple[dict[str, Any], dict[str, Tensor]] | None:
        """JSON values and tensors of a member that has any beside the nets; None otherwise."""
        return None

    def save_parts(self, folder: Path, force: bool) -> None:
        """Save those parts of the member that are models of their own."""
        return

    @abstractmethod
    def score(self, rows: EncodedRows) -> Scores:
        """The scores of rows; unknown content is integrated out, or gives NaN where a member cannot."""

    @abstractmethod
    def draw(self, given: EncodedRows, generator: torch.Generator) -> EncodedRows:
        """Complete rows: what ``given`` does not know is drawn."""

    def conditional(self, given: EncodedRows, column: int) -> ColumnDistribution | None:
        """The distribution of one column given the others, in closed form; None for a member that has none."""
        return None


class MixtureMember(Member):
    """The mixture of Gaussians and probability tables.

    targets: the columns whose density, given the others, it scores; by default all.
    """

    kind = "mixture"
    name = "mixture"

    def __init__(self, mixture: MixedMixture, targets: Sequence[int] | None = None) -> None:
        self.mixture = mixture
        self.targets = None if targets is None or len(targets) == len(mixture.shapes) else list(targets)

    def score(self, rows: EncodedRows) -> Scores:
        if self.targets is None:
            return Scores(self.mixture.log_prob(rows), self.mixture.log_states(rows))
        given = hide(rows, self.targets)
        # The states of the targets given the rest, their values unknown.
        values = rows.values.clone()
        values[:, self.targets] = torch.where(rows.states[:, self.targets] == 0, torch.nan, 0.0).double()
        states = replace(rows, values=values)
        conditional = self.mixture.conditional_log_prob
        return Scores(conditional(rows, given), conditional(states, given))

    def draw(self, given: EncodedRows, generator: torch.Generator) -> EncodedRows:
        return self.mixture.sample_given(given, 1, generator=generator)

    def state(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        return self.mixture.state()

    def conditional(self, given: EncodedRows, column: int) -> ColumnDistribution:
        return self.mixture.conditional(given, column)


class ChainMember(Member):
    """The chain rule over all columns by nets of conditional densities."""

    kind = "conditionals"
    name = "conditionals"

    def __init__(self, chain: Chain) -> None:
        self.chain = chain

    def score(self, rows: EncodedRows) -> Scores:
        terms = self.chain.log_terms(rows)
        return Scores(terms.sum(1), terms[:, : len(self.chain.state_parts)].sum(1))

    def draw(self, given: EncodedRows, generator: torch.Generator) -> EncodedRows:
        return self.chain.draw(given, generator)[0]

    def conditional(self, given: EncodedRows, column: int) -> ColumnDistribution:
        return self.chain.conditional(given, column)


class FlowMember(Member):
    """A flow of the values that every row has, given the states; nets of conditional densities do the rest.

    It scores rows whose states and values of the flow are known, and draws rows of which nothing is given.
    """

    kind = "flow"

    def __init__(self, flow: Flow, architecture: str, block: Sequence[int], chain: Chain) -> None:
        self.flow, self.block, self.chain = flow, tuple(block), chain
        self.name = architecture

    def score(self, rows: EncodedRows) -> Scores:
        chain = self.chain
        rest = [part for part in chain.parts if part[0] == "value" and part[1] not in self.block]
        states = chain.log_terms(rows, chain.state_parts).sum(1)
        terms = chain.log_terms(rows, rest, before=[("value", j) for j in self.block]).sum(1)
        values = rows.values[:, self.block]
        usable = (rows.states[:, self.block] == 0).all(1) & values.isfinite().all(1)
        context = state_context(rows, chain.shapes)
        total = torch.full((len(rows),), torch.nan, dtype=torch.float64)
        total[usable] = self._log_prob(values[usable], None if context is None else context[usable])
        total[(rows.states == UNKNOWN).any(1)] = torch.nan
        return Scores(total + states + terms, states)

    @torch.no_grad()
    def _log_prob(self, values: Tensor, context: Tensor | None) -> Tensor:
        parts = [
            self.flow.log_prob(
                values[i : i + _BATCH].to(self.flow.dtype), None if context is None else context[i : i + _BATCH]
            )
            for i in range(0, len(values), _BATCH)
        ]
        return torch.cat(parts).double() if parts else torch.zeros(0, dtype=torch.float64)

    @torch.no_grad()
    def draw(self, given: EncodedRows, generator: torch.Generator) -> EncodedRows:
        chain = self.chain
        rows = chain.draw(given, generator, parts=chain.state_parts)[0]
        context = state_context(rows, chain.shapes)
        if context is None:
            drawn = self.flow.sample(len(rows), generator=generator)
        else:
            blocks = [self.flow.sample(1, part, generator=generator).flatten(0, 1) for part in context.split(_BATCH)]
            drawn = torch.cat(blocks)
        values = rows.values.clone()
        values[:, self.block] = drawn.double()
        return chain.draw(replace(rows, values=values), generator)[0]

    def save_parts(self, folder: Path, force: bool) -> None:
        storage.save(self.flow, folder / self.name, force=force)


def hide(rows: EncodedRows, columns: Sequence[int]) -> EncodedRows:
    """The rows without the content of ``columns``."""
    states, values = rows.states.clone(), rows.values.clone()
    states[:, list(columns)] = UNKNOWN
    values[:, list(columns)] = 0.0
    return replace(rows, states=states, values=values)


def state_context(rows: EncodedRows, shapes: Sequence[ColumnShape]) -> Tensor | None:
    """The states of the columns that have several, one-hot, as the context of a flow; None without such columns."""
    parts = [
        F.one_hot(rows.states[:, j].clamp(min=0), shape.states).float()
        for j, shape in enumerate(shapes)
        if shape.states > 1
    ]
    return torch.cat(parts, 1) if parts else None


def context_size(shapes: Sequence[ColumnShape]) -> int:
    """The width of `state_context`."""
    return sum(shape.states for shape in shapes if shape.states > 1)
