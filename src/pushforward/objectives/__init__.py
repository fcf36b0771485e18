"""Objectives of training: modules that take rows and return the loss to minimise, with its parts."""

from pushforward.objectives.flow_matching import FlowMatching, Interpolant, Pairing
from pushforward.objectives.likelihood import MaximumLikelihood, RegularisedLikelihood
from pushforward.objectives.objective import Loss, MakeObjective, Objective
from pushforward.objectives.path_elbo import PathELBO

__all__ = [
    "FlowMatching",
    "Interpolant",
    "Loss",
    "MakeObjective",
    "MaximumLikelihood",
    "Objective",
    "Pairing",
    "PathELBO",
    "RegularisedLikelihood",
]
