"""Every way to train a flow sees the same loss, the regularisation of the architecture included."""

import functools

import pytest
import torch
from training_paths import FLOWS, difference, distributed, fitted, looped, without_regularisation

looped = functools.cache(looped)


@pytest.mark.parametrize("name", FLOWS)
def test_fit_and_compiled_fit_lead_where_a_plain_loop_over_the_objective_leads(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    graphs = []

    def backend(graph: torch.fx.GraphModule, inputs: object) -> object:
        graphs.append(graph)
        return graph.forward

    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend=backend, fullgraph=True))
    assert difference(fitted(name), looped(name)) < 1e-9
    assert graphs == []
    assert difference(fitted(name, compile=True), looped(name)) < 1e-9
    # A solver with adaptive steps is run as it is.
    assert len(graphs) == (0 if name == "ffjord" else 1)
    torch._dynamo.reset()


def test_two_processes_under_ddp_lead_where_a_plain_loop_leads() -> None:
    found = distributed(list(FLOWS))
    for name in FLOWS:
        assert difference(found[name], looped(name)) < 1e-6


@pytest.mark.parametrize("name", FLOWS)
def test_the_comparison_sees_a_loss_without_its_regularisation(name: str) -> None:
    assert difference(without_regularisation(name), looped(name)) > 1e-3
