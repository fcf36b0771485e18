"""The spline's kernel as an operator of torch: in compiled graphs, and not where the formulas have to stand."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from pushforward.errors import OptionError, ShapeError
from pushforward.kernels import takes_spline
from pushforward.kernels.library import library
from pushforward.maps import RationalQuadraticSpline

pytestmark = pytest.mark.skipif(library() is None, reason="the kernels were not built or are turned off")


def _inputs(map: RationalQuadraticSpline, *shape: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    params = torch.randn(map.n_params, *shape, generator=generator, dtype=torch.float64)
    return torch.randn(*shape, generator=generator, dtype=torch.float64).requires_grad_(), params.requires_grad_()


@pytest.mark.parametrize("inverse", [False, True])
def test_the_operator_is_one_for_torch(inverse: bool) -> None:
    map = RationalQuadraticSpline(4)
    values, params = _inputs(map, 3, 5)
    options = (4, 3, 0, -3.0, 3.0, 1e-3, 1e-3, 1e-3, inverse)
    checks = ("test_schema", "test_autograd_registration", "test_faketensor", "test_aot_dispatch_static")
    strided = values.detach().t().contiguous().t().requires_grad_()
    for given in (values, strided):
        result = torch.library.opcheck(torch.ops.pushforward.spline, (given, params, *options), test_utils=checks)
        assert set(result.values()) == {"SUCCESS"}
    first = torch.ops.pushforward.spline(values, params, *options)
    by_params = torch.autograd.grad(first[0].sum(), params, create_graph=True)[0]
    with pytest.raises(OptionError, match="no second derivatives"):
        torch.autograd.grad(by_params.sum(), values)


def test_the_operator_refuses_calls_that_describe_other_memory() -> None:
    values, params = torch.zeros(5), torch.zeros(11, 5)
    numbers = (-3.0, 3.0, 1e-3, 1e-3, 1e-3, False)
    for options in ((4, 1, 0), (4, 3, 3), (1, 0, 0)):
        with pytest.raises(OptionError, match="bins"):
            torch.ops.pushforward.spline(values, params, *options, *numbers)
    with pytest.raises(OptionError, match="2 to 64 bins"):
        torch.ops.pushforward.spline(values, torch.zeros(299, 5), 100, 99, 0, *numbers)
    with pytest.raises(OptionError, match=r"float32 or torch\.float64 expected, got torch\.bfloat16"):
        torch.ops.pushforward.spline(values.bfloat16(), params.bfloat16(), 4, 3, 0, *numbers)
    with pytest.raises(ShapeError, match=r"gradients of shape \(5,\)"):
        torch.ops.pushforward.spline_gradients(values, params, values, values[:3], 4, 3, 0, *numbers)


def test_a_compiled_graph_calls_the_operator_and_an_exported_program_does_not() -> None:
    map = RationalQuadraticSpline(4)
    values, params = _inputs(map, 5)
    graphs: list[torch.fx.GraphModule] = []

    def keep(graph: torch.fx.GraphModule, inputs: list[Tensor]) -> torch.fx.GraphModule:
        graphs.append(graph)
        return graph

    def called(graph: torch.fx.GraphModule) -> set[str]:
        return {str(node.target) for node in graph.graph.nodes if "pushforward" in str(node.target)}

    compiled = torch.compile(map, backend=keep, fullgraph=True)
    outs = [function(values, params) for function in (compiled, map)]
    grads = [torch.autograd.grad(out[0].sum() + out[1].cos().sum(), (values, params)) for out in outs]
    assert called(graphs[0]) == {"pushforward.spline"}
    assert all(torch.equal(a, b) for a, b in zip(outs[0] + grads[0], outs[1] + grads[1], strict=True))
    assert called(torch.export.export(map, (values.detach(), params.detach())).module()) == set()


class _Recorder(TorchDispatchMode):
    """A mode that counts operations."""

    count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += 1
        return func(*args, **(kwargs or {}))


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::torch.jit.TracerWarning")
def test_torchs_own_operations_compute_where_they_are_recorded() -> None:
    map = RationalQuadraticSpline(4)
    values, params = _inputs(map, 5)
    assert map._kernel is not None
    assert takes_spline(values, params, map._kernel)
    with _Recorder() as recorder:
        recorded = map(values, params)
    assert recorder.count > 20
    torch.testing.assert_close(recorded, map(values, params), rtol=1e-12, atol=1e-12)
    plain = (values.detach(), params.detach())
    traced = torch.jit.trace(map, plain, check_trace=False)
    torch.testing.assert_close(traced(*plain), map(*plain), rtol=1e-12, atol=1e-12)
    compiled = torch.compile(torch.func.vmap(map, in_dims=(0, 1)), backend="eager")
    torch.testing.assert_close(compiled(*plain), map(*plain), rtol=1e-12, atol=1e-12)
