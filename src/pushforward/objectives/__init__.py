"""Objectives of training: modules that take rows and return the loss to minimise, with its parts."""

from pushforward.objectives.flow_matching import FlowMatching as FlowMatching
from pushforward.objectives.flow_matching import Interpolant as Interpolant
from pushforward.objectives.flow_matching import Pairing as Pairing
from pushforward.objectives.likelihood import MaximumLikelihood as MaximumLikelihood
from pushforward.objectives.likelihood import RegularisedLikelihood as RegularisedLikelihood
from pushforward.objectives.objective import Loss as Loss
from pushforward.objectives.objective import MakeObjective as MakeObjective
from pushforward.objectives.objective import Objective as Objective
from pushforward.objectives.path_elbo import PathELBO as PathELBO
