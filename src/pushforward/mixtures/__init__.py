"""Mixtures of Gaussians and probability tables, fitted by expectation-maximisation to rows with gaps and weights."""
