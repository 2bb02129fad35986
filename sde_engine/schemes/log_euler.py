"""Euler-Maruyama for the logarithms of the model's multiplicative coordinates, with a step for each path. Ito.

In the coordinates x = A theta of the model's `log_chart` every x_i stays zero if it is zero, so that
dx_i = x_i (alpha_i dt + sum_k beta_ik dW_k) and

    x_i' = x_i exp( (alpha_i - |beta_i|^2 / 2) dt + sum_k beta_ik sqrt(dt) z_k )

Signs are kept, nothing overshoots zero, and near the symmetric state, where alpha and beta are constant, the step is
exact for any dt: the collapse is seen at its true rate. Elsewhere the step follows how fast the coefficients change,

    dt(theta) = tolerance / max_i ( |d alpha_i| + |d |beta_i|^2| + |d beta_i|^2 ),

with d the change along theta -> (1 + delta) theta over delta. Weak order 1 at a fixed step.

Derived here; the need for it (fixed-step Euler is wrong for two-layer networks on spread-out data, and diverges) is
the multiplicative noise with a power tail of Ziyin, L., Li, H. and Ueda, M. (2023), arXiv:2308.06671.
"""

from typing import Any

import numpy as np

from sde_engine.components import (
    absolute,
    add,
    apply,
    exp,
    largest,
    matmul,
    matvec,
    multiply,
    reciprocal,
    scale,
    scale_rows,
    square_norm,
    subtract,
)
from sde_engine.scheme import Ito, Scheme

_PROBE = 1.0 / 64.0
_TINY = 1e-300  # no division by zero where the coefficients are constant


def _relative(system: Ito) -> Any:
    """Return theta -> (alpha, beta), the relative drift (d) and noise (d x m) of the coordinates x = A theta."""
    drift, factor, chart = system.drift, system.factor, system.log_chart

    def relative(theta: Any, p: Any, h: Any) -> Any:
        # A coordinate that is exactly zero stays zero whatever its rates are, so any finite number will do.
        inverse = apply(reciprocal, matvec(chart, theta))
        alpha = multiply(inverse, matvec(chart, drift(theta, p, h)))
        beta = scale_rows(inverse, matmul(chart, factor(theta, p, h)))
        return alpha, beta

    return relative


def _build(system: Ito) -> Any:
    relative, chart = _relative(system), system.log_chart
    back = tuple(tuple(float(x) for x in row) for row in np.linalg.inv(np.array(chart)))

    def step(theta: Any, z: Any, dt: Any, root: Any, p: Any, h: Any) -> Any:
        alpha, beta = relative(theta, p, h)
        drift = subtract(alpha, scale(0.5, apply(square_norm, beta)))
        growth = add(scale(dt, drift), matvec(beta, scale(root, z)))
        return matvec(back, multiply(matvec(chart, theta), apply(exp, growth)))

    return step


def _size(system: Ito) -> Any:
    relative = _relative(system)

    def size(theta: Any, p: Any, h: Any) -> Any:
        alpha, beta = relative(theta, p, h)
        alpha_near, beta_near = relative(scale(1.0 + _PROBE, theta), p, h)
        variance, variance_near = apply(square_norm, beta), apply(square_norm, beta_near)
        slope = scale(1.0 / _PROBE, apply(absolute, subtract(alpha_near, alpha)))
        slope_noise = scale(1.0 / _PROBE, apply(absolute, subtract(variance_near, variance)))
        # |d beta|^2 of one column is (d |beta|^2)^2 / (4 |beta|^2); for more columns this bounds it from below.
        spread = multiply(multiply(slope_noise, slope_noise), scale(0.25, apply(reciprocal, variance)))
        return h.tolerance / (largest(add(slope, add(slope_noise, spread))) + _TINY)

    return size


SCHEME = Scheme(
    name="log_euler",
    strong_order=0.5,
    weak_order=1.0,
    noise_kinds=frozenset({"additive", "scalar", "diagonal", "general"}),
    build=_build,
    size=_size,
    needs_log_chart=True,
)
