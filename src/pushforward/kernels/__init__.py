"""Fused operators for the CPU, in C++, each beside the same computation in torch's operations.

A kernel computes what takes torch dozens of passes over memory in one: the rational-quadratic spline, mixtures of
logistics and of normal distributions with their roots, all layers of a net of dense layers, and a whole coupling or
autoregressive layer of a flow on vectors, which is such a net with a spline or an affine map. The formulas in torch
remain the reference: they serve every other device and dtype, exported programs, torch.func and second derivatives. A
compiled graph calls the spline as an operator of torch, and has the others as torch's operations.
``PUSHFORWARD_KERNELS=reference`` in the environment turns the kernels off.
"""

from pushforward.kernels.conditioned import Layer, MapForm
from pushforward.kernels.library import instructions
from pushforward.kernels.spline import spline, takes_spline
from pushforward.kernels.spline_calls import MOST_BINS, SplineOptions

__all__ = ["MOST_BINS", "Layer", "MapForm", "SplineOptions", "instructions", "spline", "takes_spline"]
