"""The options of a fit. This module does not load torch."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, Self, TypedDict

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pushforward.error_messages import first_problem
from pushforward.errors import OptionError

DEFAULT_EPOCHS = 100


class OptimiserOptions(BaseModel):
    """What every kind of fit is told about how the weights move and when it ends; the base of its options."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    # What error messages call the fit that the options are of.
    fit_name: ClassVar[str]

    optimiser: Annotated[Literal["adam", "adamw", "adamax"], Field(description="the update rule")] = "adam"
    lr: Annotated[float, Field(gt=0, allow_inf_nan=False, description="peak learning rate")] = 1e-3
    weight_decay: Annotated[
        float, Field(ge=0, allow_inf_nan=False, description="on every weight; decoupled for adamw only")
    ] = 0.0

    steps: Annotated[int | None, Field(ge=1, description="limit, optimiser steps")] = None
    minutes: Annotated[
        float | None, Field(gt=0, allow_inf_nan=False, description="limit, of wall time, evaluation included")
    ] = None

    warmup_steps: Annotated[int, Field(ge=0, description="steps over which the rate rises from 0")] = 0
    schedule: Annotated[
        Literal["cosine", "constant"], Field(description="cosine: the rate falls to 0 at the nearest limit")
    ] = "cosine"
    clip: Annotated[
        float | None, Field(gt=0, allow_inf_nan=False, description="largest gradient norm; None: not clipped")
    ] = 100.0
    ema: Annotated[
        float, Field(ge=0, lt=1, description="decay of the exponential moving average of weights; 0: none")
    ] = 0.0

    @classmethod
    def checked(cls, values: dict[str, Any]) -> Self:
        """Options from ``values``; raises OptionError, with one sentence on the first thing that is wrong."""
        try:
            return cls(**values)
        except ValidationError as error:
            raise OptionError(first_problem(error, cls.fit_name, cls.model_fields)) from None

    @classmethod
    def from_keywords(cls, options: Self | None, keywords: dict[str, Any]) -> Self:
        """``options`` as they are, or options made of ``keywords``; raises OptionError where both were given."""
        if options is None:
            return cls.checked(keywords)
        if keywords:
            raise OptionError(f"{', '.join(keywords)} were given beside options; put them into one of the two")
        return options


class TrainingKeywords(TypedDict, total=False):
    """The fields of `TrainingOptions` as keyword arguments of `fit`, for editors and type checkers."""

    optimiser: Literal["adam", "adamw", "adamax"]
    lr: float
    weight_decay: float
    steps: int | None
    minutes: float | None
    warmup_steps: int
    schedule: Literal["cosine", "constant"]
    clip: float | None
    ema: float
    batch_size: int
    epochs: float | None
    patience: int | None
    validate_every: int | None
    validation_rows: int | None
    flips: bool
    autocast: bool
    compile: bool
    seed: int


class TrainingOptions(OptimiserOptions):
    """How a flow is trained. The first of the limits that is reached ends the run; with none given it is 100 epochs.

    >>> from pushforward import TrainingOptions
    >>> options = TrainingOptions(steps=2000, lr=5e-4, batch_size=128)
    >>> options.schedule
    'cosine'
    """

    fit_name = "training"

    batch_size: Annotated[int, Field(ge=1, description="rows a step; at most all there are")] = 64
    epochs: Annotated[float | None, Field(gt=0, allow_inf_nan=False, description="limit, passes over the rows")] = None
    patience: Annotated[
        int | None, Field(ge=1, description="validation rounds without improvement before stopping; None: no limit")
    ] = 30

    validate_every: Annotated[
        int | None, Field(ge=1, description="steps between validation rounds; None: about a tenth of the work")
    ] = None
    validation_rows: Annotated[
        int | None, Field(ge=1, description="rows of a validation round, chosen once; None: bounded by their size")
    ] = None
    flips: Annotated[bool, Field(description="mirror each training image left to right with probability 1/2")] = False
    autocast: Annotated[bool, Field(description="train in bfloat16 where that is safe; validation is not")] = False
    compile: Annotated[bool, Field(description="run the training step through torch.compile")] = False
    seed: Annotated[int, Field(ge=0, lt=2**63, description="of batches, noise, flips and dropout")] = 0

    @property
    def epoch_limit(self) -> float | None:
        """``epochs``, or the default number of them where no limit at all was given."""
        if self.epochs is None and self.steps is None and self.minutes is None:
            return DEFAULT_EPOCHS
        return self.epochs
