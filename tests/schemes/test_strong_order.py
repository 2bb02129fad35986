"""Strong orders on nested grids of one path: a coarse increment is the sum of the fine ones that it covers."""

from functools import cache
from typing import Any

import numpy as np
import pytest
from discrete_noise import steps

from sde_engine import rng
from sde_engine.components import matvec
from sde_engine.discovery import schemes
from sde_engine.scheme import Ito, Scheme
from sde_engine.testing.problem import NOISES, SPIN, hyperbola_solution, problems

PLAIN = {name: s for name, s in schemes().items() if not s.needs_log_chart and s.precompute is None}
TIME, PATHS, FINEST = 1.0, 1000, 512
GRIDS = (16, 32, 64, 128)
START = (0.8, 1.2)
COMMUTING = (((0.5, 0.2), (0.2, 0.3)), ((0.3, 0.4), (0.4, -0.1)))  # B_2 = 2 B_1 - 0.7: both have the same eigenvectors
DECAY = ((-0.6, 0.0), (0.0, -0.6))


@cache
def brownian(columns: int, seed: int) -> np.ndarray:
    """Return (FINEST, columns, PATHS) increments of Brownian paths on [0, TIME]."""
    paths = np.arange(PATHS)
    z = [[rng.normals(seed, paths, rng.INCREMENT + c, n) for c in range(columns)] for n in range(FINEST)]
    return np.array(z) * (TIME / FINEST) ** 0.5


def on_grid(scheme: Scheme, system: Ito, theta: Any, fine: np.ndarray, grid: int) -> np.ndarray:
    """Return (d, PATHS) at the end of the same paths with `grid` steps; a scheme's extra normals are new ones."""
    columns, dt = fine.shape[1], TIME / grid
    z = fine.reshape(grid, FINEST // grid, columns, PATHS).sum(axis=1) / dt**0.5
    extra = np.random.default_rng(grid).standard_normal((grid, scheme.draws(columns, len(theta)) - columns, PATHS))
    return np.array(steps(scheme, system, theta, np.concatenate([z, extra], axis=1), dt))


def slope(scheme: Scheme, system: Ito, theta: Any, fine: np.ndarray, exact: np.ndarray) -> float:
    """Return the order of the mean error; a root mean square would be that of the few largest paths."""
    errors = [np.mean(np.abs(on_grid(scheme, system, theta, fine, n) - exact)) for n in GRIDS]
    return float(-np.polyfit(np.log(GRIDS), np.log(errors), 1)[0])


def linear(drift: Any, noises: Any) -> Ito:
    def factor(theta: Any, p: Any, h: Any) -> Any:
        return tuple(zip(*(matvec(noise, theta) for noise in noises), strict=True))

    return Ito(lambda theta, p, h: matvec(drift, theta), factor, None)


SCALAR = {"euler_maruyama": 0.5, "tamed_euler": 0.5, "milstein": 1.0, "platen": 1.0, "implicit_trapezoid": 1.0}


@pytest.mark.parametrize("name", SCALAR)
def test_strong_order_for_one_brownian_motion(name: str) -> None:
    """The exact path is known: (sinh Z, cosh Z) with Z a Brownian motion with drift."""
    problem, fine = problems()[0], brownian(1, seed=1)
    exact = hyperbola_solution(TIME, fine.sum(axis=0)[0])
    measured = slope(PLAIN[name], problem.system, problem.start, fine, exact)
    assert abs(measured - SCALAR[name]) < 0.15
    assert measured > PLAIN[name].strong_order - 0.15


@pytest.mark.parametrize(("name", "order"), [("euler_maruyama", 0.5), ("milstein", 1.0)])
def test_strong_order_for_several_noises_that_commute(name: str, order: float) -> None:
    """The exact path is exp((A - sum_k B_k^2 / 2) t + sum_k B_k W_k), in the common eigenvectors of all matrices."""
    fine = brownian(2, seed=2)
    _, basis = np.linalg.eigh(COMMUTING[0])
    one, two, decay = (basis.T @ np.array(matrix) @ basis for matrix in (*COMMUTING, DECAY))
    assert np.allclose([one[0, 1], two[0, 1], decay[0, 1]], 0.0)
    rates = [np.diag(matrix)[:, None] for matrix in (one, two, decay)]
    w = fine.sum(axis=0)
    grown = np.exp((rates[2] - 0.5 * (rates[0] ** 2 + rates[1] ** 2)) * TIME + rates[0] * w[0] + rates[1] * w[1])
    exact = basis @ (grown * (basis.T @ np.array(START))[:, None])
    assert abs(slope(PLAIN[name], linear(DECAY, COMMUTING), START, fine, exact) - order) < 0.15


@pytest.mark.parametrize("name", ["euler_maruyama", "milstein", "ri6", "implicit_trapezoid", "tamed_euler"])
def test_strong_order_is_a_half_for_noises_that_do_not_commute(name: str) -> None:
    """No scheme here knows Levy areas: against Euler-Maruyama on a much finer grid."""
    fine, system = brownian(2, seed=3), linear(SPIN, NOISES)
    reference = on_grid(PLAIN["euler_maruyama"], system, START, fine, FINEST)
    errors = [
        np.sqrt(np.mean(np.square(on_grid(PLAIN[name], system, START, fine, n) - reference))) for n in (4, 8, 16, 32)
    ]
    measured = float(-np.polyfit(np.log((4, 8, 16, 32)), np.log(errors), 1)[0])
    assert abs(measured - 0.5) < 0.15


ADDITIVE = {
    "euler_maruyama": 1.0,
    "milstein": 1.0,
    "heun": 1.0,
    "ri6": 1.0,
    "implicit_trapezoid": 1.0,
    "leimkuhler_matthews": 0.5,
    "exact_ou": 1.0,
}


@pytest.mark.parametrize("name", ADDITIVE)
def test_strong_order_for_additive_noise(name: str) -> None:
    fine = brownian(2, seed=4)
    problem = next(p for p in problems() if p.noise_kind == "additive")
    exact = on_grid(PLAIN["heun"], problem.system, problem.start, fine, FINEST)
    assert abs(slope(schemes()[name], problem.system, problem.start, fine, exact) - ADDITIVE[name]) < 0.15


@pytest.mark.parametrize("scheme", PLAIN.values(), ids=lambda s: s.name)
def test_zero_noise_is_the_deterministic_flow(scheme: Scheme) -> None:
    """At the declared order: x' = -x^3, x(1) = 1 / sqrt(3) from 1."""
    system = Ito(lambda x, p, h: (-x[0] * x[0] * x[0],), lambda x, p, h: ((0.0 * x[0],),), None)
    exact, errors = 3.0**-0.5, []
    for n in (32, 64):
        z = np.ones((n, scheme.draws(1, 1), 1))
        errors.append(abs(steps(scheme, system, (1.0,), z, 1.0 / n)[0][0] - exact))
    assert abs(np.log2(errors[0] / errors[1]) - scheme.weak_order) < 0.1
    assert errors[1] < (5e-3 if scheme.weak_order == 1.0 else 1e-4)


def test_ri6_with_one_brownian_motion_is_platens_scheme() -> None:
    one = Ito(lambda x, p, h: (-x[0],), lambda x, p, h: ((0.5 * x[0] + 0.2,),), None)
    z = np.random.default_rng(0).standard_normal((5, 1, 50))
    platen, rossler = (steps(PLAIN[name], one, (0.7,), z, 0.1)[0] for name in ("platen", "ri6"))
    np.testing.assert_allclose(rossler, platen, rtol=1e-13)
