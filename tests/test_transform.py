"""`Chain`, `Inverse`, `Domain` and the partitions: what fits, and what is refused by name."""

import math
from collections.abc import Callable

import pytest
import torch

from pushforward.domain import REAL, UNIT, Domain, integers
from pushforward.errors import OptionError, ShapeError
from pushforward.likelihood import weakest
from pushforward.maps import Additive, Affine, SoftClampScale, TanhScale
from pushforward.nets import MLP, contractive_mlp
from pushforward.noise import keyed
from pushforward.transforms import (
    BatchNorm,
    Channelwise,
    Checkerboard,
    Coupling,
    Dequantise,
    Identity,
    Logit,
    MultiScale,
    Partition,
    Permutation,
    Residual,
    Reversible,
    RouletteLogDet,
    Slice,
    Sort,
    Squeeze,
    Standardise,
    VectorPartition,
)
from pushforward.transforms.base import Chain, Inverse, steps
from pushforward.transforms.conditional import conditional_gaussian
from pushforward.transforms.partition import half, odd_even, random_half


def test_a_chain_refuses_shapes_that_do_not_fit_by_name() -> None:
    with pytest.raises(ShapeError, match=r"transform 1 \(Squeeze\) takes .*\(2, 4, 4\).*transform 0 \(Identity\)"):
        Chain([Identity((1, 4, 4)), Squeeze((2, 4, 4))])


def test_a_chain_refuses_values_outside_the_next_domain_by_name() -> None:
    with pytest.raises(OptionError, match=r"transform 1 \(Logit\) takes interval .* but transform 0 \(Identity\)"):
        Chain([Identity((2,)), Logit((2,))])
    with pytest.raises(OptionError, match=r"integers 0\.\.3"):
        Chain([Identity((2,)), Dequantise((2,), 4)])


def test_a_chain_refuses_to_lose_mass() -> None:
    # Inverse(Logit) reaches a bounded interval only; a map of the whole line after it would put mass where nothing is.
    with pytest.raises(OptionError, match="would lose mass"):
        Chain([Inverse(Logit((2,))), Standardise((2,))])


def test_dequantisation_may_be_followed_by_a_wider_domain_because_it_clamps() -> None:
    chain = Chain([Dequantise((2,), 4), Logit((2,), 0.05)])
    assert (chain.domain, chain.codomain, chain.kind) == (integers(4), REAL, "bound")
    x, _ = chain.to_data(torch.tensor([[-50.0, 50.0]]))
    assert x.tolist() == [[0.0, 3.0]]


def test_an_empty_chain_is_refused() -> None:
    with pytest.raises(OptionError, match="at least one transform"):
        Chain([])


def test_noise_goes_to_the_part_that_declares_it() -> None:
    chain = Chain([Dequantise((2,), 4), Logit((2,))])
    x, u = torch.tensor([[1.0, 3.0]]), torch.tensor([[0.25, 0.5]])
    z, _ = chain.to_latent(x, None, (u, None))
    torch.testing.assert_close(chain.path_noise(x, z)[0], u)  # type: ignore[index]
    with pytest.raises(ShapeError, match="noise for 2 parts"):
        chain.to_latent(x, None, u)
    with pytest.raises(OptionError, match="needs its noise"):
        chain.to_latent(x)


def test_only_a_bijection_can_be_turned_round() -> None:
    with pytest.raises(OptionError, match="Dequantise is not one"):
        Inverse(Dequantise((2,), 4))
    turned = Inverse(Squeeze((1, 2, 4)))
    assert (turned.data_shape, turned.latent_shape) == ((4, 1, 2), (1, 2, 4))


def test_the_inverse_of_a_bijection_with_an_estimated_log_term_keeps_its_kind_and_noise() -> None:
    block = Residual((3,), contractive_mlp(3, (8,)), RouletteLogDet())
    inverse = Inverse(block)
    assert inverse.is_bijection
    assert (inverse.kind, inverse.estimators, inverse.eager) == ("estimate", block.estimators, block.eager)
    assert (inverse.noise_to_latent, inverse.noise_to_data) == (block.noise_to_data, block.noise_to_latent)
    x = torch.randn(4, 3)
    noise = keyed(inverse.noise_to_latent, 0, torch.arange(4), x.dtype, x.device)
    z, log_term = inverse.to_latent(x, None, noise)
    back, log_back = block.to_latent(z, None, noise)
    torch.testing.assert_close(back, x)
    torch.testing.assert_close(log_back, -log_term)


