"""A scale-invariant loss under isotropic tangential noise: an ideal gas on a sphere. Ito SDE, and SGD to first order.

    L = 1 + mu . theta / |theta|,   C = (sigma^2 / r^2)(I - theta theta^T / r^2),   r = |theta|,   d = dim theta

Gradient and noise are tangential, so the Ito equation moves r by its Ito term alone, without noise and whatever the loss:

    d r^2 / dt = -2 weight_decay r^2 + T sigma^2 (d - 1) / r^2                                       derived here, exact

The radius is a fixed point and has no law of its own. On the sphere the direction diffuses in the loss at the
temperature T_s = T sigma^2 / (2 r^2): its law is von Mises-Fisher, exp(-L / T_s), around -mu. Gas dictionary: pressure
weight_decay, volume r^2 / 2, gas constant (d - 1) / 2. mu is a number, the length of the vector; signs as in the model.

References
----------
Sadrtdinov, I., Lobacheva, E., Klimov, I., Katsnelson, M. and Vetrov, D. (2025). arXiv:2511.07308.
Li, Z., Lyu, K. and Arora, S. (2020). arXiv:2010.02916, relaxation of the norm.
Mardia, K. V. and Jupp, P. E. (2000). Directional Statistics. Wiley (the von Mises-Fisher law).
"""

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit, gammaln, hyp0f1, ive, logit

from sde_engine.errors import SpecError
from sde_engine.theory.density import Chart, Known, Law, LogWeight, tabulate

_FURTHEST = 340.0  # latitude that stands for the pole: beyond it cosh(x)^2 is no double


def _strength(temperature: float, sigma: float, dimension: int) -> float:
    """T sigma^2 (d - 1): what noise adds to r^4 / 2 per unit of t."""
    return temperature * sigma * sigma * (dimension - 1)


def radius(temperature: float, sigma: float, dimension: int, weight_decay: float) -> float:
    """r = (T sigma^2 (d - 1) / (2 weight_decay))^(1/4), where the Ito equation comes to rest, exactly: arXiv:2511.07308.

    The paper has it to leading order in eta weight_decay, for SGD; that the SDE has it exactly is derived here.

    Raises
    ------
    SpecError : without weight decay the radius grows for ever, without noise it shrinks to 0
    """
    if not weight_decay > 0.0:
        raise SpecError(
            "no stationary law: without weight decay |theta| grows for ever, r^4 = r_0^4 + 2 T sigma^2 (d - 1) t; give "
            "weight_decay > 0"
        )
    if not (sigma and temperature > 0.0):
        raise SpecError("no stationary law: without noise weight decay shrinks |theta| to 0; give sigma > 0")
    return (_strength(temperature, sigma, dimension) / (2.0 * weight_decay)) ** 0.25


def radius_at_effective_rate(effective_rate: float, sigma: float, dimension: int, weight_decay: float) -> float:
    """r = (eta_eff sigma^2 (d - 1) / (2 weight_decay))^(1/2) where eta = eta_eff r^2 follows the radius, sigma^2 of a batch.

    arXiv:2511.07308, leading order in eta weight_decay.
    """
    return math.sqrt(_strength(effective_rate, sigma, dimension) / (2.0 * weight_decay))


def radius_at(
    time: ArrayLike, start: float, temperature: float, sigma: float, dimension: int, weight_decay: float = 0.0
) -> NDArray:
    """r(t) of the Ito equation from r(0) = start, for every path alike and whatever the loss. Derived here, exact.

    r^4 = r*^4 + (start^4 - r*^4) exp(-4 weight_decay t), and start^4 + 2 T sigma^2 (d - 1) t without weight decay.
    """
    t, gain = np.asarray(time, dtype=float), 2.0 * _strength(temperature, sigma, dimension)
    if not weight_decay:
        return (start**4 + gain * t) ** 0.25
    rate = 4.0 * weight_decay
    return (start**4 * np.exp(-rate * t) - gain * np.expm1(-rate * t) / rate) ** 0.25


def sphere_temperature(temperature: float, sigma: float, radius: float) -> float:
    """T_s = T sigma^2 / (2 r^2), the temperature of the direction: arXiv:2511.07308."""
    return temperature * sigma * sigma / (2.0 * radius * radius)


def mean_cosine(concentration: float, dimension: int) -> float:
    """I_(d/2)(k) / I_(d/2-1)(k): mean cosine to the axis under the von Mises-Fisher law of concentration k >= 0."""
    if concentration < 1e-8:
        return concentration / dimension
    return float(ive(0.5 * dimension, concentration) / ive(0.5 * dimension - 1.0, concentration))


def _log_sech(x: NDArray) -> NDArray:
    return math.log(2.0) - np.abs(x) - np.log1p(np.exp(-2.0 * np.abs(x)))


def _log_bessel(order: float, z: NDArray) -> NDArray:
    """ln(I_order(z) / z^order), smooth down to z = 0."""
    small = z < 1.0
    low, high = np.where(small, z, 0.0), np.where(small, 1.0, z)
    series = np.log(hyp0f1(order + 1.0, 0.25 * low * low)) - order * math.log(2.0) - gammaln(order + 1.0)
    return np.where(small, series, np.log(ive(order, high)) + high - order * np.log(high))


def _on_latitudes(chart: Chart, log_tilt: LogWeight, centre: float, mode: float, dimension: int) -> Law:
    """Law of a function of the latitude x, cosine tanh x: its weight is tilt(x) sech(x)^(d - 1), which has no ends."""

    def log_weight(x: NDArray) -> NDArray:
        inside = np.abs(x) < _FURTHEST
        at = np.where(inside, x, 0.0)
        return np.where(inside, log_tilt(at) + (dimension - 1) * _log_sech(at), -np.inf)

    return tabulate(log_weight, centre, mode, chart=chart)


