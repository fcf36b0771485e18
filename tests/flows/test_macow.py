"""MaCow: which channels leave when, where it begins, the way back after training, and what it refuses."""

import pytest
import torch

from pushforward.errors import OptionError, ShapeError
from pushforward.flow import Flow
from pushforward.flows import build
from pushforward.flows.parts.scales import remaining_channels
from pushforward.transforms import Autoregressive, MultiScale

_SMALL = {"transforms": 1, "channels": 4, "masked_channels": 4}


def _scales(flow: Flow) -> MultiScale:
    (found,) = [module for module in flow.modules() if isinstance(module, MultiScale)]
    return found


def _masked(flow: Flow) -> list[Autoregressive]:
    return [module for module in flow.modules() if isinstance(module, Autoregressive)]


def test_half_of_the_channels_leave_in_portions() -> None:
    assert [remaining_channels(12, portions) for portions in (1, 2, 3)] == [[6], [9, 6], [10, 8, 6]]
    assert remaining_channels(4, 9) == [3, 2], "a portion has one channel at the least"
    # 4 channels of 4 x 4 pixels leave one by one, down to 2; what is left, 8 channels of 2 x 2, stays to the end.
    assert _scales(build("macow", (1, 8, 8), scales=2, **_SMALL)).part_sizes == (16, 16, 32)
    assert _scales(build("macow", (1, 8, 8), scales=2, portions=1, **_SMALL)).part_sizes == (32, 32)


def test_every_step_goes_over_the_image_from_all_sides() -> None:
    sides = [layer.net.side for layer in _masked(build("macow", (1, 8, 8), units=2, **_SMALL))]
    assert sides == ["top", "bottom", "left", "right"] * 2
    assert [layer.net.side for layer in _masked(build("macow", (1, 2, 8), **_SMALL))] == ["left", "right"]
    assert _masked(build("macow", (1, 2, 2), **_SMALL)) == [], "one pixel has none before it"


def test_kernels_are_no_larger_than_the_image() -> None:
    flow = build("macow", (1, 4, 12), scales=1, kernel=(3, 5), **_SMALL)
    kernels = [tuple(layer.net.first.kernel_size) for layer in _masked(flow)]  # type: ignore[union-attr]
    assert kernels == [(1, 5), (1, 5), (3, 3), (3, 3)]


def test_it_begins_at_its_base() -> None:
    flow, x = build("macow", (2, 8, 8), scales=2, standardise=False, **_SMALL).eval(), torch.randn(20, 2, 8, 8)
    torch.testing.assert_close(flow.log_prob(x), flow.base.log_prob(x.flatten(1)), atol=1e-3, rtol=0)


def test_the_way_back_holds_after_training() -> None:
    torch.manual_seed(0)
    flow = build("macow", (1, 8, 8), scales=2, context_dim=2, **_SMALL)
    x, context = torch.randn(256, 1, 8, 8), torch.randn(256, 2)
    x = (x + x.roll(1, 2) + x.roll(1, 3)) * (1 + context[:, 0, None, None, None].square()) + context[
        :, 1, None, None, None
    ]
    flow.initialise(x, context)
    optimiser, losses = torch.optim.Adam(flow.parameters(), 1e-2), []
    for _ in range(40):
        loss = -flow.log_prob(x, context).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0] - 10
    flow, x, context = flow.double().eval(), x.double(), context.double()
    with torch.no_grad():
        z, log_term = flow.transform.to_latent(x, context)
        back, back_term = flow.transform.to_data(z, context)
        samples, value = flow.sample_and_log_prob(1, context)
        scored = flow.log_prob(samples[0], context)
    torch.testing.assert_close(back, x, atol=1e-10, rtol=1e-10)
    torch.testing.assert_close(back_term, -log_term, atol=1e-10, rtol=1e-10)
    torch.testing.assert_close(scored, value[0], atol=1e-9, rtol=1e-10)


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ShapeError, match=r"images, event_shape \(channels, height, width\), expected, got \(3,\)"):
        build("macow", (3,))
    with pytest.raises(ShapeError, match=r"divisible by 2, got 5 x 4"):
        build("macow", (1, 5, 4))
    with pytest.raises(OptionError, match=r"option kernel: an odd width expected, got \(2, 4\)"):
        build("macow", (1, 4, 4), kernel=(2, 4))
    with pytest.raises(OptionError, match=r"option kernel\.0: .* \(got 0\)"):
        build("macow", (1, 4, 4), kernel=(0, 3))
