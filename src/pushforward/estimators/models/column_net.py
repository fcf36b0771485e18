"""A net of conditional densities: of any column of a table, given any subset of the other columns.

Training hides random subsets of the columns and predicts each hidden column from the rest (Strauss & Oliva, "Arbitrary
conditional distributions with energy", 2021; Uria, Murray & Larochelle, "A deep and tractable density estimator",
2014). The states of a column have a probability table, its value a mixture of Gaussians.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pushforward.estimators.encoded import UNKNOWN, ColumnShape, EncodedRows
from pushforward.estimators.models.mixture_head import LOG_SCALE, MixtureHead
from pushforward.nets.mlp import INPUT_LIMIT

# Inner quantiles of a column between which its piecewise-linear features rise.
_RAMPS = 8
# Width of the components at the start, as a fraction of the gap between neighbouring quantiles.
_OF_GAP = 0.8

Part: TypeAlias = tuple[Literal["state", "value"], int]


@dataclass(frozen=True, eq=False)
class Known:
    """The contents of rows that a net may see: ``states`` and ``values`` are masks ``(N, C)`` of known contents."""

    states: Tensor
    values: Tensor

    @classmethod
    def of(cls, rows: EncodedRows, shapes: Sequence[ColumnShape]) -> Known:
        """Everything that the rows hold."""
        return cls(rows.states != UNKNOWN, rows.present(shapes))

    def has(self, part: Part) -> Tensor:
        """``(N,)``: whether a part is known."""
        kind, j = part
        return self.states[:, j] if kind == "state" else self.values[:, j]

    def reveal(self, part: Part, complete: Known) -> None:
        """Make a part known in the rows of ``complete`` that have it."""
        kind, j = part
        own, other = (self.states, complete.states) if kind == "state" else (self.values, complete.values)
        own[:, j] |= other[:, j]


class ColumnNet(nn.Module):
    """A residual perceptron from the known columns of a row to a density of each target column.

    targets: the numbers of the columns that the net predicts, by default all. components: of the mixture of each value.
    Call `start_from` with training rows before training: it takes the columns' marginal distributions as the start, and
    their quantiles for the net's piecewise-linear features (Gorishniy, Rubachev & Babenko, "On embeddings for numerical
    features in tabular deep learning", 2022).
    """

    def __init__(
        self,
        shapes: Sequence[ColumnShape],
        *,
        targets: Sequence[int] | None = None,
        hidden: int = 256,
        blocks: int = 2,
        components: int = 8,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.shapes = tuple(shapes)
        self.targets = tuple(range(len(shapes)) if targets is None else targets)
        self.components = components
        self._with_states = [j for j, shape in enumerate(shapes) if shape.states > 1]
        self._with_values = [j for j, shape in enumerate(shapes) if shape.value]
        self.state_targets = [j for j in self._with_states if j in self.targets]
        # Values that every row has come first, which gaps in the others then leave as they are; and of these the dates,
        # whose periods the others may follow.
        self.value_targets = sorted(
            (j for j in self._with_values if j in self.targets),
            key=lambda j: (shapes[j].states > 1, shapes[j].calendar is None),
        )
        counts = torch.tensor([shapes[j].states for j in self._with_states], dtype=torch.long)
        self._n_states = int(counts.sum())
        self.offsets = nn.Buffer(counts.cumsum(0) - counts, persistent=False)
        self.knots = nn.Buffer(torch.linspace(-2, 2, _RAMPS + 1).repeat(len(self._with_values), 1))
        self._places = self._output_places()
        n_values = len(self._with_values)
        n_out = sum(place.stop - place.start for place in self._places.values())
        self._calendars = [(j, shape.calendar) for j, shape in enumerate(shapes) if shape.calendar is not None]
        n_periodic = sum(calendar.width for _, calendar in self._calendars)
        self.first = _linear(max(1, self._n_states + n_values * (2 + _RAMPS) + n_periodic), hidden)
        self._residual = [_Block(hidden, dropout) for _ in range(blocks)]
        self.blocks = nn.ModuleList(self._residual)
        self.last = _linear(hidden, n_out)
        self.reset(torch.Generator().manual_seed(0))

    @torch.no_grad()
    def reset(self, generator: torch.Generator) -> None:
        """Draw the weights anew: the residual blocks and the output start at zero."""
        _draw_weights(self.first, generator)
        for block in self._residual:
            _draw_weights(block.inner, generator)
            _zero(block.outer)
        _zero(self.last)

    def _output_places(self) -> dict[Part, slice]:
        """The columns of the net's output that hold the parameters of each part."""
        places: dict[Part, slice] = {}
        at = 0
        for j in self.state_targets:
            places["state", j] = slice(at, at + self.shapes[j].states)
            at += self.shapes[j].states
        for j in self.value_targets:
            places["value", j] = slice(at, at + 3 * self.components)
            at += 3 * self.components
        return places

    def features(self, rows: EncodedRows, known: Known) -> Tensor:
        """The net's input: one-hot states, values, their masks and piecewise-linear ramps, and periodic features.

        All are 0 where the content is not known.
        """
        dtype = self.last.weight.dtype
        one_hot = torch.zeros(len(rows), self._n_states, dtype=dtype)
        if self._with_states:
            states = rows.states[:, self._with_states].clamp(min=0) + self.offsets
            one_hot.scatter_(1, states, known.states[:, self._with_states].to(dtype))
        if not self._with_values:
            return one_hot
        mask = known.values[:, self._with_values]
        values = torch.where(mask, rows.values[:, self._with_values], 0.0).to(dtype)
        values = values.clamp(-INPUT_LIMIT, INPUT_LIMIT)
        seen = mask.to(dtype)
        low, width = self.knots[:, :-1], self.knots.diff(dim=1)
        ramps = ((values[..., None] - low) / width).clamp(0, 1) * seen[..., None]
        return torch.cat([one_hot, values, seen, ramps.flatten(1), *self._periodic(rows, known, dtype)], 1)

    def _periodic(self, rows: EncodedRows, known: Known, dtype: torch.dtype) -> list[Tensor]:
        """The features of the calendar of each column of dates."""
        features = []
        for j, calendar in self._calendars:
            seen = known.values[:, j]
            of_dates = calendar.features(torch.where(seen, rows.values[:, j], 0.0))
            features.append((of_dates * seen[:, None]).to(dtype))
        return features

    def hidden(self, features: Tensor) -> Tensor:
        """The last hidden layer, ``(N, hidden)``."""
        if features.shape[1] == 0:
            features = features.new_zeros(len(features), 1)
        h = self.first(features)
        for block in self.blocks:
            h = block(h)
        return F.relu(h)

    def output(self, hidden: Tensor, part: Part) -> Tensor:
        """The parameters of one part: logits of its states, or those of a `MixtureHead`."""
        place = self._places[part]
        return F.linear(hidden, self.last.weight[place], self.last.bias[place])

    def params(self, rows: EncodedRows, known: Known, part: Part) -> Tensor:
        """The parameters of one part given the known contents of the rows; see `output`."""
        return self.output(self.hidden(self.features(rows, known)), part)

    def log_terms(self, rows: EncodedRows, known: Known) -> tuple[Tensor, Tensor]:
        """Log-probabilities of the states and log-densities of the values of all targets, given the known contents.

        ``(N, len(state_targets))`` and ``(N, len(value_targets))``; 0 where a row has no such content. A value is
        conditional on its column's state.
        """
        out = self.last(self.hidden(self.features(rows, known)))
        states = out.new_zeros(len(rows), len(self.state_targets))
        columns = []
        for j in self.state_targets:
            logits = out[:, self._places["state", j]].log_softmax(1)
            state = rows.states[:, j]
            columns.append(logits.gather(1, state.clamp(min=0)[:, None])[:, 0].where(state != UNKNOWN, 0.0))
        if columns:
            states = torch.stack(columns, 1)
        if not self.value_targets:
            return states, out.new_zeros(len(rows), 0)
        start = self._places["value", self.value_targets[0]].start
        params = out[:, start:].unflatten(1, (len(self.value_targets), 3 * self.components))
        present = rows.present(self.shapes)[:, self.value_targets]
        values = torch.where(present, rows.values[:, self.value_targets], 0.0).to(out.dtype)
        return states, MixtureHead.of(params).log_density(values).where(present, 0.0)

    @torch.no_grad()
    def start_from(self, rows: EncodedRows, weights: Tensor | None = None) -> None:
        """Take marginal distributions as the start of the net, and quantiles as the knots of its features."""
        weights = torch.ones(len(rows), dtype=torch.float64) if weights is None else weights.double()
        present = rows.present(self.shapes)
        for place, j in enumerate(self._with_values):
            values, own = rows.values[present[:, j], j], weights[present[:, j]]
            if len(values) == 0:
                continue
            self.knots[place] = _increasing(_quantiles(values, own, torch.linspace(0.01, 0.99, _RAMPS + 1).double()))
            if j in self.value_targets:
                self.last.bias[self._places["value", j]] = self._around(values, own)
        for j in self.state_targets:
            seen = rows.states[:, j] != UNKNOWN
            count = torch.zeros(self.shapes[j].states, dtype=torch.float64)
            count.index_add_(0, rows.states[seen, j], weights[seen])
            frequency = (count + 0.5) / (count + 0.5).sum()
            self.last.bias[self._places["state", j]] = frequency.log().to(self.last.bias)

    def _around(self, values: Tensor, weights: Tensor) -> Tensor:
        """Mixture parameters with equal weights, the means at quantiles of ``values``, and scales like their gaps."""
        k = self.components
        levels = (torch.arange(k, dtype=torch.float64) + 0.5) / k
        means = _increasing(_quantiles(values, weights, levels))
        outer = _quantiles(values, weights, torch.tensor([0.5 / (2 * k), 1 - 0.5 / (2 * k)]).double())
        edges = torch.cat([outer[:1], (means[1:] + means[:-1]) / 2, outer[1:]])
        scales = (_OF_GAP * edges.diff()).clamp(min=0.02)
        return torch.cat([torch.zeros(k), means, LOG_SCALE.raw(scales.log())]).to(self.last.bias)