def test_what_draws_or_changes_size_is_no_bijection() -> None:
    assert Identity((2,)).is_bijection
    assert Squeeze((1, 2, 4)).is_bijection
    assert not Dequantise((2,), 4).is_bijection
    assert not Chain([Dequantise((2,), 4), Logit((2,))]).is_bijection
    assert not Sort((3,)).is_bijection
    assert not Slice((3,), 2, conditional_gaussian((1,), 2, hidden=(8,))).is_bijection


def test_steps_are_those_of_a_chain_or_the_transform_itself() -> None:
    one, two = Identity((2,)), Logit((2,))
    assert steps(two) == (two,)
    assert steps(Chain([two, one])) == (two, one)
    scales = MultiScale([Squeeze((1, 4, 4)), Squeeze((2, 2, 2))])
    assert steps(scales) == (scales,)
    assert scales.parts() == tuple(scales.scales)
    assert Reversible([one, one]).parts() == (one, one)


def test_the_weakest_kind_wins() -> None:
    assert weakest() == "exact"
    assert weakest("exact", "bound") == "bound"
    assert weakest("bound", "estimate", "exact") == "estimate"


def test_one_domain_lies_within_another() -> None:
    assert UNIT.within(REAL)
    assert not REAL.within(UNIT)
    assert integers(4).within(REAL)
    assert integers(4).within(Domain("real", 0, 3))
    assert not integers(4).within(UNIT)
    assert not UNIT.within(integers(2))
    assert integers(2).within(integers(4))
    assert Domain("ordered").within(REAL)
    assert not REAL.within(Domain("ordered"))
    assert not Domain("circle", 0, 1).within(UNIT)


def test_domains_read_as_words() -> None:
    assert [str(d) for d in (REAL, UNIT, integers(5), Domain("circle", 0, 2))] == [
        "the real line",
        "interval (0, 1)",
        "integers 0..4",
        "circle (0, 2)",
    ]
    assert str(Domain("real", 0, math.inf)) == "interval (0, inf)"


_IMAGE = (2, 3, 4)
_PARTITIONS: dict[str, Callable[[], Partition]] = {
    "half": lambda: half(5),
    "half of one": lambda: half(1),
    "odd/even": lambda: odd_even(5),
    "random": lambda: random_half(7, torch.Generator().manual_seed(2)),
    "checkerboard 0": lambda: Checkerboard(_IMAGE, 0),
    "checkerboard 1": lambda: Checkerboard(_IMAGE, 1),
    "channel-wise": lambda: Channelwise((3, 2, 2)),
    "channel-wise, second": lambda: Channelwise((3, 2, 2), keep_first=False),
    "channel-wise, unequal": lambda: Channelwise((4, 2, 2), first=3),
}


@pytest.mark.parametrize("name", _PARTITIONS)
def test_a_partition_and_its_complement_change_everything_once(name: str) -> None:
    partition, x = _PARTITIONS[name](), torch.rand(2, *_PARTITIONS[name]().event_shape) + 1
    marks = [part.merge(x, torch.zeros_like(part.changed(x))) == 0 for part in (partition, partition.complement())]
    assert torch.equal(marks[0], ~marks[1])
    assert int(marks[0][0].sum()) == math.prod(partition.changed_shape)
    assert torch.equal(partition.merge(x, partition.changed(x)), x)
    twice = partition.complement().complement()
    assert torch.equal(twice.changed(x), partition.changed(x))
    assert partition.kept(x).shape == (2, *partition.kept_shape)


@pytest.mark.parametrize("name", _PARTITIONS)
def test_what_the_net_sees_does_not_depend_on_what_is_changed(name: str) -> None:
    partition, x = _PARTITIONS[name](), torch.rand(2, *_PARTITIONS[name]().event_shape)
    other = partition.merge(x, torch.full_like(partition.changed(x), 9.0))
    assert torch.equal(partition.kept(other), partition.kept(x))


def test_partitions_are_the_ones_they_are_called() -> None:
    x = torch.arange(5.0)[None]
    assert half(5).changed(x).tolist() == [[2.0, 3.0, 4.0]]
    assert odd_even(5).changed(x).tolist() == [[0.0, 2.0, 4.0]]
    board = Checkerboard((1, 2, 3), 0)
    assert board.kept(torch.arange(1.0, 7.0).reshape(1, 1, 2, 3)).tolist() == [[[[1.0, 0.0, 3.0], [0.0, 5.0, 0.0]]]]
    draws = {
        tuple(random_half(8, torch.Generator().manual_seed(s)).changed(torch.arange(8.0)[None])[0].tolist())
        for s in range(5)
    }
    assert len(draws) > 1


