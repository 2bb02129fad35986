"""A nonlinear Ito equation with polynomial coefficients, and the exact short-time expansion of its moments.

E f(theta_t) = f + t L f + t^2 L^2 f / 2 + ...,   L f = a . grad f + tr(G G^T Hess f) / 2

in exact polynomial arithmetic. A scheme whose one-step moments of all degrees up to four agree to t^2 has
weak order 2, to t weak order 1 (Milstein's theorem). Polynomials in (x, y) are arrays c with sum_ij c[i, j] x^i y^j.
"""

from typing import Any

import numpy as np
from scipy.signal import convolve2d

from sde_engine.scheme import Ito

POINT = (0.8, 1.2)
DEGREES = [(i, j) for i in range(5) for j in range(5) if 1 <= i + j <= 4]


def _array(**terms: float) -> np.ndarray:
    """Return a polynomial from terms such as x2y1=0.5."""
    found = np.zeros((4, 4))
    for name, value in terms.items():
        found[int(name[1]), int(name[3])] = value
    return found


DRIFT = (
    _array(x0y0=0.2, x1y0=-0.7, x0y1=0.5, x2y1=-0.3),
    _array(x1y0=-0.4, x0y1=-0.3, x0y3=-0.2, x1y1=0.3),
)
_FIRST = (_array(x0y0=0.3, x1y0=0.6, x0y2=0.2), _array(x0y0=0.1, x0y1=-0.3, x1y1=0.4))
_SECOND = (_array(x0y1=0.3, x1y1=-0.2), _array(x0y0=0.5, x2y0=0.7, x0y1=-0.5))
_ZERO = _array()
FACTORS = {
    "additive": ((_array(x0y0=0.8), _ZERO), (_array(x0y0=0.5), _array(x0y0=0.7))),
    "scalar": ((_FIRST[0],), (_FIRST[1],)),
    "diagonal": ((_FIRST[0], _ZERO), (_ZERO, _SECOND[1])),
    "general": ((_FIRST[0], _SECOND[0]), (_FIRST[1], _SECOND[1])),
}


def _value(polynomial: np.ndarray, x: Any, y: Any) -> Any:
    found = 0.0 * x
    for (i, j), c in np.ndenumerate(polynomial):
        if c:
            found = found + c * x**i * y**j
    return found


def system(kind: str) -> Ito:
    """Return the equation with this kind of noise; "general" noise does not commute."""

    def drift(theta: Any, p: Any, h: Any) -> Any:
        return tuple(_value(a, *theta) for a in DRIFT)

    def factor(theta: Any, p: Any, h: Any) -> Any:
        return tuple(tuple(_value(g, *theta) for g in row) for row in FACTORS[kind])

    return Ito(drift, factor, None)


def _sum(*terms: np.ndarray) -> np.ndarray:
    found = np.zeros(np.max([term.shape for term in terms], axis=0))
    for term in terms:
        found[: term.shape[0], : term.shape[1]] += term
    return found


def _slope(f: np.ndarray, axis: int) -> np.ndarray:
    powers = np.arange(f.shape[axis])[1:]
    moved = np.moveaxis(f, axis, 0)[1:] * powers[:, None]
    return np.moveaxis(moved, 0, axis) if len(moved) else np.zeros((1, 1))


def generator(f: np.ndarray, kind: str) -> np.ndarray:
    """Return L f."""
    slopes = (_slope(f, 0), _slope(f, 1))
    terms = [convolve2d(a, slope) for a, slope in zip(DRIFT, slopes, strict=True)]
    for i in range(2):
        for j in range(2):
            second = _slope(slopes[i], j)
            terms += [
                0.5 * convolve2d(convolve2d(one, two), second)
                for one, two in zip(FACTORS[kind][i], FACTORS[kind][j], strict=True)
            ]
    return _sum(*terms)


def expansion(kind: str) -> np.ndarray:
    """Return (degrees, 3) coefficients of t^0, t^1, t^2 of the moments of theta_t - POINT."""
    rows = []
    for i, j in DEGREES:
        f = convolve2d(_power(POINT[0], i)[:, None], _power(POINT[1], j)[None, :])
        row = []
        for k in range(3):
            row.append(float(np.polynomial.polynomial.polyval2d(*POINT, f)) / (1.0, 1.0, 2.0)[k])
            f = generator(f, kind)
        rows.append(row)
    return np.array(rows)


def _power(shift: float, n: int) -> np.ndarray:
    """Return the coefficients of (x - shift)^n."""
    return np.polynomial.polynomial.polypow([-shift, 1.0], n)
