"""The moments of a scalar data law (x, y) that fix the dynamics of f = v x under the half loss (f - y)^2 / 2.

    E dl/dv = b1 v - b2,    Var dl/dv = g(v) = a1 v^2 - 2 a2 v + a3,    L(v) = (b1 v^2 - 2 b2 v + c) / 2

Here v is a parameter or any product of parameters. One example's gradient variance g is what drives every
stationary law of this folder; it does not depend on the batch.

References
----------
Ziyin, L., Li, H. and Ueda, M. (2023). arXiv:2308.06671, section 4 (there with the full loss (f - y)^2).
"""

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from sde_engine.errors import SpecError

DEGENERATE = 1e-13  # relative size below which a1 or the determinant is rounding, not data


class Moments(NamedTuple):
    """Moments of one example (x, y): b1 = E x^2, b2 = E xy, a1 = Var x^2, a2 = Cov(x^2, xy), a3 = Var xy, c = E y^2."""

    b1: float
    b2: float
    a1: float
    a2: float
    a3: float
    c: float


def mirrored(m: Moments) -> Moments:
    """Return the moments of (x, -y): those that -v sees."""
    return m._replace(b2=-m.b2, a2=-m.a2)


def two_point(target: float, noise: float) -> Moments:
    """Moments of the coin: x = +-1, y = target * x +- noise with independent fair signs.

    a1 = a2 = 0: the gradient noise is the same at every v, and ln v sees additive noise.
    """
    return Moments(1.0, float(target), 0.0, 0.0, float(noise) ** 2, float(target) ** 2 + float(noise) ** 2)


def gaussian(target: float, noise: float, scale: float = 1.0) -> Moments:
    """Moments of x ~ N(0, scale^2), y = target * x + noise * e with e ~ N(0, 1). `scale` is a standard deviation.

    a1 = 2 scale^4, a2 = target a1, a3 = target^2 a1 + scale^2 noise^2   (Isserlis).
    """
    square = float(scale) ** 2
    a1 = 2.0 * square * square
    a3 = target * target * a1 + square * noise * noise
    return Moments(
        square,
        float(target * square),
        a1,
        float(target * a1),
        float(a3),
        float(target * target * square + noise * noise),
    )


def of_table(x: ArrayLike, y: ArrayLike) -> Moments:
    """Moments of a table of N examples, each with weight 1/N (so the variances are not the N - 1 kind).

    Parameters
    ----------
    x, y : (N,)
        One scalar input and one label per example.
    """
    x, y = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    if x.ndim != 1 or x.shape != y.shape or x.size == 0:
        raise SpecError(f"a table needs x and y of one length N >= 1, but got shapes {x.shape} and {y.shape}")
    square, product = x * x, x * y
    b1, b2 = square.mean(), product.mean()
    return Moments(
        float(b1),
        float(b2),
        float(np.mean((square - b1) ** 2)),
        float(np.mean((square - b1) * (product - b2))),
        float(np.mean((product - b2) ** 2)),
        float(np.mean(y * y)),
    )


def gradient_mean(v: Any, m: Any) -> Any:
    """E dl/dv = b1 v - b2, the gradient of the population loss in v. Plain arithmetic: a component formula."""
    return m.b1 * v - m.b2


def gradient_variance(v: Any, m: Any) -> Any:
    """g(v) = Var dl/dv = a1 v^2 - 2 a2 v + a3 of one example: arXiv:2308.06671 section 4. A component formula."""
    return (m.a1 * v - 2.0 * m.a2) * v + m.a3


def loss(v: Any, m: Any) -> Any:
    """L(v) = E (v x - y)^2 / 2, weight decay not included. A component formula."""
    return 0.5 * ((m.b1 * v - 2.0 * m.b2) * v + m.c)


def determinant(m: Moments) -> float:
    """Delta = a1 a3 - a2^2 >= 0; zero iff some v fits every example equally well (interpolating data) or a1 = 0."""
    return m.a1 * m.a3 - m.a2 * m.a2


def is_constant_noise(m: Moments) -> bool:
    """Whether x^2 is the same in every example (a1 = a2 = 0), so that g does not depend on v."""
    return m.a1 <= DEGENERATE * m.b1 * m.b1


def check_noise(m: Moments) -> None:
    """Refuse data for which no stationary density exists: no gradient noise anywhere, or interpolating data."""
    if not is_constant_noise(m):
        root_determinant(m)
    elif m.a3 == 0.0:
        raise SpecError("these data have no gradient noise (a1 = a3 = 0), so v comes to rest; add label noise")


def root_determinant(m: Moments) -> float:
    """sqrt(Delta), for the densities that divide by it.

    Raises
    ------
    SpecError
        For interpolating data (Delta = 0): there the density is not normalisable at v = a2 / a1.
    """
    delta = determinant(m)
    if delta <= DEGENERATE * m.a1 * m.a3:
        point = f"v = {m.a2 / m.a1:.6g}" if m.a1 > 0.0 else "every v"
        raise SpecError(
            f"these data can be interpolated: the gradient noise vanishes at {point} (a1 a3 - a2^2 = {delta:.3g}), "
            "which then absorbs, and no stationary density exists; add label noise, or study the approach to that point"
        )
    return math.sqrt(delta)
