"""Flows on images in squeezed scales: temperature, initialisation, context, sizes and what is refused."""

from typing import Any

import pytest
import torch
from torch import Tensor

from pushforward.errors import OptionError, ShapeError
from pushforward.flow import Flow
from pushforward.flows import build
from pushforward.flows.parts.scales import split_prior
from pushforward.nets import ActNormConvNet
from pushforward.nets.act_norm_conv import tame
from pushforward.transforms import Channelwise, Coupling, Elementwise, MultiScale, Reversible
from pushforward.transforms.base import Chain

_SMALL: dict[str, dict[str, Any]] = {
    "glow": {"transforms": 2, "channels": 4},
    "nsf": {"transforms": 2, "channels": 4, "bins": 4, "blocks": 1, "net_norm": "none"},
}


def _moved(flow: Flow, scale: float = 0.2) -> Flow:
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in flow.parameters():
            parameter.add_(scale * torch.randn(parameter.shape, generator=generator))
    return flow.double().eval()


@pytest.mark.parametrize("temperature", [0.3, 1.7])
def test_temperature_scales_deviations_from_the_split_prior_and_keeps_its_means(temperature: float) -> None:
    prior = split_prior((4, 3, 3))
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in prior.parameters():
            parameter.copy_(0.3 * torch.randn(parameter.shape, generator=generator))
    kept, deviation = torch.randn(2, 5, 2, 3, 3, generator=generator)

    def left(factor: float) -> Tensor:
        return prior.to_data(torch.cat([kept, factor * deviation], 1))[0][:, 2:]

    mean = left(0.0)
    assert mean.abs().mean() > 0.1
    torch.testing.assert_close(left(temperature) - mean, temperature * (left(1.0) - mean))


@pytest.mark.parametrize("name", _SMALL)
def test_at_a_temperature_of_almost_zero_all_samples_are_the_image_of_the_means(name: str) -> None:
    torch.manual_seed(0)
    flow = _moved(build(name, (1, 8, 8), scales=2, **_SMALL[name]))
    cold = flow.sample(3, temperature=1e-9)
    torch.testing.assert_close(cold, flow.decode(torch.zeros(1, 64).double()).expand(3, 1, 8, 8), atol=1e-6, rtol=1e-6)
    assert flow.sample(50, temperature=0.5).std(0).mean() < flow.sample(50).std(0).mean()


def test_nets_are_normalised_on_the_first_batch_and_then_no_more() -> None:
    torch.manual_seed(0)
    flow = build("glow", (2, 8, 8), context_dim=3, scales=1, **_SMALL["glow"]).double()
    x, context = 3 * torch.randn(40, 2, 8, 8).double() + 1, torch.randn(40, 3).double()
    flow.initialise(x, context)
    conditions = flow.prepare_context(context)
    checked = 0
    # Walk to each coupling as `initialise` did.
    (scales,) = (m for m in flow.modules() if isinstance(m, MultiScale))
    h = flow.transform.transforms[0].to_latent(x)[0]  # type: ignore[index, operator, union-attr]
    squeeze, steps, _ = scales.scales[0]  # type: ignore[misc]
    h, _ = squeeze.to_latent(h)
    for step in steps:
        if isinstance(step, Coupling):
            net, kept = step.net, tame(step.partition.kept(h))
            assert isinstance(net, ActNormConvNet)
            for seen in (net.first(kept), net.second(net._first(kept, conditions))):
                var, mean = torch.var_mean(seen, (0, 2, 3), correction=0)
                torch.testing.assert_close(mean, torch.zeros_like(mean), atol=1e-6, rtol=0)
                torch.testing.assert_close(var, torch.ones_like(var))
                checked += 1
        h, _ = step.to_latent(h, conditions)
    assert checked == 4
    before = {name: value.clone() for name, value in flow.state_dict().items()}
    flow.initialise(5 * x, context)
    assert all(torch.equal(value, before[name]) for name, value in flow.state_dict().items())


@pytest.mark.parametrize("name", _SMALL)
def test_context_reaches_every_parameter_of_every_coupling_and_prior(name: str) -> None:
    torch.manual_seed(0)
    flow = _moved(build(name, (1, 8, 8), context_dim=2, scales=2, **_SMALL[name]))
    context, steps = torch.randn(9, 2).double(), 0
    for step in flow.modules():
        if isinstance(step, Coupling | Elementwise):
            x = torch.randn(9, *step.data_shape).double()

            def params(context: Tensor, step: Coupling | Elementwise = step, x: Tensor = x) -> Tensor:
                return step.map_params(x, context).sum((1, 3, 4))

            jacobian = torch.autograd.functional.jacobian(params, context)
            assert (jacobian != 0).flatten(2).any(2).all()
            steps += 1
    assert steps == 6


