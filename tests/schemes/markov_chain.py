"""Stationary laws of one-dimensional discretisations without sampling: the transition operator on a grid.

(P f)(x) = E f(Phi(x, z)) with z from Gauss-Hermite quadrature, f between grid points by interpolation of degree 5. The
stationary law is the left eigenvector. Where an explicit scheme has none because paths may leave for good, mass that
leaves the grid is lost and the law is the quasi-stationary one.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.linalg import lu_factor, lu_solve

_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(64)
_WEIGHTS = _WEIGHTS / _WEIGHTS.sum()
_WIDTH = 6  # points of the interpolation

Map = Callable[[Any], Any]


def _interpolation(u: np.ndarray, first: float, spacing: float, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return for each u the index of its leftmost grid point and the weights of six; zero weights outside."""
    place = (u - first) / spacing
    left = np.clip(np.floor(place).astype(int) - _WIDTH // 2 + 1, 0, count - _WIDTH)
    t = place - left
    weights = np.ones((_WIDTH, *u.shape))
    for i in range(_WIDTH):
        for k in range(_WIDTH):
            if k != i:
                weights[i] *= (t - k) / (i - k)
    return left, weights * ((place >= 0.0) & (place <= count - 1.0))


def stationary_mean(
    advance: Callable[[Any, Any], Any], observe: Callable[[Any, Any], Any], grid: np.ndarray, to_x: Map, to_u: Map
) -> float:
    """Return E observe(x, z) under the stationary law of x' = advance(x, z), x = to_x(u) with u on a uniform grid."""
    count, spacing = len(grid), grid[1] - grid[0]
    x = to_x(grid)
    operator = np.zeros((count, count))
    rows = np.arange(count)
    for z, weight in zip(_NODES, _WEIGHTS, strict=True):
        left, shares = _interpolation(to_u(advance(x, np.full(count, z))), grid[0], spacing, count)
        for i in range(_WIDTH):
            np.add.at(operator, (rows, left + i), weight * shares[i])
    law = np.full(count, 1.0 / count)
    factors = lu_factor(operator.T - (1.0 + 1e-9) * np.eye(count))
    for _ in range(4):  # inverse iteration: the largest eigenvalue is 1, or a little below where mass is lost
        law = lu_solve(factors, law)
        law /= law.sum()
    seen = sum(w * observe(x, np.full(count, z)) for z, w in zip(_NODES, _WEIGHTS, strict=True))
    return float(law @ seen)