def test_partitions_refuse_what_they_cannot_split() -> None:
    for wrong in ([0, 0], [2, 1], [5], [-1]):
        with pytest.raises(OptionError, match=r"within 0\.\.2"):
            VectorPartition(3, wrong)
    with pytest.raises(ShapeError, match="checkerboard needs events"):
        Checkerboard((4,))
    with pytest.raises(ShapeError, match="C >= 2"):
        Channelwise((1, 2, 2))


def test_transforms_refuse_options_out_of_range() -> None:
    with pytest.raises(OptionError, match="alpha must be"):
        Logit((2,), 0.5)
    with pytest.raises(OptionError, match="levels must be at least 2"):
        Dequantise((2,), 1)
    with pytest.raises(OptionError, match="momentum"):
        BatchNorm((2,), momentum=0.0)
    with pytest.raises(OptionError, match="eps"):
        BatchNorm((2,), eps=0.0)
    with pytest.raises(OptionError, match="at least one axis"):
        Standardise(())
    with pytest.raises(ShapeError, match="even height and width, got 3 x 4"):
        Squeeze((1, 3, 4))
    with pytest.raises(OptionError, match=r"0\.\.2 once"):
        Permutation((3,), (0, 0, 1))
    with pytest.raises(OptionError, match="limit"):
        SoftClampScale(0.0)
    with pytest.raises(OptionError, match="hidden"):
        MLP(2, 2, ())
    with pytest.raises(ShapeError, match="after must map the changed part"):
        Coupling(half(4), Additive(), MLP(2, 2), after=BatchNorm((3,)))
    with pytest.raises(ShapeError, match="scale 0 gives"):
        MultiScale([Squeeze((1, 4, 4)), Identity((2, 1, 4))])
    with pytest.raises(ShapeError, match=r"takes \(4, 2, 2\): some of these channels expected, not all"):
        MultiScale([Squeeze((1, 4, 4)), Identity((4, 2, 2))])
    with pytest.raises(OptionError, match=r"some of the 4 channels and not all, got 4"):
        Channelwise((4, 2, 2), first=4)


def test_the_ordered_squeeze_of_many_channels_is_made_and_undone() -> None:
    # A quadratic search for the way back would take minutes here.
    squeeze = Squeeze((20_000, 2, 2), ordered=True)
    x = torch.randn(1, 20_000, 2, 2)
    assert torch.equal(squeeze.to_data(squeeze.to_latent(x)[0])[0], x)


def test_multi_scale_latent_starts_with_what_left_first() -> None:
    scales = MultiScale([Squeeze((1, 4, 4)), Squeeze((2, 2, 2))])
    x = torch.arange(16.0).reshape(1, 1, 4, 4)
    z, _ = scales.to_latent(x)
    squeezed, _ = Squeeze((1, 4, 4)).to_latent(x)
    assert scales.part_sizes == (8, 8)
    assert torch.equal(z[0, :8], squeezed[0, 2:].flatten())


def test_as_many_channels_go_on_as_the_next_scale_takes() -> None:
    scales = MultiScale([Squeeze((1, 4, 4)), Identity((3, 2, 2)), Identity((1, 2, 2))])
    x = torch.arange(32.0).reshape(2, 1, 4, 4)
    z, _ = scales.to_latent(x)
    squeezed, _ = Squeeze((1, 4, 4)).to_latent(x)
    assert scales.part_sizes == (4, 8, 4)
    assert torch.equal(z, torch.cat([squeezed[:, 3:], squeezed[:, 1:3], squeezed[:, :1]], 1).flatten(1))
    assert torch.equal(scales.to_data(z)[0], x)


def test_running_moments_follow_the_batches_with_and_without_momentum() -> None:
    x = torch.randn(3, 50, 2) * 2 + 1
    averaged = BatchNorm((2,), momentum=None).train()
    for batch in x:
        averaged.to_latent(batch)
    torch.testing.assert_close(averaged.running_mean, x.mean(1).mean(0))
    torch.testing.assert_close(averaged.running_var, x.var(1, correction=0).mean(0))
    averaged.reset_running_stats()
    assert averaged.running_mean.tolist() == [0, 0]
    assert averaged.running_var.tolist() == [1, 1]


def test_tanh_scale_starts_where_both_of_its_factors_can_learn() -> None:
    map = Affine(TanhScale())
    x = torch.randn(5)
    raw = torch.zeros(2, 5, requires_grad=True)
    y, log_slope = map(x, raw)
    assert torch.equal(y, x)
    log_slope.sum().backward()
    assert raw.grad is not None
    assert (raw.grad[1] != 0).all()
