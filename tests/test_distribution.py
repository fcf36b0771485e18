"""`Flow.distribution` keeps the contract of torch.distributions."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.distributions import Distribution, Independent, LogNormal, TransformedDistribution, biject_to
from torch.distributions.transforms import AffineTransform

from checking import over_flows
from pushforward import flows
from pushforward.bases import StandardNormal
from pushforward.errors import ShapeError
from pushforward.flow import Flow
from pushforward.transforms import Log
from registry import Entry
from subjects import subject


def _flow(context: int = 0) -> Flow:
    torch.manual_seed(0)
    return flows.build("nsf", event_shape=(3,), context_dim=context, transforms=1, hidden=(8,)).eval()


@over_flows
def test_every_flow_has_the_contract_of_a_distribution(entry: Entry) -> None:
    made = subject(entry)
    n, shape = 3, made.entry.event_shape
    distribution = made.flow.distribution(made.context(n))
    batch = () if entry.context is None else (n,)
    assert distribution.batch_shape == batch
    assert distribution.event_shape == shape
    support = distribution.support
    assert support is not None
    assert support.event_dim == len(shape)
    x = distribution.sample((n,) if batch else (n, n))
    assert x.shape == (n, n, *shape)
    assert support.check(x).all()
    assert distribution.log_prob(x).shape == (n, n)
    wide = distribution.expand((2, n))
    assert wide.batch_shape == (2, n)
    assert wide.sample((2,)).shape == (2, 2, n, *shape)
    assert wide.log_prob(x[:2]).shape == (2, n)
    for wrong in (torch.cat([x, x], -1), x[..., :0]):
        with pytest.raises(ValueError, match="expected"):
            distribution.log_prob(wrong)


@pytest.mark.parametrize("wrong", [torch.zeros(4, 1), torch.zeros(1), torch.tensor(0.0), torch.zeros(3, 4)], ids=str)
def test_values_of_another_event_shape_are_refused(wrong: Tensor) -> None:
    with pytest.raises(ShapeError, match=r"\(\.\.\., 3\) expected"):
        _flow().distribution().log_prob(wrong)


def test_batch_axes_broadcast_and_others_are_refused() -> None:
    distribution, x = _flow(2).distribution(torch.randn(4, 2)), torch.randn(3)
    torch.testing.assert_close(distribution.log_prob(x), distribution.log_prob(x.expand(4, 3)))
    with pytest.raises(ShapeError, match=r"\(\.\.\., 4, 3\) expected"):
        distribution.log_prob(torch.zeros(5, 3))
    with pytest.raises(ShapeError, match="cannot be expanded"):
        distribution.expand((5,))


def test_an_expanded_distribution_is_the_same_with_independent_samples() -> None:
    context = torch.randn(2, 2)
    flow = _flow(2)
    wide, x = flow.distribution(context).expand((4, 2)), torch.randn(4, 2, 3)
    torch.testing.assert_close(wide.log_prob(x), torch.stack([flow.log_prob(row, context) for row in x]))
    drawn = wide.sample()
    assert drawn.shape == (4, 2, 3)
    assert len(drawn.flatten(0, 1).unique(dim=0)) == 8
    assert wide.expand((1, 4, 2)).batch_shape == (1, 4, 2)


def test_other_distributions_take_it_as_a_part() -> None:
    distribution = _flow().distribution()
    x = torch.randn(5, 4, 3)
    independent = Independent(distribution.expand((4,)), 1)
    torch.testing.assert_close(independent.log_prob(x), distribution.log_prob(x).sum(-1))
    moved = TransformedDistribution(distribution, [AffineTransform(1.0, 2.0, event_dim=1)])
    torch.testing.assert_close(moved.log_prob(1 + 2 * x), distribution.log_prob(x) - 3 * math.log(2))
    assert biject_to(distribution.support)(x).shape == x.shape


def test_moments_and_entropy_say_how_to_estimate_them() -> None:
    distribution: Distribution = _flow().distribution()
    for name in ("mean", "variance", "stddev", "mode"):
        with pytest.raises(NotImplementedError, match="estimate it from samples"):
            getattr(distribution, name)
    with pytest.raises(NotImplementedError, match="estimate it from samples"):
        distribution.entropy()
    with pytest.raises(NotImplementedError, match="estimate it from samples"):
        distribution.cdf(torch.zeros(3))


def test_the_support_is_that_of_the_data() -> None:
    positive = Flow(StandardNormal((2,)), Log((2,))).distribution()
    x = torch.tensor([[1.0, 2.0], [1.0, -2.0]])
    assert positive.support.check(x).tolist() == [True, False]
    assert positive.log_prob(x)[1] == -math.inf
    levels = flows.build("real_nvp", event_shape=(2,), levels=4).eval().distribution()
    assert levels.support.is_discrete
    assert not levels.has_rsample
    with pytest.raises(NotImplementedError, match="use sample"):
        levels.rsample()


def test_gradients_reach_the_flow_through_rsample_alone() -> None:
    distribution = _flow().distribution()
    assert distribution.has_rsample
    assert distribution.rsample((2,)).requires_grad
    assert not distribution.sample((2,)).requires_grad


def test_a_flow_that_is_a_normal_agrees_with_torch() -> None:
    torch.manual_seed(0)
    flow = Flow(StandardNormal((2,)), Log((2,)))
    ours = flow.distribution()
    theirs = Independent(LogNormal(torch.zeros(2), torch.ones(2)), 1)
    x = theirs.sample((5, 4))
    torch.testing.assert_close(ours.log_prob(x), theirs.log_prob(x))
    assert repr(ours) == "FlowDistribution(batch_shape=(), event_shape=(2,))"
