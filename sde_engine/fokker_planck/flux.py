"""Rates along one edge i -> j from the force z on it: exponential fitting around zero current, or around a known law.

    J = A [B(-z) p_i - B(z) p_j],    B(z) = z / (e^z - 1)          (Scharfetter and Gummel 1969; Chang and Cooper 1970)

vanishes on p_j / p_i = e^z. Where a law q is known approximately (that of a coarser grid), z = g + s with g = ln(q_j / q_i)
splits the force, and

    J = A [B(-g) k p_i - B(g) p_j / k],    k = s/2 + sqrt(1 + s^2/4)

has positive rates for any s, is the same for s = 0, and carries on p = q just the current A s q_i q_j / L, with L the
logarithmic mean of q_i and q_j. So s can be chosen such that the current of q is right to fourth order: what circulates is
then not smeared, and the error of a law is that of its reference times O(h^2), plus O(h^4). Derived here.
"""

import numpy as np
from numpy.typing import NDArray

_STEEP = 3.0  # change of ln q over one edge from which its current is of second order
_ONE_WAY = 690.0  # force above which no jump goes uphill


def bernoulli(z: NDArray) -> NDArray:
    """Return B(z) = z / (e^z - 1), 1 at z = 0; never negative."""
    z = np.asarray(z, dtype=float)
    small = np.abs(z) < 1e-5
    safe = np.where(small, 1.0, z)
    fitted = safe / np.expm1(np.minimum(safe, _ONE_WAY))
    return np.where(small, 1.0 - 0.5 * z + z * z / 12.0, np.where(z < _ONE_WAY, fitted, 0.0))


def split(z: NDArray, i: NDArray, j: NDArray, reference: NDArray | None) -> tuple[NDArray, NDArray]:
    """Return z as the step of the logarithm of the reference law and the rest, s."""
    if reference is None:
        return z, np.zeros_like(z)
    gradient = reference[j] - reference[i]
    # Where the reference is far off, plain exponential fitting.
    poor = np.abs(z - gradient) > 1.0 + 2.0 * np.abs(z)
    gradient = np.where(poor, z, gradient)
    return gradient, z - gradient


def fitted(gradient: NDArray, rest: NDArray) -> tuple[NDArray, NDArray]:
    """Return the rates forth and back for g and s, to be multiplied by A."""
    tilt = np.exp(np.arcsinh(0.5 * rest))
    return bernoulli(-gradient) * tilt, bernoulli(gradient) / tilt


def sharpened(
    rest: NDArray, i: NDArray, after: NDArray, strength: NDArray, amount: NDArray, reference: NDArray
) -> NDArray:
    """Return s of each edge such that the divergence of the current on p = q is of fourth order.

    With f = A s q along a line of edges the flux f - f''/24 has that property; s is an integral over the edge and q lies at
    nodes, which the other terms correct. An edge without an edge before and after it, or where q falls steeply, keeps s.

    Parameters
    ----------
    rest, i : s of the edges and the cells they start from
    after : (cells,) the cell that follows each cell along the direction
    strength : (cells,) A of the edge that starts from each cell, 0 where there is none
    amount : (cells,) what A is the mean of
    reference : (cells,) ln q
    """
    full, before, j = np.zeros_like(amount), np.full(amount.size, -1), after[i]
    full[i], before[j] = rest, i
    h, k = before[i], after[j]
    usable = (h >= 0) & (strength[j] > 0.0)
    h, k = np.where(usable, h, i), np.where(usable, k, j)
    steps = np.array([reference[i] - reference[h], reference[j] - reference[i], reference[k] - reference[j]])
    usable &= (np.abs(steps) < _STEEP).all(axis=0)
    steps = np.where(usable, steps, 0.0)
    middle = (9.0 * (amount[i] + amount[j]) - amount[h] - amount[k]) / 16.0
    left, right = strength[h] * full[h], strength[j] * full[j]
    own = strength[i] * rest
    flux = (
        middle * rest * np.exp((steps[0] - steps[2]) / 16.0)
        - (left * np.exp(-0.5 * (steps[0] + steps[1])) - 2.0 * own + right * np.exp(0.5 * (steps[1] + steps[2]))) / 24.0
        - strength[i] * (full[h] - 2.0 * rest + full[j]) / 24.0
    )
    half = 0.5 * steps[1]
    mean = np.where(np.abs(half) < 1e-4, 1.0 + half * half / 6.0, np.sinh(half) / np.where(half == 0.0, 1.0, half))
    return np.where(usable, flux * mean / strength[i], rest)
