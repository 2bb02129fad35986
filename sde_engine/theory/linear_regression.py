"""Linear regression under the half loss: heavy-tailed stationary laws and the learning rates at which moments diverge.

One dimension, f = v x:  dv = -[(b1 + weight_decay) v - b2] dt + sqrt(T g(v)) dW  (Ito), any data law.
d dimensions, f = theta . x with x ~ N(0, A_x), y = u . x + e, Var e = label_variance, w = theta - u; SDE and SGD.

References
----------
Ziyin, L., Li, H. and Ueda, M. (2023). arXiv:2308.06671, the depth-0 law.
Ziyin, L., Liu, K., Mori, T. and Ueda, M. (2021). arXiv:2102.05375, minibatch noise of linear regression.
Mulayoff, R. and Michaeli, T. (2023). arXiv:2306.07850, second moments for a finite table.
"""

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import loggamma

from sde_engine.errors import SpecError
from sde_engine.theory import quadratic
from sde_engine.theory.density import IDENTITY, Chart, Law, tabulate
from sde_engine.theory.moments import Moments, gradient_variance, is_constant_noise, root_determinant


def _stiffness(m: Moments, weight_decay: float) -> float:
    b = m.b1 + weight_decay
    if b <= 0.0:
        raise SpecError(f"no stationary law: b1 + weight_decay = {b:.6g} and must be positive")
    return b


def _skewness(m: Moments, b: float, temperature: float) -> float:
    """nu = (2 / T) (a2 b - a1 b2) / (a1 sqrt(Delta)): coefficient of the arctangent."""
    return 2.0 * (m.a2 * b - m.a1 * m.b2) / (temperature * m.a1 * root_determinant(m))


def log_density(v: ArrayLike, m: Moments, temperature: float, weight_decay: float = 0.0) -> NDArray:
    """Logarithm of the unnormalised stationary density on the whole line: arXiv:2308.06671, depth 0.

    p ~ g^(-1 - b/(T a1)) exp{-nu arctan[(a1 v - a2) / sqrt(Delta)]},  b = b1 + weight_decay,
    nu = (2 / T)(a2 b - a1 b2) / (a1 sqrt(Delta));   a1 = 0: the Gaussian N(b2 / b, T a3 / (2 b)).

    Parameters
    ----------
    v : any shape
    temperature : number > 0
        T = eta / batch.
    """
    v, b = np.asarray(v, dtype=float), _stiffness(m, weight_decay)
    if is_constant_noise(m):
        return -b * (v - m.b2 / b) ** 2 / (temperature * m.a3)
    angle = np.arctan((m.a1 * v - m.a2) / root_determinant(m))
    return -(1.0 + b / (temperature * m.a1)) * np.log(gradient_variance(v, m)) - _skewness(m, b, temperature) * angle


def log_normaliser(m: Moments, temperature: float, weight_decay: float = 0.0) -> float:
    """Logarithm of the integral of exp(`log_density`) over the line: the Pearson IV integral (standard).

    With a = sqrt(Delta) / a1, g = (Delta / a1)(1 + ((v - a2 / a1) / a)^2) and k = 1 + b / (T a1):
    Z = (Delta / a1)^(-k) a pi 2^(2 - 2 k) Gamma(2 k - 1) / |Gamma(k + i nu / 2)|^2.
    """
    b = _stiffness(m, weight_decay)
    if is_constant_noise(m):
        return 0.5 * math.log(math.pi * temperature * m.a3 / b)
    root, k = root_determinant(m), 1.0 + b / (temperature * m.a1)
    bulk = 2.0 * loggamma(complex(k, 0.5 * _skewness(m, b, temperature))).real
    return float(
        -k * math.log(root * root / m.a1)
        + math.log(root / m.a1)
        + math.log(math.pi)
        + (2.0 - 2.0 * k) * math.log(2.0)
        + loggamma(2.0 * k - 1.0)
        - bulk
    )


def density(v: ArrayLike, m: Moments, temperature: float, weight_decay: float = 0.0) -> NDArray:
    """Normalised stationary density on the whole line, in closed form. Units: 1/v."""
    return np.exp(log_density(v, m, temperature, weight_decay) - log_normaliser(m, temperature, weight_decay))


