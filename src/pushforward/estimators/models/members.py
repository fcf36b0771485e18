"""Members of the blend: probabilities of the states of encoded rows, and densities of their values given the states."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, TypeAlias

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


Kind: TypeAlias = Literal["mixture", "states", "conditionals", "flow"]


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

    @property
    def proposes(self) -> bool:
        """Whether `propose` draws from exact conditional distributions of any columns given any others."""
        return False

    def propose(self, given: EncodedRows, generator: torch.Generator) -> EncodedRows:
        """Complete rows: what ``given`` does not know is drawn."""
        raise NotImplementedError

    def log_proposed(self, drawn: EncodedRows, given: EncodedRows) -> Tensor:
        """``(N,)``: the log-density with which `propose` draws ``drawn``."""
        raise NotImplementedError

    def conditional(self, given: EncodedRows, column: int) -> ColumnDistribution | None:
        """The distribution of one column given the others, in closed form; None for a member that has none."""
        return None


class StateMember(Member):
    """A member that gives probabilities of states."""

    @abstractmethod
    def log_states(self, rows: EncodedRows) -> Tensor:
        """``(N,)``: the log-probability of the states of the targets; unknown ones are summed over."""

    @abstractmethod
    def draw_states(self, given: EncodedRows, generator: torch.Generator) -> EncodedRows:
        """The rows with their unknown states drawn; values that follow from them are NaN, not known yet."""


class ValueMember(Member):
    """A member that gives densities of values. ``marginal``: whether it can integrate unknown content out."""

    marginal = True

    @abstractmethod
    def log_values(self, rows: EncodedRows) -> Tensor:
        """``(N,)``: the log-density of the values given the states; unknown ones are integrated out, or give NaN."""

    @abstractmethod
    def draw_values(self, rows: EncodedRows, generator: torch.Generator) -> EncodedRows:
        """Rows whose states are known, with their unknown values drawn."""


class MixtureMember(StateMember, ValueMember):
    """The mixture of Gaussians and probability tables.

    targets: the columns whose density, given the others, it scores; by default all.
    """

    kind = "mixture"
    name = "mixture"

    def __init__(self, mixture: MixedMixture, targets: Sequence[int] | None = None) -> None:
        self.mixture = mixture
        self.targets = None if targets is None or len(targets) == len(mixture.shapes) else list(targets)

    def log_states(self, rows: EncodedRows) -> Tensor:
        if self.targets is None:
            return self.mixture.log_states(rows)
        return self.mixture.conditional_log_prob(self._without_values(rows), hide(rows, self.targets))

    def log_values(self, rows: EncodedRows) -> Tensor:
        if self.targets is None:
            joint = self.mixture.log_prob(rows)
            return torch.where(joint == -torch.inf, joint, joint - self.mixture.log_states(rows))
        return self.mixture.conditional_log_prob(rows, self._without_values(rows))

    def _without_values(self, rows: EncodedRows) -> EncodedRows:
        """The rows without the values of the targets."""
        values = rows.values.clone()
        values[:, self.targets] = torch.where(rows.states[:, self.targets] == 0, torch.nan, 0.0).double()
        return replace(rows, values=values)

    @property
    def proposes(self) -> bool:
        return self.targets is None

    def propose(self, given: EncodedRows, generator: torch.Generator) -> EncodedRows:
        return self.mixture.sample_given(given, 1, generator=generator)

    def log_proposed(self, drawn: EncodedRows, given: EncodedRows) -> Tensor:
        return self.mixture.conditional_log_prob(drawn, given)

    def draw_states(self, given: EncodedRows, generator: torch.Generator) -> EncodedRows:
        return with_states(given, self.mixture.sample_given(given, 1, generator=generator).states, self.mixture.shapes)

    def draw_values(self, rows: EncodedRows, generator: torch.Generator) -> EncodedRows:
        return self.mixture.sample_given(rows, 1, generator=generator)

    def state(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        return self.mixture.state()

    def conditional(self, given: EncodedRows, column: int) -> ColumnDistribution:
        return self.mixture.conditional(given, column)


class StatesMember(StateMember):
    """A mixture of probability tables alone, of the columns that have several states."""

    kind = "states"
    name = "states"

    def __init__(self, mixture: MixedMixture, shapes: Sequence[ColumnShape]) -> None:
        self.mixture, self.shapes = mixture, tuple(shapes)
        self.columns = discrete_columns(shapes)

    def log_states(self, rows: EncodedRows) -> Tensor:
        return self.mixture.log_prob(rows.columns(self.columns))

    def draw_states(self, given: EncodedRows, generator: torch.Generator) -> EncodedRows:
        states = given.states.clone()
        drawn = self.mixture.sample_given(given.columns(self.columns), 1, generator=generator)
        states[:, self.columns] = drawn.states
        return with_states(given, torch.where(states == UNKNOWN, 0, states), self.shapes)

    def state(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        return self.mixture.state()


class ChainMember(StateMember, ValueMember):
    """The chain rule over all columns by nets of conditional densities."""

    kind = "conditionals"
    name = "conditionals"

    def __init__(self, chain: Chain) -> None:
        self.chain = chain

    def log_states(self, rows: EncodedRows) -> Tensor:
        return self.chain.log_terms(rows, self.chain.state_parts).sum(1)

    def log_values(self, rows: EncodedRows) -> Tensor:
        return self.chain.log_terms(rows, self.chain.value_parts).sum(1)

    def draw_states(self, given: EncodedRows, generator: torch.Generator) -> EncodedRows:
        return self.chain.draw(given, generator, parts=self.chain.state_parts)[0]

    def draw_values(self, rows: EncodedRows, generator: torch.Generator) -> EncodedRows:
        return self.chain.draw(rows, generator)[0]

    def conditional(self, given: EncodedRows, column: int) -> ColumnDistribution:
        return self.chain.conditional(given, column)


class FlowMember(ValueMember):
    """A flow of the values of a block of columns, given the states; nets of conditional densities do the rest.

    block: the numbers of the columns. The flow scores the rows in which all of them have values; the nets alone score
    other rows. The member scores rows whose states are known, and whose values in the block are known if the flow
    scores them. It draws values of which none is given.
    """

    kind = "flow"
    marginal = False

    def __init__(self, flow: Flow, architecture: str, block: Sequence[int], chain: Chain) -> None:
        self.flow, self.block, self.chain = flow, tuple(block), chain
        self.name = architecture

    def log_values(self, rows: EncodedRows) -> Tensor:
        log_values = torch.full((len(rows),), torch.nan, dtype=torch.float64)
        known, of_flow = (rows.states != UNKNOWN).all(1), has_values(rows, self.block)
        of_nets = known & ~of_flow
        log_values[of_nets] = self.chain.log_terms(rows.take(of_nets), self.chain.value_parts).sum(1)
        of_flow = known & of_flow & rows.values[:, self.block].isfinite().all(1)
        log_values[of_flow] = self._log_values(rows.take(of_flow))
        return log_values

    def _log_values(self, rows: EncodedRows) -> Tensor:
        """``(N,)``: the log-densities of rows that have all values of the block."""
        block = [part for part in self.chain.value_parts if part[1] in self.block]
        rest = [part for part in self.chain.value_parts if part not in block]
        terms = self.chain.log_terms(rows, rest, before=block).sum(1)
        return self._log_prob(rows.values[:, self.block], state_context(rows, self.chain.shapes)) + terms

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
    def draw_values(self, rows: EncodedRows, generator: torch.Generator) -> EncodedRows:
        of_flow = has_values(rows, self.block).nonzero()[:, 0]
        context = state_context(rows.take(of_flow), self.chain.shapes)
        if context is None:
            drawn = self.flow.sample(len(of_flow), generator=generator)
        else:
            blocks = [self.flow.sample(1, part, generator=generator).flatten(0, 1) for part in context.split(_BATCH)]
            drawn = torch.cat(blocks)
        values = rows.values.clone()
        values[of_flow[:, None], torch.tensor(self.block)] = drawn.double()
        return self.chain.draw(replace(rows, values=values), generator)[0]

    def state(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        return {"block": list(self.block)}, {}

    def save_parts(self, folder: Path, force: bool) -> None:
        storage.save(self.flow, folder / self.name, force=force)


def hide(rows: EncodedRows, columns: Sequence[int]) -> EncodedRows:
    """The rows without the content of ``columns``."""
    states, values = rows.states.clone(), rows.values.clone()
    states[:, list(columns)] = UNKNOWN
    values[:, list(columns)] = 0.0
    return replace(rows, states=states, values=values)


def discrete_columns(shapes: Sequence[ColumnShape]) -> list[int]:
    """The numbers of the columns that have several states."""
    return [j for j, shape in enumerate(shapes) if shape.states > 1]


def with_states(given: EncodedRows, states: Tensor, shapes: Sequence[ColumnShape]) -> EncodedRows:
    """The rows with ``states`` where they know none; values that follow from these are NaN, not known yet."""
    unknown = given.states == UNKNOWN
    carries = torch.tensor([shape.value for shape in shapes])
    follows = torch.where((states == 0) & carries, torch.nan, 0.0).double()
    return replace(
        given, states=torch.where(unknown, states, given.states), values=torch.where(unknown, follows, given.values)
    )


def has_values(rows: EncodedRows, columns: Sequence[int]) -> Tensor:
    """``(N,)`` bool: whether all these columns, which have values in state 0, are in state 0."""
    return (rows.states[:, list(columns)] == 0).all(1)


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
