"""The exact Ornstein-Uhlenbeck step against closed forms: moments of its own linear map, without sampling."""

from typing import Any, NamedTuple

import numpy as np
import pytest
from scipy.integrate import quad_vec
from scipy.linalg import expm, solve_discrete_lyapunov

from sde_engine.discovery import load_model
from sde_engine.dynamics.langevin import Langevin
from sde_engine.ensemble import simulate
from sde_engine.kernel import Hyper
from sde_engine.paths import start_states, trace_of
from sde_engine.run import Run
from sde_engine.scheme import Ito
from sde_engine.schemes.exact_ou import transition
from sde_engine.testing import assert_within
from sde_engine.theory.quadratic import sde_covariance

HYPER = Hyper(0.2, 2, 0.1)
STIFFEST = 3.0
HESSIANS = {
    "line": ((STIFFEST,),),
    "turned": ((1.0, 0.6), (0.6, 2.6)),
    "flat": ((STIFFEST, 0.0), (0.0, -HYPER.weight_decay)),  # one direction without any force
}
COVARIANCES = {
    "full": ((2.2, -1.4), (-1.4, 2.7)),
    "rank one": ((1.0, 2.0), (2.0, 4.0)),
    "graded": ((1.0, 5e-7), (5e-7, 1e-12)),
    "one noise": ((0.7, 0.0), (0.0, 0.0)),
    "none": ((0.0, 0.0), (0.0, 0.0)),
}
CASES = [("line", None)] + [(h, c) for h in ("turned", "flat") for c in COVARIANCES]


class Step(NamedTuple):
    """One step as a linear map: theta' = forward theta + noise z."""

    forward: np.ndarray
    noise: np.ndarray

    def covariance(self) -> np.ndarray:
        return self.noise @ self.noise.T


def quadratic(hessian: str, covariance: str | None) -> Any:
    return load_model(
        "quadratic", hessian=HESSIANS[hessian], covariance=None if covariance is None else COVARIANCES[covariance]
    )


def step_of(model: Any, dt: float, scheme: str = "exact_ou") -> Step:
    kernel = Langevin(scheme, dt=dt).kernel(model, HYPER)

    def step(theta: np.ndarray, z: np.ndarray) -> np.ndarray:
        return np.array(kernel.step(tuple(theta), tuple(z), dt, dt**0.5, model.params, kernel.settings))

    zero, none = np.zeros(model.dim), np.zeros(kernel.columns)
    return Step(
        np.array([step(unit, none) for unit in np.eye(model.dim)]).T,
        np.array([step(zero, unit) for unit in np.eye(kernel.columns)]).T,
    )


def closed_form(model: Any, dt: float) -> Step:
    """Return e^(-H dt) and a root of S(dt), S_ij = T C_ij (1 - e^(-(h_i + h_j) dt)) / (h_i + h_j) in the eigenbasis of H."""
    h = np.array(model.params.hessian) + HYPER.weight_decay * np.eye(model.dim)
    rates, basis = np.linalg.eigh(h)
    c = basis.T @ (HYPER.temperature * np.array(model.params.factor) @ np.array(model.params.factor).T) @ basis
    x = (rates[:, None] + rates) * dt
    small = np.abs(x) < 1e-12
    share = np.where(small, 1.0, -np.expm1(-np.where(small, 1.0, x)) / np.where(small, 1.0, x))
    values, vectors = np.linalg.eigh(basis @ (dt * c * share) @ basis.T)
    return Step(basis @ np.diag(np.exp(-rates * dt)) @ basis.T, vectors * np.sqrt(np.maximum(values, 0.0)))


def assert_same_law(found: Step, exact: Step, tolerance: float = 1e-13) -> None:
    """Means to rounding; covariances to rounding of the two components that they belong to."""
    np.testing.assert_allclose(found.forward, exact.forward, rtol=0.0, atol=tolerance)
    size = np.sqrt(np.diag(exact.covariance()))
    assert np.all(np.abs(found.covariance() - exact.covariance()) <= tolerance * np.outer(size, size))


LENGTHS = [1e-4, 0.1, 1.0, 10.0]  # in units of 1 / (the largest eigenvalue of the Hessian)


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize(("hessian", "covariance"), CASES)
def test_one_step_has_the_mean_and_the_covariance_of_the_equation(
    hessian: str, covariance: str | None, length: float
) -> None:
    model, dt = quadratic(hessian, covariance), length / STIFFEST
    # In the eigenbasis of H the closed form itself loses digits of a component with hardly any noise.
    assert_same_law(
        step_of(model, dt), closed_form(model, dt), 1e-5 if covariance in ("graded", "one noise") else 1e-13
    )


def test_noise_that_comes_through_the_drift_alone_is_kept_however_small() -> None:
    """S_11 = T C_00 H_01^2 dt^3 / 3 at leading order, here 1e-13 of S_00."""
    dt = 1e-6
    spread = step_of(quadratic("turned", "one noise"), dt).covariance()
    assert abs(spread[0, 0] / (HYPER.temperature * 0.7 * dt) - 1.0) < 1e-5
    assert abs(spread[1, 1] / (HYPER.temperature * 0.7 * 0.6**2 * dt**3 / 3.0) - 1.0) < 1e-5


