"""Two scalar layers, f = u w x: stationary law of v = u w on the balanced manifold |u| = |w|, and decay of the charge.

Half loss, Ito, T = eta / batch, A = b2 - weight_decay, data moments as in `moments`:

    d ln v = [-2 (b1 v - A) - T g(v)] dt + 2 sqrt(T g(v)) dW,   v > 0
    p(v) ~ v^(A/(T a3) - 3/2) g^(-1 - A/(2 T a3)) exp{-[(a3 b1 - a2 A)/(T a3 r)] arctan[(a1 v - a2)/r]}

with r^2 = a1 a3 - a2^2, normalisable at 0 iff T < T_c = 2 A / a3; above, the unit is dead: a point mass at 0. The same
holds for any number of balanced hidden units of one sign. For b2 < 0 turn the sign of x.

References
----------
Ziyin, L., Li, H. and Ueda, M. (2023). arXiv:2308.06671 (full loss there: T and weight decay are converted here).
"""

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sde_engine.errors import SpecError
from sde_engine.theory.density import COLLAPSED, Gamma, Law, tabulate
from sde_engine.theory.moments import Moments, check_noise, gradient_variance, is_constant_noise, root_determinant


def _check(m: Moments, temperature: float) -> None:
    check_noise(m)
    if not temperature > 0.0:
        raise SpecError(f"a stationary law needs a temperature eta / batch > 0, but got {temperature!r}")


def critical_temperature(m: Moments, weight_decay: float = 0.0) -> float:
    """T_c = 2 (b2 - weight_decay) / a3: the SDE collapses onto v = 0 at and above it. arXiv:2308.06671.

    Negative where weight decay alone kills the unit; infinite for a3 = 0 < b2 - weight_decay.
    """
    signal = m.b2 - weight_decay
    if m.a3 == 0.0:
        return math.copysign(math.inf, signal) if signal else 0.0
    return 2.0 * signal / m.a3


def _log_density_of_log(x: NDArray, m: Moments, temperature: float, weight_decay: float) -> NDArray:
    """Logarithm of the unnormalised density of x = ln v, v p(v); exact where v underflows."""
    v, power = np.exp(x), (m.b2 - weight_decay) / (temperature * m.a3)
    if is_constant_noise(m):
        return (power - 0.5) * x - m.b1 * v / (temperature * m.a3)
    root = root_determinant(m)
    twist = (m.a3 * m.b1 - m.a2 * (m.b2 - weight_decay)) / (temperature * m.a3 * root)
    bulk = -(1.0 + 0.5 * power) * np.log(gradient_variance(v, m)) - twist * np.arctan((m.a1 * v - m.a2) / root)
    return (power - 0.5) * x + bulk


def log_density(v: ArrayLike, m: Moments, temperature: float, weight_decay: float = 0.0) -> NDArray:
    """Logarithm of the unnormalised stationary density of v; -inf for v <= 0. arXiv:2308.06671, one hidden layer.

    The limit a1 = a2 = 0 is the Gamma law, v^(A/(T a3) - 3/2) e^(-b1 v/(T a3)) (derived here).

    Parameters
    ----------
    v : any shape
    temperature : number > 0
        T = eta / batch. Above T_c the formula still stands but is not normalisable.

    Raises
    ------
    SpecError
        For interpolating data, whose density is not normalisable at the interpolating point.
    """
    _check(m, temperature)
    v = np.asarray(v, dtype=float)
    x = np.log(np.where(v > 0.0, v, 1.0))
    return np.where(v > 0.0, _log_density_of_log(x, m, temperature, weight_decay) - x, -np.inf)


def mode(m: Moments, temperature: float, weight_decay: float = 0.0) -> float:
    """The interior maximum of the density, or 0 where it only falls. arXiv:2308.06671.

    v* = [-(b1 - 5 a2 T) + sqrt((b1 - 5 a2 T)^2 + 7 a1 T (2 A - 3 a3 T))] / (7 a1 T); a1 = 0: (A - 3 a3 T / 2) / b1.
    Between T_c / 3 and T_c the density is infinite at 0 as well; an interior maximum can survive up to `mode_end`.
    """
    slope = m.b1 - 5.0 * m.a2 * temperature
    gain = 2.0 * (m.b2 - weight_decay) - 3.0 * m.a3 * temperature
    square = slope * slope + 7.0 * m.a1 * temperature * gain
    if square < 0.0:
        return 0.0
    if slope > 0.0:  # the same root, written so that it does not cancel
        return max(gain / (slope + math.sqrt(square)), 0.0)
    return (-slope + math.sqrt(square)) / (7.0 * m.a1 * temperature)


