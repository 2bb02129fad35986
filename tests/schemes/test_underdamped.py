"""The Langevin equation of SGD with momentum, on quadratics by linear algebra and in general by moments of one step."""

from typing import Any

import numpy as np
import pytest
from scipy.linalg import solve_discrete_lyapunov

from sde_engine.discovery import load_model
from sde_engine.dynamics.underdamped import UnderdampedLangevin
from sde_engine.kernel import Hyper
from sde_engine.theory.quadratic import momentum_covariance, momentum_variance

HESSIAN, COVARIANCE = ((1.0, 0.3), (0.3, 2.0)), ((1.0, 0.5), (0.5, 0.7))
QUADRATIC = load_model("quadratic", hessian=HESSIAN, covariance=COVARIANCE)


def maps(momentum: float, eta: float, dt: float | None = None) -> tuple[np.ndarray, np.ndarray, float]:
    """Return the matrices of one step, state' = forward state + noise z, and its length."""
    hyper = Hyper(eta, 3)
    kernel = UnderdampedLangevin(momentum, dt).kernel(QUADRATIC, hyper)

    def step(state: np.ndarray, z: np.ndarray) -> np.ndarray:
        return np.array(
            kernel.step(tuple(state), tuple(z), kernel.dt, kernel.dt**0.5, QUADRATIC.params, kernel.settings)
        )

    forward = np.array([step(unit, np.zeros(2)) for unit in np.eye(4)]).T
    return forward, np.array([step(np.zeros(4), unit) for unit in np.eye(2)]).T, kernel.dt


@pytest.mark.parametrize("momentum", [0.3, 0.9])
def test_the_stationary_covariance_is_that_of_sgd_with_momentum_for_small_eta(momentum: float) -> None:
    """Positions: the error of the equation is O(eta), its extrapolation to eta -> 0 is right to 1e-3."""
    ratios = []
    for eta in (0.02, 0.01):
        forward, noise, _ = maps(momentum, eta)
        found = solve_discrete_lyapunov(forward, noise @ noise.T)[:2, :2]
        ratios.append(found / np.asarray(momentum_covariance(HESSIAN, COVARIANCE, eta, 3, momentum)))
    assert np.abs(ratios[1] - 1.0).max() < 0.02
    assert np.abs(2.0 * ratios[1] - ratios[0] - 1.0).max() < 1e-3


def rates(update: np.ndarray) -> np.ndarray:
    """Return the logarithms of the eigenvalues of one update, the slowest last, those that oscillate in order."""
    return np.sort_complex(np.log(np.linalg.eigvals(update).astype(complex)))


@pytest.mark.parametrize("momentum", [0.2, 0.5, 0.9, 0.99])
def test_every_mode_relaxes_and_oscillates_on_the_clock_of_sgd(momentum: float) -> None:
    """Over one update the modes are the heavy ball's, to O(eta) and the part in 800 that the default dt allows."""
    gaps = []
    for eta in (0.02 * (1.0 - momentum), 0.01 * (1.0 - momentum)):
        forward, _, dt = maps(momentum, eta)
        steps = round(eta / dt)
        assert abs(steps * dt - eta) < 1e-12
        h = np.array(HESSIAN)
        ball = np.block([[np.eye(2) - eta * h, momentum * np.eye(2)], [-eta * h, momentum * np.eye(2)]])
        ours, theirs = rates(np.linalg.matrix_power(forward, steps)), rates(ball)
        gaps.append(np.abs(ours / theirs - 1.0).max())
    assert gaps[0] < 0.01
    assert abs(2.0 * gaps[1] - gaps[0]) < 2e-3


