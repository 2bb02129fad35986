"""Drift-implicit trapezoid with the noise of RI6: weak order 2, stable for drifts of any stiffness. Ito.

    theta' = theta + (f(theta) + f(theta')) dt / 2 + noise,   the noise of `ri6` with its stages about theta_bar
    theta_bar = theta + (f(theta) + f(theta_bar)) dt / 2

On a quadratic loss with additive noise the stationary covariance is exact at every dt. (Backward Euler, the usual
remedy for stiffness, is 13 % off at dt = 0.1 on a quartic well.) Both equations are solved by a fixed number of
simplified Newton steps with the Jacobian of the drift at theta, made of central differences and factored anew every
step: they converge to rounding where the drift's slope changes little within a step, and exactly where it is linear.
For up to 8 components. Strong order 1/2 (1 with one Brownian motion).

References
----------
Kloeden, P. E. and Platen, E. (1992). Numerical Solution of Stochastic Differential Equations, Springer, section 15.4;
its use with RI6 and implicit stages is derived here.
"""

from typing import Any

from sde_engine.components import (
    absolute,
    add,
    apply,
    at_each,
    identity_minus,
    largest,
    nudged,
    scale,
    scale_matrix,
    solve,
    subtract,
    subtract_matrix,
    transpose,
)
from sde_engine.scheme import Ito, Scheme
from sde_engine.schemes.ri6 import draws, noise_of

_NEWTON = 4
_PROBE = 2.0**-17  # of the central differences, relative to the largest component: error 1e-10 of the slope's scale
_LARGEST = 8


def _build(system: Ito) -> Any:
    drift, factor, noise = system.drift, system.factor, noise_of(system)

    def resolvent(theta: Any, dt: Any, p: Any, h: Any) -> Any:
        """Return I - (dt / 2) Df at theta."""
        size = _PROBE * (1.0 + largest(apply(absolute, theta)))
        up = at_each(drift, nudged(theta, size), p, h)
        down = at_each(drift, nudged(theta, -size), p, h)
        slopes = scale_matrix(0.25 * dt / size, subtract_matrix(up, down))
        return identity_minus(transpose(slopes))

    def settle(guess: Any, right: Any, matrix: Any, dt: Any, p: Any, h: Any) -> Any:
        """Return x with x - f(x) dt / 2 = right."""
        x = guess
        for _ in range(_NEWTON):
            excess = subtract(subtract(x, scale(0.5 * dt, drift(x, p, h))), right)
            x = subtract(x, solve(matrix, excess))
        return x

    def step(theta: Any, z: Any, dt: Any, root: Any, p: Any, h: Any) -> Any:
        matrix = resolvent(theta, dt, p, h)
        right = add(theta, scale(0.5 * dt, drift(theta, p, h)))
        drifted = settle(theta, right, matrix, dt, p, h)
        kick = noise(theta, drifted, factor(theta, p, h), z, root, p, h)
        return settle(drifted, add(right, kick), matrix, dt, p, h)

    return step


def _objection(model: Any) -> str:
    if model.dim <= _LARGEST:
        return ""
    return (
        f"'implicit_trapezoid' serves up to {_LARGEST} components, but {model.name!r} has {model.dim}; use an explicit "
        "scheme with a smaller dt"
    )


SCHEME = Scheme(
    name="implicit_trapezoid",
    strong_order=0.5,
    weak_order=2.0,
    noise_kinds=frozenset({"additive", "scalar", "diagonal", "general"}),
    build=_build,
    draws=draws,
    step_factor=0.1,
    objection=_objection,
)
