"""Flows of the same sizes in several libraries, as calls to time: a training step, scores, samples, and one row.

Four flows: couplings and autoregressive flows, each with affine maps and with rational-quadratic splines, and in all of
them as many transforms, layers, units and bins, no learned matrices between, and no batch norm. What differs remains a
library's own: couplings of normflows and FrEIA have the output sizes that these give them, and parameters are counted.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

FLOWS = ("affine coupling", "RQ coupling", "affine autoregressive", "RQ autoregressive")
_BOUND = 5.0
# Rows that stay in the cache.
_BLOCK = 2048


@dataclass(frozen=True)
class Size:
    """Flows of ``features`` with ``hidden`` layers of ``width`` in each of ``transforms`` nets, ``bins`` a spline."""

    features: int = 8
    width: int = 128
    hidden: int = 2
    transforms: int = 5
    bins: int = 8
    batch: int = 512
    rows: int = 16384


@dataclass(frozen=True)
class Subject:
    """A flow of a library: calls by name, each of which waits until it is done, and its number of parameters."""

    flow: str
    library: str
    parameters: int
    calls: dict[str, Callable[[], object]]


def _torch_subject(
    flow: str,
    library: str,
    size: Size,
    model: nn.Module,
    log_prob: Callable[[Tensor], Tensor],
    sample: Callable[[int], Tensor],
) -> Subject:
    """The calls of a flow in torch: Adam's fused steps, and scores and samples in evaluation mode without gradients."""
    generator = torch.Generator().manual_seed(0)
    rows, batch, row = (torch.randn(n, size.features, generator=generator) for n in (size.rows, size.batch, 1))
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimiser = torch.optim.Adam(parameters, lr=1e-4, fused=True)

    def step() -> None:
        if not model.training:  # setting it takes time for each module
            model.train()
        optimiser.zero_grad()
        (-log_prob(batch).mean()).backward()
        optimiser.step()

    def evaluated(call: Callable[[], Tensor]) -> Callable[[], object]:
        def run() -> object:
            if model.training:
                model.eval()
            with torch.no_grad():
                return call()

        return run

    calls = {
        "step": step,
        "log_prob": evaluated(lambda: log_prob(rows)),
        "sample": evaluated(lambda: sample(size.rows)),
        "log_prob of a row": evaluated(lambda: log_prob(row)),
        "sample of a row": evaluated(lambda: sample(1)),
    }
    return Subject(flow, library, sum(p.numel() for p in parameters), calls)


def ours(size: Size) -> Iterator[Subject]:
    """The flows here."""
    import pushforward

    shape: dict[str, Any] = {"transforms": size.transforms, "hidden": (size.width,) * size.hidden}
    spline = {"bins": size.bins, "bound": _BOUND}
    options: tuple[tuple[str, dict[str, Any]], ...] = (
        ("real_nvp", {"linear": "none"}),
        ("nsf", {"linear": "none", **spline}),
        ("maf", {"linear": "reverse"}),
        ("nsf_ar", {"linear": "reverse", **spline}),
    )
    for flow, (name, more) in zip(FLOWS, options, strict=True):
        model = pushforward.flows.build(name, event_shape=(size.features,), **shape, **more)
        model.initialise(torch.randn(size.batch, size.features))
        yield _torch_subject(flow, "pushforward", size, model, model.log_prob, model.sample)


def products(size: Size) -> Iterator[Subject]:
    """The matrix products alone of the nets of our couplings: what a step, scores and samples cannot take less than."""
    given, changed = (size.features + 1) // 2, size.features // 2
    for flow, numbers in (("affine coupling", 2), ("RQ coupling", 3 * size.bins - 1)):
        widths = [given, *[size.width] * size.hidden, numbers * changed]
        nets = [[nn.Linear(a, b) for a, b in itertools.pairwise(widths)] for _ in range(size.transforms)]
        model = nn.ModuleList(nn.Sequential(*layers) for layers in nets)

        def log_prob(x: Tensor, model: nn.ModuleList = model) -> Tensor:
            total = x.new_zeros(len(x))
            for rows in x[:, :given].split(_BLOCK):
                for net in model:
                    total[: len(rows)] += net(rows)[:, 0]
            return total

        yield _torch_subject(
            flow, "matrix products", size, model, log_prob, lambda n, f=log_prob: f(torch.randn(n, size.features))
        )


