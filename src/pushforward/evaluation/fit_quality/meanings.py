"""The measures of a fit in words: the deviation that each one finds, and the unit of its size."""

from __future__ import annotations

MEANINGS = {
    "impossible": "fraction of the rows without a finite log-density",
    "rival_rows": "fraction of the rows at which a simpler density, such as a mixture, is far better: a lost mode",
    "rival_mean": "nats a row by which a simpler density, such as a Gaussian mixture, is better in the mean",
    "coverage": "largest error of the coverage of the regions of highest density, as a fraction of the rows",
    "low_density": "excess of rows of very low log-density over the samples, as a fraction: a lost mode or tail",
    "marginals": "largest distance of the distribution function of a column from the model's",
    "widths": "largest error of the coverage of central intervals of a target, as a fraction of the rows",
    "latents": "largest distance of the distribution function of a latent coordinate from the base's",
    "latent_dependence": "largest correlation of two latent coordinates",
    "classifier": "area under the curve (AUC) of boosted trees that tell samples from rows; 0.5 is a guess",
    "tails": "ratio of the frequencies of extreme values of a column, of rows and of samples",
    "gap": "nats by which training rows score better than held-out rows: overfitting",
    "memorisation": "excess of samples that lie very near to a training row, as a fraction",
    "copies": "excess of rows that are copies of training rows, as a fraction",
}
