"""Rössler's Runge-Kutta scheme RI6: weak order 2 for several Brownian motions that need not commute. Ito.

    theta' = theta + (f(hat) + f) dt / 2 + sqrt(dt) sum_k [ (b_k(up_k) - b_k(down_k)) (z_k^2 - 1) / 4
        + (b_k(up_k) + b_k(down_k) + b_k(above_k) + b_k(below_k)) z_k / 4 + (b_k(above_k) - b_k(below_k)) / 2 ]

    hat = theta + f dt + sqrt(dt) sum_k b_k z_k,   up_k, down_k = theta + f dt +- sqrt(dt) b_k
    above_k, below_k = theta +- sqrt(dt) sum_{l != k} J_kl b_l,   J_kl the weak double integrals over dt

with b_k column k of G. The double integrals need m - 1 fair signs beside the m normals: the signs of extra normals.
With one Brownian motion it is Platen's scheme, which `platen` computes with fewer evaluations. Strong order 1/2 (1 for
additive noise).

References
----------
Rößler, A. (2009). Second order Runge-Kutta methods for Ito stochastic differential equations.
SIAM J. Numer. Anal. 47, 1713-1738, scheme RI6 (the stages written out, equal ones merged).
"""

from typing import Any

from sde_engine.components import (
    add,
    apply,
    at_each,
    matmul,
    matvec,
    own_columns,
    scale,
    scale_matrix,
    shifted,
    split,
    subtract,
    total,
    transpose,
    two_point,
    vecmat,
    weak_integrals,
)
from sde_engine.scheme import Ito, Scheme


def draws(columns: int, dim: int) -> int:
    """Return how many normals a step takes: one a Brownian motion, and one for each sign."""
    return 2 * columns - 1


def _excess(z: Any) -> Any:
    return z * z - 1.0


def noise_of(system: Ito) -> Any:
    """Return increment(theta, drifted, g, z, root, p, h), the noise of a step; `drifted` is theta + f dt."""
    factor = system.factor

    def increment(theta: Any, drifted: Any, g: Any, z: Any, root: Any, p: Any, h: Any) -> Any:
        w, extra = split(z, (g[0], g[0][1:]))
        columns = scale_matrix(root, transpose(g))
        crossed = matmul(weak_integrals(w, apply(two_point, extra)), columns)
        up = own_columns(at_each(factor, shifted(drifted, columns), p, h))
        down = own_columns(at_each(factor, shifted(drifted, scale_matrix(-1.0, columns)), p, h))
        above = own_columns(at_each(factor, shifted(theta, crossed), p, h))
        below = own_columns(at_each(factor, shifted(theta, scale_matrix(-1.0, crossed)), p, h))
        mean = add(add(vecmat(w, up), vecmat(w, down)), add(vecmat(w, above), vecmat(w, below)))
        excess = apply(_excess, w)
        skew = subtract(vecmat(excess, up), vecmat(excess, down))
        swap = subtract(apply(total, transpose(above)), apply(total, transpose(below)))
        return scale(0.25 * root, add(mean, add(skew, scale(2.0, swap))))

    return increment


def _build(system: Ito) -> Any:
    drift, factor, noise = system.drift, system.factor, noise_of(system)

    def step(theta: Any, z: Any, dt: Any, root: Any, p: Any, h: Any) -> Any:
        f, g = drift(theta, p, h), factor(theta, p, h)
        drifted = add(theta, scale(dt, f))
        w = split(z, (g[0],))[0]
        f_hat = drift(add(drifted, scale(root, matvec(g, w))), p, h)
        return add(add(theta, scale(0.5 * dt, add(f, f_hat))), noise(theta, drifted, g, z, root, p, h))

    return step


SCHEME = Scheme(
    name="ri6",
    strong_order=0.5,
    weak_order=2.0,
    noise_kinds=frozenset({"additive", "diagonal", "general"}),
    build=_build,
    draws=draws,
    step_factor=0.1,
)
