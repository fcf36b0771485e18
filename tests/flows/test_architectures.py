"""`flows.build`: names, options and what each option does."""

import itertools
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from effects import EFFECTS, GREEDY, IMAGE, PIXELS, VECTOR, options_of, owner
from pushforward import flows
from pushforward.errors import OptionError, ShapeError
from pushforward.flow import Flow
from pushforward.flows import Options, build, describe, names
from pushforward.flows.architectures.nsf import NSFVectorOptions
from pushforward.flows.options import Kind
from pushforward.objectives import MaximumLikelihood
from pushforward.transforms import (
    Autoregressive,
    BlockAutoregressive,
    Continuous,
    ContinuouslyIndexed,
    Coupling,
    Elementwise,
    Planar,
    Radial,
    Residual,
    Sylvester,
)
from pushforward.transforms.base import Chain, Inverse

ROOT = Path(__file__).resolve().parents[2]
_ON_VECTORS = names("vectors")


def _fingerprint(flow: Flow, shape: tuple[int, ...], levels: int | None = None) -> list[Any]:
    """What an option can change: the modules and weights by name and shape, and log-densities with random weights."""
    generator = torch.Generator().manual_seed(0)
    layout = [(name, tuple(value.shape)) for name, value in flow.state_dict().items()]
    modules = [type(module).__name__ for module in flow.modules()]
    with torch.no_grad():
        for parameter in flow.parameters():
            parameter.copy_(0.3 * torch.randn(parameter.shape, generator=generator))
    x = torch.randint(0, levels or 9, (12, *shape), generator=generator).float() + (0 if levels else 0.5)
    context = None if flow.context_shape is None else torch.randn(1, *flow.context_shape, generator=generator)
    # Moments set from other rows than those scored: a lagged normalisation shows only where the two differ.
    flow.initialise(x[6:], context, generator=torch.Generator().manual_seed(1))
    x = x[:6]
    flow.train()
    torch.manual_seed(3)
    value = flow.log_prob(x, context, generator=torch.Generator().manual_seed(2))
    lowered = flow.objective(x, context).value
    gradients = torch.autograd.grad(lowered, list(flow.parameters()), allow_unused=True)
    steepness = [0.0 if g is None else g.double().sum().item() for g in gradients]
    scored = flow.eval().log_prob(x, context, generator=torch.Generator().manual_seed(2))
    tracked = [b.sum().item() for n, b in flow.named_buffers() if "running" in n]
    return [layout, modules, value.tolist(), steepness, scored.tolist(), tracked]


def _perturbed(flow: Flow) -> Flow:
    with torch.no_grad():
        for parameter in flow.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
    return flow.eval()


@pytest.mark.parametrize(("name", "shape", "options", "change"), EFFECTS, ids=str)
def test_every_option_has_an_effect(
    name: str, shape: tuple[int, ...], options: dict[str, Any], change: dict[str, Any]
) -> None:
    levels = options.get("levels") or change.get("levels")

    def fingerprint(**chosen: Any) -> list[Any]:
        torch.manual_seed(7)
        return _fingerprint(build(name, shape, **chosen), shape, levels)

    plain, changed = fingerprint(**options), fingerprint(**{**options, **change})
    assert plain == fingerprint(**options), "the comparison itself must be stable"
    assert plain != changed


_RECIPES = [(name, kind) for name in names() if name not in GREEDY for kind in describe(name).recipes]


def test_no_option_is_left_out_of_the_test_of_effects() -> None:
    tried = {(owner(describe(n).recipe(shape).options, o), o) for n, shape, _, change in EFFECTS for o in change}
    for name, kind in _RECIPES:
        schema = describe(name).recipes[kind].options
        untried = [option for option in schema.model_fields if (owner(schema, option), option) not in tried]
        assert not untried, f"{name} on {kind}: no flow in effects.py tries {untried}"


