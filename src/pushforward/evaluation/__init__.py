"""Numbers about a flow on rows of data: scores, calibration, baselines, walks through the latent space. No drawing."""
