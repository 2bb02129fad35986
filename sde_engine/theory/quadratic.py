"""Stationary covariances on L(theta) = theta^T H theta / 2 with additive gradient noise of covariance C per example.

All functions take H (d, d) symmetric, C (d, d) symmetric and return S = E theta theta^T (d, d); with d = 1 a float may
be given and a float comes back. C is centred and belongs to ONE example; minibatch noise is C / batch. For sampling
without replacement multiply C by (N - B) / (N - 1). SDEs are Ito; the noise being additive, Stratonovich is the same.

References
----------
Mandt, S., Hoffman, M. and Blei, D. (2017). arXiv:1704.04289 (SDE).
Liu, K., Ziyin, L. and Ueda, M. (2020). arXiv:2012.03636 (discrete SGD, momentum).
Li, Z., Malladi, S. and Arora, S. (2021). arXiv:2102.12470 (SVAG).
"""

from heapq import heappop, heappush
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import expm, solve_discrete_lyapunov

from sde_engine.errors import SpecError
from sde_engine.values import numbers_of


def _matrix(value: ArrayLike, name: str) -> NDArray:
    matrix = np.atleast_2d(np.asarray(value, dtype=float))
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        raise SpecError(f"{name} is a square matrix or a number, but got shape {np.shape(value)}")
    return matrix


def _like(value: NDArray, model: ArrayLike) -> NDArray | float:
    return float(value[0, 0]) if np.ndim(model) == 0 else value


def _solve(hessian: ArrayLike, covariance: ArrayLike, rate: float, eta: float) -> NDArray | float:
    """S with S_ij = rate * C_ij / (h_i + h_j - eta h_i h_j) in the eigenbasis of H."""
    h_matrix, c_matrix = _matrix(hessian, "the Hessian"), _matrix(covariance, "the noise covariance")
    if not np.allclose(h_matrix, h_matrix.T, rtol=1e-12, atol=1e-14 * np.abs(h_matrix).max()):
        raise SpecError("the Hessian is not symmetric; give the symmetric matrix of second derivatives")
    h, basis = np.linalg.eigh(h_matrix)
    if h[0] <= 0.0:
        raise SpecError(f"no stationary law: the Hessian has the eigenvalue {h[0]:.6g}, and all must be positive")
    if eta * h[-1] >= 2.0:
        raise SpecError(f"SGD is unstable: step * largest eigenvalue = {eta * h[-1]:.6g} and must be below 2")
    rotated = basis.T @ c_matrix @ basis
    inverse_time = h[:, None] + h[None, :] - eta * np.outer(h, h)
    return _like(basis @ (rate * rotated / inverse_time) @ basis.T, hessian)


def sde_covariance(hessian: ArrayLike, covariance: ArrayLike, temperature: float) -> NDArray | float:
    """S of d theta = -H theta dt + sqrt(T C) dW:  H S + S H = T C,  S_ij = T C_ij / (h_i + h_j): arXiv:1704.04289."""
    return _solve(hessian, covariance, temperature, 0.0)


def sgd_covariance(hessian: ArrayLike, covariance: ArrayLike, eta: float, batch: float) -> NDArray | float:
    """S of theta' = theta - eta (H theta + xi), Cov xi = C / B: arXiv:2012.03636 (no momentum).

    H S + S H - eta H S H = (eta / B) C,   S_ij = eta C_ij / (B (h_i + h_j - eta h_i h_j)),   stable for eta h < 2.
    """
    return _solve(hessian, covariance, eta / batch, eta)


def svag_covariance(
    hessian: ArrayLike, covariance: ArrayLike, eta: float, batch: float, levels: float
) -> NDArray | float:
    """S of SVAG: step eta / l with noise covariance l C / B, so that T is kept while the step shrinks.

    S_ij = eta C_ij / (B (h_i + h_j - (eta / l) h_i h_j)); l = 1 is SGD, l -> infinity the SDE.
    Derived here for the algorithm of arXiv:2102.12470.
    """
    return _solve(hessian, covariance, eta / batch, eta / levels)


