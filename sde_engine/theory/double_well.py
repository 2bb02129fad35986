"""One dimension, cubic restoring force: the same drift under multiplicative and under additive noise.

    multiplicative   dx = -(x^3 - mu x) dt + s x dW  (Ito):  x^2 is Gamma distributed, and dies at s^2 = 2 mu
    additive         dx = -(x^3 - mu x) dt + s dW:           the Boltzmann law exp(-2 V / s^2), V = x^4/4 - mu x^2/2

Units: x and t dimensionless. Both are standard Fokker-Planck results (zero flux).
"""

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import gammaln

from sde_engine.errors import SpecError
from sde_engine.theory.density import COLLAPSED, IDENTITY, ClosedLaw, Gamma, Law, tabulate


def potential(x: ArrayLike, mu: float) -> NDArray:
    """V = x^4 / 4 - mu x^2 / 2, whose force is -(x^3 - mu x)."""
    square = np.asarray(x, dtype=float) ** 2
    return square * (0.25 * square - 0.5 * mu)


def square_law(mu: float, s: float) -> Gamma:
    """Law of x^2 under multiplicative noise: Gamma(mu / s^2 - 1/2, scale s^2), E x^2 = mu - s^2 / 2. Standard, Ito.

    Raises
    ------
    SpecError
        For s^2 >= 2 mu, where x = 0 absorbs.
    """
    if s * s >= 2.0 * mu:
        raise SpecError(f"x = 0 absorbs: a stationary density needs s^2 < 2 mu = {2.0 * mu:.6g}, but s^2 = {s * s:.6g}")
    return Gamma(mu / (s * s) - 0.5, s * s)


def exponent(mu: float, s: float) -> float:
    """Lyapunov exponent of x = 0 under multiplicative noise, mu - s^2 / 2 per unit t (Ito; Stratonovich: mu)."""
    return mu - 0.5 * s * s


def boltzmann_law(mu: float, s: float) -> Law:
    """Law of |x| under additive noise: density 2 exp(-2 V / s^2) / Z on x >= 0 (x itself is symmetric). Standard."""
    if not s > 0.0:
        raise SpecError(f"the Boltzmann law needs noise s > 0, but got {s!r}")
    well = math.sqrt(max(mu, 0.0))
    return tabulate(lambda x: -2.0 / (s * s) * potential(x, mu), well, well, chart=IDENTITY, lowest=0.0)


def additive_law(mu: float, s: float) -> ClosedLaw:
    """Law of x under additive noise: that of |x|, with either sign. Standard."""
    half = boltzmann_law(mu, s)

    def cdf(x: NDArray) -> NDArray:
        return 0.5 * (1.0 + np.sign(x) * half.cdf(np.abs(x)))

    return ClosedLaw(lambda x: 0.5 * half.pdf(np.abs(x)), cdf, 0.0, half.var + half.mean**2)


def multiplicative_law(mu: float, s: float) -> ClosedLaw | Law:
    """Law of x > 0 under multiplicative noise, the root of `square_law`; the point mass at 0 from s^2 = 2 mu on."""
    if s * s >= 2.0 * mu:
        return COLLAPSED
    square = square_law(mu, s)
    mean = math.sqrt(square.scale) * math.exp(gammaln(square.shape + 0.5) - gammaln(square.shape))
    return ClosedLaw(
        lambda x: 2.0 * np.abs(x) * square.pdf(x * x) * (x > 0.0),
        lambda x: np.where(x > 0.0, square.cdf(x * x), 0.0),
        mean,
        square.mean - mean * mean,
    )
