"""Evaluation of a flow on rows of data: scores, calibration, baselines, latent interpolation. It draws no figures."""