class _Block(nn.Module):
    """A pre-activation residual block of two layers; it starts as the identity."""

    def __init__(self, hidden: int, dropout: float) -> None:
        super().__init__()
        self.inner, self.outer = _linear(hidden, hidden), _linear(hidden, hidden)
        self.dropout = nn.Dropout(dropout)

    def forward(self, h: Tensor) -> Tensor:
        out: Tensor = self.outer(self.dropout(F.relu(self.inner(F.relu(h)))))
        return h + out


def _linear(in_features: int, out_features: int) -> nn.Linear:
    """A linear layer whose weights are not drawn yet: torch would take them from its global generator."""
    layer: nn.Linear = nn.utils.skip_init(nn.Linear, in_features, out_features)
    return layer


def _draw_weights(layer: nn.Linear, generator: torch.Generator) -> None:
    bound = layer.in_features**-0.5
    layer.weight.uniform_(-bound, bound, generator=generator)
    layer.bias.uniform_(-bound, bound, generator=generator)


def _zero(layer: nn.Linear) -> None:
    layer.weight.zero_()
    layer.bias.zero_()


def _quantiles(values: Tensor, weights: Tensor, levels: Tensor) -> Tensor:
    """Weighted quantiles of ``values: (N,)``, float64."""
    order = values.argsort()
    cumulative = weights[order].cumsum(0)
    places = torch.searchsorted(cumulative, levels * cumulative[-1])
    return values[order][places.clamp(max=len(values) - 1)]


def _increasing(knots: Tensor) -> Tensor:
    """Knots with equal ones moved apart by a hundredth of their range, or of 1."""
    gap = 0.01 * torch.clamp(knots[-1] - knots[0], min=1.0) / len(knots)
    steps = torch.arange(len(knots), dtype=knots.dtype) * gap
    return (knots - steps).cummax(0).values + steps
