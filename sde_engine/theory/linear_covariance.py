"""Linear regression f = theta . x in d dimensions on any data: exact second moments of the SDE and of SGD, and where they end.

One example's gradient is linear in (theta, 1): E g = H theta - E x y, and with uncorrelated unit numbers z_k

    g - E g = sum_k z_k R_k (theta, 1),   C(theta) = sum_k R_k (theta, 1) (theta, 1)^T R_k^T

so that the first two moments of theta obey closed linear equations, whatever the law of the data; A_k is R_k without
its last column, K = H + weight_decay, theta* = K^-1 E x y, S = Cov theta around the mean theta*:

    SDE   K S + S K = T [C(theta*) + sum_k A_k S A_k^T]
    SGD   S = (1 - Lam K) S (1 - K Lam) + (share / B) Lam [C(theta*) + sum_k A_k S A_k^T] Lam

and with momentum the same for the pair (theta, m). They have a positive solution up to a temperature or learning rate;
beyond it the law has a power tail without second moment. Derived here; for Gaussian inputs the SGD part is
arXiv:2102.05375 and for tables arXiv:2306.07850 (`theory.linear_regression` has both as published).
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sde_engine.errors import SpecError

_NEGLIGIBLE = 1e-13  # relative size of directions in which a table does not fluctuate


class LinearData(NamedTuple):
    """A data law as linear regression sees it: H = E x x^T (d, d), E x y (d,), the R_k (k, d, d + 1) and E y^2."""

    hessian: NDArray
    signal: NDArray
    fluctuations: NDArray
    label_square: float


def of_gaussian(spectrum: ArrayLike, target: ArrayLike, label_variance: float) -> LinearData:
    """Data x ~ N(0, diag a), y = target . x + e, Var e = label_variance: one R_k for each x_i x_j, and for each e x_i."""
    a, u = np.asarray(spectrum, dtype=float), np.asarray(target, dtype=float)
    roots, columns = np.sqrt(a), []
    for i in range(len(a)):
        for j in range(i + 1):
            square = np.zeros((len(a), len(a)))
            square[i, j] = square[j, i] = roots[i] * roots[j] * (np.sqrt(2.0) if i == j else 1.0)
            columns.append(np.column_stack([square, -square @ u]))
        label = np.zeros((len(a), len(a) + 1))
        label[i, -1] = roots[i] * np.sqrt(label_variance)
        columns.append(label)
    return LinearData(np.diag(a), a * u, np.array(columns), float(u @ (a * u) + label_variance))


def of_table(x: ArrayLike, y: ArrayLike) -> LinearData:
    """Data drawn from the rows of x (N, d) and y (N,): at most d (d + 3) / 2 matrices R_k, however many rows."""
    x, y = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    n, d = x.shape
    each = x[:, :, None] * np.column_stack([x, -y])[:, None, :]
    mean = each.mean(axis=0)
    _, size, modes = np.linalg.svd((each - mean).reshape(n, -1) / np.sqrt(n), full_matrices=False)
    keep = max(1, int(np.sum(size > _NEGLIGIBLE * size[0])))
    columns = (size[:keep, None] * modes[:keep]).reshape(keep, d, d + 1)
    return LinearData(mean[:, :d], -mean[:, d], columns, float(y @ y / n))


def stiffness(data: LinearData, weight_decay: float = 0.0) -> NDArray:
    """K = H + weight_decay.

    Raises
    ------
    SpecError : it has a direction without curvature, along which there is no stationary law
    """
    k = data.hessian + weight_decay * np.eye(len(data.hessian))
    curvature = np.linalg.eigvalsh(k)
    if curvature[0] <= 1e-12 * curvature[-1]:
        raise SpecError(
            f"no stationary law: H + weight_decay has the eigenvalue {curvature[0]:.3g}, and all must be positive; give "
            "weight_decay > 0 or leave out a dependent input"
        )
    return k


def mean(data: LinearData, weight_decay: float = 0.0) -> NDArray:
    """theta* = (H + weight_decay)^-1 E x y, the mean of SDE and SGD alike: their noise has mean 0 at every theta."""
    return np.linalg.solve(stiffness(data, weight_decay), data.signal)


def gradient_covariance(data: LinearData, theta: ArrayLike) -> NDArray:
    """C(theta), the centred covariance of one example's gradient."""
    columns = data.fluctuations @ np.append(np.asarray(theta, dtype=float), 1.0)
    return columns.T @ columns


