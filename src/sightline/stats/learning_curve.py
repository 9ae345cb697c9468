"""How accuracy grows with the number of pictures: a power law with an asymptote, and how far it can be believed.

The error with n pictures is a + b * n ** -c, as measured for many kinds of networks and data (arXiv 1712.00409). From a
few sizes the three numbers cannot be told apart, and need not be: a forecast is the mean over all of them, each as
likely as the measured errors make it. What the sizes cannot tell makes its interval wider.

K sizes, G curves.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_ndtr, ndtr, ndtri

Array = NDArray[np.float64]

SHARES = np.linspace(0, 1, 41) ** 2
"""Asymptotes as parts of the error at the largest size. Each is as likely as another before anything is measured, and
small ones lie closer together: most curves are far from their end. With equal distances forecasts were too low."""
EXPONENTS = np.linspace(0.05, 2, 40)
"""Likewise. Measured ones are mostly between 0.1 and 1; errors near zero fall faster for a while."""
LEVELS = (np.arange(15) + 0.5) / 15
"""Quantiles that stand for a normal distribution."""


@dataclass(frozen=True)
class LearningCurve:
    """Curves a + b * n ** -c, (G,) each, with their probabilities."""

    asymptotes: Array
    factors: Array
    exponents: Array
    probabilities: Array

    def errors(self, images: float) -> Array:
        """The error of each curve with so many images, 0 to 1, (G,)."""
        return np.clip(self.asymptotes + self.factors * images**-self.exponents, 0, 1)

    def accuracy(self, images: float, confidence: float) -> tuple[float, tuple[float, float]]:
        """The expected accuracy with so many images, and its interval."""
        return self._told(1 - self.errors(images), self.probabilities, confidence)

    def gain(
        self, images: float, start: float, confidence: float, deviation: float = 0.0
    ) -> tuple[float, tuple[float, float]]:
        """By how much the accuracy with `images` images is above that with `start`, and the interval of that.

        `deviation` is the standard deviation of what is not the curve's: that of the images that come in.
        """
        gains = (self.errors(start) - self.errors(images))[:, None] + deviation * ndtri(LEVELS)
        probabilities = np.repeat(self.probabilities / len(LEVELS), len(LEVELS))
        return self._told(gains.ravel(), probabilities, confidence)

    def likeliest(self) -> tuple[float, float, float]:
        """The asymptote, factor and exponent of the most probable curve."""
        best = int(self.probabilities.argmax())
        return float(self.asymptotes[best]), float(self.factors[best]), float(self.exponents[best])

    @staticmethod
    def _told(values: Array, probabilities: Array, confidence: float) -> tuple[float, tuple[float, float]]:
        order = np.argsort(values, kind="stable")
        below = np.cumsum(probabilities[order])
        places = np.searchsorted(below, [(1 - confidence) / 2, (1 + confidence) / 2]).clip(max=len(values) - 1)
        low, high = values[order][places]
        return float(values @ probabilities), (float(low), float(high))


def fit_learning_curve(sizes: Array, errors: Array, covariance: Array) -> LearningCurve:
    """Weigh all curves by how likely they make `errors` (K,), measured with `sizes` (K,) images, above 0.

    `covariance`, (K, K) and positive definite, is that of the measured errors, taken for normally distributed.
    A curve is its level at the largest size, any that is not negative, times a shape of SHARES and EXPONENTS.
    """
    largest = sizes.max()
    share, exponent = (grid.ravel() for grid in np.meshgrid(SHARES, EXPONENTS, indexing="ij"))
    shapes = share[:, None] + (1 - share[:, None]) * (largest / sizes) ** exponent[:, None]
    weights = np.linalg.inv(covariance)
    # With a shape given the level is a weighted least squares fit, and the rest is the normal distribution's integral.
    squares = np.einsum("gk,kl,gl->g", shapes, weights, shapes)
    products = shapes @ weights @ errors
    level, deviation = products / squares, 1 / np.sqrt(squares)
    likelihood = products**2 / squares / 2 + np.log(deviation) + log_ndtr(level / deviation)
    probability = np.exp(likelihood - likelihood.max())
    probability /= probability.sum()
    negative = ndtr(-level / deviation)[:, None]
    levels = level[:, None] + deviation[:, None] * ndtri(np.minimum(negative + (1 - negative) * LEVELS, 1 - 1e-12))
    levels = np.maximum(levels, 0)
    return LearningCurve(
        asymptotes=(levels * share[:, None]).ravel(),
        factors=(levels * (1 - share[:, None]) * largest ** exponent[:, None]).ravel(),
        exponents=np.repeat(exponent, len(LEVELS)),
        probabilities=np.repeat(probability / len(LEVELS), len(LEVELS)),
    )
