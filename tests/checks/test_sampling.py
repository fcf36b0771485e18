"""Check g: `log_prob` of a sample is what `sample_and_log_prob` said it is."""

import torch

from checking import over
from pushforward.diagnostics.check import SAMPLING
from pushforward.diagnostics.sampling import sampling_error
from registry import Entry
from subjects import subject


@over("g")
def test_scoring_a_sample_gives_the_density_that_it_came_with(entry: Entry) -> None:
    made = subject(entry)
    error = sampling_error(made.flow, 16, made.context(3))
    assert error.shape == ((16,) if entry.context is None else (16, 3))
    assert error.max() <= SAMPLING + entry.tolerance


@over("g")
def test_samples_lie_in_the_domain(entry: Entry) -> None:
    made = subject(entry)
    x, value = made.flow.sample_and_log_prob(200, made.context(2))
    assert x.isfinite().all()
    assert not value.isnan().any()
    if made.transform.domain.kind == "integers":
        assert torch.equal(x, x.round())
        assert x.min() >= made.transform.domain.low
        assert x.max() <= made.transform.domain.high
