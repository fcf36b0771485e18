"""Several maps as one."""

import pytest
import torch
from torch.distributions import Normal

from pushforward.errors import OptionError
from pushforward.maps import Affine, Composed, DistributionCDF, RationalQuadraticSpline, SoftClampScale


def test_it_is_one_map_after_the_other() -> None:
    affine, spline = Affine(SoftClampScale()), RationalQuadraticSpline(4)
    both = Composed([affine, spline])
    generator = torch.Generator().manual_seed(0)
    x, params = torch.randn(5, 2, generator=generator), torch.randn(both.n_params, 5, 2, generator=generator)
    h, first = affine(x, params[:2])
    y, second = spline(h, params[2:])
    for got, wanted in zip(both(x, params), (y, first + second), strict=True):
        assert torch.equal(got, wanted)
    h, first = spline.inverse(y, params[2:])
    back, second = affine.inverse(h, params[:2])
    for got, wanted in zip(both.inverse(y, params), (back, first + second), strict=True):
        assert torch.equal(got, wanted)
    assert torch.equal(both.start, torch.cat([affine.start, spline.start]))


def test_maps_that_do_not_fit_are_refused() -> None:
    with pytest.raises(OptionError, match=r"Spline takes .*, but Affine before it gives the real line"):
        Composed([Affine(SoftClampScale()), RationalQuadraticSpline(4, tails="box")])
    with pytest.raises(OptionError, match="at least one map"):
        Composed([])


def test_it_is_made_for_the_events_that_its_maps_are_made_for() -> None:
    laws = DistributionCDF(Normal(torch.zeros(3), torch.ones(3)))
    assert Composed([Affine(SoftClampScale()), laws]).shape == (3,)
    assert Composed([Affine(SoftClampScale()), DistributionCDF(Normal(0.0, 1.0))]).shape is None
    other = DistributionCDF(Normal(torch.zeros(2), torch.ones(2)))
    other.codomain = laws.domain
    with pytest.raises(OptionError, match=r"made for events of one shape, got \(2,\), \(3,\)"):
        Composed([other, laws])