@pytest.mark.parametrize(("name", "kind"), _RECIPES)
def test_every_option_is_read_where_a_flow_is_built(name: str, kind: Kind, monkeypatch: pytest.MonkeyPatch) -> None:
    # An inherited option is tried once, where it is declared first: no recipe may forget to pass it on.
    shape = (4,) if kind == "vectors" else (1, 8, 8)
    schema, read = describe(name).recipes[kind].options, set[str]()
    plain = Options.__getattribute__

    def recorded(options: Options, attribute: str) -> Any:
        read.add(attribute)
        return plain(options, attribute)

    monkeypatch.setattr(Options, "__getattribute__", recorded)
    build(name, shape, context_dim=2, **options_of(name, shape, levels=4))
    build(name, shape, **options_of(name, shape, circular=(0,), map="spline", inner="nsf", log_det="truncated"))
    build(name, shape, **options_of(name, shape, log_det="roulette"))
    assert set(schema.model_fields) <= read


_Amortised: TypeAlias = Planar | Radial | Sylvester
_Conditioned: TypeAlias = (
    Coupling | Autoregressive | BlockAutoregressive | Elementwise | Residual | Continuous | _Amortised
)


def _conditioned(flow: Flow) -> list[_Conditioned]:
    """The steps of a flow that see its context, each in the direction that is one pass of its net."""
    steps = [step.transform if isinstance(step, Inverse) else step for step in flow.transform]  # type: ignore[attr-defined]
    inner = [step.inner if isinstance(step, ContinuouslyIndexed) else step for step in steps]
    steps = [part for step in inner for part in (step if isinstance(step, Chain) else [step])]
    found = [step for step in steps if isinstance(step, _Conditioned)]
    return [step for step in found if not isinstance(step, Elementwise) or step.net is not None]


def _reached(function: Callable[[Tensor], Tensor], context: Tensor) -> Tensor:
    """Which of the function's values depend on the context."""
    jacobian = torch.autograd.functional.jacobian(function, context)
    return (jacobian != 0).flatten(-context.ndim).any(-1)


def _outputs_reached(step: _Conditioned, x: Tensor, context: Tensor) -> list[int]:
    """The coordinates of the step's output that depend on the context, at one row or another."""
    reached = _reached(lambda context: step.to_latent(x, context)[0].sum(0), context)
    return reached.nonzero().flatten().tolist()


def _parameters_reached(
    step: Coupling | Autoregressive | Elementwise | _Amortised, x: Tensor, context: Tensor
) -> Tensor:
    """Which of the parameters, ``(P, changed coordinates)`` of a map, depend on the context, at one row or another."""
    if isinstance(step, _Amortised):
        return _reached(lambda context: step.params(context).sum(1), context)
    return _reached(lambda context: step.map_params(x, context).sum(1), context)


@pytest.mark.parametrize("features", [1, 2, 5])
@pytest.mark.parametrize("name", sorted({*_ON_VECTORS} - {*GREEDY}))
def test_context_reaches_every_parameter_of_every_step(name: str, features: int) -> None:
    # Each step on its own: what one leaves out, the next one or a linear layer between them would make up for.
    torch.manual_seed(0)
    steps = _conditioned(
        _perturbed(build(name, (features,), context_dim=2, **options_of(name, hidden=(8,), transforms=2)))
    )
    # An encoder and a decoder are a step, three couplings share an index, and a regression is on one velocity.
    assert len(steps) == {"anf": 4, "cif": 6, "flow_matching": 1}.get(name, 2)
    context = torch.randn(9, 2)
    for step in steps:
        x = torch.rand(9, *step.data_shape) - 0.5
        changed = list(step.partition.indices) if isinstance(step, Coupling) else list(range(features))
        assert _outputs_reached(step, x, context) == changed
        if not isinstance(step, BlockAutoregressive | Residual | Continuous):
            assert _parameters_reached(step, x, context).all()