def mean(m: Moments, weight_decay: float = 0.0) -> float:
    """E v = b2 / (b1 + weight_decay), at every temperature: arXiv:2308.06671."""
    return m.b2 / _stiffness(m, weight_decay)


def second_moment(m: Moments, temperature: float, weight_decay: float = 0.0) -> float:
    """E v^2 = (2 b2^2/b - 2 T a2 b2/b + T a3) / (2 b - T a1), infinite for T >= 2 b / a1: arXiv:2308.06671."""
    b = _stiffness(m, weight_decay)
    gap = 2.0 * b - temperature * m.a1
    if gap <= 0.0:
        return math.inf
    return (2.0 * m.b2**2 / b - 2.0 * temperature * m.a2 * m.b2 / b + temperature * m.a3) / gap


def law(m: Moments, temperature: float, weight_decay: float = 0.0) -> Law:
    """The stationary law on the line, with its distribution function; `var` is infinite where E v^2 is."""
    b = _stiffness(m, weight_decay)
    average = m.b2 / b
    variance = second_moment(m, temperature, weight_decay) - average * average
    if is_constant_noise(m):
        return tabulate(
            lambda v: log_density(v, m, temperature, weight_decay),
            average,
            average,
            chart=IDENTITY,
            mean=average,
            var=variance,
        )
    root = root_determinant(m)
    shift, scale = m.a2 / m.a1, root / m.a1
    # v = shift + scale sinh x turns the power tails into exponential ones; centre: d log_weight / dx = 0.
    chart = Chart(
        lambda v: np.arcsinh((v - shift) / scale),
        lambda x: shift + scale * np.sinh(x),
        lambda x: math.log(scale) + np.log(np.cosh(x)),
    )
    power, nu = 1.0 + 2.0 * b / (temperature * m.a1), _skewness(m, b, temperature)

    def log_weight(x: NDArray) -> NDArray:
        return -power * np.log(np.cosh(x)) - nu * np.arctan(np.sinh(x))

    mode = shift - scale * nu / (power + 1.0)
    return tabulate(log_weight, math.asinh(-nu / power), mode, chart=chart, mean=average, var=variance)


def gradient_covariance(w: ArrayLike, inputs: ArrayLike, label_variance: float) -> NDArray:
    """C(w) of one example: A w w^T A + (w^T A w) A + label_variance A, A = Cov x, w = theta - u: arXiv:2102.05375."""
    w, a = np.asarray(w, dtype=float), np.asarray(inputs, dtype=float)
    aw = a @ w
    return np.outer(aw, aw) + (w @ aw + label_variance) * a


def sde_second_moments(spectrum: ArrayLike, label_variance: float, temperature: float) -> NDArray:
    """m_i = E w_i^2 of the Ito SDE in the eigenbasis of Cov x, with its state-dependent noise. Derived here.

    (2 a_i - T a_i^2) m_i - T a_i sum_j a_j m_j = T label_variance a_i.

    Parameters
    ----------
    spectrum : (d,)
        Eigenvalues a_i > 0 of Cov x.

    Raises
    ------
    SpecError
        Where no finite positive solution exists.
    """
    a = np.asarray(spectrum, dtype=float)
    matrix = np.diag(2.0 * a - temperature * a * a) - temperature * np.outer(a, a)
    if np.linalg.eigvals(matrix).real.min() <= 0.0:
        raise SpecError(f"the second moments of the SDE are infinite at T = {temperature:.6g}; lower eta / batch")
    return np.linalg.solve(matrix, temperature * label_variance * a)


def sgd_second_moments(
    spectrum: ArrayLike, label_variance: float, eta: float, batch: float, momentum: float = 0.0
) -> NDArray:
    """m_i = E w_i^2 of SGD on fresh Gaussian data, in the eigenbasis of Cov x: arXiv:2102.05375.

    Sigma = (s2 / B)(1 + kappa / B) eta G^-1,  G = 2 (1 - beta) - ((1 - beta) / (1 + beta) + 1 / B) eta a,
    kappa = Tr[eta a G^-1] / (1 - Tr[eta a G^-1] / B).
    """
    a = np.asarray(spectrum, dtype=float)
    gap = 2.0 * (1.0 - momentum) - ((1.0 - momentum) / (1.0 + momentum) + 1.0 / batch) * eta * a
    trace = float(np.sum(eta * a / gap)) if gap.min() > 0.0 else math.inf
    if trace >= batch:
        raise SpecError(f"the second moments of SGD are infinite at eta = {eta:.6g}, batch = {batch:g}; lower eta")
    kappa = trace / (1.0 - trace / batch)
    return label_variance / batch * (1.0 + kappa / batch) * eta / gap


