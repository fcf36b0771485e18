"""Check f: every density integrates to one."""

from checking import over_stages
from pushforward.diagnostics.check import INTEGRAL
from pushforward.diagnostics.integration import integrate
from pushforward.transforms.stochastic_log_det import exactly
from registry import Entry
from subjects import Stage, subject


@over_stages("f", "perturbed", "trained")
def test_density_integrates_to_one(entry: Entry, stage: Stage) -> None:
    made = subject(entry, stage=stage)
    # Every value of a numeric solution takes many evaluations of a net.
    samples = 5_000 if entry.tolerance else 60_000
    # The exponential of an estimate that is right on average is too large on average.
    with exactly(made.flow):
        integral = integrate(made.flow, made.context(1), samples=samples)
    if integral.method == "quadrature":
        assert integral.error <= INTEGRAL, "the grid is too coarse to tell"
        assert abs(integral.value - 1) <= INTEGRAL
    else:
        assert integral.error <= 0.02, "too few effective samples to tell"
        assert abs(integral.value - 1) <= 4 * integral.error
