"""MADE: what depends on what, and the inverse that computes every unit once."""

import itertools

import pytest
import torch
from torch import Tensor

from entries.autoregressive import DIAMOND, OtherNet
from pushforward.errors import ContextError, OptionError, ShapeError
from pushforward.maps import Affine, DeepSigmoidal, SoftClampScale
from pushforward.nets import MADE, MLP
from pushforward.nets.masks import full_adjacency, topological_stages
from pushforward.transforms import Autoregressive, BlockAutoregressive

_ADJACENCIES = {
    "full": full_adjacency(5),
    "reversed": full_adjacency(5, (4, 3, 2, 1, 0)),
    "shuffled": full_adjacency(5, (3, 0, 4, 1, 2)),
    "diamond": torch.tensor(DIAMOND, dtype=torch.bool),
    "halves": torch.tensor([[False] * 4] * 2 + [[True, True, False, False]] * 2),
    "independent": torch.zeros(3, 3, dtype=torch.bool),
}


def _random(net: MADE, seed: int = 0) -> MADE:
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.copy_(0.5 * torch.randn(parameter.shape, generator=generator))
    return net.double()


@pytest.mark.parametrize(
    ("name", "hidden", "residual", "context"),
    list(itertools.product(_ADJACENCIES, [(24, 24, 24), (24, 7), (3, 3)], [True, False], [0, 2])),
)
def test_outputs_depend_on_their_parents_and_on_nothing_else(
    name: str, hidden: tuple[int, ...], residual: bool, context: int
) -> None:
    adjacency = _ADJACENCIES[name]
    features = len(adjacency)
    net = _random(MADE(adjacency, 3, hidden, context, "tanh", residual))
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(8, features, dtype=torch.float64, generator=generator)
    c = torch.randn(8, context, dtype=torch.float64, generator=generator) if context else None

    def summed(x: Tensor, c: Tensor | None) -> Tensor:
        return net(x, c).sum(1)

    jacobian = torch.autograd.functional.jacobian(lambda x: summed(x, c), x).abs().sum(2)
    assert torch.equal(jacobian[0] > 0, adjacency)
    assert torch.equal(jacobian[2] > 0, adjacency)
    if c is not None:
        by_context = torch.autograd.functional.jacobian(lambda c: summed(x, c), c).abs().sum(2)
        assert (by_context > 0).all(), "every output depends on the context, the first one too"


def test_a_context_shifts_the_first_layer_and_gates_what_the_others_add() -> None:
    # Durkan et al., "Neural Spline Flows", 2019, appendix B, with one block a layer.
    net = _random(MADE(full_adjacency(3), 2, (6, 6), 2, "tanh"))
    generator = torch.Generator().manual_seed(1)
    x, c = (torch.randn(4, n, dtype=torch.float64, generator=generator) for n in (3, 2))
    first, second = net.layers
    shift, gate = net.from_context
    h = x @ (first.weight * first.mask).T + first.bias + c @ shift.weight.T + shift.bias
    added = h.tanh() @ (second.weight * second.mask).T + second.bias
    h = h + added * (c @ gate.weight.T + gate.bias).sigmoid()
    wanted = h.tanh() @ (net.last.weight * net.last.mask).T + net.last.bias
    torch.testing.assert_close(net(x, c), wanted.unflatten(1, (2, 3)).movedim(1, 0), atol=1e-12, rtol=0)


@pytest.mark.parametrize("grad", [False, True], ids=["without gradients", "with gradients"])
@pytest.mark.parametrize("residual", [True, False], ids=["residual", "plain"])
@pytest.mark.parametrize("context", [0, 2])
@pytest.mark.parametrize("name", _ADJACENCIES)
def test_stages_with_a_cache_equal_as_many_passes(name: str, context: int, residual: bool, grad: bool) -> None:
    net = _random(MADE(_ADJACENCIES[name], 2, (20, 20, 9), context, "silu", residual))
    unrolled = Autoregressive(Affine(SoftClampScale()), net).double()
    repeated = Autoregressive(Affine(SoftClampScale()), OtherNet(net)).double()
    generator = torch.Generator().manual_seed(2)
    z = torch.randn(7, net.features, dtype=torch.float64, generator=generator).requires_grad_(grad)
    c = torch.randn(7, context, dtype=torch.float64, generator=generator) if context else None
    with torch.set_grad_enabled(grad):
        results = [transform.to_data(z, c) for transform in (unrolled, repeated)]
    for got, wanted in zip(*results, strict=True):
        torch.testing.assert_close(got, wanted, atol=1e-12, rtol=1e-12)
    if grad:
        first, second = (torch.autograd.grad(x.sum() + term.sum(), z)[0] for x, term in results)
        torch.testing.assert_close(first, second, atol=1e-12, rtol=1e-12)