def second_order_covariance(hessian: ArrayLike, covariance: ArrayLike, eta: float, batch: float) -> NDArray | float:
    """S of the second-order SDE, drift -grad(L + (eta / 4) |grad L|^2) = -(H + eta H^2 / 2) theta, noise sqrt(T C) dW.

    In one dimension eta C / (B h (2 + eta h)): of better weak order than the first-order SDE, yet further from the
    eta C / (B h (2 - eta h)) of SGD. Derived here for the equation of arXiv:1811.01558.
    """
    h = _matrix(hessian, "the Hessian")
    return _like(np.atleast_2d(_solve(h + 0.5 * eta * h @ h, covariance, eta / batch, 0.0)), hessian)


def momentum_covariance(
    hessian: ArrayLike, covariance: ArrayLike, step: ArrayLike, batch: float, momentum: float
) -> NDArray | float:
    """S of m' = beta m + H theta + xi, theta' = theta - Lam m', Cov xi = C / B, from the pair (theta, m).

    Parameters
    ----------
    step : number or (d, d)
        Lam: a learning rate, or a symmetric matrix of them (preconditioner).
    momentum : number in [0, 1)
        beta.

    Notes
    -----
    S solves the equation of arXiv:2012.03636 for momentum and matrix step,
    (1-beta)(Lam H S + S H Lam) - (1+beta^2)/(1-beta^2) Lam H S H Lam
    + beta/(1-beta^2) (Lam H Lam H S + S H Lam H Lam) = Lam C Lam / B,
    which the tests check. Here the linear map of (theta, m) is solved, which shows instability as an eigenvalue.
    """
    h, c = _matrix(hessian, "the Hessian"), _matrix(covariance, "the noise covariance")
    d = len(h)
    lam = np.atleast_2d(np.asarray(step, dtype=float))
    lam = lam[0, 0] * np.eye(d) if lam.shape == (1, 1) else lam
    companion = np.block([[np.eye(d) - lam @ h, -momentum * lam], [h, momentum * np.eye(d)]])
    radius = np.abs(np.linalg.eigvals(companion)).max()
    if radius >= 1.0:
        raise SpecError(f"SGD with momentum is unstable: an eigenvalue of one update has modulus {radius:.6g} >= 1")
    noise = np.vstack((-lam, np.eye(d)))
    joint = solve_discrete_lyapunov(companion, noise @ (c / batch) @ noise.T, method="direct" if d < 6 else "bilinear")
    return _like(joint[:d, :d], hessian)


def momentum_variance(hessian: float, variance: float, eta: float, batch: float, momentum: float) -> float:
    """Var theta = eta C / (B h (1-beta) (2 - eta h/(1+beta))), stable for eta h < 2 (1+beta): arXiv:2012.03636."""
    limit = 2.0 * (1.0 + momentum)
    if eta * hessian >= limit:
        raise SpecError(f"SGD with momentum is unstable: eta h = {eta * hessian:.6g} and must be below {limit:.6g}")
    return eta * variance / (batch * hessian * (1.0 - momentum) * (2.0 - eta * hessian / (1.0 + momentum)))


class OrnsteinUhlenbeck(NamedTuple):
    """d theta = -relaxation theta dt + sqrt(diffusion) dW, per unit t; `diffusion` is twice the Fokker-Planck one."""

    relaxation: float
    diffusion: float


def interpolating_process(hessian: float, variance: float, eta: float, batch: float) -> OrnsteinUhlenbeck:
    """The Ornstein-Uhlenbeck process that passes through SGD's mean and covariances at t = eta k. Derived here.

    relaxation = -ln(1 - eta h) / eta,   diffusion = T C 2 ln(1 / (1 - eta h)) / (1 - (1 - eta h)^2),   eta h < 1.
    """
    x = eta * hessian
    if not 0.0 < x < 1.0:
        raise SpecError(f"a continuous process interpolates SGD only for 0 < eta h < 1, but eta h = {x:.6g}")
    rate = -np.log1p(-x)
    return OrnsteinUhlenbeck(float(rate / eta), float(eta / batch * variance * 2.0 * rate / (x * (2.0 - x))))


