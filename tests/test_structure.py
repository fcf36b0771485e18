"""`print(flow)`: every step in its order, shapes, and counts that add up."""

import re

import pytest

from effects import GREEDY, options_of
from pushforward.bases import Base, DiagonalNormal, ProductBase, StandardNormal
from pushforward.flow import Flow
from pushforward.flows import build, names
from pushforward.maps import Affine, TanhScale
from pushforward.nets import MLP
from pushforward.transforms import ActNorm, Coupling, Identity, LULinear, Product
from pushforward.transforms.base import Chain, Inverse, Transform
from pushforward.transforms.partition import VectorPartition


def test_it_reads_from_the_data_to_the_base() -> None:
    lines = str(build("nsf", (4,), context_dim=2, transforms=2, hidden=(8, 8), bins=5)).splitlines()
    assert lines[0].startswith("Flow 'nsf': events (4,), context (2,), ")
    assert lines[0].endswith(" parameters, likelihood exact")
    steps = [line.split()[0] for line in lines[1:]]
    assert steps == ["data", "Standardise", "Coupling", "LULinear", "Coupling", "base:"]
    assert "RationalQuadraticSpline(bins=5, [-3, 3], tails=linear) · MLP(4 -> 8, 8, 28)" in lines[3]


def test_parts_inside_a_step_are_indented_and_inverses_named() -> None:
    text = str(build("real_nvp", (1, 4, 4), scales=2, channels=2, blocks=0, levels=4))
    assert "\n  MultiScale" in text
    assert "\n    Coupling" in text
    assert "\n    inverse of Squeeze" in text
    assert "likelihood bound" in text
    assert "\n  inverse of Autoregressive" in str(build("iaf", (3,)))


@pytest.mark.parametrize("name", names())
def test_the_counts_of_the_steps_add_up(name: str) -> None:
    shape = (3,) if name in names("vectors") else (1, 4, 4)
    plain = name in ("circular_nsf", *GREEDY)
    options = {} if plain else {"classes": 4, **options_of(name, shape, base="learned-normal")}
    flow = build(name, shape, **options)
    head, *lines = str(flow).splitlines()
    total = int(re.search(r"([\d,]+) parameters", head)[1].replace(",", ""))  # type: ignore[index]
    counts = [line.split()[-1].replace(",", "") for line in lines]
    assert total == sum(p.numel() for p in flow.parameters()) == sum(int(c) for c in counts if c != "-")


def _built(transform: Transform, base: Base | None = None) -> list[str]:
    """The lines of a flow made by hand, one space between columns, without the title."""
    text = str(Flow(base if base is not None else StandardNormal(transform.latent_shape), transform))
    return [re.sub(r"(?<=\S)  +", "  ", line[2:]) for line in text.splitlines()[1:]]


def test_an_inverse_shows_what_is_inside_it() -> None:
    assert _built(Inverse(Product([LULinear(1), LULinear(2)]))) == [
        "data  (3,)  -",
        "inverse of Product  (3,)  -",
        "  inverse of LULinear  (1,)  2",
        "  inverse of LULinear  (2,)  6",
        "base: StandardNormal  (3,)  -",
    ]
    net = MLP(2, 2, (4,))
    coupling = Coupling(VectorPartition(3, (1,)), Affine(TanhScale()), net, after=ActNorm((1,)))
    own = sum(p.numel() for p in coupling.parameters()) - 2
    _, first, after, _ = _built(Inverse(coupling))
    assert re.match(r"inverse of Coupling.* · Affine.* · MLP", first)
    assert first.endswith(f"(3,)  {own}")
    assert after == "  inverse of ActNorm  (1,)  2"


def test_an_inverse_chain_lists_its_steps_as_the_data_meet_them() -> None:
    inner = Chain([LULinear(2), Inverse(ActNorm((2,))), Chain([Identity((2,)), ActNorm((2,))])])
    assert [line.split("  ")[0] for line in _built(Inverse(inner))] == [
        "data",
        "inverse of ActNorm",
        "inverse of Identity",
        "ActNorm",
        "inverse of LULinear",
        "base: StandardNormal",
    ]


def test_bases_made_of_others_show_them() -> None:
    inner = ProductBase([StandardNormal((1,)), DiagonalNormal((1,))])
    assert _built(Identity((3,)), ProductBase([inner, DiagonalNormal((1,))]))[2:] == [
        "base: ProductBase  (3,)  -",
        "  ProductBase  (2,)  -",
        "    StandardNormal  (1,)  -",
        "    DiagonalNormal  (1,)  2",
        "  DiagonalNormal  (1,)  2",
    ]
