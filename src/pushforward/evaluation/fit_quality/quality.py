"""The quality of a fit: all measures on held-out rows, and the verdict that they give."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from pushforward.evaluation.fit_quality.classifier import two_samples
from pushforward.evaluation.fit_quality.columns import marginals, tails, widths
from pushforward.evaluation.fit_quality.densities import coverage, gap, impossible
from pushforward.evaluation.fit_quality.evidence import FitEvidence
from pushforward.evaluation.fit_quality.findings import Finding
from pushforward.evaluation.fit_quality.independence import joint_pit
from pushforward.evaluation.fit_quality.memorisation import copies, nearest
from pushforward.evaluation.fit_quality.rivals import in_the_mean, row_by_row
from pushforward.evaluation.verdict import State, Verdict, verdict_of

# The probability that a right model is not called good, over all measures together.
LEVEL = 0.02
# With fewer held-out rows a fault of some size could stay unseen.
FEW_ROWS = 50

_Measure = Callable[[FitEvidence, np.random.Generator], list[Finding]]
_MEASURES: tuple[_Measure, ...] = (
    impossible,
    row_by_row,
    in_the_mean,
    coverage,
    marginals,
    widths,
    joint_pit,
    two_samples,
    tails,
    gap,
    nearest,
    copies,
)


@dataclass(frozen=True)
class FitQuality:
    """The findings on a fit, the level at which each is significant, and the number of held-out rows.

    best_step: the training step of the model, None if it is not known. rows_name: the words for the rows.
    """

    findings: tuple[Finding, ...]
    rows: int
    best_step: int | None = None
    rows_name: str = "held-out rows"

    @property
    def level(self) -> float:
        """The level of one finding, at which all of them together have the level `LEVEL`."""
        return LEVEL / max(1, len(self.findings))

    @property
    def verdict(self) -> Verdict:
        """The verdict on the fit: the worst of all findings that are significant and large."""
        grounds = [(finding.state(self.level), finding.reason) for finding in self.findings]
        if self.best_step == 0:
            grounds.append((State.CARE, "training never improved on its start (best step 0)"))
        if self.rows < FEW_ROWS:
            name = self.rows_name if self.rows != 1 else self.rows_name.removesuffix("s")
            few = f"only {self.rows:,} {name}: a fault could stay unseen"
            grounds.append((State.CARE, few))
        return verdict_of("fit", grounds)

    def to_json(self) -> dict[str, Any]:
        """A dict of the verdict and of every number."""
        measures = {f.measure: {"state": str(f.state(self.level)), **f.to_json()} for f in self.findings}
        return {
            **self.verdict.to_json(),
            "rows": self.rows,
            "best_step": self.best_step,
            "level": self.level,
            "measures": measures,
        }


def assess_fit(evidence: FitEvidence, seed: int = 0) -> FitQuality:
    """The quality of the fit that ``evidence`` shows. ``seed``: of the random order of ties, and of subsets of rows.

    Measures whose parts are missing are left out. If held-out rows come from the model itself, the verdict is good with
    a probability of about ``1 - LEVEL`` or more.

    >>> import numpy as np
    >>> from pushforward.evaluation.fit_quality import FitEvidence, assess_fit
    >>> rng = np.random.default_rng(0)
    >>> train, held_out, samples = (rng.normal(size=(500, 2)) for _ in range(3))
    >>> log_density = lambda x: -0.5 * (x**2).sum(1) - np.log(2 * np.pi)
    >>> log_densities = (log_density(x) for x in (held_out, train, samples))
    >>> print(assess_fit(FitEvidence(*log_densities, train, held_out, samples)).verdict)
    fit: good
    """
    rng = np.random.default_rng(seed)
    evidence = evidence.unweighted(rng)
    findings = [finding for measure in _MEASURES for finding in measure(evidence, rng)]
    return FitQuality(tuple(findings), len(evidence.log_held_out), evidence.best_step, evidence.rows_name)
