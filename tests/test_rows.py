"""Rows in batches: what is computed of a row does not depend on the batch that it is in."""

import torch

from pushforward import noise as noise_source
from pushforward.flows import build
from pushforward.rows import Rows, row_latents, row_likelihoods


def test_likelihoods_and_latents_are_those_of_all_rows_at_once() -> None:
    flow = build("nice", (2,), levels=4, hidden=(4,), base="normal").eval()
    x = torch.randint(0, 4, (1100, 2), generator=torch.Generator().manual_seed(0)).float()
    whole = flow.likelihood(x, seed=3).value.double()
    for size in (None, 7):
        in_batches = row_likelihoods(flow, Rows(x), 3, batch_size=size).value
        torch.testing.assert_close(in_batches, whole, atol=1e-5, rtol=1e-5)
    noise = noise_source.keyed(flow.transform.noise_to_latent, 3, torch.arange(1100), x.dtype, x.device)
    torch.testing.assert_close(torch.cat(list(row_latents(flow, Rows(x), 3))), flow.encode(x, noise=noise))
