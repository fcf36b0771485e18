"""Fits in several threads at once: each gives what it gives alone, and torch's global state stays as it was."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from pushforward import flows, processors
from pushforward.training import fit

Weights = dict[str, torch.Tensor]


@pytest.fixture(autouse=True)
def two_threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(processors, "available", lambda: 2)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def job(name: str, seed: int, **options: object) -> Callable[[], Weights]:
    """A fit of a flow that is built here, on the main thread."""
    torch.manual_seed(seed)
    flow, x = flows.build(name, (3,), **options), torch.randn(400, 3)

    def run() -> Weights:
        fit(flow, x, steps=15, batch_size=64, seed=seed, progress=False)
        return {key: value.clone() for key, value in flow.state_dict().items()}

    return run


def jobs() -> list[Callable[[], Weights]]:
    return [
        job("real_nvp", 0, transforms=2, hidden=(32, 32), dropout=0.3),
        job("real_nvp", 1, transforms=2, hidden=(32, 32), dropout=0.3),
        job("vflow", 2, hidden=(16,)),
        job("rbig", 3, transforms=3),
    ]


def together(runs: list[Callable[[], Weights]]) -> list[Weights]:
    """The results of all runs, which begin at the same moment."""
    start = threading.Barrier(len(runs))

    def go(run: Callable[[], Weights]) -> Weights:
        start.wait()
        return run()

    with ThreadPoolExecutor(len(runs)) as pool:
        return list(pool.map(go, runs))


def test_fits_at_once_give_the_weights_of_fits_one_after_the_other() -> None:
    state = torch.get_rng_state()
    alone = [run() for run in jobs()]
    torch.set_rng_state(state)
    runs = jobs()
    state = torch.get_rng_state()
    for one, other in zip(alone, together(runs), strict=True):
        assert all(torch.equal(value, other[key]) for key, value in one.items())
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.get_num_threads() == 2


def test_a_thread_that_begins_during_a_fit_has_torchs_own_number_of_threads() -> None:
    """The fit of the main thread lowers the number; a fit that starts then chooses among all again."""
    numbers = []

    def note(module: torch.nn.Module, _: object) -> None:
        if module.training:
            numbers.append(torch.get_num_threads())

    def look() -> None:
        flow = flows.build("real_nvp", (8,), transforms=2)
        layer = next(module for module in flow.modules() if isinstance(module, torch.nn.Linear))
        layer.register_forward_pre_hook(note)
        fit(flow, torch.randn(16_384, 8), validation=torch.randn(16, 8), steps=1, batch_size=16_384, progress=False)

    def during(flow: object, step: int, value: float) -> None:
        if not numbers:
            thread = threading.Thread(target=look)
            thread.start()
            thread.join()

    flow = flows.build("real_nvp", (2,), transforms=2, hidden=(8,))
    fit(flow, torch.randn(40, 2), steps=1, validate_every=1, progress=False, on_best=during)
    assert numbers == [2]
    assert torch.get_num_threads() == 2
