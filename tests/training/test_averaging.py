"""Averaged weights, recomputed statistics and copies."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from pushforward import flows
from pushforward.bases import StandardNormal
from pushforward.flow import Flow
from pushforward.training.averaging import Snapshot, Statistics, WeightAverage, normalisations, recompute_statistics
from pushforward.transforms import BatchNorm
from pushforward.transforms.base import Chain


def image_flow():
    torch.manual_seed(0)
    flow = flows.build("real_nvp", event_shape=(1, 4, 4), levels=4, channels=4, blocks=1)
    with torch.no_grad():
        for p in flow.parameters():
            p.add_(0.1 * torch.randn_like(p))
    return flow


def test_average_is_the_recursion_with_a_warmed_up_decay():
    model = nn.Linear(1, 1, bias=False)
    nn.init.constant_(model.weight, 1.0)
    average, expected = WeightAverage(model, 0.5), 1.0
    for t, value in enumerate([2.0, 4.0, -1.0] * 5, start=1):
        nn.init.constant_(model.weight, value)
        average.update()
        decay = min(0.5, t / (t + 9))
        expected = decay * expected + (1 - decay) * value
    assert average.average[0].item() == pytest.approx(expected, rel=1e-6)


def test_applied_holds_the_average_inside_and_everything_as_it_was_outside():
    flow = image_flow()
    average = WeightAverage(flow, 0.9)
    with torch.no_grad():
        for p in flow.parameters():
            p.add_(1.0)
    before = {k: v.clone() for k, v in flow.state_dict().items()}
    with average.applied(Snapshot(flow)):
        trained = [p for p in flow.parameters() if p.requires_grad]
        assert all(torch.equal(p, a) for p, a in zip(trained, average.average, strict=True))
        for module in normalisations(flow):
            module.reset_running_stats()
    assert all(torch.equal(v, before[k]) for k, v in flow.state_dict().items())


def test_snapshot_restores_every_tensor_after_any_change():
    flow = image_flow()
    before = {k: v.clone() for k, v in flow.state_dict().items()}
    snapshot = Snapshot(flow)
    with torch.no_grad():
        for v in flow.state_dict().values():
            v.fill_(3)
    snapshot.restore()
    assert all(torch.equal(v, before[k]) for k, v in flow.state_dict().items())


def test_recomputed_statistics_are_the_mean_over_the_batches():
    norm = BatchNorm((2,), momentum=0.3)
    flow = Flow(StandardNormal((2,)), Chain([norm]))
    generator = torch.Generator().manual_seed(0)
    batches = [(torch.randn(50, 2, generator=generator) * 3 + i, None, None) for i in range(4)]
    norm.running_mean.fill_(99.0)
    recompute_statistics(flow, lambda: batches)
    torch.testing.assert_close(norm.running_mean, torch.stack([x.mean(0) for x, _, _ in batches]).mean(0))
    torch.testing.assert_close(norm.running_var, torch.stack([x.var(0, correction=0) for x, _, _ in batches]).mean(0))
    assert norm.momentum == 0.3


def test_recomputing_reaches_flow_steps_and_nets_and_leaves_modes_and_momenta():
    flow = image_flow().train()
    found = normalisations(flow)
    assert any(isinstance(m, BatchNorm) for m in found)
    assert any(isinstance(m, nn.BatchNorm2d) for m in found)
    modes, momenta = [m.training for m in flow.modules()], [m.momentum for m in found]
    for module in found:
        module.running_mean.fill_(1e3)
    generator = torch.Generator().manual_seed(0)
    x = torch.randint(0, 4, (32, 1, 4, 4), generator=generator).float()
    u = torch.rand(32, 1, 4, 4, generator=generator)
    recompute_statistics(flow, lambda: [(x, None, (u, *[None] * (len(flow.transform) - 1)))])
    assert all(m.running_mean.abs().max() < 100 for m in found)
    assert [m.training for m in flow.modules()] == modes
    assert [m.momentum for m in found] == momenta
    assert all(p.grad is None for p in flow.parameters())


def test_recomputing_does_not_let_dropout_bias_the_statistics():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.9), nn.BatchNorm1d(2))

    class Probe(Flow):
        def forward(self, x, context=None, noise=None, generator=None):
            return self.net(x).sum(1)

    flow = Probe(StandardNormal((2,)), Chain([BatchNorm((2,))]))
    flow.net = net
    x = torch.randn(100, 2)
    recompute_statistics(flow.train(), lambda: [(x, None, None)])
    torch.testing.assert_close(net[2].running_mean, net[0](x).mean(0))


def test_statistics_are_put_back_after_a_batch_that_spoiled_them():
    flow = image_flow().train()
    statistics = Statistics(flow)
    statistics.take()
    before = {k: v.clone() for k, v in flow.state_dict().items()}
    flow(torch.full((4, 1, 4, 4), torch.nan))
    assert not all(v.isfinite().all() for v in flow.state_dict().values())
    statistics.restore()
    assert all(torch.equal(v, before[k]) for k, v in flow.state_dict().items())
