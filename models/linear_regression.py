"""Linear regression in d dimensions, f(x) = theta . x: noise that depends on the state, exact second moments.

    l(theta; x, y) = (theta . x - y)^2 / 2,   H = E x x^T,   grad L = H theta - E x y
    Gaussian x ~ N(0, diag a), y = u . x + e, w = theta - u:   C = A w w^T A + (w^T A w + noise^2) A,   A = diag a
    a table:   C = sum_k R_k (theta, 1) (theta, 1)^T R_k^T, as many R_k as there are moments of the table

The law has a power tail and no density in closed form; its mean and covariance are exact for the Ito equation and for
SGD, with momentum and any batch, up to the learning rate where second moments cease to exist.

Units: all dimensionless; time is eta * (number of updates).

References
----------
Ziyin, L., Liu, K., Mori, T. and Ueda, M. (2021). Strength of minibatch noise in SGD. arXiv:2102.05375.
Mulayoff, R. and Michaeli, T. (2023). Exact mean square linear stability analysis for SGD. arXiv:2306.07850.
"""

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from sde_engine.components import (
    dot,
    flatten,
    matvec,
    multiply,
    scale,
    scale_rows,
    split,
    sqrt,
    subtract,
    subtract_matrix,
)
from sde_engine.data import diabetes, standardised
from sde_engine.errors import SpecError, unknown
from sde_engine.model import Examples, Formula, Model
from sde_engine.theory import linear_covariance
from sde_engine.theory.density import Known
from sde_engine.theory.linear_covariance import LinearData
from sde_engine.values import listed

_LARGEST = 8
LAWS = ("gaussian", "table", "diabetes")


class Gaussian(NamedTuple):
    spectrum: tuple[float, ...]  # variances of the inputs
    roots: tuple[float, ...]  # their square roots
    target: tuple[float, ...]
    noise: float  # standard deviation of a label


class Stored(NamedTuple):
    hessian: tuple[tuple[float, ...], ...]
    signal: tuple[float, ...]  # E x y
    label_square: float  # E y^2
    fluctuations: tuple[tuple[float, ...], ...]  # row i of every R_k, for i = 0, 1, ...
    target: tuple[float, ...]  # the least-squares solution


class Formulas(NamedTuple):
    """The component formulas of one law of examples."""

    loss: Formula
    gradient: Formula
    noise_factor: Formula
    example_gradient: Formula


def gaussian_loss(theta: Any, p: Any) -> Any:
    w = subtract(theta, p.target)
    return 0.5 * (dot(w, multiply(p.spectrum, w)) + p.noise * p.noise)


def gaussian_gradient(theta: Any, p: Any) -> Any:
    return multiply(p.spectrum, subtract(theta, p.target))


def stored_loss(theta: Any, p: Any) -> Any:
    return 0.5 * (dot(theta, matvec(p.hessian, theta)) - 2.0 * dot(p.signal, theta) + p.label_square)


def stored_gradient(theta: Any, p: Any) -> Any:
    return subtract(matvec(p.hessian, theta), p.signal)


@lru_cache(maxsize=_LARGEST)
def gaussian_formulas(dim: int) -> Formulas:
    """Return the formulas for Gaussian inputs, with one column of noise along A w and one for each input."""
    first = ((1.0,) + (0.0,) * dim,) * dim
    rest = tuple(tuple(1.0 if k == i + 1 else 0.0 for k in range(dim + 1)) for i in range(dim))
    shape = ((0.0,) * dim, (0.0,))  # only the lengths are used

    def noise_factor(theta: Any, p: Any) -> Any:
        w = subtract(theta, p.target)
        pull = multiply(p.spectrum, w)
        spread = sqrt(dot(w, pull) + p.noise * p.noise)
        return subtract_matrix(scale_rows(pull, first), scale_rows(scale(spread, p.roots), rest))

    def example_gradient(theta: Any, draw: Any, p: Any) -> Any:
        z, e = split(draw, shape)
        x = multiply(p.roots, z)
        return scale(dot(subtract(theta, p.target), x) - p.noise * e[0], x)

    return Formulas(gaussian_loss, gaussian_gradient, noise_factor, example_gradient)


@lru_cache(maxsize=64)
def stored_formulas(dim: int, columns: int) -> Formulas:
    """Return the formulas for a table whose gradients fluctuate in so many directions."""
    rows = ((0.0,) * columns,) * dim
    shape = ((0.0,) * dim, (0.0,))

    def noise_factor(theta: Any, p: Any) -> Any:
        return split(matvec(p.fluctuations, flatten((theta, (1.0,)))), rows)

    def example_gradient(theta: Any, draw: Any, p: Any) -> Any:
        x, y = split(draw, shape)
        return scale(dot(theta, x) - y[0], x)

    return Formulas(stored_loss, stored_gradient, noise_factor, example_gradient)


def starts(p: Any) -> tuple[tuple[float, ...], ...]:
    """Return points of every sign, inside and outside the minimum."""
    size = 1.0 + max(map(abs, p.target))
    return tuple(
        tuple(share * size * (1.0 if (sign >> (i % 2)) & 1 else -1.0) for i in range(len(p.target)))
        for sign, share in ((3, 1.0), (0, 1.0), (1, 0.3), (2, 0.3))
    )