def zukos(size: Size) -> Iterator[Subject]:
    """zuko's MAF and NSF; with two passes they are couplings."""
    import zuko

    shape = {"features": size.features, "transforms": size.transforms, "hidden_features": (size.width,) * size.hidden}
    kinds = (
        zuko.flows.MAF(passes=2, **shape),
        zuko.flows.NSF(bins=size.bins, passes=2, **shape),
        zuko.flows.MAF(**shape),
        zuko.flows.NSF(bins=size.bins, **shape),
    )
    for flow, model in zip(FLOWS, kinds, strict=True):
        yield _torch_subject(
            flow,
            "zuko",
            size,
            model,
            lambda x, model=model: model().log_prob(x),
            lambda n, model=model: model().sample((n,)),
        )


def nflows(size: Size) -> Iterator[Subject]:
    """nflows' transforms; its autoregressive nets are plain, with as many layers as ours."""
    from nflows.distributions.normal import StandardNormal
    from nflows.flows.base import Flow
    from nflows.nn.nets import MLP
    from nflows.transforms import (
        AffineCouplingTransform,
        CompositeTransform,
        MaskedAffineAutoregressiveTransform,
        MaskedPiecewiseRationalQuadraticAutoregressiveTransform,
        PiecewiseRationalQuadraticCouplingTransform,
        ReversePermutation,
    )

    def net(inputs: int, outputs: int) -> nn.Module:
        plain = MLP((inputs,), (outputs,), [size.width] * size.hidden)
        return _WithoutContext(plain)

    def mask(i: int) -> Tensor:
        return (torch.arange(size.features) % 2 == i % 2).float()

    made = {
        "features": size.features,
        "hidden_features": size.width,
        "num_blocks": size.hidden - 1,
        "use_residual_blocks": False,
    }
    spline = {"num_bins": size.bins, "tails": "linear", "tail_bound": _BOUND}
    steps = (
        lambda i: [AffineCouplingTransform(mask(i), net)],
        lambda i: [PiecewiseRationalQuadraticCouplingTransform(mask(i), net, **spline)],
        lambda i: [ReversePermutation(size.features), MaskedAffineAutoregressiveTransform(**made)],
        lambda i: [
            ReversePermutation(size.features),
            MaskedPiecewiseRationalQuadraticAutoregressiveTransform(**made, **spline),
        ],
    )
    for flow, step in zip(FLOWS, steps, strict=True):
        parts = [part for i in range(size.transforms) for part in step(i)]
        model = Flow(CompositeTransform(parts), StandardNormal([size.features]))
        yield _torch_subject(flow, "nflows", size, model, model.log_prob, model.sample)


class _WithoutContext(nn.Module):
    """A net that takes and ignores the context which nflows' couplings pass."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        result: Tensor = self.net(x)
        return result


def normflows(size: Size) -> Iterator[Subject]:
    """normflows' couplings and its autoregressive splines, which take the place of our nets by their own settings."""
    import normflows as nf

    half, rest = (size.features + 1) // 2, size.features // 2
    widths = [size.width] * size.hidden

    def affine(i: int) -> list[Any]:
        net = nf.nets.MLP([half, *widths, 2 * rest], init_zeros=True)
        return [nf.flows.AffineCouplingBlock(net), nf.flows.Permute(size.features, mode="swap")]

    spline = {"num_bins": size.bins, "tail_bound": _BOUND}
    steps: tuple[tuple[str, Callable[[int], list[Any]]], ...] = (
        ("affine coupling", affine),
        (
            "RQ coupling",
            lambda i: [
                nf.flows.CoupledRationalQuadraticSpline(
                    size.features, size.hidden - 1, size.width, reverse_mask=bool(i % 2), **spline
                )
            ],
        ),
        (
            "affine autoregressive",
            lambda i: [nf.flows.MaskedAffineAutoregressive(size.features, size.width, num_blocks=size.hidden - 1)],
        ),
        (
            "RQ autoregressive",
            lambda i: [
                nf.flows.AutoregressiveRationalQuadraticSpline(size.features, size.hidden - 1, size.width, **spline)
            ],
        ),
    )
    for flow, step in steps:
        parts = [part for i in range(size.transforms) for part in step(i)]
        model = nf.NormalizingFlow(nf.distributions.DiagGaussian(size.features, trainable=False), parts)
        yield _torch_subject(flow, "normflows", size, model, model.log_prob, lambda n, model=model: model.sample(n)[0])


