"""Weak orders without sampling: the discrete increments are listed, one step and many, with all moments."""

from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import polynomial_equation
import pytest
from discrete_noise import listed, steps

from sde_engine import components
from sde_engine.components import matvec, scale, scale_matrix
from sde_engine.discovery import schemes
from sde_engine.scheme import Ito, Scheme
from sde_engine.schemes import ri6
from sde_engine.testing.problem import NOISES, SPIN, linear_moments

PLAIN = {name: s for name, s in schemes().items() if not s.needs_log_chart and s.precompute is None}
ONE_STEP = [(s, kind) for s in PLAIN.values() for kind in sorted(s.noise_kinds) if not s.memory]
SLACK = {1.0: 0.1, 2.0: 0.15}


def local_errors(scheme: Scheme, kind: str, sizes: tuple[float, ...], system: Ito | None = None) -> np.ndarray:
    """Return the largest error of the moments of one step up to the declared order, for each step."""
    found = []
    known = polynomial_equation.expansion(kind)
    z, mass = listed(scheme, len(polynomial_equation.FACTORS[kind][0]))
    for dt in sizes:
        x, y = steps(scheme, system or polynomial_equation.system(kind), polynomial_equation.POINT, z[None], dt)
        moved = (x - polynomial_equation.POINT[0], y - polynomial_equation.POINT[1])
        got = np.array([(moved[0] ** i * moved[1] ** j) @ mass for i, j in polynomial_equation.DEGREES])
        exact = sum(known[:, k] * dt**k for k in range(int(scheme.weak_order) + 1))
        found.append(np.abs(got - exact).max())
    return np.array(found)


def local_order(scheme: Scheme, kind: str, system: Ito | None = None) -> float:
    errors = local_errors(scheme, kind, (0.004, 0.002), system)
    return float(np.log2(errors[0] / errors[1]))


@pytest.mark.parametrize(("scheme", "kind"), ONE_STEP, ids=[f"{s.name}, {kind}" for s, kind in ONE_STEP])
def test_one_step_has_the_moments_of_a_nonlinear_equation_to_the_declared_order(scheme: Scheme, kind: str) -> None:
    """All moments up to degree four, mixed ones too, are off by dt^(order + 1) only; "general" does not commute."""
    assert abs(local_order(scheme, kind) - (scheme.weak_order + 1.0)) < 0.05


@pytest.mark.parametrize("name", ["platen", "ri6", "implicit_trapezoid", "heun", "euler_maruyama", "tamed_euler"])
def test_a_noise_wrong_by_two_percent_loses_the_order(name: str) -> None:
    scheme = PLAIN[name]
    kind = "additive" if name == "heun" else "scalar" if "scalar" in scheme.noise_kinds else "general"
    right = polynomial_equation.system(kind)
    louder = right._replace(factor=lambda theta, p, h: scale_matrix(1.02, right.factor(theta, p, h)))
    assert local_order(scheme, kind, louder) < scheme.weak_order + 0.5


@pytest.mark.parametrize("wrong", ["no signs", "a symmetric area"])
def test_ri6_needs_its_signs_for_noises_that_do_not_commute(monkeypatch: pytest.MonkeyPatch, wrong: str) -> None:
    def changed(z: Any, signs: Any) -> Any:
        right = components.weak_integrals(z, signs)
        if wrong == "no signs":
            return components.weak_integrals(z, tuple(0.0 * s for s in signs))
        return ((0.0, right[0][1]), (right[0][1], 0.0))

    monkeypatch.setattr(ri6, "weak_integrals", changed)
    assert abs(local_order(PLAIN["ri6"], "general") - 2.0) < 0.1


def linear(theta: Any, p: Any, h: Any) -> Any:
    return matvec(SPIN, theta)


def linear_factor(theta: Any, p: Any, h: Any) -> Any:
    return tuple(zip(*(matvec(noise, theta) for noise in NOISES), strict=True))


LINEAR = Ito(linear, linear_factor, None)
START = (0.8, 1.2)


def _monomials(x: Any) -> np.ndarray:
    return np.array([x[0], x[1], x[0] * x[0], x[0] * x[1], x[1] * x[1]])


def moment_map(scheme: Scheme, dt: float) -> np.ndarray:
    """Return the 5 x 5 matrix that one step applies to the first, second and mixed moments of a linear equation."""
    z, mass = listed(scheme, 2)
    points = np.array([(1.0, 0.0), (0.0, 1.0), (1.0, 1.0), (-1.0, 0.5), (0.5, -1.0), (2.0, 1.0), (-0.7, -0.4)])
    after = [_monomials(steps(scheme, LINEAR, tuple(point), z[None], dt)) @ mass for point in points]
    before = [_monomials(point) for point in points]
    found, residual, rank, _ = np.linalg.lstsq(np.array(before), np.array(after), rcond=None)
    assert rank == 5
    assert np.all(residual < 1e-24), "the scheme is linear where the equation is"
    return found.T


LINEAR_SCHEMES = [s for s in PLAIN.values() if "general" in s.noise_kinds and s.name != "tamed_euler"]