@pytest.mark.parametrize("length", LENGTHS)
def test_many_steps_are_one_long_step(length: float) -> None:
    """Transition covariances of 7 steps add up to that of one seven times as long, transients included."""
    model, dt = quadratic("turned", "full"), length / STIFFEST
    one, seven = step_of(model, dt), step_of(model, 7.0 * dt)
    covariance = np.zeros((2, 2))
    for _ in range(7):
        covariance = one.forward @ covariance @ one.forward.T + one.covariance()
    np.testing.assert_allclose(np.linalg.matrix_power(one.forward, 7), seven.forward, rtol=0.0, atol=1e-13)
    np.testing.assert_allclose(covariance, seven.covariance(), rtol=1e-12)


@pytest.mark.parametrize("dt", [1e-3, 5.0, 300.0])
def test_the_stationary_covariance_is_that_of_the_equation_at_any_step(dt: float) -> None:
    model = quadratic("turned", "full")
    found = step_of(model, dt)
    h = np.array(HESSIANS["turned"]) + HYPER.weight_decay * np.eye(2)
    exact = sde_covariance(h, COVARIANCES["full"], HYPER.temperature)
    np.testing.assert_allclose(solve_discrete_lyapunov(found.forward, found.covariance()), exact, rtol=1e-11)


@pytest.mark.parametrize("scheme", ["euler_maruyama", "heun"])
def test_other_schemes_do_not_have_the_law_of_a_step(scheme: str) -> None:
    """The partner, at a step that is short for them."""
    model, dt = quadratic("turned", "full"), 0.1 / STIFFEST
    with pytest.raises(AssertionError):
        assert_same_law(step_of(model, dt, scheme), closed_form(model, dt), 1e-5)


def test_a_drift_that_turns_and_a_constant_force_are_served() -> None:
    """Fewer noises than components, no symmetry of A, a shift: against quadrature of the integrals."""
    a, b, g, dt = np.array([[-0.6, 2.5], [-2.0, -0.3]]), np.array([0.4, -0.7]), np.array([[0.5], [0.2]]), 3.0

    def drift(theta: Any, p: Any, h: Any) -> Any:
        return tuple(a @ np.array(theta) + b)

    found = transition(Ito(drift, lambda theta, p, h: tuple(map(tuple, g)), None), 2, None, None, dt)
    spread = quad_vec(lambda s: expm(a * s) @ g @ g.T @ expm(a * s).T, 0.0, dt, epsabs=1e-12)[0]
    shift = quad_vec(lambda s: expm(a * s) @ b, 0.0, dt, epsabs=1e-12)[0]
    assert_same_law(Step(np.array(found.decay), np.array(found.root)), Step(expm(a * dt), np.linalg.cholesky(spread)))
    np.testing.assert_allclose(found.shift, shift, rtol=1e-12)


def test_the_step_is_that_of_the_clock_when_the_run_shortens_it() -> None:
    """Without noise a path is e^(-H t) theta_0: a run of 1.0 in steps of 0.3 makes four of 0.25."""
    model, run = quadratic("turned", "none"), Run(16, 3, time=1.0)
    trace, clock = trace_of(model, Langevin("exact_ou", dt=0.3), HYPER, run, backend="numpy")
    assert clock.steps == 4
    start = start_states(model, run, 0, 16, np.array(model.starts(model.params)))
    np.testing.assert_allclose(trace.final, closed_form(model, 1.0).forward @ start, rtol=1e-12)


def sampled(scheme: str, dt: float, paths: int) -> Any:
    model = load_model("quadratic", hessian=HESSIANS["turned"], covariance=COVARIANCES["full"])
    return simulate(
        model, Langevin(scheme, dt=dt), HYPER, paths=paths, seed=5, time=120.0 * dt, burn_in=0.2, backend="numpy"
    )


def test_a_run_in_steps_longer_than_the_relaxation_has_the_variances_and_the_covariance() -> None:
    """Independent samples, nearly: 4096 paths of 96 looks know a variance to 0.25 %."""
    found = sampled("exact_ou", 5.0, 4096)
    h = np.array(HESSIANS["turned"]) + HYPER.weight_decay * np.eye(2)
    exact = np.asarray(sde_covariance(h, COVARIANCES["full"], HYPER.temperature))
    for i in range(2):
        assert_within(4.0, float(found[f"x{i}_variance"]), exact[i, i], float(found[f"x{i}_variance_stderr"]))
    error = float(found["x0_x1_covariance_stderr"])
    assert_within(4.0, float(found["x0_x1_covariance"]), exact[0, 1], error, visible=0.04)
    assert float(found.diverged_fraction) == 0.0


def test_euler_in_such_steps_leaves_for_good_and_in_short_ones_is_off() -> None:
    assert float(sampled("euler_maruyama", 5.0, 128).diverged_fraction) == 1.0
    found = sampled("euler_maruyama", 0.3, 512)
    h = np.array(HESSIANS["turned"]) + HYPER.weight_decay * np.eye(2)
    exact = np.asarray(sde_covariance(h, COVARIANCES["full"], HYPER.temperature))
    with pytest.raises(AssertionError, match="sigma from"):
        assert_within(4.0, float(found.x1_variance), exact[1, 1], float(found.x1_variance_stderr), visible=1.0)


@pytest.mark.parametrize("order", [1, 2])
def test_the_equation_of_second_order_is_served_too(order: Any) -> None:
    """Its drift is -(H + eta H^2 / 2), H with weight decay."""
    model, dt = quadratic("turned", "full"), 2.0
    kernel = Langevin("exact_ou", dt=dt, order=order).kernel(model, HYPER)
    h = np.array(HESSIANS["turned"]) + HYPER.weight_decay * np.eye(2)
    rate = h if order == 1 else h + 0.5 * HYPER.eta * h @ h
    np.testing.assert_allclose(kernel.settings.precomputed.decay, expm(-rate * dt), rtol=0.0, atol=1e-12)