def freias(size: Size) -> Iterator[Subject]:
    """FrEIA's affine coupling block; it has no autoregressive flows."""
    import FrEIA.framework as ff
    import FrEIA.modules as fm

    def net(inputs: int, outputs: int) -> nn.Module:
        layers: list[nn.Module] = []
        for _ in range(size.hidden):
            layers += [nn.Linear(inputs, size.width), nn.ReLU()]
            inputs = size.width
        return nn.Sequential(*layers, nn.Linear(inputs, outputs))

    def subject(flow: str, block: Any, **options: Any) -> Subject:
        model = ff.SequenceINN(size.features)
        for _ in range(size.transforms):
            model.append(block, subnet_constructor=net, **options)
        base = torch.distributions.Normal(0.0, 1.0)

        def log_prob(x: Tensor) -> Tensor:
            z, log_det = model(x)
            return base.log_prob(z).sum(1) + log_det

        def sample(n: int) -> Tensor:
            drawn: Tensor = model(torch.randn(n, size.features), rev=True)[0]
            return drawn

        return _torch_subject(flow, "FrEIA", size, model, log_prob, sample)

    # One half a block, as in the others; with a fixed permutation, which hard permutations are.
    yield subject("affine coupling", fm.AllInOneBlock, permute_soft=False)


def flowjaxs(size: Size) -> Iterator[Subject]:
    """flowjax's couplings and masked autoregressive flows; every call is compiled."""
    import equinox
    import jax
    import optax
    from flowjax.bijections import RationalQuadraticSpline
    from flowjax.distributions import Normal
    from flowjax.flows import coupling_flow, masked_autoregressive_flow

    key = jax.random.key(0)
    spline = RationalQuadraticSpline(knots=size.bins, interval=_BOUND)
    shape = {
        "base_dist": Normal(jax.numpy.zeros(size.features)),
        "flow_layers": size.transforms,
        "nn_width": size.width,
        "nn_depth": size.hidden,
    }
    kinds = (
        (coupling_flow, None),
        (coupling_flow, spline),
        (masked_autoregressive_flow, None),
        (masked_autoregressive_flow, spline),
    )
    rows, batch, row = (jax.random.normal(key, (n, size.features)) for n in (size.rows, size.batch, 1))
    for flow, (build, transformer) in zip(FLOWS, kinds, strict=True):
        yield _jax_subject(
            flow, build(key, transformer=transformer, **shape), (rows, batch, row), (equinox, jax, optax)
        )


def _jax_subject(flow: str, model: Any, arrays: tuple[Any, Any, Any], libraries: tuple[Any, Any, Any]) -> Subject:
    (rows, batch, row), (equinox, jax, optax) = arrays, libraries
    key, adam = jax.random.key(1), optax.adam(1e-4)
    log_prob = equinox.filter_jit(lambda model, x: model.log_prob(x))
    sample = equinox.filter_jit(lambda model, key, n: model.sample(key, (n,)))
    state: list[Any] = [model, adam.init(equinox.filter(model, equinox.is_inexact_array))]

    @equinox.filter_jit
    def update(model: Any, optimiser: Any) -> Any:
        gradients = equinox.filter_grad(lambda model: -model.log_prob(batch).mean())(model)
        updates, optimiser = adam.update(gradients, optimiser)
        return equinox.apply_updates(model, updates), optimiser

    def step() -> None:
        state[:] = update(*state)
        jax.block_until_ready(equinox.filter(state[0], equinox.is_array))

    calls = {
        "step": step,
        "log_prob": lambda: log_prob(model, rows).block_until_ready(),
        "sample": lambda: sample(model, key, len(rows)).block_until_ready(),
        "log_prob of a row": lambda: log_prob(model, row).block_until_ready(),
        "sample of a row": lambda: sample(model, key, 1).block_until_ready(),
    }
    leaves = jax.tree_util.tree_leaves(equinox.filter(model, equinox.is_inexact_array))
    return Subject(flow, "flowjax", sum(leaf.size for leaf in leaves), calls)


LIBRARIES: dict[str, Callable[[Size], Iterator[Subject]]] = {
    "pushforward": ours,
    "matrix products": products,
    "zuko": zukos,
    "nflows": nflows,
    "normflows": normflows,
    "FrEIA": freias,
    "flowjax": flowjaxs,
}
