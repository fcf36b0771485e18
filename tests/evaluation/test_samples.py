import numpy as np
import torch

from pushforward import flows
from pushforward.bases import StandardNormal
from pushforward.evaluation.samples import draw
from pushforward.flow import Flow
from pushforward.maps import Additive
from pushforward.rows import Rows
from pushforward.transforms import Elementwise, Identity


def test_samples_of_an_unconditional_flow_stand_beside_each_row_once():
    rows = Rows(torch.arange(10.0)[:, None])
    samples, beside = draw(Flow(StandardNormal((1,)), Identity((1,))), 700, rows, 0)
    assert samples.shape == (700, 1)
    assert sorted(beside.x.flatten().tolist()) == list(range(10))
    assert len(draw(Flow(StandardNormal((1,)), Identity((1,))), 4, rows, 0)[1]) == 4


def test_samples_of_a_conditional_flow_have_the_contexts_of_rows_in_turn():
    flow = flows.build("real_nvp", (1,), context_dim=1, base="normal", hidden=(4,), transforms=2).eval()
    rows = Rows(torch.zeros(3, 1), 1e3 * torch.arange(3.0)[:, None])
    samples, beside = draw(flow, 7, rows, 0)
    assert samples.shape == (7, 1)
    assert torch.equal(beside.context[:3], beside.context[3:6])
    assert sorted(set(beside.context.flatten().tolist())) == [0, 1e3, 2e3]


def test_a_sample_stands_beside_the_row_whose_context_it_was_given():
    # A standard normal less the context.
    shifted = Elementwise(Additive(), (1,), net=torch.nn.Identity())
    flow = Flow(StandardNormal((1,)), shifted, context_shape=(1,))
    rows = Rows(torch.zeros(40, 1), 100 * torch.arange(40.0)[:, None])
    samples, beside = draw(flow, 1100, rows, 0)
    assert np.abs(samples + beside.context.numpy()).max() < 10
