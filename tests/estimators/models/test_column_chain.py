"""Conditional densities of columns and their chain rule: scores, draws, marginals and Gaussian latents."""

from __future__ import annotations

import math

import pytest
import torch

from pushforward.estimators.encoded import UNKNOWN, ColumnShape, EncodedRows
from pushforward.estimators.models import latents
from pushforward.estimators.models.column_chain import Chain
from pushforward.estimators.models.column_net import ColumnNet
from pushforward.estimators.models.fit_columns import ColumnNetOptions, draw_masks, fit_columns
from pushforward.estimators.models.recalibration import Recalibration

# A real column, three labels, a real column with zeros, and one with a gap.
SHAPES = (ColumnShape(), ColumnShape(3, value=False), ColumnShape(2), ColumnShape(2))


def rows(count: int = 40) -> EncodedRows:
    generator = torch.Generator().manual_seed(3)
    states = torch.stack([torch.randint(shape.states, (count,), generator=generator) for shape in SHAPES], 1)
    values = torch.randn(count, len(SHAPES), generator=generator, dtype=torch.float64)
    carries = torch.tensor([shape.value for shape in SHAPES])
    return EncodedRows.of(states, torch.where((states == 0) & carries, values, 0.0))


def net(seed: int = 0, **options: object) -> ColumnNet:
    """A net whose weights are not those of the start."""
    made = ColumnNet(SHAPES, hidden=16, components=3, **options)
    generator = torch.Generator().manual_seed(seed)
    made.reset(generator)
    made.start_from(rows())
    with torch.no_grad():
        for parameter in made.parameters():
            parameter += 0.3 * torch.randn(parameter.shape, generator=generator)
    return made.eval()


@pytest.fixture(params=[{}, {0: Recalibration(deviations=0.3, widths=0.7), 3: Recalibration(widths=2.0)}])
def chain(request: pytest.FixtureRequest) -> Chain:
    return Chain([net(0), net(1)], request.param)


def grid(count: int = 400) -> tuple[torch.Tensor, float]:
    points = torch.linspace(-40, 40, count * 40, dtype=torch.float64)
    return points, float(points[1] - points[0])


def test_conditional_densities_of_a_value_and_probabilities_of_a_state_sum_to_one(chain: Chain) -> None:
    points, step = grid()
    row = rows(1)
    values = row.values.repeat(len(points), 1)
    values[:, 0] = points
    terms = chain.log_terms(EncodedRows.of(row.states.repeat(len(points), 1), values))
    place = chain.parts.index(("value", 0))
    assert float(terms[:, place].exp().sum() * step) == pytest.approx(1, abs=1e-4)
    every = EncodedRows.of(torch.tensor([[0, label, 1, 1] for label in range(3)]), torch.zeros(3, 4))
    states = chain.log_terms(every, chain.state_parts)[:, 0]
    assert float(states.exp().sum()) == pytest.approx(1, abs=1e-6)


def test_a_draw_has_the_log_probability_that_the_score_gives(chain: Chain) -> None:
    drawn, log_q = chain.draw(EncodedRows.unknown(SHAPES, 200), torch.Generator().manual_seed(0))
    assert torch.allclose(chain.log_terms(drawn).sum(1), log_q, atol=1e-5)
    assert ((drawn.states == 0) == (drawn.values != 0))[:, [0, 2, 3]].all()


def test_a_draw_keeps_what_is_given_and_respects_allowed_states(chain: Chain) -> None:
    given = EncodedRows.unknown(SHAPES, 300)
    given.states[:, 1] = 2
    allowed = {3: torch.tensor([True, False])}
    drawn, _ = chain.draw(given, torch.Generator().manual_seed(0), allowed=allowed)
    assert (drawn.states[:, 1] == 2).all()
    assert (drawn.states[:, 3] == 0).all()
    assert set(drawn.states[:, 2].tolist()) == {0, 1}