def _chart(low: float, span: float) -> Chart:
    """v = low + span (1 + tanh x) / 2, exact near the lower end."""

    def to_x(v: NDArray) -> NDArray:
        share = np.clip((np.asarray(v, dtype=float) - low) / span, 0.0, 1.0)
        with np.errstate(divide="ignore"):
            return np.clip(0.5 * logit(share), -_FURTHEST, _FURTHEST)

    return Chart(to_x, lambda x: low + span * expit(2.0 * x), lambda x: math.log(0.5 * span) + 2.0 * _log_sech(x))


def _along_axis(concentration: float, dimension: int, low: float, span: float) -> Law:
    """Law of low + span (1 + c) / 2, where the cosine c has density exp(-concentration c) (1 - c^2)^((d - 3) / 2)."""
    k, side = abs(concentration), math.copysign(1.0, concentration)
    root = math.hypot(dimension - 1.0, 2.0 * k)
    rest = dimension - 1.0
    near = (rest + rest**2 / (root + 2.0 * k)) / (rest + root)  # 1 + c where the weight is largest
    top = 0.5 * side * math.log(near / (2.0 - near))
    peak = -2.0 * k * side / (dimension - 3.0 + math.hypot(dimension - 3.0, 2.0 * k)) if dimension > 3 else -side
    return _on_latitudes(
        _chart(low, span), lambda x: -2.0 * k * expit(2.0 * side * x), top, low + 0.5 * span * (1.0 + peak), dimension
    )


def energy_law(sphere_temperature: float, mu: float, dimension: int) -> Law | Known:
    """The law of L = 1 + mu c, c the cosine to the axis, at the temperature T_s: von Mises-Fisher.

    p(c) ~ exp(-mu c / T_s) (1 - c^2)^((d - 3) / 2) on -1 < c < 1; its ends have density 0 in `pdf`, though for d = 2
    the density grows without bound towards them. A constant loss (mu = 0) has no law.
    """
    if not mu:
        return Known(1.0, 0.0)
    size = abs(mu)
    return _along_axis(size / sphere_temperature, dimension, 1.0 - size, 2.0 * size)


def component_law(index: int, radius: float, sphere_temperature: float, mu: float, dimension: int) -> Law:
    """The law of one component of theta on the sphere; component 0 lies along the axis, mu times the unit vector 0.

    Across the axis p(x) ~ (1 - s^2)^((d - 3) / 2) I_m(z) / z^m, s = x / r, m = (d - 3) / 2,
    z = (mu / T_s) sqrt(1 - s^2): the von Mises-Fisher law integrated over a circle of latitude. Derived here.
    """
    k = mu / sphere_temperature
    if index == 0 and k:
        return _along_axis(k, dimension, -radius, 2.0 * radius)
    order = 0.5 * (dimension - 3.0)
    chart = _chart(-radius, 2.0 * radius)
    return _on_latitudes(chart, lambda x: _log_bessel(order, abs(k) * np.exp(_log_sech(x))), 0.0, 0.0, dimension)


def entropy(radius: float, sphere_temperature: float, mu: float, dimension: int) -> float:
    """Differential entropy of theta on the sphere of radius r: (d - 1) ln r + ln Z - (mu / T_s) A, exact (standard).

    Z is the normaliser of exp(-mu c / T_s) on the unit sphere and A the mean of -c. At low temperature
    (d - 1) ln r + ((d - 1) / 2) ln(2 pi e T_s / mu), the ideal gas of arXiv:2511.07308; T_s dS = dU + weight_decay dV,
    V = r^2 / 2, holds at every temperature.
    """
    k, order = abs(mu) / sphere_temperature, 0.5 * dimension - 1.0
    log_partition = 0.5 * dimension * math.log(2.0 * math.pi) + float(_log_bessel(order, np.asarray(k)))
    return (dimension - 1) * math.log(radius) + log_partition - k * mean_cosine(k, dimension)


def sgd_radius(eta: float, batch: float, sigma: float, mu: float, dimension: int, weight_decay: float) -> Known:
    """Mean and variance of r under SGD on examples of Gaussian noise, to first order in eta at fixed T. Derived here.

    With e = eta weight_decay, r* of the SDE and the gradient's share E|grad L|^2 r^2 = mu^2 <1 - c^2> of its direction law,

        <r^4> = r*^4 [1 + e (d + 3) / (2 (d - 1))] + eta mu^2 <1 - c^2> / (2 weight_decay),   Var r^2 = e r*^4 / (d - 1)
        <r> = r* [1 + q / 4 - 3 v / 8],   Var r = r*^2 v / 4,   q = <r^4> / r*^4 - 1,   v = e / (d - 1)

    from E r'^4 = E r^4 for r'^2 = (1 - e)^2 r^2 + eta^2 |g|^2. Stated errors bound the next order, q^2 / 4 of the mean and
    4 q of the variance: two to five times what a numerical solution of the chain has at mu = 0 and e <= 0.2.
    """
    r = radius(eta / batch, sigma, dimension, weight_decay)
    small, rest = eta * weight_decay, dimension - 1.0
    k = abs(mu) / sphere_temperature(eta / batch, sigma, r)
    across = rest / dimension if k < 1e-8 else rest * mean_cosine(k, dimension) / k
    q = small * (dimension + 3.0) / (2.0 * rest) + eta * mu * mu * across / (2.0 * weight_decay * r**4)
    v = small / rest
    shift, variance = 0.25 * q - 0.375 * v, 0.25 * r * r * v
    return Known(r * (1.0 + shift), variance, 0.25 * r * q * q, 4.0 * variance * q)
