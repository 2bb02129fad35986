"""Relative drift and noise of a model's multiplicative coordinates, and the step that they allow. Ito.

In the coordinates x = A theta of a model's `log_chart` every x_i stays zero if it is zero, so that
dx_i = x_i (alpha_i dt + sum_k beta_ik dW_k). Near the symmetric state alpha and beta are constant and ln x_i is a
Brownian motion with drift. Elsewhere a step follows how fast they change,

    dt(theta) = tolerance / max_i ( |d alpha_i| + |d |beta_i|^2| + |d beta_i|^2,  |beta_i|^2 / 2.5 ),

with d the change along theta -> (1 + delta) theta over delta; so close to the symmetric state that no growth within
the longest step could change the coefficients, the longest step is taken. The step depends on the present only.

Derived here; the need for it (fixed-step Euler is wrong for two-layer networks on spread-out data, and diverges) is
the multiplicative noise with a power tail of Ziyin, L., Li, H. and Ueda, M. (2023), arXiv:2308.06671.
"""

from typing import Any

import numpy as np

from sde_engine.components import (
    absolute,
    add,
    apply,
    away_from_zero,
    exp,
    largest,
    matmul,
    matvec,
    multiply,
    reciprocal,
    scale,
    scale_rows,
    smaller,
    sqrt,
    square_norm,
    subtract,
    where,
)
from sde_engine.scheme import Ito

_PROBE = 1.0 / 64.0
_SMALLEST = 1e-6
_NOISE = 2.5  # largest variance of ln x in one step, in units of the tolerance
_LEAST = 1.0 / 16.0
_TINY = 1e-300  # no division by zero where the coefficients are constant


def inverse_chart(system: Ito) -> Any:
    """Return the rows of the inverse of the chart."""
    return tuple(tuple(float(x) for x in row) for row in np.linalg.inv(np.array(system.log_chart)))


def relative_coefficients(system: Ito) -> Any:
    """Return theta -> (alpha, beta), the relative drift (d) and noise (d x m) of the coordinates x = A theta."""
    drift, factor, chart, back = system.drift, system.factor, system.log_chart, inverse_chart(system)

    def relative(theta: Any, p: Any, h: Any) -> Any:
        # alpha and beta are smooth at x_i = 0, but a quotient of rounding errors there; so they are taken where no
        # coordinate is smaller than a millionth of the largest. (At the origin itself any finite number will do.)
        x = matvec(chart, theta)
        x = away_from_zero(x, _SMALLEST * largest(apply(absolute, x)))
        near = matvec(back, x)
        inverse = apply(reciprocal, x)
        alpha = multiply(inverse, matvec(chart, drift(near, p, h)))
        beta = scale_rows(inverse, matmul(chart, factor(near, p, h)))
        return alpha, beta

    return relative


def step_size(system: Ito) -> Any:
    """Return theta -> the longest step that the coefficients allow there."""
    relative = relative_coefficients(system)

    def size(theta: Any, p: Any, h: Any) -> Any:
        alpha, beta = relative(theta, p, h)
        alpha_near, beta_near = relative(scale(1.0 + _PROBE, theta), p, h)
        variance, variance_near = apply(square_norm, beta), apply(square_norm, beta_near)
        slope = scale(1.0 / _PROBE, apply(absolute, subtract(alpha_near, alpha)))
        slope_noise = scale(1.0 / _PROBE, apply(absolute, subtract(variance_near, variance)))
        # |d beta|^2 of one column is (d |beta|^2)^2 / (4 |beta|^2); for more columns this bounds it from below. Where the
        # noise vanishes (two examples agree on a v) the quotient does not hold over the probe, and steps that shrink
        # as fast as the noise would never arrive there; so |beta|^2 is no less than a sixteenth of its neighbour.
        short = subtract(scale(_LEAST, variance_near), variance)
        least = add(variance, scale(0.5, add(short, apply(absolute, short))))
        spread = multiply(multiply(slope_noise, slope_noise), scale(0.25, apply(reciprocal, least)))
        change = largest(add(slope, add(slope_noise, spread))) + _TINY
        noise = largest(variance) + _TINY
        # A step may not carry a path by noise alone into a region of other coefficients ...
        careful = smaller(h.tolerance / change, _NOISE * h.tolerance / noise)
        # ... unless they would be the same even after a growth by six standard deviations of the longest step.
        growth = exp(12.0 * sqrt(noise * h.longest))
        far = h.tolerance / (change * growth)
        return where(far > h.longest, h.longest, careful)

    return size