def test_a_velocity_decays_by_the_momentum_over_one_update() -> None:
    """At theta = 0 and without force: dt does not matter, and neither does the number of steps."""
    flat = load_model("quadratic", hessian=((0.0,),), covariance=((1.0,),))
    for steps in (1, 2, 5):
        kernel = UnderdampedLangevin(0.8, 0.1 / steps).kernel(flat, Hyper(0.1, 1))
        state: Any = (0.0, 1.0)
        for _ in range(steps):
            state = kernel.step(state, (0.0,), kernel.dt, kernel.dt**0.5, flat.params, kernel.settings)
        assert abs(state[1] - 0.8) < 1e-14


@pytest.mark.parametrize("dt", [0.05, 0.1, 0.2])
def test_positions_on_a_quadratic_are_exact_at_every_step_and_velocities_are_not(dt: float) -> None:
    """T C / (2 h (1 - beta)) in one dimension for positions; velocities are off by O(dt^2)."""
    model, beta = load_model("quadratic", hessian=((1.3,),), covariance=((0.7,),)), 0.6
    kernel = UnderdampedLangevin(beta, dt).kernel(model, Hyper(0.2, 1))

    def step(state: Any, z: float) -> np.ndarray:
        return np.array(kernel.step(state, (z,), dt, dt**0.5, model.params, kernel.settings))

    forward = np.array([step((1.0, 0.0), 0.0), step((0.0, 1.0), 0.0)]).T
    noise = step((0.0, 0.0), 1.0)[:, None]
    found = solve_discrete_lyapunov(forward, noise @ noise.T)
    pull = -np.log(beta) / 0.2 / (1.0 - beta)
    exact = 0.2 * 0.7 / (2.0 * 1.3 * (1.0 - beta))
    assert abs(found[0, 0] / exact - 1.0) < 1e-12
    velocity = found[1, 1] / (pull * 1.3 * exact)
    assert 0.05 < (1.0 - velocity) / (pull * 1.3 * dt * dt) < 0.5
    assert abs(momentum_variance(1.3, 0.7, 1e-6, 1, beta) / 1e-6 * 0.2 / exact - 1.0) < 1e-5


def test_one_step_has_weak_order_two_with_noise_that_depends_on_the_state() -> None:
    """Richardson's test of one step against many: the moments over a time t differ by O(t^3), and not by O(t^2)."""
    model, hyper = load_model("two_layer_scalar"), Hyper(1.0, 1)
    kernel = UnderdampedLangevin(0.4, 1.0).kernel(model, hyper)
    z = np.array([0.0, 3.0**0.5, -(3.0**0.5)])
    mass = np.array([2.0 / 3.0, 1.0 / 6.0, 1.0 / 6.0])
    start = (0.8, 0.5, 0.3, -0.4)

    def moments(steps: int, time: float) -> np.ndarray:
        state, weights = tuple(np.array([x]) for x in start), np.ones(1)
        dt = time / steps
        for _ in range(steps):
            count = len(weights)
            state = tuple(np.repeat(x, 3) for x in state)
            state = kernel.step(state, (np.tile(z, count),), dt, dt**0.5, model.params, kernel.settings)
            weights = np.repeat(weights, 3) * np.tile(mass, count)
        x = np.array(state) - np.array(start)[:, None]
        return np.concatenate([x @ weights, ((x[:, None] * x[None]) @ weights).ravel()])

    def error(time: float) -> float:
        fine = [moments(n, time) for n in (4, 8)]
        exact = (4.0 * fine[1] - fine[0]) / 3.0
        return float(np.abs(moments(1, time) - exact).max())

    assert abs(np.log2(error(0.04) / error(0.02)) - 3.0) < 0.15


def test_without_replacement_lowers_the_temperature_by_the_finite_population_factor() -> None:
    table = load_model("two_layer_scalar", law="table", table=((1.0, 0.5), (-0.5, -0.2), (0.8, 0.1), (0.3, 0.9)))
    kicks = [
        UnderdampedLangevin(sampling=s).kernel(table, Hyper(0.1, 3)).settings.kick
        for s in ("iid", "without_replacement")
    ]
    assert abs((kicks[1] / kicks[0]) ** 2 - (4 - 3) / 3) < 1e-12
