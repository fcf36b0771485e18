"""Two threads on one flow: results of each are those of one thread alone, and the flow stays as it was."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from pushforward import flows, precision
from pushforward.held_flags import HeldFlags
from pushforward.precision import evaluation, strict_precision
from pushforward.transforms.stochastic_log_det import StochasticLogDet, exactly


def in_threads(*actions: Callable[[], None]) -> None:
    """Run actions at the same time, each in a thread of its own; the first error of one of them is raised here."""
    errors: list[BaseException] = []

    def guarded(action: Callable[[], None]) -> None:
        try:
            action()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=(action,)) for action in actions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads), "the threads wait for each other"
    if errors:
        raise errors[0]


def overlapping(enter: Callable[[], object], seen: Callable[[], None]) -> None:
    """One thread enters and leaves the context that ``enter`` makes while another is inside, which then looks."""
    inside, left = threading.Event(), threading.Event()

    def first() -> None:
        with enter():  # type: ignore[attr-defined]
            assert inside.wait(30)
        left.set()

    def second() -> None:
        with enter():  # type: ignore[attr-defined]
            inside.set()
            assert left.wait(30)
            seen()

    in_threads(first, second)


def test_a_thread_that_leaves_evaluation_mode_leaves_it_to_the_others() -> None:
    module = nn.Sequential(nn.BatchNorm1d(2), nn.Dropout(), nn.Linear(2, 2).eval())

    def seen() -> None:
        assert not any(part.training for part in module.modules())

    overlapping(lambda: evaluation(module), seen)
    assert [part.training for part in module.modules()] == [True, True, True, False]


def test_a_thread_that_leaves_exact_mode_leaves_it_to_the_others() -> None:
    flow = flows.build("residual_flow", event_shape=(2,), transforms=1, log_det="roulette").double().eval()
    part = next(part for part in flow.modules() if isinstance(part, StochasticLogDet))

    def seen() -> None:
        assert part.exact

    overlapping(lambda: exactly(flow), seen)
    assert not part.exact


def test_a_thread_that_leaves_full_precision_leaves_it_to_the_others() -> None:
    cuda = SimpleNamespace(device=torch.device("cuda"))
    before = torch.backends.cudnn.conv.fp32_precision

    def seen() -> None:
        assert torch.backends.cudnn.conv.fp32_precision != "tf32"

    overlapping(lambda: strict_precision(cuda), seen)  # type: ignore[arg-type]
    assert torch.backends.cudnn.conv.fp32_precision == before
    assert precision._SWITCHES.users == 0


def test_flags_are_put_back_after_an_error_and_one_that_is_right_already_stays_free() -> None:
    flags: HeldFlags[SimpleNamespace] = HeldFlags(lambda o: o.flag, lambda o, value: setattr(o, "flag", value))
    owners = [SimpleNamespace(flag=True), SimpleNamespace(flag=False)]

    def fail() -> None:
        with flags.held(owners, False), flags.held(owners, False):
            owners[1].flag = True  # nobody holds it
            raise ValueError("inside")

    with pytest.raises(ValueError, match="inside"):
        fail()
    assert [owner.flag for owner in owners] == [True, True]
    assert not flags._holdings


@pytest.mark.parametrize(
    ("name", "options"), [("real_nvp", {"norm": "batch"}), ("nsf", {"dropout": 0.5}), ("residual_flow", {})]
)
def test_a_flow_in_training_mode_gives_both_threads_its_evaluation_density(name: str, options: dict[str, Any]) -> None:
    torch.manual_seed(0)
    flow = flows.build(name, event_shape=(2,), transforms=2, hidden=(8,), **options).double()
    x = torch.randn(16, 2, dtype=torch.float64)
    flow.initialise(x)
    want, moments = flow.likelihood(x).value, {name: value.clone() for name, value in flow.state_dict().items()}
    wrong: list[Tensor] = []

    def score() -> None:
        for _ in range(60):
            value = flow.likelihood(x).value
            if not torch.equal(value, want):
                wrong.append(value)

    in_threads(score, score)
    assert not wrong
    assert all(torch.equal(moments[name], value) for name, value in flow.state_dict().items())
    assert all(part.training for part in flow.modules())
