"""The contract of staged nets, held by a causal attention net over patches with a cache of keys and values."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor, nn

from entries.autoregressive import DIAMOND
from pushforward.coordinate_blocks import CoordinateBlocks
from pushforward.maps import Affine, DeepSigmoidal, Map, SoftClampScale
from pushforward.nets import MADE, RowConvNet, StagedNet
from pushforward.nets.masks import full_adjacency
from pushforward.nets.staged import Stages, whole_passes
from pushforward.transforms import Autoregressive

_SHAPE, _PATCH, _CONTEXT = (2, 4, 6), 2, 3


class CausalAttention(StagedNet):
    """Two layers of single-head causal attention over the patches of images ``(C, H, W)``; a stage is a patch.

    The token of a patch holds the patch before it, the first one zeros, so that its own coordinates are never seen.
    """

    def __init__(self, n_params: int, channels: int = 8, cache: bool = True) -> None:
        super().__init__()
        self.event_shape, self.n_params, self.cache = _SHAPE, n_params, cache
        places = torch.arange(2 * 4 * 6).reshape(_SHAPE)
        patches = places.unfold(1, _PATCH, _PATCH).unfold(2, _PATCH, _PATCH).permute(1, 2, 0, 3, 4).flatten(2)
        stages = patches.flatten(0, 1).tolist()
        self.order, self.tokens, self.size = CoordinateBlocks([len(s) for s in stages], stages), len(stages), 8
        self.position = nn.Parameter(torch.randn(self.tokens, channels))
        self.first = nn.Linear(self.size, channels)
        self.context = nn.Linear(_CONTEXT, channels)
        self.queries_keys_values = nn.ModuleList(nn.Linear(channels, 3 * channels) for _ in range(2))
        self.last = nn.Linear(channels, n_params * self.size)

    def _given(self, context: Tensor | None) -> Tensor | float:
        return 0.0 if context is None else self.context(context)[:, None]

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        patches = torch.stack(self.order.split(x.flatten(1)), 1)
        before = torch.cat([torch.zeros_like(patches[:, :1]), patches[:, :-1]], 1)
        h = self.first(before) + self.position + self._given(context)
        for layer in self.queries_keys_values:
            query, key, value = layer(h).chunk(3, 2)
            h = h + nn.functional.scaled_dot_product_attention(query, key, value, is_causal=True)
        params = self.last(h.tanh()).unflatten(2, (self.n_params, self.size)).movedim(2, 0)
        whole = self.order.join(params.flatten(0, 1).unbind(1))
        return whole.reshape(self.n_params, *x.shape)

    def stages(self, like: Tensor, context: Tensor | None = None) -> Stages[Tensor]:
        if not self.cache:
            return whole_passes(self, like, context)
        start, given = like.new_zeros(len(like), self.size), self._given(context)
        keys: list[list[Tensor]] = [[] for _ in self.queries_keys_values]
        values: list[list[Tensor]] = [[] for _ in self.queries_keys_values]

        def params(known: Sequence[Tensor]) -> Tensor:
            token = known[-1] if known else start
            h = self.first(token)[:, None] + self.position[len(known)] + given
            for layer, all_keys, all_values in zip(self.queries_keys_values, keys, values, strict=True):
                query, key, value = layer(h).chunk(3, 2)
                all_keys.append(key)
                all_values.append(value)
                attended = nn.functional.scaled_dot_product_attention(
                    query, torch.cat(all_keys, 1), torch.cat(all_values, 1)
                )
                h = h + attended
            return self.last(h.tanh())[:, 0].unflatten(1, (self.n_params, self.size)).movedim(1, 0)

        return params


def _net(map: Map, cache: bool = True) -> CausalAttention:
    torch.manual_seed(0)
    return CausalAttention(map.n_params, cache=cache).double()


def _batch(n: int = 3) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(n, *_SHAPE, dtype=torch.float64, generator=generator)
    return x, torch.randn(n, _CONTEXT, dtype=torch.float64, generator=generator)


@pytest.mark.parametrize("grad", [False, True], ids=["without gradients", "with gradients"])
@pytest.mark.parametrize("given", [False, True], ids=["no context", "context"])
@pytest.mark.parametrize("map", [Affine(SoftClampScale()), DeepSigmoidal(3)], ids=["closed", "numeric"])
def test_causal_attention_with_a_cache_inverts_as_whole_passes_do(map: Map, given: bool, grad: bool) -> None:
    map, (x, c) = map.double(), _batch()
    context = c if given else None
    cached, slow = (Autoregressive(map, _net(map, cache)) for cache in (True, False))
    x.requires_grad_(grad)
    with torch.set_grad_enabled(grad):
        results = [layer.to_data(x, context) for layer in (cached, slow)]
    for got, wanted in zip(*results, strict=True):
        torch.testing.assert_close(got, wanted, atol=1e-12, rtol=1e-12)
    if grad:
        first, second = (torch.autograd.grad(y.sum() + term.sum(), x)[0] for y, term in results)
        torch.testing.assert_close(first, second, atol=1e-10, rtol=1e-10)
    back, term = cached.to_latent(results[0][0], context)
    torch.testing.assert_close(back, x, atol=1e-10, rtol=1e-10)
    torch.testing.assert_close(term, -results[0][1], atol=1e-10, rtol=1e-10)


@pytest.mark.parametrize("direction", ["to_latent", "to_data"])
def test_log_term_of_causal_attention_is_the_log_determinant_of_its_jacobian(direction: str) -> None:
    map = Affine(SoftClampScale())
    layer, (x, context) = Autoregressive(map, _net(map)), _batch(1)

    def flat(x: Tensor) -> Tensor:
        out: Tensor = getattr(layer, direction)(x.reshape(1, *_SHAPE), context)[0].flatten()
        return out

    jacobian = torch.autograd.functional.jacobian(flat, x.flatten())
    log_det = getattr(layer, direction)(x, context)[1]
    torch.testing.assert_close(jacobian.slogdet().logabsdet, log_det[0], atol=1e-10, rtol=1e-10)
    # Block triangular in the order of the patches, diagonal within one, and dependent on every patch before.
    order = layer.net.order.indices
    blocks = jacobian[order][:, order].reshape(6, 8, 6, 8).abs()
    assert (blocks.amax((1, 3)) > 0).equal(torch.ones(6, 6, dtype=torch.bool).tril())
    for k in range(6):
        assert torch.equal(blocks[k, :, k].diagonal().diag_embed(), blocks[k, :, k])


def test_causal_attention_compiles_in_both_directions() -> None:
    map = Affine(SoftClampScale())
    layer, (x, context) = Autoregressive(map, _net(map)), _batch()
    for direction in (layer.to_latent, layer.to_data):
        torch._dynamo.reset()
        compiled = torch.compile(direction, fullgraph=True, backend="eager")
        for got, wanted in zip(compiled(x, context), direction(x, context), strict=True):
            torch.testing.assert_close(got, wanted, atol=1e-12, rtol=1e-12)


_NETS: dict[str, StagedNet] = {
    "MADE": MADE(full_adjacency(5, (3, 0, 4, 1, 2)), 2, (9, 9), _CONTEXT),
    "MADE, adjacency": MADE(torch.tensor(DIAMOND, dtype=torch.bool), 2, (9, 9), _CONTEXT),
    "RowConvNet": RowConvNet((2, 3, 4), 3, 4, (2, 3), "right", _CONTEXT),
    "CausalAttention": CausalAttention(2),
}


@pytest.mark.parametrize("name", _NETS)
def test_parameters_of_every_stage_are_those_of_one_pass(name: str) -> None:
    net, generator = _NETS[name].double(), torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.copy_(0.5 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
        x = torch.randn(4, *net.event_shape, dtype=torch.float64, generator=generator)
        context = torch.randn(4, _CONTEXT, dtype=torch.float64, generator=generator)
        whole = net(x, context)
        assert whole.shape == (net.n_params, *x.shape)
        parts = net.order.split(x.flatten(1))
        wanted = net.order.split(whole.reshape(-1, x[0].numel()))
        stages = net.stages(x, context)
        for k, part in enumerate(wanted):
            torch.testing.assert_close(stages(parts[:k]), part.reshape(net.n_params, 4, -1), atol=1e-12, rtol=1e-12)