def mode_end(m: Moments, weight_decay: float = 0.0) -> float:
    """T* > T_c / 3 at which the interior maximum of the density ceases to exist; infinite if it never does.

    Smallest positive root of (25 a2^2 - 21 a1 a3) T^2 + (14 a1 A - 10 a2 b1) T + b1^2 = 0. For x ~ N(0, 1),
    y = k x + s e and no weight decay it is (4 k + sqrt(42) s) / (2 (21 s^2 - 8 k^2)): arXiv:2308.06671.
    """
    quadratic = 25.0 * m.a2**2 - 21.0 * m.a1 * m.a3
    linear = 14.0 * m.a1 * (m.b2 - weight_decay) - 10.0 * m.a2 * m.b1
    roots = np.roots([quadratic, linear, m.b1**2])
    positive = [root.real for root in np.atleast_1d(roots) if abs(root.imag) < 1e-12 * abs(root) and root.real > 0.0]
    return float(min(positive, default=math.inf))


def law(m: Moments, temperature: float, weight_decay: float = 0.0) -> Law:
    """The stationary law of v: density, distribution function, mean, variance, mode; collapsed at T >= T_c.

    Quadrature in ln v, moments to 1e-12 relative, distribution function to 1e-10.
    """
    _check(m, temperature)
    gain = 2.0 * (m.b2 - weight_decay) - temperature * m.a3
    if gain <= 0.0 or temperature >= critical_temperature(m, weight_decay):
        return COLLAPSED
    # d/dx ln p(x) has the sign of -5 a1 T v^2 + (6 a2 T - 2 b1) v + gain, x = ln v: one maximum.
    slope = m.b1 - 3.0 * m.a2 * temperature
    root = math.sqrt(slope * slope + 5.0 * m.a1 * temperature * gain)
    top = gain / (slope + root) if slope > 0.0 else (root - slope) / (5.0 * m.a1 * temperature)
    return tabulate(
        lambda x: _log_density_of_log(x, m, temperature, weight_decay),
        math.log(top),
        mode(m, temperature, weight_decay),
    )


def gamma_law(m: Moments, temperature: float, weight_decay: float = 0.0) -> Gamma:
    """The stationary law for constant gradient noise (a1 = a2 = 0, the coin). Derived here.

    Gamma(shape A/(T a3) - 1/2, scale T a3/b1): E v = (A - T a3/2)/b1, Var v = T a3 (A - T a3/2)/b1^2.
    """
    _check(m, temperature)
    if not is_constant_noise(m):
        raise SpecError(f"the Gamma law needs Var x^2 = 0, but a1 = {m.a1:.6g}; use two_layer.law")
    shape = (m.b2 - weight_decay) / (temperature * m.a3) - 0.5
    if shape <= 0.0:
        raise SpecError(
            f"T = {temperature:.6g} is not below T_c = {critical_temperature(m, weight_decay):.6g}, so the law is a "
            "point mass at 0, not a Gamma law; two_layer.law says so without an error"
        )
    return Gamma(shape, temperature * m.a3 / m.b1)


def tail_exponents(m: Moments, temperature: float, weight_decay: float = 0.0) -> tuple[float, float]:
    """Powers of v in the density at v -> 0 and v -> infinity: A/(T a3) - 3/2 and -7/2 (-inf for constant noise)."""
    near = (m.b2 - weight_decay) / (temperature * m.a3) - 1.5
    return near, -math.inf if is_constant_noise(m) else -3.5


def small_temperature_moments(m: Moments, temperature: float, weight_decay: float = 0.0) -> tuple[float, float]:
    """Mean and variance to first order in T: v0 - T g(v0)/(2 b1) and T v0 g(v0)/b1, v0 = A/b1. Derived here."""
    v0 = (m.b2 - weight_decay) / m.b1
    g = float(gradient_variance(v0, m))
    return v0 - temperature * g / (2.0 * m.b1), temperature * v0 * g / m.b1


def charge_step(q: ArrayLike, g_v: ArrayLike, eta: float, weight_decay: float = 0.0) -> NDArray:
    """The charge q = u^2 - w^2 after one SGD update, exact: q [(1 - eta lambda)^2 - eta^2 g_v^2]. Derived here.

    Parameters
    ----------
    q, g_v : any broadcastable shapes
        The charge, and the minibatch derivative of the LOSS by v = u w (weight decay not included).
    """
    g_v = np.asarray(g_v, dtype=float)
    return np.asarray(q, dtype=float) * ((1.0 - eta * weight_decay) ** 2 - (eta * g_v) ** 2)


def charge_rate(v: ArrayLike, m: Moments, temperature: float, weight_decay: float = 0.0) -> NDArray:
    """-d ln q/dt = T g(v) + 2 weight_decay under the Ito SDE, per unit t: arXiv:2308.06671 (law of balance)."""
    return temperature * gradient_variance(np.asarray(v, dtype=float), m) + 2.0 * weight_decay
