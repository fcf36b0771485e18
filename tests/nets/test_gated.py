"""The gated nets of Flow++: what they see, and at what sizes."""

import pytest
import torch

from pushforward.errors import OptionError
from pushforward.nets import GatedAttentionNet, GatedFeatures


def _awake(net: torch.nn.Module) -> torch.nn.Module:
    """Without the zeros of a new net."""
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(0)))
    return net


@pytest.mark.parametrize("size", [(1, 1), (1, 5), (2, 2), (5, 3)])
def test_any_size_of_image_is_kept_and_a_new_net_gives_zero(size: tuple[int, int]) -> None:
    net = GatedAttentionNet(2, 3, size, channels=4, blocks=1, heads=2)
    assert torch.equal(net(torch.randn(2, 2, *size)), torch.zeros(2, 3, *size))
    assert net(torch.randn(0, 2, *size)).shape == (0, 3, *size)
    assert GatedFeatures((2, *size), 4)(torch.randn(2, 2, *size)).shape == (2, 4, *size)


def test_one_block_sees_from_corner_to_corner() -> None:
    net = _awake(GatedAttentionNet(1, 1, (12, 12), channels=4, blocks=1, heads=2))
    x = torch.randn(1, 1, 12, 12, requires_grad=True)
    (gradient,) = torch.autograd.grad(net(x)[0, 0, 0, 0], x)
    assert (gradient != 0).all()


def test_a_context_is_a_vector_for_all_pixels_or_an_image() -> None:
    net = _awake(GatedAttentionNet(1, 2, (4, 4), channels=4, blocks=1, heads=2, context_channels=3))
    h, vector = torch.randn(2, 1, 4, 4), torch.randn(2, 3)
    image = vector[:, :, None, None].expand(2, 3, 4, 4)
    torch.testing.assert_close(net(h, vector), net(h, image))
    changed = image.clone()
    changed[:, :, 0, 0] += 1
    assert (net(h, changed) != net(h, image)).all()


def test_heads_that_do_not_divide_the_channels_are_refused() -> None:
    with pytest.raises(OptionError, match="channels must be a multiple of heads, got 6 channels and 4 heads"):
        GatedAttentionNet(1, 1, (4, 4), channels=6, heads=4)