def _spread(data: LinearData) -> NDArray:
    """S -> sum_k A_k S A_k^T as a matrix on vec S."""
    a = data.fluctuations[:, :, :-1]
    d = a.shape[1]
    return np.einsum("kij,klm->iljm", a, a).reshape(d * d, d * d)


def _both(k: NDArray) -> NDArray:
    """S -> K S + S K as a matrix on vec S."""
    return np.kron(k, np.eye(len(k))) + np.kron(np.eye(len(k)), k)


def _largest(matrix: NDArray) -> float:
    """Largest modulus of an eigenvalue."""
    return float(np.abs(np.linalg.eigvals(matrix)).max())


def sde_limit(data: LinearData, weight_decay: float = 0.0) -> float:
    """The temperature T = eta / batch below which the SDE has second moments; infinite for inputs of fixed square."""
    growth = _largest(np.linalg.solve(_both(stiffness(data, weight_decay)), _spread(data)))
    return 1.0 / growth if growth > _NEGLIGIBLE else np.inf


def sgd_limit(data: LinearData, batch: float, weight_decay: float = 0.0, *, share: float = 1.0) -> float:
    """The learning rate below which plain SGD has second moments; `share` is the sampling's (N - B) / (N - 1), or 1."""
    k = stiffness(data, weight_decay)
    return 1.0 / _largest(np.linalg.solve(_both(k), np.kron(k, k) + share / batch * _spread(data)))


def sde_covariance(data: LinearData, temperature: float, weight_decay: float = 0.0) -> NDArray:
    """Cov theta (d, d) of the Ito SDE d theta = -(K theta - E x y) dt + sqrt(T) G(theta) dW.

    Raises
    ------
    SpecError : where the second moments are infinite, or there is no stationary law
    """
    k, limit = stiffness(data, weight_decay), sde_limit(data, weight_decay)
    if temperature >= limit:
        raise SpecError(
            f"the second moments of the Ito equation are infinite at T = eta / batch = {temperature:.6g}: its law has a power "
            f"tail, and they exist below T = {limit:.6g}; lower eta / batch or look at quantiles with method='ensemble'"
        )
    noise = gradient_covariance(data, mean(data, weight_decay))
    found = np.linalg.solve(_both(k) - temperature * _spread(data), temperature * noise.ravel())
    return found.reshape(noise.shape)


def sgd_covariance(
    data: LinearData,
    eta: float,
    batch: float,
    weight_decay: float = 0.0,
    *,
    momentum: float = 0.0,
    factors: ArrayLike | None = None,
    share: float = 1.0,
) -> NDArray:
    """Cov theta (d, d) of m' = momentum m + g_B + weight_decay theta, theta' = theta - eta factors m', exactly.

    Batches are independent: sampling "iid" (share 1) or "without_replacement" ((N - B) / (N - 1)).

    Raises
    ------
    SpecError : where the second moments are infinite, or there is no stationary law
    """
    k = stiffness(data, weight_decay)
    d = len(k)
    step = eta * np.diag(np.ones(d) if factors is None else np.asarray(factors, dtype=float))
    companion = np.block([[np.eye(d) - step @ k, -momentum * step], [k, momentum * np.eye(d)]])
    kick = np.vstack([-step, np.eye(d)])
    pick = np.hstack([np.eye(d), np.zeros((d, d))])
    push = np.kron(kick, kick) * (share / batch)
    growth = np.kron(companion, companion) + push @ _spread(data) @ np.kron(pick, pick)
    size = _largest(growth)
    if size >= 1.0:
        plain = momentum == 0.0 and factors is None
        bound = f", and they exist below eta = {sgd_limit(data, batch, weight_decay, share=share):.6g}" if plain else ""
        raise SpecError(
            f"the second moments of SGD are infinite at eta = {eta:.6g}, batch = {batch:g}: one update multiplies them by "
            f"{size:.6g}{bound}; lower eta or look at quantiles with method='ensemble'"
        )
    noise = push @ gradient_covariance(data, mean(data, weight_decay)).ravel()
    joint = np.linalg.solve(np.eye(4 * d * d) - growth, noise).reshape(2 * d, 2 * d)
    return joint[:d, :d]
