"""Contractive nets: their bounds against singular values of whole operators, at the start and after training."""

import copy
import itertools

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from operators import operator_matrix
from pushforward.domain import REAL
from pushforward.errors import ContextError, OptionError
from pushforward.flow import Flow
from pushforward.flows import build
from pushforward.nets import contractive_conv_net, contractive_mlp
from pushforward.nets.lipschitz import (
    MARGIN,
    ContractiveNet,
    LipschitzConv2d,
    LipschitzLayer,
    LipschitzLinear,
    LipSwish,
)
from pushforward.nets.spectral_norm import krylov_vectors
from pushforward.precision import evaluation
from subjects import structured


def true_norm(layer: LipschitzLayer) -> float:
    """The largest singular value of the layer as it runs, from the matrix of its raw weight."""
    raw = np.linalg.svd(operator_matrix(layer), compute_uv=False)[0]
    weight, scaled = layer.weight.detach(), layer.normalised().detach()
    ratio = float(scaled.double().norm() / weight.double().norm()) if bool((weight != 0).any()) else 0.0
    torch.testing.assert_close(scaled, ratio * weight, atol=1e-5, rtol=1e-4)
    return raw * ratio


def _layers(module: nn.Module) -> list[LipschitzLayer]:
    return [layer for layer in module.modules() if isinstance(layer, LipschitzLayer)]


def _make(kind: str, coefficient: float = 0.9) -> LipschitzLayer:
    if kind == "linear":
        return LipschitzLinear(20, 30, coefficient)
    return LipschitzConv2d((3, 6, 5), 7, 3, coefficient)


@pytest.mark.parametrize("kind", ["linear", "conv"])
@pytest.mark.parametrize("scale", [0.1, 1.0, 50.0])
def test_norm_in_evaluation_is_below_the_coefficient_and_near_it_where_it_binds(kind: str, scale: float) -> None:
    torch.manual_seed(0)
    layer = _make(kind).double().eval()
    with torch.no_grad():
        layer.weight.mul_(scale)
    raw, norm = np.linalg.svd(operator_matrix(layer), compute_uv=False)[0], true_norm(layer)
    assert norm <= 0.9
    assert norm >= 0.9 / (1 + MARGIN) - 1e-4 if raw > 0.9 else norm == pytest.approx(raw)


@pytest.mark.parametrize("kind", ["linear", "conv"])
def test_training_follows_the_norm_and_evaluation_leaves_the_vectors(kind: str) -> None:
    torch.manual_seed(0)
    layer = _make(kind)
    with torch.no_grad():
        layer.weight.mul_(5)
    before = copy.deepcopy(dict(layer.named_buffers()))
    layer.eval().normalised()
    assert all(torch.equal(value, before[name]) for name, value in layer.named_buffers())
    layer.train()
    for _ in range(40):
        layer.normalised()
    assert true_norm(layer) == pytest.approx(0.9 / (1 + MARGIN), rel=2e-3)
    assert not torch.equal(layer.left, before["left"])
    twin = copy.deepcopy(layer)
    twin.load_state_dict(layer.state_dict())
    assert torch.equal(twin.eval().normalised(), layer.eval().normalised())


def _hard_spectra(n: int) -> list[Tensor]:
    """Matrices whose first singular values lie close together, where power iteration takes longest."""
    generator = torch.Generator().manual_seed(3)
    left, right = (torch.linalg.qr(torch.randn(n, n, generator=generator, dtype=torch.float64))[0] for _ in range(2))
    spectra = [torch.ones(n), torch.linspace(1, 0.99, n), torch.cat([torch.tensor([1.0]), torch.full((n - 1,), 0.98)])]
    return [left @ torch.diag(s.double()) @ right for s in spectra]


