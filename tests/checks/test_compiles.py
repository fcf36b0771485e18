"""Check i: both directions become one graph, which gives what eager mode gives."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch._dynamo.testing import CompileCounterWithBackend

from checking import over
from registry import BY_NAME, Entry
from subjects import Subject, subject

_BATCHES = (5, 7, 11)


@pytest.fixture(autouse=True)
def _fresh_compiler() -> Iterator[None]:
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


def _directions(made: Subject, n: int) -> list[tuple[Callable[..., Any], tuple[Any, ...]]]:
    context = made.embedded(n)
    if made.entry.kind == "base":
        return [(made.flow.base.log_prob, (made.latents(n), context))]
    return [
        (made.transform.to_latent, (made.data(n), context, made.noise(n))),
        (made.transform.to_data, (made.latents(n), context, made.noise(n, back=True))),
    ]


def _assert_compiles(made: Subject, backend: str, atol: float) -> None:
    for index in range(len(_directions(made, 1))):
        counter = CompileCounterWithBackend(backend)
        compiled = None
        for n in _BATCHES:
            function, arguments = _directions(made, n)[index]
            compiled = compiled or torch.compile(function, fullgraph=True, backend=counter)
            with torch.no_grad():
                torch.testing.assert_close(compiled(*arguments), function(*arguments), atol=atol, rtol=atol)
        assert counter.frame_count <= 2, "another batch size compiles once more and not again"


@over("i")
def test_both_directions_compile_into_one_graph_that_equals_eager(entry: Entry) -> None:
    _assert_compiles(subject(entry, torch.float32), "aot_eager", 1e-5)


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch's own, when it loads its default backend
@pytest.mark.filterwarnings("ignore:.torch._prims_common.check:FutureWarning")  # of torch's own, of a diagonal
@pytest.mark.parametrize("name", ["flow: real_nvp, 2 features", "transform: coupling, half", "transform: Glow step"])
def test_default_backend_equals_eager(name: str) -> None:
    _assert_compiles(subject(BY_NAME[name], torch.float32), "inductor", 1e-5)
