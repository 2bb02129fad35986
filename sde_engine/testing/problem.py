"""Ito equations with known moments, for measuring the orders of schemes; every kind of noise has one.

    hyperbola   Z = z0 + b t + a W,  y = (sinh Z, cosh Z):   dy_1 = (b y_2 + a^2 y_1 / 2) dt + a y_2 dW, and likewise y_2
    linear      dx = A x dt + sum_k B_k x dW_k, B_k not commuting (general), or B_k x touching row k only (diagonal)
    additive    dx = A x dt + G dW

all linear, so that first and second moments obey linear equations; and their images x = e^y for schemes that work on
logarithms. Nothing here is derived from the schemes.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from scipy.linalg import expm

from sde_engine.components import add, apply, exp, log, matvec, multiply, scale, scale_rows, square_norm
from sde_engine.scheme import Ito

A, B = 0.7, 0.3  # of the hyperbola
SPIN = ((-0.6, 0.5), (-0.4, -0.3))
NOISES = (((0.6, 0.0), (0.4, -0.3)), ((0.0, 0.7), (-0.5, 0.3)))
CROSSED = (((0.0, 0.8), (0.0, 0.0)), ((0.0, 0.0), (0.7, 0.0)))
CONSTANT = ((0.8, 0.0), (0.5, 0.7))
START = (0.8, 1.2)
Z0 = 0.4

Factors = tuple[Any, ...]


class Problem(NamedTuple):
    """An Ito equation for (2, n) states, its exact moments at a time, and where known its solution path by path.

    `moments(t)` and `estimates(theta)` return y_1, y_2, y_1^2, y_1 y_2, y_2^2 (their means, and their values).
    """

    name: str
    noise_kind: str
    system: Ito
    columns: int
    start: tuple[float, ...]
    moments: Callable[[float], np.ndarray]
    estimates: Callable[[Any], np.ndarray]
    solution: Callable[[float, np.ndarray], np.ndarray] | None  # (t, W_t) -> y, for one column


def linear_moments(drift: Any, noises: Factors, constant: Any, t: float) -> np.ndarray:
    """Moments of dx = A x dt + sum_k (B_k x + g_k) dW_k from the exponential of their linear equation."""
    a, eye = np.array(drift), np.eye(2)
    second = np.kron(a, eye) + np.kron(eye, a) + sum((np.kron(b, b) for b in map(np.array, noises)), np.zeros((4, 4)))
    g = np.array(constant)
    generator = np.zeros((7, 7))  # of (x, x x^T, 1)
    generator[:2, :2], generator[2:6, 2:6], generator[2:6, 6] = a, second, (g @ g.T).ravel()
    x = np.array(START)
    found = expm(generator * t) @ np.concatenate((x, np.outer(x, x).ravel(), [1.0]))
    return found[[0, 1, 2, 3, 5]]


def hyperbola_moments(t: float) -> np.ndarray:
    """Moments of (sinh Z, cosh Z), Z normal with mean Z0 + b t and variance a^2 t."""
    mean, variance = Z0 + B * t, A * A * t
    once, twice = np.exp(0.5 * variance), np.exp(2.0 * variance)
    return np.array(
        [
            once * np.sinh(mean),
            once * np.cosh(mean),
            0.5 * (twice * np.cosh(2.0 * mean) - 1.0),
            0.5 * twice * np.sinh(2.0 * mean),
            0.5 * (twice * np.cosh(2.0 * mean) + 1.0),
        ]
    )


def hyperbola_solution(t: float, w: np.ndarray) -> np.ndarray:
    """(sinh Z, cosh Z) on the Brownian path that is `w` at time t."""
    z = Z0 + B * t + A * w
    return np.array([np.sinh(z), np.cosh(z)])


def _linear(drift: Any, noises: Factors, constant: Any) -> tuple[Any, Any]:
    columns = len(noises) or len(constant[0])

    def velocity(theta: Any, p: Any, h: Any) -> Any:
        return matvec(drift, theta)

    def factor(theta: Any, p: Any, h: Any) -> Any:
        if not noises:
            return constant
        moved = tuple(matvec(noise, theta) for noise in noises)
        return tuple(tuple(moved[k][i] for k in range(columns)) for i in range(2))

    return velocity, factor


def _moments_of(y: Any) -> np.ndarray:
    first, second = np.broadcast_arrays(*map(np.asarray, y))
    return np.array([first, second, first * first, first * second, second * second])


def _plain(name: str, kind: str, drift: Any, noises: Factors, constant: Any) -> Problem:
    system = Ito(*_linear(drift, noises, constant), None)
    columns = len(noises) or len(constant[0])

    def moments(t: float) -> np.ndarray:
        return linear_moments(drift, noises, constant, t)

    return Problem(name, kind, system, columns, START, moments, _moments_of, None)


_TURN = ((0.0, 1.0), (1.0, 0.0))  # y -> (y_2, y_1)
_HYPERBOLA = tuple(
    tuple(B * t + 0.5 * A * A * e for t, e in zip(row, unit, strict=True))
    for row, unit in zip(_TURN, ((1.0, 0.0), (0.0, 1.0)), strict=True)
)
_HYPERBOLA_NOISE = (tuple(tuple(A * t for t in row) for row in _TURN),)
_NONE = ((0.0, 0.0), (0.0, 0.0))
_CHART = ((1.0, 1.0), (1.0, -1.0))
_BACK = ((0.5, 0.5), (0.5, -0.5))


def logarithmic(problem: Problem) -> Problem:
    """The same equation for theta = chart^-1 e^y: its coordinates are multiplicative."""
    velocity, plain_factor, _ = problem.system

    def drift(theta: Any, p: Any, h: Any) -> Any:
        x = matvec(_CHART, theta)
        y = apply(log, x)
        ito = scale(0.5, apply(square_norm, plain_factor(y, p, h)))
        return matvec(_BACK, multiply(x, add(velocity(y, p, h), ito)))

    def factor(theta: Any, p: Any, h: Any) -> Any:
        x = matvec(_CHART, theta)
        rows = scale_rows(x, plain_factor(apply(log, x), p, h))
        columns = tuple(matvec(_BACK, tuple(row[k] for row in rows)) for k in range(problem.columns))
        return tuple(tuple(column[i] for column in columns) for i in range(2))

    def estimates(theta: Any) -> np.ndarray:
        return problem.estimates(apply(log, matvec(_CHART, theta)))

    start = tuple(float(x) for x in matvec(_BACK, apply(exp, problem.start)))
    system = Ito(drift, factor, _CHART)
    return problem._replace(name=f"exponential of the {problem.name}", system=system, start=start, estimates=estimates)


def problems() -> tuple[Problem, ...]:
    """Return one equation or more for every kind of noise."""
    hyperbola = _plain("hyperbola", "scalar", _HYPERBOLA, _HYPERBOLA_NOISE, _NONE)
    hyperbola = hyperbola._replace(
        start=(float(np.sinh(Z0)), float(np.cosh(Z0))), moments=hyperbola_moments, solution=hyperbola_solution
    )
    general = _plain("linear equation", "general", SPIN, NOISES, _NONE)
    diagonal = _plain("crossed equation", "diagonal", SPIN, CROSSED, _NONE)
    additive = _plain("Ornstein-Uhlenbeck process", "additive", SPIN, (), CONSTANT)
    many = logarithmic(additive)._replace(noise_kind="general")
    return hyperbola, general, diagonal, additive, logarithmic(hyperbola), many
