"""Check l: everything that can be learned moves, and flows learn a shape that no Gaussian has."""

import math
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import nn

from checking import over
from pushforward.data import toys
from pushforward.flow import Flow
from pushforward.nets.made import MaskedLinear
from pushforward.training import fit
from pushforward.training.greedy import is_greedy
from pushforward.transforms.block_autoregressive import BlockLinear
from registry import ENTRIES, Entry
from subjects import subject, train


def still_entries(before: dict[str, torch.Tensor], after: dict[str, torch.Tensor]) -> dict[str, int]:
    """How many entries of each parameter did not move; parameters that moved everywhere are not listed."""
    counts = {name: int((value == after[name]).sum()) for name, value in before.items()}
    return {name: count for name, count in counts.items() if count}


def unmasked(module: nn.Module) -> dict[str, torch.Tensor]:
    """The parameters by name; of a masked layer's weight only what its mask lets through."""
    found = {}
    for name, value in module.named_parameters():
        owner = module.get_submodule(name.rpartition(".")[0])
        masked = isinstance(owner, MaskedLinear | BlockLinear) and name.endswith("weight")
        found[name] = value[owner.mask.bool()] if masked else value
    return found


def equal_components(values: torch.Tensor) -> bool:
    """Whether two of the components along the first axis are the same everywhere."""
    rows = values.flatten(1)
    return bool((torch.cdist(rows, rows) + torch.eye(len(rows)).to(rows) == 0).any())


@over("l")
def test_every_parameter_entry_moves_within_20_steps(entry: Entry) -> None:
    made = subject(entry, torch.float32, "start")
    rewired = _without_relu(made.flow)
    made.flow.initialise(made.data(64, 1), made.context(64, 1), generator=torch.Generator().manual_seed(5))
    before = {name: value.detach().clone() for name, value in unmasked(made.flow).items()}
    if rewired:
        train(made)
    else:
        # The same training, which other checks share.
        made = subject(entry, torch.float32, "trained")
    after = unmasked(made.flow)
    assert all(value.isfinite().all() for value in after.values())
    assert still_entries(before, after) == {}
    for values in entry.mixtures(made.flow) if entry.mixtures else []:
        assert not equal_components(values)


def _without_relu(module: nn.Module) -> bool:
    """Whether there was a ReLU: a unit that no row switches on has no gradient, which does not tell of the wiring."""
    rewired = False
    for name, child in module.named_children():
        if isinstance(child, nn.ReLU):
            setattr(module, name, nn.SiLU())
            rewired = True
        rewired |= _without_relu(child)
    return rewired


_ROUNDS, _STEPS = 12, 50


def _learners() -> list[Entry]:
    """Flows on the plane; flow matching's is ffjord, and learns by its regression in the tests of that."""
    plane = [e for e in ENTRIES if e.kind == "flow" and e.event_shape == (2,) and not e.truth and not e.context]
    return [e for e in plane if "levels" not in e.name and "flow_matching" not in e.name]


@pytest.mark.parametrize("entry", _learners(), ids=str)
def test_vector_flow_beats_a_gaussian_on_two_moons(entry: Entry) -> None:
    x = toys.sample("two-moons", 6000, seed=1)
    fitted, held_out = x[:4000], x[4000:]
    covariance = np.cov(fitted.T)
    deviation = held_out - fitted.mean(0)
    squares = np.einsum("ni,ij,nj->n", deviation, np.linalg.inv(covariance), deviation)
    gaussian = float((-0.5 * (squares + np.log(np.linalg.det(covariance))) - math.log(2 * math.pi)).mean())

    torch.manual_seed(0)
    made = subject(entry, torch.float32, "start")
    rounds = learn(made.flow, torch.from_numpy(fitted).float(), torch.from_numpy(held_out).float())
    assert any(score >= gaussian + 0.3 for score in rounds)


def learn(flow: Flow, rows: torch.Tensor, held_out: torch.Tensor) -> Iterator[float]:
    """The mean log-density of the rows held out after every round of training; greedy steps are fitted in one."""

    def score() -> float:
        with torch.no_grad():
            return float(flow.eval().log_prob(held_out).mean())

    if is_greedy(flow):
        fit(flow, rows, progress=False)
        yield score()
        return
    flow.initialise(rows)
    optimiser, batches = torch.optim.Adam(flow.parameters(), 1e-2), torch.Generator().manual_seed(0)
    for _ in range(_ROUNDS):
        flow.train()
        for _ in range(_STEPS):
            batch = rows[torch.randint(0, len(rows), (256,), generator=batches)]
            loss = -flow.log_prob(batch).mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        yield score()
