"""Transforms side by side, domains by coordinate, shapes and bounds: what fits together and what does not."""

import math

import pytest
import torch

from pushforward.bases import ProductBase, StandardNormal, UniformBox, UniformCircle
from pushforward.domain import CIRCLE, REAL, UNIT, Domain, product
from pushforward.errors import OptionError, ShapeError
from pushforward.flow import Flow
from pushforward.maps import Affine, RationalQuadraticSpline, TanhScale
from pushforward.nets import MLP
from pushforward.transforms import (
    Coupling,
    Dequantise,
    Identity,
    InverseSoftplus,
    Log,
    Logit,
    Product,
    Standardise,
)
from pushforward.transforms.base import Chain
from pushforward.transforms.partition import VectorPartition


def test_a_product_applies_each_part_to_its_own_coordinates() -> None:
    parts = Product([Log((2,)), Logit((1,), 0.0)], [(2, 0), (1,)])
    x = torch.tensor([[2.0, 0.3, 5.0]])
    z, log_term = parts.to_latent(x)
    torch.testing.assert_close(z, torch.tensor([[math.log(2), math.log(3 / 7), math.log(5)]]))
    torch.testing.assert_close(log_term, torch.tensor([-math.log(10) - math.log(0.3 * 0.7)]))
    torch.testing.assert_close(parts.to_data(z)[0], x)
    assert parts.domain == product([Domain("real", 0.0), UNIT, Domain("real", 0.0)])
    assert parts.codomain == REAL


def test_a_product_initialises_its_parts_and_passes_noise_on() -> None:
    dequantise = Chain([Dequantise((1,), 4), Logit((1,))])
    standardise = Standardise((2,))
    flow = Flow(StandardNormal((3,)), Product([standardise, dequantise], [(0, 2), (1,)]))
    x = torch.tensor([[1.0, 3.0, 10.0], [3.0, 0.0, 30.0]])
    flow.initialise(x)
    assert standardise.mean.tolist() == [2.0, 20.0]
    assert flow.kind == "bound"
    with torch.no_grad():
        drawn, claimed = flow.sample_and_log_prob(20, generator=torch.Generator().manual_seed(0))
        assert torch.equal(drawn[:, 1], drawn[:, 1].round())
        z = flow.base.sample(20, generator=torch.Generator().manual_seed(0))
        noise = flow.transform.path_noise(drawn, z)
        inside = (z[:, 1].abs() < 2.9).nonzero()[:, 0]
        torch.testing.assert_close(flow.log_prob(drawn, noise=noise)[inside], claimed[inside], atol=1e-4, rtol=0)


def test_chains_and_flows_compare_domains_by_coordinate() -> None:
    mixed = Identity((2,), product([CIRCLE, REAL]))
    base = ProductBase([UniformCircle((1,)), StandardNormal((1,))])
    assert Flow(base, Chain([mixed, mixed])).transform.domain == base.support
    with pytest.raises(OptionError, match=r"takes the real line, but .* gives circle .* \(at 0\) x the real line"):
        Chain([mixed, Standardise((2,))])
    with pytest.raises(OptionError, match="part of its mass would be lost"):
        Flow(ProductBase([StandardNormal((1,)), UniformCircle((1,))]), mixed)
    with pytest.raises(OptionError, match=r"of which .* reaches only .* lose mass"):
        Chain([Identity((2,), product([UNIT, REAL])), Identity((2,))])
    # A base of an interval lies within the real line, coordinate by coordinate.
    Flow(ProductBase([UniformBox((1,)), StandardNormal((1,))]), Identity((2,)))


def test_domains_of_products_are_compared_part_by_part() -> None:
    one, other = product([UNIT, CIRCLE]), product([REAL, CIRCLE])
    assert one.within(other)
    assert not other.within(one)
    assert not one.within(product([UNIT, CIRCLE, REAL]))
    assert product([UNIT, REAL]).within(REAL)
    assert not one.within(REAL)
    assert product([UNIT, UNIT]) == UNIT
    assert not CIRCLE.within(Domain("circle", 0.0, 2 * math.pi))
    assert str(product([REAL] * 6 + [UNIT])) == "the real line (at 0, 1, 2, 3 and 2 more) x interval (0, 1) (at 6)"


def test_a_coupling_of_mixed_coordinates_names_what_does_not_fit() -> None:
    partition, map = VectorPartition(2, (1,)), Affine(TanhScale())
    net = MLP(1, 2, (4,))
    mixed = product([CIRCLE, REAL])
    assert Coupling(partition, map, net, domain=mixed).codomain == mixed
    with pytest.raises(OptionError, match=r"changed coordinates lie in circle .* map is of the real line"):
        Coupling(VectorPartition(2, (0,)), map, net, domain=mixed)
    with pytest.raises(
        OptionError, match="changed coordinates lie in the real line, but the coupling's map is of circle"
    ):
        Coupling(partition, RationalQuadraticSpline(tails="circular"), net, domain=mixed)


def test_what_cannot_stand_side_by_side_is_refused() -> None:
    with pytest.raises(OptionError, match="at least one transform"):
        Product([])
    with pytest.raises(ShapeError, match=r"part 1 of a Product \(Identity\) must be of vectors"):
        Product([Identity((1,)), Identity((1, 2))])
    with pytest.raises(OptionError, match=r"indices must hold each of the coordinates 0..2 once"):
        Product([Identity((1,)), Identity((2,))], [(0,), (0, 1)])
    with pytest.raises(ShapeError, match=r"indices of blocks of \[1, 2\] coordinates expected, got \[2, 1\]"):
        Product([Identity((1,)), Identity((2,))], [(0, 1), (2,)])
    with pytest.raises(OptionError, match="ordered vectors"):
        Product([Identity((2,), Domain("ordered"))])
    with pytest.raises(OptionError, match="low must be a finite number"):
        Log((2,), math.inf)


@pytest.mark.parametrize("make", [Log, InverseSoftplus])
def test_at_and_below_the_bound_the_density_is_zero(make: type[Log] | type[InverseSoftplus]) -> None:
    flow = Flow(StandardNormal((1,)), make((1,), 2.0))
    x = torch.tensor([[2.0], [1.0], [-1e30], [math.nan], [2.5]])
    value = flow.log_prob(x)
    assert value[:3].tolist() == [-math.inf] * 3
    assert value[3].isnan()
    assert value[4].isfinite()
    assert (flow.sample(200) > 2.0).all()
