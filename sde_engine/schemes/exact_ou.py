"""The exact step of an Ornstein-Uhlenbeck process: a linear drift A theta + b and additive noise G. Ito, at any dt.

    theta' = e^(A dt) theta + J b + F z,   J = int_0^dt e^(A s) ds,   F F^T = S = int_0^dt e^(A s) G G^T e^(A^T s) ds

On a quadratic loss A = -(H + weight_decay), and F is a full matrix where G does not commute with H. A step of any length
has the law of the equation, transients and stationary law alike: mean, covariance and autocovariance. Time averages are
taken at whole steps. The gradient is tested to be linear and the noise to be constant, and neither is taken on trust.

E = e^(A dt), J and S are made from steps of dt / 2^k, where a Taylor series converges to rounding, by doubling:

    E(2 t) = E E,   J(2 t) = J + E J,   S(2 t) = S + E S E^T

Only sums of non-negative terms, so a singular covariance and any stiffness are served. Of the roots of S the step takes
the one nearest to J G / sqrt(dt), the mean of the increment given the Brownian one: on the Brownian path of the other
schemes it is of strong order 1. A Cholesky factor has the same law and another path.

References
----------
Gillespie, D. T. (1996). Exact numerical simulation of the Ornstein-Uhlenbeck process and its integral. Phys. Rev. E 54,
2084-2091 (one component). Higham, N. J. (2008). Functions of Matrices, SIAM, sections 8.1 (the nearest root) and 10.3
(doubling). The covariance by doubling and the choice of the root are derived here.
"""

from math import ceil, inf, log2
from typing import Any, NamedTuple

import numpy as np

from sde_engine.components import add, matvec
from sde_engine.errors import Incompatible
from sde_engine.scheme import Ito, Scheme, linearity_defect

_ALLOWED = 1e-6
_TERMS = 12  # of the Taylor series; with |A| t <= 1/16 what is left out is below 1e-19


class Transition(NamedTuple):
    """One step: theta' = decay theta + shift + root z."""

    decay: tuple[tuple[float, ...], ...]  # d rows of d
    shift: tuple[float, ...]
    root: tuple[tuple[float, ...], ...]  # d rows, a column a normal


def _build(system: Ito) -> Any:
    def step(theta: Any, z: Any, dt: Any, root: Any, p: Any, h: Any) -> Any:
        law = h.precomputed
        return add(add(matvec(law.decay, theta), law.shift), matvec(law.root, z))

    return step


def draws(columns: int, dim: int) -> int:
    """Return how many normals a step takes: the drift spreads fewer noises over all components."""
    return max(columns, dim)


def transition(system: Ito, dim: int, p: Any, h: Any, dt: float) -> Transition:
    """Return the law of a step of length dt of a linear equation with additive noise.

    Raises
    ------
    Incompatible : an unstable drift and a step so long that its covariance overflows
    """
    drift, noise = _coefficients(system, dim, p, h)
    a, b = drift[:, 1:], drift[:, 0]
    halvings = max(0, ceil(log2(16.0 * float(np.abs(a).sum(axis=1).max()) * dt + 1e-300)))
    decay, flow, spread = _series(a, noise @ noise.T, dt / 2.0**halvings)
    with np.errstate(over="ignore", invalid="ignore"):
        for _ in range(halvings):
            spread = spread + decay @ spread @ decay.T
            flow = flow + decay @ flow
            decay = decay @ decay
    if not np.isfinite(spread).all():
        raise Incompatible(
            f"the drift is unstable, and within one step of dt = {dt:g} theta passes the largest number there is; give a "
            "shorter dt"
        )
    brownian = np.zeros((dim, draws(noise.shape[1], dim)))
    brownian[:, : noise.shape[1]] = flow @ noise / np.sqrt(dt)
    root = _nearest_root(spread, brownian)
    return Transition(_rows(decay), tuple(map(float, flow @ b)), _rows(root))


def _coefficients(system: Ito, dim: int, p: Any, h: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return the drift's b and A as the columns of one matrix, (d, 1 + d), and G (d, m)."""
    points = [np.zeros(dim), *np.eye(dim)]
    values = np.array([[float(x) for x in system.drift(tuple(point), p, h)] for point in points])
    values[1:] -= values[0]
    rows = system.factor(tuple(points[0]), p, h)
    return values.T, np.array([[float(entry) for entry in row] for row in rows])


def _series(a: np.ndarray, covariance: np.ndarray, t: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return e^(a t), its integral from 0 to t, and S(t), by their Taylor series."""
    power, bracket = np.eye(len(a)), t * covariance
    decay, flow, spread = power, t * power, bracket
    for n in range(1, _TERMS):
        power = a @ power * (t / n)
        bracket = (a @ bracket + bracket @ a.T) * (t / (n + 1))
        decay, flow, spread = decay + power, flow + power * (t / (n + 1)), spread + bracket
    return decay, flow, spread


def _nearest_root(covariance: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Return F (d, m) with F F^T = covariance, rotated to be as near to the target (d, m) as it can be."""
    size = np.sqrt(np.diag(covariance))
    unit = np.where(size > 0.0, size, 1.0)  # of correlations every component is known to rounding, however small
    values, vectors = np.linalg.eigh(covariance / np.outer(unit, unit))
    root = unit[:, None] * vectors * np.sqrt(np.maximum(values, 0.0))
    left, _, right = np.linalg.svd(root.T @ target, full_matrices=False)
    return root @ left @ right


def _rows(matrix: np.ndarray) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(map(float, row)) for row in matrix)


def _objection(model: Any) -> str:
    defect, point = linearity_defect(model)
    if defect <= _ALLOWED:
        return ""
    return (
        f"'exact_ou' serves a linear gradient with constant noise, but between theta = 0 and {point} the derivatives of "
        f"the gradient of {model.name!r}, or its noise, differ by {defect:.2g} of their size; use 'heun'"
    )


SCHEME = Scheme(
    name="exact_ou",
    strong_order=1.0,
    weak_order=inf,
    noise_kinds=frozenset({"additive"}),
    build=_build,
    draws=draws,
    step_factor=1.0,
    objection=_objection,
    precompute=transition,
)