def MODEL(
    law: str = "gaussian",
    *,
    spectrum: Any = (1.0, 0.4, 0.1),
    target: Any = 1.0,
    noise: float = 0.5,
    table: Any = None,
    features: Any = ("bmi", "bp", "s5"),
) -> Model:
    """Return the model.

    Parameters
    ----------
    law : "gaussian" (drawn), "table" (rows given as `table`) or "diabetes" (standardised columns of that data set)
    spectrum, target, noise : of the drawn law: variances of the inputs, 1 to 8 numbers above 0; the teacher, as many
        numbers or one for all; standard deviation of a label
    table : (N, d + 1) array, d from 1 to 8; each row the inputs and, last, the label
    features : names of the columns of the diabetes data
    """
    if law not in LAWS:
        raise SpecError(unknown("law of examples", law, LAWS))
    if law == "gaussian":
        return _drawn(_numbers("spectrum", spectrum), target, noise)
    names = (features,) if isinstance(features, str) else listed("features", features, str)
    return _from_table(_rows(table) if law == "table" else standardised(diabetes(*names)))


def _drawn(spectrum: tuple[float, ...], target: Any, noise: Any) -> Model:
    dim = len(spectrum)
    goal = _numbers("target", target)
    goal = goal * dim if len(goal) == 1 else goal
    (spread,) = _numbers("noise", (noise,))
    if not 1 <= dim <= _LARGEST or min(spectrum) <= 0.0 or spread < 0.0:
        raise SpecError(f"spectrum is {spectrum} and noise is {noise}; 1 to {_LARGEST} variances above 0, noise >= 0")
    if len(goal) != dim:
        raise SpecError(f"target has {len(goal)} numbers and spectrum {dim}; equal numbers, or one target for all")
    params = Gaussian(spectrum, tuple(float(np.sqrt(a)) for a in spectrum), goal, spread)
    return _model(dim, params, gaussian_formulas(dim), dim + 1, Examples("normal", dim + 1))


def _from_table(rows: np.ndarray) -> Model:
    data = linear_covariance.of_table(rows[:, :-1], rows[:, -1])
    columns, dim, _ = data.fluctuations.shape
    params = Stored(
        _tuples(data.hessian),
        tuple(map(float, data.signal)),
        data.label_square,
        _tuples(data.fluctuations.transpose(1, 0, 2).reshape(dim * columns, dim + 1)),
        tuple(map(float, np.linalg.lstsq(rows[:, :-1], rows[:, -1], rcond=None)[0])),
    )
    return _model(dim, params, stored_formulas(dim, columns), columns, Examples("table", dim + 1, rows))


def _model(dim: int, params: Any, f: Formulas, columns: int, examples: Examples) -> Model:
    return Model(
        name="linear_regression",
        components=tuple(f"v{i}" for i in range(dim)),
        params=params,
        loss=f.loss,
        gradient=f.gradient,
        noise_factor=f.noise_factor,
        columns=columns,
        noise_kind="general",
        examples=examples,
        example_gradient=f.example_gradient,
        starts=starts,
        closed_forms={
            "covariance": lambda p, hyper: covariance(data_of(p), hyper),
            "law": lambda p, hyper: known(data_of(p), hyper, covariance(data_of(p), hyper)),
            "sgd_law": of_sgd,
            "gaussian_sgd_law": of_sgd,
        },
    )


def data_of(p: Any) -> LinearData:
    """Return the moments of the data on which everything in closed form depends."""
    if isinstance(p, Gaussian):
        return linear_covariance.of_gaussian(p.spectrum, p.target, p.noise**2)
    dim = len(p.signal)
    fluctuations = np.array(p.fluctuations).reshape(dim, -1, dim + 1).transpose(1, 0, 2)
    return LinearData(np.array(p.hessian), np.array(p.signal), fluctuations, p.label_square)


def of_sgd(p: Any, hyper: Any, *settings: Any) -> dict[str, Known]:
    """Return what is known of discrete SGD: exact second moments."""
    return known(data_of(p), hyper, sgd_covariance(data_of(p), hyper, *settings))


def covariance(data: LinearData, hyper: Any) -> np.ndarray:
    """Return the stationary covariance of the Ito equation."""
    return linear_covariance.sde_covariance(data, hyper.temperature, hyper.weight_decay)


def sgd_covariance(data: LinearData, hyper: Any, momentum: float, factors: Any, share: float) -> np.ndarray:
    """Return the stationary covariance of SGD."""
    return linear_covariance.sgd_covariance(
        data, hyper.eta, hyper.batch, hyper.weight_decay, momentum=momentum, factors=factors, share=share
    )


def known(data: LinearData, hyper: Any, spread: np.ndarray) -> dict[str, Known]:
    """Return mean and variance of every component."""
    centre = linear_covariance.mean(data, hyper.weight_decay)
    return {f"v{i}": Known(float(centre[i]), float(spread[i, i])) for i in range(len(centre))}


def _numbers(name: str, value: Any) -> tuple[float, ...]:
    try:
        return tuple(float(x) for x in np.atleast_1d(np.asarray(value, dtype=np.float64)))
    except (TypeError, ValueError):
        raise SpecError(f"{name} is {value!r}; numbers are accepted") from None


def _rows(table: Any) -> np.ndarray:
    if table is None:
        raise SpecError("law 'table' needs table: an (N, d + 1) array, each row the inputs and, last, the label")
    try:
        rows = np.asarray(table, dtype=np.float64)
    except (TypeError, ValueError):
        raise SpecError(
            "the table is not numeric or has rows of different length; N rows of numbers are accepted"
        ) from None
    if rows.ndim != 2 or not 2 <= rows.shape[1] <= _LARGEST + 1 or not len(rows) or not np.isfinite(rows).all():
        raise SpecError(
            f"the table has shape {rows.shape} or numbers that are not finite; one or more rows of 1 to {_LARGEST} inputs "
            "and a label are accepted"
        )
    return np.ascontiguousarray(rows)


def _tuples(matrix: np.ndarray) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(float(x) for x in row) for row in matrix)
