"""Many rows pass through a flow in blocks, with the values of one pass."""

import pytest
import torch
from torch import Tensor

from pushforward import flows
from pushforward.flow import Flow


def _passes(flow: Flow, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of rows of each pass, as they come."""
    counts: list[int] = []
    for name in ("to_latent", "to_data"):
        whole = getattr(flow.transform, name)

        def counted(x: Tensor, *more: object, whole: object = whole) -> object:
            counts.append(len(x))
            return whole(x, *more)  # type: ignore[operator]

        monkeypatch.setattr(flow.transform, name, counted)
    return counts


@pytest.mark.parametrize("name", ["real_nvp", "nsf", "maf"])
@pytest.mark.parametrize("context_dim", [0, 2])
def test_scores_latents_and_samples_are_those_of_one_pass(
    name: str, context_dim: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    flow = flows.build(name, (3,), context_dim=context_dim, hidden=(16,)).double()
    for parameter in flow.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    flow.eval()
    x = torch.randn(5000, 3, dtype=torch.float64)
    contexts = {"context": torch.randn(5000, context_dim, dtype=torch.float64)} if context_dim else {}
    one = {"context": contexts["context"][:1]} if contexts else {}
    wanted = [flow.log_prob(x, **contexts).detach()]  # with gradients: in one pass
    counts = _passes(flow, monkeypatch)
    with torch.no_grad():
        found = [flow.log_prob(x, **contexts)]
        z = flow.encode(x, **contexts)
        assert counts == [2048, 2048, 904] * 2
        torch.testing.assert_close(flow.decode(z, **contexts), x)
        sample = flow.sample(9000, seed=0, **one)
    assert counts[6:] == [5000, 4096, 4096, 808]
    torch.testing.assert_close(found, wanted)
    flow.requires_grad_(False)
    with torch.enable_grad():
        whole = flow.sample(9000, seed=0, gradients=True, **one)
    assert counts[-1] == 9000
    torch.testing.assert_close(sample, whole)


def test_a_pass_in_training_mode_or_with_noise_or_gradients_is_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    flow = flows.build("real_nvp", (2,), hidden=(8,))
    counts = _passes(flow, monkeypatch)
    x = torch.randn(5000, 2)
    with torch.no_grad():
        flow.train().log_prob(x)
    flow.eval().log_prob(x)
    assert counts == [5000, 5000]
    noisy = flows.build("vflow", (2,), hidden=(8,)).eval()
    counts = _passes(noisy, monkeypatch)
    with torch.no_grad():
        noisy.log_prob(x, seed=0)
    assert counts == [5000]
