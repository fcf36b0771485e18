"""The number of torch's threads: chosen by the size of the work, never raised, and put back."""

from collections.abc import Iterator

import pytest
import torch

from pushforward import flows, inference, processors, threads
from pushforward.flow import Flow
from pushforward.training import TrainingOptions, fit
from pushforward.training.greedy import is_greedy
from registry import CHAINS, ENTRIES, Entry
from subjects import subject


@pytest.fixture(autouse=True)
def four_threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    before = torch.get_num_threads()
    monkeypatch.setattr(processors, "available", lambda: 4)
    torch.set_num_threads(4)
    yield
    torch.set_num_threads(before)


def small_flow() -> Flow:
    torch.manual_seed(0)
    return flows.build("real_nvp", (2,), transforms=2, hidden=(8,))


def first_layer(flow: Flow) -> torch.nn.Linear:
    """A layer that each pass calls once."""
    return next(module for module in flow.modules() if isinstance(module, torch.nn.Linear))


def threads_of_a_step(batch_size: int) -> int:
    """The number of threads that torch has while a flow on 8 columns is fitted in batches of that size."""
    torch.manual_seed(0)
    flow, seen = flows.build("real_nvp", (8,), transforms=2), []

    def note(module: torch.nn.Module, _: object) -> None:
        if module.training:
            seen.append(torch.get_num_threads())

    first_layer(flow).register_forward_pre_hook(note)
    options = TrainingOptions(steps=1, batch_size=batch_size)
    fit(flow, torch.randn(batch_size, 8), validation=torch.randn(16, 8), options=options, progress=False)
    assert len(seen) == 1
    return seen[0]


def test_small_steps_take_one_thread_and_large_ones_all() -> None:
    assert (threads_of_a_step(256), threads_of_a_step(16_384)) == (1, 4)
    assert torch.get_num_threads() == 4


def test_the_number_that_was_set_is_never_raised() -> None:
    torch.set_num_threads(2)
    assert (threads_of_a_step(256), threads_of_a_step(16_384)) == (1, 2)
    assert torch.get_num_threads() == 2


def test_a_fit_takes_no_more_threads_than_there_are_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processors, "available", lambda: 3)
    assert threads_of_a_step(16_384) == 3
    assert torch.get_num_threads() == 4


def test_a_fit_to_a_density_takes_the_threads_that_suit_it() -> None:
    seen = []

    def log_density(x: torch.Tensor) -> torch.Tensor:
        seen.append(torch.get_num_threads())
        return -x.square().sum(1)

    options = inference.InferenceOptions(steps=2, samples=10)
    inference.fit(small_flow(), log_density, options=options, progress=False)
    assert set(seen) == {1}
    assert torch.get_num_threads() == 4


def test_the_number_is_put_back_after_an_error() -> None:
    def broken(x: torch.Tensor) -> torch.Tensor:
        assert torch.get_num_threads() == 1
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        inference.fit(small_flow(), broken, progress=False)
    assert torch.get_num_threads() == 4


@pytest.mark.parametrize("name", ["real_nvp", "glow", "residual_flow", "ffjord", "flow_matching", "rbig"])
def test_choosing_the_number_changes_nothing_in_a_fit(name: str) -> None:
    """The weights are those of a fit on one thread, where nothing has to be chosen."""
    shape = (1, 4, 4) if name in ("real_nvp", "glow") else (2,)
    x = torch.randint(0, 256, (40, *shape)).float() if len(shape) == 3 else torch.randn(40, 2)
    fitted = []
    for count in (1, 4):
        torch.set_num_threads(1)
        torch.manual_seed(0)
        flow = flows.build(name, shape)
        torch.set_num_threads(count)
        fit(flow, x, options=TrainingOptions(steps=2, batch_size=16), progress=False)
        fitted.append(flow.state_dict())
    assert all(torch.equal(value, fitted[1][key]) for key, value in fitted[0].items())


@pytest.mark.parametrize("entry", [e for e in ENTRIES if e.architecture is not None and e.name not in CHAINS], ids=str)
def test_the_work_of_every_flow_can_be_counted(entry: Entry) -> None:
    """The loss inside a counter is the loss outside it, and twice the rows are nearly twice the work."""
    one = subject(entry)
    if is_greedy(one.flow):
        return
    objective, work = one.flow.objective, []
    for n in (8, 16):
        x, context, noise = one.data(n), one.context(n), one.noise_of(objective.noise, n)
        with threads.WorkCounter() as counter:
            counted = objective(x, context, noise).value
        assert torch.equal(counted, objective(x, context, noise).value)
        assert counter.calls > 0
        assert counter.threads == 1
        work.append(counter.work)
    assert work[0] < work[1]


def test_work_counts_values_and_the_operations_of_products() -> None:
    a, b = torch.ones(1000, 200), torch.ones(200, 3000)
    with threads.WorkCounter() as counter:
        a.exp()
    assert (counter.calls, counter.work) == (1, 200_000.0)
    assert counter.threads == 2
    with threads.WorkCounter() as counter:
        a @ b
    assert (counter.calls, counter.work) == (1, 3e6 + 2 * 1000 * 200 * 3000 / 16)
    with threads.WorkCounter() as counter:
        pass
    assert counter.threads == 1


def threads_of_passes(flow: Flow, *batch_sizes: int) -> list[int]:
    """The number of threads in each pass of `Flow.likelihood`, with so many rows in a pass."""
    seen: list[int] = []
    handle = first_layer(flow).register_forward_pre_hook(lambda *_: seen.append(torch.get_num_threads()))
    for size in batch_sizes:
        flow.likelihood(torch.zeros(2 * size, 8), batch_size=size)
    handle.remove()
    return seen


def test_passes_of_a_likelihood_take_the_threads_that_suit_their_rows() -> None:
    """The first pass of many more rows than before is counted, with torch's number of threads."""
    flow = flows.build("real_nvp", (8,), transforms=2)
    assert threads_of_passes(flow, 64, 128, 8192, 64, 16_384) == [4, 1, 1, 1, 4, 4, 1, 1, 4, 4]
    assert torch.get_num_threads() == 4
    torch.set_num_threads(3)
    assert threads_of_passes(flow, 64, 16_384) == [1, 1, 3, 3]
    assert torch.get_num_threads() == 3


def test_a_likelihood_of_no_rows_and_of_a_compiled_flow() -> None:
    flow = small_flow()
    assert flow.likelihood(torch.zeros(0, 2)).value.shape == (0,)
    x = torch.randn(6, 2)
    expected = flow.likelihood(x).value
    flow.compile(backend="aot_eager", fullgraph=True)
    again = small_flow()
    again.compile(backend="aot_eager", fullgraph=True)
    for compiled in (flow, again):
        torch.testing.assert_close(compiled.likelihood(x).value, expected)
        torch.testing.assert_close(compiled(x), expected)