@pytest.mark.parametrize("which", range(3))
def test_close_singular_values_do_not_break_the_bound(which: int) -> None:
    matrix = 3 * _hard_spectra(200)[which]
    start = torch.randn(200, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    left, right = krylov_vectors(lambda v: matrix @ v, lambda v: matrix.t() @ v, start, 32)
    found, wanted = float(left @ matrix @ right), float(torch.linalg.matrix_norm(matrix, 2))
    assert wanted / (1 + MARGIN) <= found <= wanted + 1e-12
    assert float(left.norm()) == pytest.approx(1.0)
    assert float(right.norm()) == pytest.approx(1.0)


def test_a_saved_vector_that_has_become_the_second_one_does_not_break_the_bound() -> None:
    torch.manual_seed(0)
    layer = LipschitzConv2d((2, 8, 8), 6, 3).double()
    with torch.no_grad():
        layer.weight.mul_(9)
    u, _, v = np.linalg.svd(operator_matrix(layer))
    layer.left.copy_(torch.from_numpy(u[:, 1]).reshape(layer.left.shape))
    layer.right.copy_(torch.from_numpy(v[1]).reshape(layer.right.shape))
    assert true_norm(layer.eval()) <= 0.9


def test_an_operator_of_zeros_keeps_its_vectors_and_has_gradients() -> None:
    layer = LipschitzConv2d((1, 3, 3), 2, 3)
    with torch.no_grad():
        layer.weight.zero_()
    for module in (layer.train(), layer.eval()):
        weight = module.normalised()
        assert torch.equal(weight, torch.zeros_like(weight))
        weight.sum().backward()
        assert layer.weight.grad is not None
        assert layer.weight.grad.isfinite().all()
    assert float(layer.left.norm()) == pytest.approx(1.0)
    assert float(layer.right.norm()) == pytest.approx(1.0)


@pytest.mark.parametrize("beta", [-8.0, -1.0, 0.5, 3.0, 30.0])
def test_slope_of_lipswish_is_at_most_one(beta: float) -> None:
    activation = LipSwish().double()
    with torch.no_grad():
        activation.raw_beta.fill_(beta)
    x = torch.linspace(-60, 60, 200_001, dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(activation(x).sum(), x)
    assert slope.abs().max() <= 1
    if beta > -5:
        assert slope.max() >= 0.99


def _trained(name: str, shape: tuple[int, ...], steps: int = 60, **options: object) -> tuple[Flow, Tensor]:
    """A flow after steps that are large enough for every layer to reach its bound."""
    torch.manual_seed(0)
    flow = build(name, shape, **options)
    x = structured(256, shape, REAL, torch.Generator().manual_seed(0)).float()
    x = x.sign() * 3 + 0.1 * x
    flow.initialise(x)
    optimiser = torch.optim.Adam(flow.parameters(), 2e-2)
    for _ in range(steps):
        optimiser.zero_grad()
        (-flow.log_prob(x).mean()).backward()
        optimiser.step()
    return flow, x


_FLOWS: list[tuple[str, tuple[int, ...], dict[str, object]]] = [
    ("iresnet", (2,), {"transforms": 3, "hidden": (32, 32)}),
    ("residual_flow", (2,), {"transforms": 3, "hidden": (32, 32)}),
    ("residual_flow", (12,), {"transforms": 2, "hidden": (32,)}),
    ("residual_flow", (1, 8, 8), {"transforms": 1, "channels": 8, "scales": 2}),
]


@pytest.mark.parametrize(("name", "shape", "options"), _FLOWS, ids=str)
def test_every_layer_and_block_stays_below_its_coefficient_after_training(
    name: str, shape: tuple[int, ...], options: dict[str, object]
) -> None:
    flow, _ = _trained(name, shape, **options)
    bound, reached = {"iresnet": 0.9, "residual_flow": 0.98}[name], []
    # Not by `eval()`, which a layer could notice: as scoring and sampling do it.
    with evaluation(flow):
        for layer in _layers(flow):
            assert layer.coefficient == bound
            reached.append(true_norm(layer))
        nets = [net for net in flow.modules() if isinstance(net, ContractiveNet)]
        for net in nets:
            assert net.lipschitz == pytest.approx(bound ** len(net.layers))
            points = 2 * torch.randn(64, *_inputs(net), generator=torch.Generator().manual_seed(1))
            jacobian = torch.func.vmap(torch.func.jacrev(lambda v, net=net: net.at()(v[None])[0]))(points)
            size = points[0].numel()
            norms = torch.linalg.matrix_norm(jacobian.reshape(-1, size, size).double(), 2)
            assert norms.max() <= net.lipschitz
    assert max(reached) <= bound
    assert max(reached) >= 0.98 * bound, "no layer came to its bound: nothing was tested"


def _inputs(net: ContractiveNet) -> tuple[int, ...]:
    first = net.layers[0]
    assert isinstance(first, LipschitzLayer)
    return tuple(first.right.shape)


def test_a_bound_taken_from_training_alone_would_not_hold() -> None:
    # The weights move after each power iteration, and the averaged weights were never iterated on.
    flow, _ = _trained("residual_flow", (1, 8, 8), transforms=1, channels=8, scales=2)
    layer = max(_layers(flow), key=lambda layer: layer.left.numel())
    with torch.no_grad():
        layer.weight.copy_(torch.randn_like(layer.weight))
    layer.train().iterations = 1
    assert true_norm(layer) > layer.coefficient
    assert true_norm(layer.eval()) <= layer.coefficient


@pytest.mark.parametrize("context_dim", [0, 2])
@pytest.mark.parametrize("image", [False, True])
def test_a_net_gives_zero_at_the_start_and_contracts_with_any_context(image: bool, context_dim: int) -> None:
    torch.manual_seed(0)
    shape = (2, 4, 4) if image else (5,)
    net = contractive_conv_net((2, 4, 4), 6, context_dim) if image else contractive_mlp(5, (16, 16), context_dim)
    net = net.double().eval()
    x, y = torch.randn(2, 400, *shape, dtype=torch.float64)
    context = 3 * torch.randn(400, context_dim, dtype=torch.float64) if context_dim else None
    assert torch.equal(net(x, context), torch.zeros_like(x))
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(2 * torch.randn_like(parameter))
    moved, distance = (net(x, context) - net(y, context)).flatten(1).norm(dim=1), (x - y).flatten(1).norm(dim=1)
    assert (moved <= net.lipschitz * distance).all()
    if context is not None:
        assert (net(x, context) != net(x, context.flip(0))).any()


def test_what_a_net_cannot_be_is_refused() -> None:
    with pytest.raises(OptionError, match="coefficient must be above 0 and below 1"):
        contractive_mlp(2, coefficient=1.0)
    with pytest.raises(OptionError, match="iterations must be at least 1"):
        contractive_mlp(2, iterations=0)
    with pytest.raises(ContextError, match="takes a context of 2 numbers, got 0"):
        contractive_mlp(2, context_dim=2)(torch.zeros(1, 2))
    with pytest.raises(ContextError, match="takes a context of 0 numbers, got 3"):
        contractive_mlp(2)(torch.zeros(1, 2), torch.zeros(1, 3))


def test_krylov_vectors_are_those_of_the_svd() -> None:
    generator = torch.Generator().manual_seed(0)
    for m, n in itertools.product((1, 3, 9), (1, 4, 9)):
        matrix = torch.randn(m, n, generator=generator, dtype=torch.float64)
        start = torch.randn(n, generator=generator, dtype=torch.float64)
        left, right = krylov_vectors(lambda v, a=matrix: a @ v, lambda v, a=matrix: a.t() @ v, start, 32)
        assert float(left @ matrix @ right) == pytest.approx(float(torch.linalg.matrix_norm(matrix, 2)), rel=1e-12)
