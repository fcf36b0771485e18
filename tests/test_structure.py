"""`print(flow)`: every step in its order, shapes, and counts that add up."""

import re

import pytest

from pushforward.flows import build, names


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
    flow = build(name, (3,), classes=4, base="learned-normal") if name != "circular_nsf" else build(name, (3,))
    head, *lines = str(flow).splitlines()
    total = int(re.search(r"([\d,]+) parameters", head)[1].replace(",", ""))  # type: ignore[index]
    counts = [line.split()[-1].replace(",", "") for line in lines]
    assert total == sum(p.numel() for p in flow.parameters()) == sum(int(c) for c in counts if c != "-")
