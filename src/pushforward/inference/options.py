"""The options of a fit to a log-density. This module does not load torch."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from pushforward.training.options import OptimiserOptions

DEFAULT_STEPS = 5000
# The weight of the log-density at the start of annealing.
_FLATTEST = 0.01


class InferenceOptions(OptimiserOptions):
    """Options of a fit to a log-density. The first limit reached ends the run; without any limit it has 5000 steps.

    >>> from pushforward.inference import InferenceOptions
    >>> InferenceOptions(minutes=2, batch_size=512, anneal=0.5).gradient
    'auto'
    """

    fit_name = "inference"

    batch_size: Annotated[int, Field(ge=1, description="samples per step")] = 256
    gradient: Annotated[
        Literal["auto", "path", "reparameterised"],
        Field(description="estimator of the ELBO's gradient; auto: path, unless scoring costs far more than sampling"),
    ] = "auto"
    anneal: Annotated[
        float,
        Field(ge=0, le=1, description="fraction of the run in which the target is flattened, less and less; 0: none"),
    ] = 0.0
    samples: Annotated[
        int, Field(ge=2, description="fresh samples for the final figures, divided among the rows of context")
    ] = 20_000
    seed: Annotated[
        int, Field(ge=0, lt=2**63, description="random seed of the samples and of the choice of context rows")
    ] = 0

    @property
    def step_limit(self) -> int | None:
        """``steps``, or its default if no limit was given."""
        return DEFAULT_STEPS if self.steps is None and self.minutes is None else self.steps

    def target_weight(self, fraction: float) -> float:
        """The factor of the log-density at ``fraction`` of the run; it rises linearly to 1 during annealing."""
        return 1.0 if fraction >= self.anneal else _FLATTEST + (1 - _FLATTEST) * fraction / self.anneal