def test_couplings_compute_parameters_of_what_they_change_only() -> None:
    flow = build("glow", (1, 8, 8), **_SMALL["glow"])
    for coupling in (m for m in flow.modules() if isinstance(m, Coupling)):
        assert isinstance(coupling.partition, Channelwise)
        (kept, *_), (changed, *_) = coupling.partition.kept_shape, coupling.partition.changed_shape
        assert coupling.net(torch.randn(2, kept, 4, 4)).shape == (2, 2 * changed, 4, 4)


@pytest.mark.parametrize(("linear", "halves"), [("none", [True, False, True]), ("lu", [True, True, True])])
def test_where_channels_are_not_mixed_couplings_keep_the_two_halves_in_turn(linear: str, halves: list[bool]) -> None:
    flow = build("glow", (1, 4, 4), transforms=3, channels=2, linear=linear, scales=1)
    partitions = [m.partition for m in flow.modules() if isinstance(m, Coupling)]
    assert [isinstance(p, Channelwise) and p.keep_first for p in partitions] == halves


@pytest.mark.parametrize(("sides", "scales"), [((28, 28), 2), ((32, 32), 3), ((8, 8), 1), ((2, 2), 1), ((6, 10), 1)])
def test_scales_follow_the_size_of_the_image(sides: tuple[int, int], scales: int) -> None:
    flow = build("glow", (1, *sides), transforms=1, channels=2)
    (found,) = (m for m in flow.modules() if isinstance(m, MultiScale))
    assert len(found.scales) == scales
    assert flow.encode(torch.zeros(1, 1, *sides)).shape == (1, sides[0] * sides[1])


@pytest.mark.parametrize("name", _SMALL)
def test_memory_saving_gives_the_same_density_and_gradients(name: str) -> None:
    def made(saving: bool) -> Flow:
        torch.manual_seed(0)
        return _moved(build(name, (1, 4, 4), classes=3, memory_saving=saving, **_SMALL[name]))

    x, labels = torch.randn(5, 1, 4, 4).double(), torch.tensor([0, 1, 2, 0, 1])
    gradients = []
    for flow in (made(False), made(True)):
        flow.log_prob(x, labels).sum().backward()
        gradients.append([p.grad for p in flow.parameters()])
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, atol=1e-8, rtol=1e-8)
    assert any(isinstance(m, Reversible) for m in made(True).modules())
    assert made(True).transform.eager is not None


def test_a_step_on_images_compiles_into_one_graph() -> None:
    torch._dynamo.reset()
    flow = build("glow", (1, 4, 4), transforms=1, channels=4, context_dim=2).eval()
    (steps,) = (m.scales[0] for m in flow.modules() if isinstance(m, MultiScale))
    assert isinstance(steps, Chain)
    x, context = torch.randn(5, 1, 4, 4), torch.randn(5, 2)
    for direction, value in (("to_latent", x), ("to_data", steps.to_latent(x, context)[0].detach())):
        function = getattr(steps, direction)
        compiled = torch.compile(function, fullgraph=True, backend="aot_eager")
        with torch.no_grad():
            torch.testing.assert_close(compiled(value, context), function(value, context), atol=1e-5, rtol=1e-5)
    torch._dynamo.reset()


def test_what_has_no_use_or_cannot_be_is_refused() -> None:
    for name, option in (("glow", "channels"), ("nsf", "blocks"), ("nsf", "net_norm"), ("glow", "scales")):
        given = {"channels": 8, "blocks": 5, "net_norm": "none", "scales": 1}[option]
        with pytest.raises(OptionError, match=rf"{name} on vectors has no option '{option}' \(it is for images\)"):
            build(name, (3,), **{option: given})
    for option, given in (("hidden", (9,)), ("partition", "half"), ("dropout", 0.5)):
        with pytest.raises(OptionError, match=rf"glow on images has no option '{option}' \(it is for vectors\)"):
            build("glow", (1, 4, 4), **{option: given})
    with pytest.raises(OptionError, match=r"no option 'memory_saving' \(it is for images\)"):
        build("glow", (3,), memory_saving=True)
    with pytest.raises(
        ShapeError, match=r"1 scale halves the image once, .* divisible by 2, got 5 x 7; resize or crop"
    ):
        build("glow", (1, 5, 7))
    with pytest.raises(
        ShapeError, match=r"3 scales halve the image 3 times, .* divisible by 8, got 12 x 12; choose fewer"
    ):
        build("glow", (1, 12, 12), scales=3)