class _Deaf(nn.Module):
    """A net of which the first coordinate's parameters ignore the context."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        raw = self.net(x, context)
        return torch.where(torch.arange(x.shape[1]) == 0, raw.detach(), raw)


def test_a_first_coordinate_that_ignores_the_context_is_seen() -> None:
    flow = _perturbed(build("maf", (3,), context_dim=2, transforms=2, hidden=(8,)))
    x, context = torch.rand(9, 3), torch.randn(9, 2)
    (step, _) = _conditioned(flow)
    step.net = _Deaf(step.net)
    assert _outputs_reached(step, x, context) == [1, 2]
    assert _parameters_reached(step, x, context).tolist() == 2 * [[False, True, True]]


def test_unknown_names_and_options_are_refused_by_name() -> None:
    with pytest.raises(OptionError, match=r"flow 'xyz' is not known; expected one of .*real_nvp.*register"):
        build("xyz", (2,))
    with pytest.raises(OptionError, match=r"flow 'nfs' is not known; did you mean nsf"):
        build("nfs", (2,))
    with pytest.raises(OptionError, match="real_nvp on vectors has no option 'depth'; it has"):
        build("real_nvp", (2,), depth=3)
    with pytest.raises(OptionError, match=r"real_nvp on vectors has no option 'hiden'; did you mean hidden\?"):
        build("real_nvp", (2,), hiden=(3,))
    with pytest.raises(OptionError, match=r"option transforms: .* \(got 0\)"):
        build("real_nvp", (2,), transforms=0)
    with pytest.raises(OptionError, match="option log_scale"):
        build("real_nvp", (2,), log_scale="exp")
    with pytest.raises(OptionError, match="option hidden"):
        build("nice", (2,), hidden=())
    with pytest.raises(OptionError, match="alpha must be above 0"):
        build("real_nvp", (2,), levels=4, alpha=0.0)


def test_sizes_that_cannot_be_are_refused() -> None:
    for shape in ((0,), (1, -2, 2)):
        with pytest.raises(OptionError, match="sizes must be positive"):
            build("real_nvp", shape)
    with pytest.raises(OptionError, match="sizes must be positive"):
        build("real_nvp", (2,), context_dim=-1)
    with pytest.raises(ShapeError, match=r"\(D,\) or \(channels, height, width\) expected, got \(2, 2\)"):
        build("real_nvp", (2, 2))
    with pytest.raises(ShapeError, match=r"3 scales .* divisible by 4, got 6 x 8"):
        build("real_nvp", (1, 6, 8), scales=3)
    with pytest.raises(OptionError, match=r"option scales: .* less than or equal to 16"):
        build("real_nvp", (1, 8, 8), scales=10**9)


def test_flowpp_refuses_what_it_cannot_squeeze() -> None:
    with pytest.raises(ShapeError, match=r"needs an even height and width, got 5 x 8; resize or crop"):
        build("flowpp", (1, 5, 8))
    with pytest.raises(OptionError, match="channels must be a multiple of heads, got 6 channels and 4 heads"):
        build("flowpp", (1, 4, 4), channels=6, heads=4)


def test_flowpp_on_images_has_the_couplings_of_the_paper() -> None:
    layers = list(build("flowpp", (3, 8, 8), **PIXELS).transform)  # type: ignore[arg-type]
    couplings = [layer for layer in layers if isinstance(layer, Coupling)]
    shapes = [(type(c.partition).__name__, c.data_shape) for c in couplings]
    assert shapes == [
        *[("Checkerboard", (3, 8, 8))] * 4,
        *[("Channelwise", (12, 4, 4))] * 2,
        *[("Checkerboard", (12, 4, 4))] * 3,
    ]
    for before, mixing, coupling in zip(layers, layers[1:], layers[2:], strict=False):
        if isinstance(coupling, Coupling):
            assert (type(before).__name__, type(mixing).__name__) == ("ActNorm", "LULinear")


@pytest.mark.parametrize(("side", "scales"), [(28, 3), (32, 4), (8, 2), (7, 1), (6, 2), (4, 1)])
def test_scales_follow_the_size_of_the_image(side: int, scales: int) -> None:
    flow = build("real_nvp", (1, side, side), channels=2, blocks=0)
    found = [m for m in flow.modules() if type(m).__name__ == "MultiScale"]
    assert len(found[0].scales) == scales  # type: ignore[arg-type]
    assert flow.encode(torch.zeros(1, 1, side, side)).shape == (1, side * side)


# Those of real data, with the options that go with nets; of angles, see test_circular_nsf.py.
_REAL = [name for name in _ON_VECTORS if name not in ("circular_nsf", *GREEDY)]


@pytest.mark.parametrize("name", _REAL)
def test_config_rebuilds_the_flow(name: str) -> None:
    flow = build(name, (3,), classes=4, **options_of(name, transforms=2, hidden=(5,), levels=6))
    config = flow.config
    assert config is not None
    # Defaults are written out too: they may be others in a later version.
    assert set(config.options) == set(describe(name).recipe((3,)).options.model_fields)
    again = build(
        config.name, config.event_shape, context_dim=config.context_dim, classes=config.classes, **config.options
    )
    assert again.config == config
    again.load_state_dict(flow.state_dict())
    x, labels = torch.tensor([[0.0, 1, 5]]), torch.tensor([2])
    first, second = (f.log_prob(x, labels, generator=torch.Generator().manual_seed(0)) for f in (flow, again))
    assert torch.equal(first, second)


@pytest.mark.parametrize("name", _REAL)
def test_a_new_flow_starts_at_its_base_or_near_it(name: str) -> None:
    torch.manual_seed(0)
    flow = build(name, (4,), **options_of(name, standardise=False, transforms=3, hidden=(8,), base="normal")).eval()
    x = torch.randn(100, 4)
    gap = flow.log_prob(x) - flow.base.log_prob(x)
    # Maps with components start where these differ, only near the identity; an index has an effect from the start.
    bar = {"naf": 1.0, "bnaf": 2.0, "flowpp": 1.0, "gaussianization": 1.0, "cif": 1.0, "sos": 1e-2}.get(name, 1e-4)
    assert gap.abs().mean() <= bar


def test_describe_says_what_a_flow_is_for() -> None:
    for name in names():
        architecture = flows.describe(name)
        assert architecture.name == name
        assert architecture.summary
        assert architecture.when.endswith(".")
        for recipe in architecture.recipes.values():
            assert all(field.description for field in recipe.options.model_fields.values())


def test_the_table_of_flows_names_every_flow() -> None:
    _, _, after = (ROOT / "docs" / "choose_a_flow.md").read_text().partition("| name | what it is | when |")
    table, _, _ = after.partition("\n\n")
    first = [line.split("|")[1] for line in table.splitlines()[2:]]
    listed = [name for cell in first for name in re.findall(r"`(\w+)`", cell)]
    assert sorted(listed) == sorted(names())


def test_the_l2_penalty_is_on_the_scale_parameters_only() -> None:
    for shape, options in (((3,), VECTOR), ((1, 4, 4), IMAGE)):
        objective = build("real_nvp", shape, **options).objective
        assert isinstance(objective, MaximumLikelihood)
        assert objective.l2 == 5e-5
        names = {id(p): name.rsplit(".", 1)[1] for name, p in objective.named_parameters()}
        penalised = {names[id(p)] for p in objective.scale_parameters()}
        assert penalised <= {"rescale", "magnitude"}
        assert "rescale" in penalised
    assert build("nice", (3,)).objective(torch.zeros(2, 3)).parts.keys() == {"log_likelihood"}


@pytest.mark.parametrize(
    ("shape", "options", "said"),
    [
        ((2,), {"channels": 8}, r"real_nvp on vectors has no option 'channels' \(it is for images\); it has .*hidden"),
        ((1, 4, 4), {"hidden": (9,)}, r"real_nvp on images has no option 'hidden' \(it is for vectors\); it has"),
        ((2,), {"alpha": 0.1}, "option alpha=0.1 has no use here: it is for data with levels"),
    ],
    ids=str,
)
def test_an_option_without_a_use_for_these_events_is_refused(
    shape: tuple[int, ...], options: dict[str, Any], said: str
) -> None:
    with pytest.raises(OptionError, match=said):
        build("real_nvp", shape, **options)


def test_options_are_keywords_or_an_object_of_the_schema() -> None:
    flow = build("nsf", (2,), options=NSFVectorOptions(transforms=2, bins=5, hidden=(4,)))
    assert flow.config == build("nsf", (2,), transforms=2, bins=5, hidden=(4,)).config
    with pytest.raises(OptionError, match="keywords or as one object expected, got both: bins and an object"):
        build("nsf", (2,), options=NSFVectorOptions(), bins=4)
    with pytest.raises(OptionError, match=r"takes a NSFImageOptions for events \(1, 4, 4\), got a NSFVectorOptions"):
        build("nsf", (1, 4, 4), options=NSFVectorOptions())


@pytest.mark.parametrize("shape", [2, np.int64(2), [2], np.array([2]), torch.Size([2])], ids=str)
def test_the_shape_of_vectors_may_be_their_length(shape: Any) -> None:
    flow = build("maf", shape, transforms=1, hidden=(4,))
    assert flow.event_shape == (2,)
    assert flow.config is not None
    assert flow.config.event_shape == (2,)
    assert type(flow.config.event_shape[0]) is int


def test_a_shape_that_is_none_or_that_an_architecture_does_not_have_is_refused() -> None:
    for shape in (2.0, "2", (2.5,), None):
        with pytest.raises(ShapeError, match="event_shape of whole numbers expected"):
            build("maf", shape)  # type: ignore[arg-type]
    with pytest.raises(ShapeError, match=r"maf: vectors, .*, expected, got \(1, 4, 4\); for images use real_nvp"):
        build("maf", (1, 4, 4))
    with pytest.raises(ShapeError, match=r"macow: images, .*, expected, got \(4,\); for vectors use real_nvp"):
        build("macow", (4,))


# The couplings of `vflow` have a second coordinate always, the one that is added.
@pytest.mark.parametrize("name", [name for name in _ON_VECTORS if name != "vflow"])
def test_options_of_mixing_are_refused_for_a_single_coordinate(name: str) -> None:
    given: dict[str, Any] = {"linear": "reverse", "partition": "half"}
    for option in given.keys() & describe(name).recipe((1,)).options.model_fields.keys():
        with pytest.raises(OptionError, match=rf"option {option}=.* has no use here: there is a single coordinate"):
            build(name, (1,), hidden=(4,), **{option: given[option]})
        build(name, (2,), hidden=(4,), **{option: given[option]})


@pytest.mark.parametrize("name", ["nsf", "nsf_ar", "cubic_nsf", "circular_nsf"])
def test_a_spline_of_one_bin_is_refused_as_an_option(name: str) -> None:
    with pytest.raises(OptionError, match=rf"{name}: option bins: .* greater than or equal to 2"):
        build(name, (2,), bins=1)
    build(name, (2,), bins=2, hidden=(4,))


@pytest.mark.parametrize(("name", "identity"), [("nsf", True), ("nsf_ar", True), ("cubic_nsf", False)])
def test_what_a_spline_does_outside_its_bound_is_what_its_option_says(name: str, identity: bool) -> None:
    said = describe(name).recipe((1,)).options.model_fields["bound"].description
    assert said is not None
    assert ("identity" in said) is identity
    flow = build(name, (1,), transforms=1, hidden=(4,), standardise=False, bound=2.0).double().eval()
    with torch.no_grad():
        for parameter in flow.parameters():
            parameter.add_(0.5 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
    x = torch.tensor([[-9.0], [-5.0], [-2.0], [2.0], [5.0], [9.0]], dtype=torch.float64)
    z, log_term = flow.transform.to_latent(x)
    assert torch.allclose(z, x) is identity
    torch.testing.assert_close(z[[0, 5]] - z[[2, 3]], log_term.exp()[[0, 5], None] * (x[[0, 5]] - x[[2, 3]]))


@pytest.mark.parametrize(
    ("features", "partition"),
    [(1, "random"), *((d, p) for d in (2, 3, 6) for p in ("random", "half", "odd-even"))],
)
def test_no_coupling_changes_the_coordinates_of_the_one_before(features: int, partition: str) -> None:
    torch.manual_seed(0)
    flow = build("real_nvp", (features,), transforms=12, hidden=(2,), partition=partition)
    changed = [step.partition.indices for step in flow.transform if isinstance(step, Coupling)]
    assert len(changed) == 12
    if features > 1:
        assert all(one != other for one, other in itertools.pairwise(changed))
        assert set().union(*changed) == set(range(features))
