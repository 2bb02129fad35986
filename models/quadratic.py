"""Quadratic bowl with additive gradient noise, in 1 to 8 dimensions: every law is known exactly.

    l(theta; xi) = theta^T H theta / 2 - theta^T xi,   E xi = 0,  Cov xi = C
    grad L = H theta,   one example's gradient H theta - xi

with Gaussian or two-point xi of the same covariance. Stationary covariance S: H S + S H = T C for the Ito equation,
S_ij = eta C_ij / (B (h_i + h_j - eta h_i h_j)) in the eigenbasis of H for SGD.

Units: all dimensionless; time is eta * (number of updates).

References
----------
Mandt, S., Hoffman, M. and Blei, D. (2017). arXiv:1704.04289 (the Ito equation).
Liu, K., Ziyin, L. and Ueda, M. (2021). arXiv:2012.03636 (discrete SGD).
"""

from typing import Any, NamedTuple

import numpy as np

from sde_engine.components import dot, matvec, subtract
from sde_engine.errors import SpecError, unknown
from sde_engine.model import Examples, Model
from sde_engine.theory.density import Joint, gaussian
from sde_engine.theory.quadratic import momentum_covariance, sde_covariance

Matrix = tuple[tuple[float, ...], ...]


class Params(NamedTuple):
    hessian: Matrix
    factor: Matrix  # lower triangular, factor factor^T = covariance of one example's gradient


def loss(theta: Any, p: Any) -> Any:
    return 0.5 * dot(theta, matvec(p.hessian, theta))


def gradient(theta: Any, p: Any) -> Any:
    return matvec(p.hessian, theta)


def noise_factor(theta: Any, p: Any) -> Any:
    return p.factor


def example_gradient(theta: Any, draw: Any, p: Any) -> Any:
    return subtract(matvec(p.hessian, theta), matvec(p.factor, draw))


def starts(p: Any) -> tuple[tuple[float, ...], ...]:
    """Return points a unit away in alternating directions."""
    dim = len(p.hessian)
    return tuple(
        tuple(size * (1.0 if (sign >> (i % 2)) & 1 else -1.0) for i in range(dim))
        for sign, size in ((3, 1.0), (0, 1.0), (1, 0.5), (2, 0.5))
    )


def MODEL(hessian: Any = ((1.0,),), covariance: Any = None, *, noise: str = "normal") -> Model:
    """Return the model.

    Parameters
    ----------
    hessian : symmetric d x d matrix, d from 1 to 8; a number is a 1 x 1 matrix
    covariance : symmetric positive semidefinite d x d matrix; None is the identity
    noise : "normal" or "sign" (two-point), the law of each of the d independent sources
    """
    h = _symmetric("hessian", hessian)
    c = np.eye(len(h)) if covariance is None else _symmetric("covariance", covariance)
    if c.shape != h.shape:
        raise SpecError(f"hessian has {len(h)} rows and covariance {len(c)}; matrices of equal size are accepted")
    if noise not in ("normal", "sign"):
        raise SpecError(unknown("noise", noise, ("normal", "sign")))
    dim = len(h)
    return Model(
        name="quadratic",
        components=tuple(f"x{i}" for i in range(dim)),
        params=Params(_rows(h), _rows(_semidefinite_root(c))),
        loss=loss,
        gradient=gradient,
        noise_factor=noise_factor,
        columns=dim,
        noise_kind="additive",
        examples=Examples("normal" if noise == "normal" else "sign", dim),
        example_gradient=example_gradient,
        starts=starts,
        closed_forms={
            "law": stationary_law,
            "sgd_law": gaussian_sgd_law if noise == "normal" else sign_sgd_law,
            "gaussian_sgd_law": gaussian_sgd_law,
        },
    )


def stationary_law(p: Any, hyper: Any) -> Joint:
    """Return the stationary law of the Ito equation."""
    h, c = _stiffness(p, hyper)
    return gaussian(np.zeros(len(h)), sde_covariance(h, c, hyper.temperature))


def gaussian_sgd_law(p: Any, hyper: Any, momentum: float, factors: Any, share: float) -> Joint:
    """Return the stationary law of SGD with Gaussian noise: heavy ball, matrix step, any batch."""
    h, c = _stiffness(p, hyper)
    step = hyper.eta * np.diag(np.ones(len(h)) if factors is None else factors)
    return gaussian(np.zeros(len(h)), momentum_covariance(h, share * c, step, hyper.batch, momentum))


def sign_sgd_law(p: Any, hyper: Any, momentum: float, factors: Any, share: float) -> Joint:
    """Return the two moments of SGD with noise of another law: the density has no closed form."""
    return gaussian_sgd_law(p, hyper, momentum, factors, share)._replace(density=None, lines=())


def _stiffness(p: Any, hyper: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return the Hessian with weight decay, and the covariance of one example's gradient."""
    factor = np.array(p.factor)
    return np.array(p.hessian) + hyper.weight_decay * np.eye(len(factor)), factor @ factor.T


def _symmetric(name: str, value: Any) -> np.ndarray:
    try:
        matrix = np.atleast_2d(np.asarray(value, dtype=np.float64))
    except (TypeError, ValueError):
        raise SpecError(f"{name} is {value!r}; a symmetric matrix of numbers is accepted") from None
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or not 1 <= len(matrix) <= 8:
        raise SpecError(f"{name} has shape {matrix.shape}; a square matrix of 1 to 8 rows is accepted")
    if not np.isfinite(matrix).all() or not np.allclose(matrix, matrix.T, rtol=1e-12, atol=0.0):
        raise SpecError(f"{name} is not finite and symmetric; a symmetric matrix of finite numbers is accepted")
    return matrix


def _semidefinite_root(c: np.ndarray) -> np.ndarray:
    """Return a lower triangular root; a pivot that is zero to rounding gives a zero column, so C may be singular."""
    root = np.zeros_like(c)
    floor = 1e-12 * max(1e-300, float(np.trace(c)))
    for j in range(len(c)):
        pivot = c[j, j] - root[j] @ root[j]
        if pivot < -floor:
            raise SpecError("covariance has a negative eigenvalue; a positive semidefinite matrix is accepted")
        if pivot > floor:
            root[j, j] = np.sqrt(pivot)
            root[j + 1 :, j] = (c[j + 1 :, j] - root[j + 1 :] @ root[j]) / root[j, j]
    if not np.allclose(root @ root.T, c, rtol=0.0, atol=1e-9 * max(1e-300, float(np.trace(c)))):
        raise SpecError("covariance has a negative eigenvalue; a positive semidefinite matrix is accepted")
    return root


def _rows(matrix: np.ndarray) -> Matrix:
    return tuple(tuple(float(x) for x in row) for row in matrix)
