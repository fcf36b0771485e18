"""Check i: both directions become one graph, which gives what eager mode gives."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch._dynamo.testing import CompileCounterWithBackend
from torch.utils._pytree import tree_map_only

from checking import over
from registry import BY_NAME, Entry
from subjects import Subject, subject

_BATCHES = (5, 7, 11)

# One entry for each kind of code, small, for the backend that also traces what autograd will see.
_TRACED = (
    "map: affine, tanh",
    "map: rational-quadratic spline, linear tails",
    "map: deep sigmoidal",
    "map: sum of squares",
    "map: unconstrained monotone",
    "map: distribution function, mixture",
    "transform: coupling, half",
    "transform: autoregressive, context",
    "transform: batch norm",
    "transform: Glow step",
    "transform: linear, LU, image",
    "transform: top prior, context",
    "transform: sylvester, context",
    "transform: masked convolution",
    "transform: slice, context",
    "transform: sort, 3 features",
    "transform: max pool, context",
    "transform: argmax, signs",
    "transform: stochastic permutation, context",
    "transform: augment",
    "base: Gaussian mixture",
    "base: von Mises",
    "flow: real_nvp, levels",
)
_TWICE = ("map: cubic spline", "transform: coupling, half", "transform: Glow step", "transform: autoregressive")


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


def assert_compiles(made: Subject, backend: str, graphs: int = 1, batches: tuple[int, ...] = _BATCHES) -> None:
    """Fail on a graph break, on a value that is not eager mode's, or on more than so many graphs for all batch sizes.

    graphs: 1 tells the compiler beforehand that batches differ in size; 2 leaves it to find that out from the second.
    """
    for index in range(len(_directions(made, 1))):
        counter = CompileCounterWithBackend(backend)
        compiled = None
        for n in batches:
            function, arguments = _directions(made, n)[index]
            compiled = compiled or torch.compile(function, fullgraph=True, backend=counter)
            if graphs == 1 and len(batches) > 1:
                tree_map_only(torch.Tensor, lambda rows: torch._dynamo.mark_dynamic(rows, 0), arguments)
            with torch.no_grad():
                torch.testing.assert_close(compiled(*arguments), function(*arguments), atol=1e-5, rtol=1e-5)
        assert counter.frame_count <= graphs


@over("i")
def test_both_directions_compile_into_one_graph_that_equals_eager(entry: Entry) -> None:
    assert_compiles(subject(entry, torch.float32), "eager")


@pytest.mark.parametrize("entry", [BY_NAME[name] for name in _TRACED], ids=str)
def test_the_graph_is_traced_for_autograd(entry: Entry) -> None:
    assert_compiles(subject(entry, torch.float32), "aot_eager", batches=_BATCHES[:1])


@pytest.mark.parametrize("entry", [BY_NAME[name] for name in _TWICE], ids=str)
def test_another_batch_size_compiles_once_more_and_not_again(entry: Entry) -> None:
    assert_compiles(subject(entry, torch.float32), "aot_eager", graphs=2)


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch's own, when it loads its default backend
@pytest.mark.filterwarnings("ignore:.torch._prims_common.check:FutureWarning")  # of torch's own, of a diagonal
@pytest.mark.parametrize("name", ["flow: real_nvp, 2 features", "transform: coupling, half", "transform: Glow step"])
def test_default_backend_equals_eager(name: str) -> None:
    assert_compiles(subject(BY_NAME[name], torch.float32), "inductor", graphs=2)
