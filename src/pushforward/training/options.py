"""The options of a fit. This module does not load torch."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, Self, TypedDict

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pushforward.error_messages import first_problem
from pushforward.errors import OptionError

DEFAULT_EPOCHS = 100


class OptimiserOptions(BaseModel):
    """Options of the optimiser and the limits, common to every kind of fit."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    # The name of this kind of fit in error messages.
    fit_name: ClassVar[str]

    optimiser: Annotated[Literal["adam", "adamw", "adamax"], Field(description="the update rule")] = "adam"
    lr: Annotated[float, Field(gt=0, allow_inf_nan=False, description="peak learning rate")] = 1e-3
    weight_decay: Annotated[
        float, Field(ge=0, allow_inf_nan=False, description="on every weight; decoupled for adamw only")
    ] = 0.0

    steps: Annotated[int | None, Field(ge=1, description="limit, optimiser steps")] = None
    minutes: Annotated[
        float | None, Field(gt=0, allow_inf_nan=False, description="limit, wall time including evaluation")
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
        """Validated options; raises OptionError with one sentence on the first invalid value."""
        try:
            return cls(**values)
        except ValidationError as error:
            raise OptionError(first_problem(error, cls.fit_name, cls.model_fields)) from None

    @classmethod
    def from_keywords(cls, options: Self | None, keywords: dict[str, Any]) -> Self:
        """``options``, or options made of ``keywords``; raises OptionError if both were given."""
        if options is None:
            return cls.checked(keywords)
        if keywords:
            raise OptionError(f"{', '.join(keywords)} and options were both given; set each option in one of the two")
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
    """Options of training. The first limit reached ends the run; without any limit the run has 100 epochs.

    >>> from pushforward import TrainingOptions
    >>> options = TrainingOptions(steps=2000, lr=5e-4, batch_size=128)
    >>> options.schedule
    'cosine'
    """

    fit_name = "training"

    batch_size: Annotated[int, Field(ge=1, description="rows per step; at most the number of rows")] = 64
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
    autocast: Annotated[
        bool, Field(description="train in bfloat16 where that is safe; validation keeps full precision")
    ] = False
    compile: Annotated[bool, Field(description="run the training step through torch.compile")] = False
    seed: Annotated[int, Field(ge=0, lt=2**63, description="random seed of batches, noise, flips and dropout")] = 0

    @property
    def epoch_limit(self) -> float | None:
        """``epochs``, or its default if no limit was given."""
        if self.epochs is None and self.steps is None and self.minutes is None:
            return DEFAULT_EPOCHS
        return self.epochs