def test_draws_follow_the_conditional_distribution(chain: Chain) -> None:
    given = rows(1)
    given.states[:, 1] = UNKNOWN
    drawn, log_q = chain.draw(given.repeat(20_000), torch.Generator().manual_seed(1))
    frequencies = torch.bincount(drawn.states[:, 1], minlength=3) / 20_000
    probabilities = torch.stack([log_q[drawn.states[:, 1] == k][0].exp() for k in range(3)])
    assert torch.allclose(frequencies.double(), probabilities, atol=0.015)


def test_an_unknown_part_is_left_out_of_the_score(chain: Chain) -> None:
    some = rows()
    some.states[:, 3] = UNKNOWN
    terms = chain.log_terms(some)
    without = [place for place, part in enumerate(chain.parts) if part[1] == 3]
    assert (terms[:, without] == 0).all()
    # The last part is unknown, so that the others are conditional on the same content as before.
    complete = chain.log_terms(rows())
    first = chain.parts.index(("state", 1))
    assert torch.equal(terms[:, first], complete[:, first])


def test_rows_do_not_depend_on_their_batch(chain: Chain) -> None:
    together = chain.log_terms(rows())
    alone = torch.cat([chain.log_terms(rows().take(torch.tensor([i]))) for i in range(40)])
    assert torch.allclose(together, alone, atol=1e-5)
    assert chain.log_terms(rows().take(torch.zeros(0, dtype=torch.long))).shape == (0, len(chain.parts))


def test_hidden_content_does_not_reach_the_net() -> None:
    model = net()
    known, hidden_states, hidden_values = draw_masks(model, rows(), 0.5, torch.Generator().manual_seed(0))
    changed = rows()
    parts = torch.cat([hidden_states, hidden_values], 1)
    assert (parts.sum(1) > 0).float().mean() > 0.8
    for place, j in enumerate(model.value_targets):
        hidden = hidden_values[:, place].bool()
        changed.values[hidden, j] += 5
    assert torch.equal(model.features(rows(), known), model.features(changed, known))


def test_latents_are_normal_and_lead_back_to_the_rows() -> None:
    chain = Chain([net()])
    drawn, _ = chain.draw(EncodedRows.unknown(SHAPES, 4000), torch.Generator().manual_seed(0))
    z = latents.encode(chain, drawn, torch.Generator().manual_seed(1))
    assert z.shape == (4000, len(latents.latent_parts(chain)))
    assert z.mean(0).abs().max() < 5 / math.sqrt(4000)
    assert (z.std(0) - 1).abs().max() < 5 / math.sqrt(4000)
    back = latents.decode(chain, z)
    assert torch.equal(back.states, drawn.states)
    assert torch.allclose(back.values, drawn.values, atol=1e-6)


def test_training_learns_a_dependence_between_columns() -> None:
    generator = torch.Generator().manual_seed(0)
    label = torch.randint(2, (2000,), generator=generator)
    value = 3.0 * label - 1.5 + 0.3 * torch.randn(2000, generator=generator)
    shapes = (ColumnShape(2, value=False), ColumnShape())
    table = EncodedRows.of(torch.stack([label, torch.zeros_like(label)], 1), torch.stack([0 * value, value], 1))
    model = ColumnNet(shapes, hidden=16, components=3)
    model.reset(generator)
    result = fit_columns(model, table, table, options=ColumnNetOptions(steps=150, batch_size=128))
    assert result.best_step > 0
    score = float(Chain([model]).log_terms(table).sum(1).mean())
    # Entropy of the label, and of a normal distribution with deviation 0.3.
    assert score == pytest.approx(-math.log(2) - math.log(0.3) - 0.5 * math.log(2 * math.pi * math.e), abs=0.1)


def test_a_net_of_targets_sees_all_other_columns() -> None:
    model = net(targets=[2])
    chain = Chain([model])
    assert chain.parts == [("state", 2), ("value", 2)]
    given = rows()
    given.states[:, 2] = UNKNOWN
    drawn, log_q = chain.draw(given, torch.Generator().manual_seed(0))
    assert torch.allclose(chain.log_terms(drawn).sum(1), log_q, atol=1e-5)
