"""Is a fit good? Measures of a model on held-out rows, and a verdict in words, from plain arrays."""

from pushforward.evaluation.fit_quality.evidence import FitEvidence
from pushforward.evaluation.fit_quality.findings import Finding
from pushforward.evaluation.fit_quality.quality import FitQuality, assess_fit

__all__ = ["Finding", "FitEvidence", "FitQuality", "assess_fit"]
