"""Check c: what is computed for a row does not depend on the rows beside it."""

import torch

from checking import over
from pushforward.diagnostics.batching import batch_error
from pushforward.diagnostics.check import BATCHING
from pushforward.diagnostics.inversion import relative_error
from pushforward.diagnostics.jacobian import take_rows
from registry import Entry
from subjects import subject


@over("c")
def test_a_row_alone_and_in_any_order_gives_what_it_gives_in_a_batch(entry: Entry) -> None:
    made, n = subject(entry), 7
    context = made.embedded(n)
    forth = batch_error(made.transform, made.data(n), "to_latent", context, made.noise(n))
    back = batch_error(made.transform, made.latents(n), "to_data", context, made.noise(n, back=True))
    assert max(forth, back) <= BATCHING + entry.tolerance


# A map or a transform stands before a base that is an entry of its own.
@over("c", lambda entry: entry.kind in ("base", "flow"))
def test_log_prob_of_a_batch_is_that_of_its_rows(entry: Entry) -> None:
    made, n = subject(entry), 7
    x, context, noise = made.data(n), made.context(n), made.noise(n)
    with torch.no_grad():
        whole = made.flow.log_prob(x, context, noise=noise)
        rows = [
            made.flow.log_prob(
                x[i : i + 1], None if context is None else context[i : i + 1], noise=take_rows(noise, slice(i, i + 1))
            )
            for i in range(n)
        ]
    assert relative_error(torch.cat(rows), whole).max() <= BATCHING + entry.tolerance


@over("c")
def test_empty_batch_gives_an_empty_result(entry: Entry) -> None:
    made = subject(entry)
    value = made.flow.log_prob(made.data(0), made.context(0), noise=made.noise(0))
    assert value.shape == (0,)
    assert made.flow.sample(0, made.context(2)).shape[0] == 0