def sde_autocovariance(hessian: ArrayLike, stationary: ArrayLike, time: float) -> NDArray | float:
    """<theta(t) theta(0)^T> = e^(-H t) S of the stationary SDE, t >= 0 (standard)."""
    return _like(expm(-time * _matrix(hessian, "the Hessian")) @ _matrix(stationary, "the covariance"), hessian)


def sgd_autocovariance(hessian: ArrayLike, stationary: ArrayLike, eta: float, updates: int) -> NDArray | float:
    """<theta_k theta_0^T> = (I - eta H)^k S of stationary SGD, k >= 0 (standard)."""
    h = _matrix(hessian, "the Hessian")
    power = np.linalg.matrix_power(np.eye(len(h)) - eta * h, updates)
    return _like(power @ _matrix(stationary, "the covariance"), hessian)


def relaxation_spectrum(drift: ArrayLike, number: int = 4) -> NDArray:
    """Return the slowest relaxation rates of d theta = -drift theta dt + noise: sums n_1 k_1 + ... + n_d k_d, n_i >= 0.

    The k_i are the eigenvalues of `drift`; with them the Fokker-Planck operator has the spectrum of minus these sums,
    whatever the additive noise (Metafune, Pallara and Priola 2002). Independent of temperature.

    Parameters
    ----------
    drift : number or (d, d), every eigenvalue with a positive real part
        H + weight_decay for a quadratic loss; not symmetric where the drift rotates. With -log(1 - eta H) / eta the
        rates are those of SGD, eta h < 1.
    number : how many, 1 or more

    Returns
    -------
    ndarray
        (number,) complex, per unit of t, by real part and then by size of the imaginary one; the first is 0.

    Raises
    ------
    SpecError : `drift` does not confine

    References
    ----------
    Metafune, G., Pallara, D. and Priola, E. (2002). J. Funct. Anal. 196, 40-60.
    """
    matrix = _matrix(numbers_of("drift", drift, "a square matrix or a number"), "the drift")
    if not np.isfinite(matrix).all():
        raise SpecError(f"drift has entries from {np.min(matrix)} to {np.max(matrix)}; finite ones are accepted")
    rates = np.linalg.eigvals(matrix).astype(complex)
    if rates.real.min() <= 0.0:
        raise SpecError(
            f"no stationary law: an eigenvalue of the drift is {rates[rates.real.argmin()]:.6g}; real parts above 0 are accepted"
        )
    if isinstance(number, bool) or number != int(number) or number < 1:
        raise SpecError(f"number is {number!r}; a whole number of 1 or more rates is accepted")
    found: list[complex] = []
    # Each sum is reached once, by adding rates in the order of their index.
    waiting: list[tuple[float, float, float, int]] = [(0.0, 0.0, 0.0, 0)]
    while len(found) < number:
        real, _, imaginary, first = heappop(waiting)
        found.append(complex(real, imaginary))
        for k in range(first, len(rates)):
            value = found[-1] + rates[k]
            heappush(waiting, (value.real, abs(value.imag), value.imag, k))
    return np.array(found)


def best_sampling_rate(covariance: ArrayLike, batch: float, examples: int) -> float:
    """The constant eta = 2 B P / (N Tr C) whose SDE law is nearest (KL) to the posterior exp(-N L): arXiv:1704.04289.

    P is the number of parameters, L the mean loss of N examples; KL is taken of the stationary law from the posterior.
    """
    c = _matrix(covariance, "the noise covariance")
    return 2.0 * batch * len(c) / (examples * float(np.trace(c)))