@pytest.mark.parametrize("grad", [False, True], ids=["without gradients", "with gradients"])
@pytest.mark.parametrize("mixed", [False, True], ids=["in order", "in a mixed order"])
@pytest.mark.parametrize(("features", "hidden"), [(20, (30, 30)), (20, (6, 6)), (9, (5,))])
def test_blocks_of_stages_and_direct_connections_change_nothing(
    features: int, hidden: tuple[int, ...], mixed: bool, grad: bool
) -> None:
    order = [*range(1, features, 2), *range(0, features, 2)[::-1]] if mixed else None
    net = _random(MADE(full_adjacency(features, order), 2, hidden))
    assert (net.direct is not None) == (min(hidden) < features - 1)
    unrolled, repeated = (Autoregressive(Affine(SoftClampScale()), n).double() for n in (net, OtherNet(net)))
    z = torch.randn(4, features, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    with torch.set_grad_enabled(grad):
        for got, wanted in zip(unrolled.to_data(z), repeated.to_data(z), strict=True):
            torch.testing.assert_close(got, wanted, atol=1e-12, rtol=1e-12)


@pytest.mark.slow
def test_many_stages_compile_with_a_numeric_inverse() -> None:
    torch._dynamo.reset()
    map = DeepSigmoidal(3)
    transform = Autoregressive(map, _random(MADE(full_adjacency(11), map.n_params, (12, 12)))).double()
    compiled = torch.compile(transform.to_data, fullgraph=True, backend="aot_eager")
    z = torch.randn(4, 11, dtype=torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(compiled(z), transform.to_data(z))


def test_the_way_back_computes_each_hidden_unit_once(monkeypatch: pytest.MonkeyPatch) -> None:
    net = _random(MADE(full_adjacency(6), 2, (30, 30)))
    transform = Autoregressive(Affine(SoftClampScale()), net).double()
    computed = 0
    original = net.activation.forward

    def count(h: Tensor) -> Tensor:
        nonlocal computed
        computed += len(h)
        return original(h)

    monkeypatch.setattr(net.activation, "forward", count)
    with torch.no_grad():
        transform.to_data(torch.zeros(3, 6, dtype=torch.float64))
    assert computed == 60


@pytest.mark.parametrize(("name", "passes"), [("full", 5), ("diamond", 2), ("halves", 2), ("independent", 1)])
def test_steps_are_the_depth_of_the_graph(name: str, passes: int) -> None:
    assert len(MADE(_ADJACENCIES[name], 1).order.sizes) == passes
    assert int(topological_stages(_ADJACENCIES[name]).max()) + 1 == passes


@pytest.mark.parametrize(("name", "passes"), [("full", 5), ("diamond", 2), ("independent", 1)])
def test_a_net_without_a_cache_makes_a_pass_a_stage(name: str, passes: int) -> None:
    net, calls = OtherNet(_random(MADE(_ADJACENCIES[name], 2))), []
    net.register_forward_hook(lambda *_: calls.append(1))
    z = torch.ones(4, *net.event_shape, dtype=torch.float64)
    with torch.no_grad():
        Autoregressive(Affine(SoftClampScale()), net).double().to_data(z)
    assert len(calls) == passes


def test_it_starts_at_zero_whatever_comes_in() -> None:
    assert torch.equal(
        MADE(full_adjacency(3), 2, context_dim=1)(torch.randn(4, 3), torch.randn(4, 1)), torch.zeros(2, 4, 3)
    )


def test_a_context_that_is_missing_or_not_wanted_is_an_error() -> None:
    x = torch.zeros(2, 3)
    for net in (
        MADE(full_adjacency(3), 2, context_dim=2),
        BlockAutoregressive(3, (4,), context_dim=2).to_latent,
    ):
        with pytest.raises(ContextError, match="takes a context of 2 numbers, got 0"):
            net(x)
    for net in (MADE(full_adjacency(3), 2), BlockAutoregressive(3, (4,)).to_latent):
        with pytest.raises(ContextError, match="takes a context of 0 numbers, got 1"):
            net(x, torch.zeros(2, 1))


def test_nets_that_do_not_fit_a_map_are_refused() -> None:
    with pytest.raises(OptionError, match="Affine takes 2 parameters a coordinate, but the net gives 3"):
        Autoregressive(Affine(SoftClampScale()), MADE(full_adjacency(3), 3))
    with pytest.raises(OptionError, match="is a StagedNet, MLP is not; use a MADE"):
        Autoregressive(Affine(SoftClampScale()), MLP(3, 6))  # type: ignore[arg-type]


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(OptionError, match=r"cycle among the coordinates \[0, 1\]"):
        MADE(torch.tensor([[0, 1, 0], [1, 0, 0], [0, 0, 0]], dtype=torch.bool), 1)
    with pytest.raises(OptionError, match=r"cycle among the coordinates \[1\]"):
        MADE(torch.tensor([[0, 0], [0, 1]], dtype=torch.bool), 1)
    with pytest.raises(ShapeError, match=r"adjacency of shape \(D, D\) expected, got \(2, 3\)"):
        MADE(torch.zeros(2, 3), 1)
    with pytest.raises(OptionError, match=r"order must hold each of 0..2 once, got \[0, 1, 1\]"):
        full_adjacency(3, (0, 1, 1))
    with pytest.raises(OptionError, match="hidden must be one or more widths"):
        MADE(full_adjacency(2), 1, hidden=())
