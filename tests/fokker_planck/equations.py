"""Equations whose stationary laws are known, shared by the tests of this folder."""

from typing import Any

import numpy as np
from scipy.linalg import solve_continuous_lyapunov

from sde_engine.fokker_planck import Axis, Equation, Grid, GridLaw

ROTATION = np.array([[np.cos(0.7), -np.sin(0.7)], [np.sin(0.7), np.cos(0.7)]])
HESSIAN = np.diag([1.0, 3.0])
COVARIANCE = ROTATION @ np.diag([1.0, 4.0]) @ ROTATION.T


def linear(drift: np.ndarray, diffusion: np.ndarray) -> tuple[Equation, np.ndarray]:
    """dx = drift x dt + sqrt(2 diffusion) dW and its stationary covariance, by scipy's Lyapunov solver."""
    rows = tuple(tuple(float(x) for x in row) for row in diffusion)

    def force(x: Any) -> Any:
        return tuple(sum(drift[i, j] * x[j] for j in range(len(drift))) for i in range(len(drift)))

    names = tuple(f"x{i}" for i in range(len(drift)))
    return Equation(force, lambda x: rows, names, True), solve_continuous_lyapunov(drift, -2.0 * diffusion)


def box(covariance: np.ndarray, cells: int, deviations: float = 6.0) -> Grid:
    return Grid(tuple(Axis(-deviations * s, deviations * s, cells) for s in np.sqrt(np.diag(covariance))))


def gaussian(covariance: np.ndarray, grid: Grid) -> np.ndarray:
    x, inverse = np.array(grid.nodes), np.linalg.inv(covariance)
    density = np.exp(-0.5 * np.einsum("i...,ij,j...->...", x, inverse, x))
    return density / np.sqrt(np.linalg.det(2.0 * np.pi * covariance))


def distance(law: GridLaw, density: np.ndarray) -> float:
    """L1 distance of a law on a grid from a density at its nodes."""
    return float(np.sum(np.abs(law.density - density) * law.grid.volumes))


def potential(x: Any) -> Any:
    return 0.25 * x[0] ** 4 - 0.5 * x[0] ** 2 + 0.5 * x[1] ** 2 + 0.3 * x[0] * x[1]


def tensor(x: Any) -> Any:
    """A positive definite D(x) whose correlation changes sign, strength and direction."""
    a, b, c = 1.0 + 0.3 * np.sin(x[0]), 0.4 * np.cos(x[1]), 0.7 + 0.2 * np.cos(x[0] + x[1])
    return ((a, b), (b, c))


def manufactured(swirl: float) -> Equation:
    """D(x) of `tensor` and the drift that makes exp(-potential) stationary with the current swirl * rot(w p).

    b = div D - D grad U + swirl (dw/dy - w dU/dy, -(dw/dx - w dU/dx)),  w = cos x + sin(x y): derived by hand.
    """

    def drift(x: Any) -> Any:
        slope = (x[0] ** 3 - x[0] + 0.3 * x[1], x[1] + 0.3 * x[0])
        divergence = (0.3 * np.cos(x[0]) - 0.4 * np.sin(x[1]), -0.2 * np.sin(x[0] + x[1]))
        d = tensor(x)
        w = np.cos(x[0]) + np.sin(x[0] * x[1])
        w_x = -np.sin(x[0]) + x[1] * np.cos(x[0] * x[1])
        w_y = x[0] * np.cos(x[0] * x[1])
        around = (w_y - w * slope[1], -(w_x - w * slope[0]))
        return tuple(divergence[i] - d[i][0] * slope[0] - d[i][1] * slope[1] + swirl * around[i] for i in range(2))

    return Equation(drift, tensor, ("x", "y"))


def manufactured_density(grid: Grid) -> np.ndarray:
    density = np.exp(-potential(grid.nodes))
    return density / np.sum(density * grid.volumes)  # the midpoint rule is exact to rounding here