def sgd_variance(
    m: Moments,
    eta: float,
    batch: float,
    weight_decay: float = 0.0,
    *,
    momentum: float = 0.0,
    share: float = 1.0,
) -> float:
    """Stationary Var v of SGD on f = v x with any data law, around the mean b2 / b, b = b1 + weight_decay. Derived here.

    Var = X g(b2/b) share / B / (1 - X a1 share / B),   X = eta / (b (1 - beta) (2 - eta b / (1 + beta)))

    X is the variance under additive noise of unit strength; the curvature of a batch adds a1 Var to the noise. The mean
    is exact as well, and batches are independent: sampling "iid" (share 1) or "without_replacement" (N - B) / (N - 1).

    Raises
    ------
    SpecError : where the second moment is infinite
    """
    b = _stiffness(m, weight_decay)
    bare = share / batch * quadratic.momentum_variance(b, 1.0, eta, 1.0, momentum)
    room = 1.0 - bare * m.a1
    if room <= 0.0:
        raise SpecError(f"the second moment of SGD is infinite at eta = {eta:.6g}, batch = {batch:g}; lower eta")
    return bare * gradient_variance(m.b2 / b, m) / room


def sgd_threshold(curvature: float, dimension: int, batch: float) -> float:
    """eta below which SGD on isotropic Gaussian inputs has second moments: 2 B / (a (B + d + 1)). Derived here."""
    return 2.0 * batch / (curvature * (batch + dimension + 1))


def sde_threshold(curvature: float, dimension: int, batch: float) -> float:
    """The same for the SDE: 2 B / (a (d + 1)); it grows with B for ever, SGD's saturates at 2 / a. Derived here."""
    return 2.0 * batch / (curvature * (dimension + 1))


def table_covariance(x: ArrayLike, y: ArrayLike, eta: float, batch: int, sampling: str = "iid") -> NDArray:
    """Stationary covariance of SGD on a finite table around its least-squares solution, exact: arXiv:2306.07850.

    vec S = eta p (2 K - eta D)^+ vec(C),  K = (H (+) H) / 2,  D = (1 - p) H (x) H + (p / N) sum_i H_i (x) H_i,
    H_i = x_i x_i^T, C = sum_i g_i g_i^T / N at the minimum, p = 1 / B (iid) or (N - B) / (B (N - 1)).

    Parameters
    ----------
    x : (N, d)
    y : (N,)
    sampling : "iid" or "without_replacement"
    """
    x, y = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    n, d = x.shape
    factors = {"iid": 1.0, "without_replacement": (n - batch) / max(n - 1, 1)}
    if sampling not in factors:
        raise SpecError(f"the closed covariance serves sampling 'iid' or 'without_replacement', but got {sampling!r}")
    p = factors[sampling] / batch
    residual = x @ np.linalg.lstsq(x, y, rcond=None)[0] - y
    gradients, each = residual[:, None] * x, x[:, :, None] * x[:, None, :]
    hessian, unit = each.mean(axis=0), np.eye(d)
    squares = np.einsum("nij,nkl->ikjl", each, each).reshape(d * d, d * d) / n
    shrink = np.kron(hessian, unit) + np.kron(unit, hessian)
    shrink -= eta * ((1.0 - p) * np.kron(hessian, hessian) + p * squares)
    if np.linalg.eigvalsh(shrink).min() < -1e-12:
        raise SpecError(f"the second moments of SGD are infinite at eta = {eta:.6g}, batch = {batch}; lower eta")
    noise = (gradients.T @ gradients / n).ravel()
    return (eta * p * np.linalg.pinv(shrink, hermitian=True) @ noise).reshape(d, d)