@pytest.mark.parametrize("scheme", LINEAR_SCHEMES, ids=lambda s: s.name)
def test_the_moments_of_a_noncommutative_equation_converge_at_the_declared_order(scheme: Scheme) -> None:
    """All 3^(2 n) paths of n = 2 ... 16 steps, through the exact moment matrix of one step; the limit is exact too."""
    time, grids = 0.5, (2, 4, 8, 16)
    exact = linear_moments(SPIN, NOISES, ((0.0, 0.0), (0.0, 0.0)), time)
    start = _monomials(np.array(START))
    errors = [np.linalg.matrix_power(moment_map(scheme, time / n), n) @ start - exact for n in grids]
    sizes = [np.abs(error).max() for error in errors]
    slopes = [np.log2(one / two) for one, two in pairwise(sizes)]
    assert abs(slopes[-1] - scheme.weak_order) < SLACK[scheme.weak_order], slopes
    power = 2.0**scheme.weak_order
    limit = (power * errors[3] - errors[2]) / (power - 1.0)
    assert np.abs(limit).max() < 0.05 * sizes[3]


@pytest.mark.parametrize("name", ["euler_maruyama", "milstein", "ri6", "implicit_trapezoid"])
def test_listing_all_paths_gives_the_power_of_the_moment_map(name: str) -> None:
    scheme, dt = PLAIN[name], 0.1
    z, mass = listed(scheme, 2)
    count = z.shape[1]
    pairs = np.stack([np.repeat(z, count, axis=1), np.tile(z, count)])
    weights = np.repeat(mass, count) * np.tile(mass, count)
    paths = _monomials(steps(scheme, LINEAR, START, pairs, dt)) @ weights
    powers = np.linalg.matrix_power(moment_map(scheme, dt), 2) @ _monomials(np.array(START))
    np.testing.assert_allclose(paths, powers, rtol=1e-12)


GBM = [s for s in PLAIN.values() if "scalar" in s.noise_kinds and s.name != "tamed_euler"]


@pytest.mark.parametrize("scheme", GBM, ids=lambda s: s.name)
def test_geometric_brownian_motion_has_its_mean_and_second_moment(scheme: Scheme) -> None:
    """E X = e^(mu t), E X^2 = e^((2 mu + sigma^2) t): extrapolated to step zero both agree to five digits."""
    mu, sigma = 0.3, 0.8
    system = Ito(lambda x, p, h: scale(mu, x), lambda x, p, h: ((sigma * x[0],),), None)
    z, mass = listed(scheme, 1)
    exact = np.array([np.exp(mu), np.exp(2.0 * mu + sigma**2)])
    errors = []
    for n in (32, 64, 128):
        x = steps(scheme, system, (1.0,), z[None], 1.0 / n)[0]
        errors.append(np.array([(x @ mass) ** n, (x * x @ mass) ** n]) / exact - 1.0)
    power = 2.0**scheme.weak_order
    once = [(power * fine - coarse) / (power - 1.0) for coarse, fine in pairwise(errors)]
    twice = (2.0 * power * once[1] - once[0]) / (2.0 * power - 1.0)
    assert np.abs(twice).max() < 1e-5
    assert np.abs(errors[2]).max() < (0.02 if scheme.weak_order == 1.0 else 2e-4)


def test_unscaled_noise_in_a_predictor_is_seen_by_geometric_brownian_motion() -> None:
    """The partner: Platen's scheme with z in place of sqrt(dt) z in its predictor misses the mean."""
    scheme = PLAIN["platen"]

    def build(system: Ito) -> Any:
        step = scheme.build(system)

        def wrong(theta: Any, z: Any, dt: Any, root: Any, p: Any, h: Any) -> Any:
            predicted = system.drift((theta[0] + z[0] * system.factor(theta, p, h)[0][0],), p, h)
            right = system.drift((theta[0] + root * z[0] * system.factor(theta, p, h)[0][0],), p, h)
            return (step(theta, z, dt, root, p, h)[0] + 0.5 * dt * (predicted[0] - right[0]) * (1.0 + z[0]),)

        return wrong

    with pytest.raises(AssertionError):
        test_geometric_brownian_motion_has_its_mean_and_second_moment(replace(scheme, build=build))


def test_leimkuhler_matthews_has_weak_order_one_at_a_fixed_time() -> None:
    """All 3^n paths of an Ornstein-Uhlenbeck process; at the end the last half increment is missing."""
    scheme, time = PLAIN["leimkuhler_matthews"], 0.5
    system = Ito(lambda x, p, h: scale(-1.0, x), lambda x, p, h: ((0.8,),), None)
    exact = np.array([np.exp(-time), np.exp(-2.0 * time) + 0.32 * (1.0 - np.exp(-2.0 * time))])
    z, mass = listed(scheme, 1)
    errors = []
    for n in (4, 8):
        paths = np.array(np.meshgrid(*(z[0],) * n)).reshape(n, 1, -1)
        weights = np.prod(np.meshgrid(*(mass,) * n), axis=0).ravel()
        x = steps(scheme, system, (1.0,), paths, time / n)[0]
        errors.append(np.array([x @ weights, (x * x) @ weights]) - exact)
    sizes = [np.abs(error).max() for error in errors]
    assert abs(np.log2(sizes[0] / sizes[1]) - 1.0) < 0.1
    assert np.abs(2.0 * errors[1] - errors[0]).max() < 0.1 * sizes[1]
