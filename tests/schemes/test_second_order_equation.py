"""Langevin(order=2), and the entropic drift that an Ito equation must not be given by hand."""

from typing import Any

import numpy as np
import pytest

from sde_engine import rng
from sde_engine.discovery import load_model
from sde_engine.dynamics.langevin import Langevin
from sde_engine.dynamics.sgd import Sgd
from sde_engine.kernel import Hyper
from sde_engine.model import Model
from sde_engine.theory.quadratic import second_order_covariance

HESSIAN, COVARIANCE = ((1.0, 0.3), (0.3, 2.0)), ((1.0, 0.5), (0.5, 0.7))


def drift_of(model: Model, hyper: Hyper, order: Any, theta: np.ndarray) -> np.ndarray:
    """Return the drift, as one Euler-Maruyama step without noise over dt = 1 moves theta."""
    kernel = Langevin(scheme="euler_maruyama", order=order).kernel(model, hyper)
    still = np.zeros((model.columns, *theta.shape[1:]))
    return np.array(kernel.step(tuple(theta), tuple(still), 1.0, 1.0, model.params, kernel.settings)) - theta


def test_the_drift_of_order_two_is_that_of_the_modified_loss() -> None:
    """-grad(L + decay |theta|^2 / 2 + (eta / 4) |grad of it|^2), to rounding on a quadratic."""
    hyper, theta = Hyper(0.2, 3, 0.1), np.array([[0.7, -1.3], [0.4, 2.0]])
    h = np.array(HESSIAN) + 0.1 * np.eye(2)
    exact = -(h + 0.1 * h @ h) @ theta
    np.testing.assert_allclose(drift_of(load_model("quadratic", hessian=HESSIAN), hyper, 2, theta), exact, rtol=1e-13)
    np.testing.assert_allclose(
        drift_of(load_model("quadratic", hessian=HESSIAN), hyper, 1, theta), -h @ theta, rtol=1e-14
    )


def test_the_difference_in_place_of_the_hessian_is_exact_to_the_stated_accuracy() -> None:
    """L = x^4 / 4 - x^2 / 2: H grad L = (3 x^2 - 1)(x^3 - x), up to (eta / 64)^2 |grad L|^2 and a few ulp."""
    model, eta = load_model("double_well"), 0.1
    x = np.array([[-1.7, 0.3, 1.0 + 1e-9, 2.5]])
    slope = x**3 - x
    exact = -slope - 0.5 * eta * (3.0 * x * x - 1.0) * slope
    error = np.abs(drift_of(model, Hyper(eta, 1), 2, x) - exact)
    assert np.all(error < 0.5 * eta * np.abs((eta / 64.0 * slope) ** 2 * slope) * 1.01 + 1e-14)


def test_the_stationary_covariance_is_that_of_its_own_equation() -> None:
    """Further from SGD's than order 1 is: the orders are those of averages at a fixed time."""
    hyper, dt = Hyper(0.3, 2), 0.5
    model = load_model("quadratic", hessian=HESSIAN, covariance=COVARIANCE)
    kernel = Langevin(scheme="implicit_trapezoid", order=2, dt=dt).kernel(model, hyper)
    eye = np.eye(kernel.columns)

    def step(theta: np.ndarray, z: np.ndarray) -> np.ndarray:
        return np.array(kernel.step(tuple(theta), tuple(z), dt, dt**0.5, model.params, kernel.settings))

    forward = np.array([step(unit, 0.0 * eye[0]) for unit in np.eye(2)]).T
    noise = np.array([step(np.zeros(2), unit) for unit in eye]).T
    exact = second_order_covariance(HESSIAN, COVARIANCE, 0.3, 2)
    np.testing.assert_allclose(forward @ exact @ forward.T + noise @ noise.T, exact, rtol=1e-9)


ETA, TIME, PATHS = 0.05, 6.0, 2000
MODEL = load_model("two_layer_scalar", law="gaussian", target=1.0, noise=0.5)


def entropic_force(theta: Any, p: Any) -> Any:
    """-grad of (eta / 4)(|grad L|^2 + Tr C) on (u, w), batch 1: |grad L|^2 + Tr C = (L'^2 + g)(u^2 + w^2), v = u w."""
    u, w = theta
    v, size = u * w, u * u + w * w
    slope = p.b1 * v - p.b2
    level = slope * slope + p.a1 * v * v - 2.0 * p.a2 * v + p.a3
    turn = 2.0 * p.b1 * slope + 2.0 * p.a1 * v - 2.0 * p.a2
    k = -0.25 * ETA
    return (k * (turn * w * size + 2.0 * u * level), k * (turn * u * size + 2.0 * w * level))


def decay_rate(advance: Any, steps: int) -> tuple[float, float]:
    """Return the decay rate of u^2 - w^2 from u = 1.6, u w = 1 over t = 6, and its standard error."""
    theta = (np.full(PATHS, 1.6), np.full(PATHS, 1.0 / 1.6))
    start = theta[0] ** 2 - theta[1] ** 2
    for n in range(steps):
        theta = advance(theta, n)
    left = (theta[0] ** 2 - theta[1] ** 2) / start
    return float(-np.log(left.mean()) / TIME), float(left.std() / left.mean() / np.sqrt(PATHS) / TIME)


def langevin_rate(order: Any, by_hand: bool) -> tuple[float, float]:
    model, dt, paths = MODEL, 0.01, np.arange(PATHS)
    kernel = Langevin(scheme="euler_maruyama", order=order).kernel(model, Hyper(ETA, 1))

    def advance(theta: Any, n: int) -> Any:
        z = rng.normals(1, paths, rng.INCREMENT, n)
        moved = kernel.step(theta, (z,), dt, dt**0.5, model.params, kernel.settings)
        force = entropic_force(theta, model.params) if by_hand else (0.0, 0.0)
        return tuple(x + dt * f for x, f in zip(moved, force, strict=True))

    return decay_rate(advance, round(TIME / dt))


def sgd_rate() -> tuple[float, float]:
    kernel, paths = Sgd().kernel(MODEL, Hyper(ETA, 1)), np.arange(PATHS)

    def advance(theta: Any, n: int) -> Any:
        example = tuple(rng.normals(1, paths, rng.EXAMPLE + c, n) for c in range(2))
        return kernel.step(theta, MODEL.example_gradient(theta, example, MODEL.params), MODEL.params, kernel.settings)

    return decay_rate(advance, round(TIME / ETA))


@pytest.mark.parametrize(("order", "rate"), [(1, 0.0148), (2, 0.0156)])
def test_an_ito_equation_brings_about_the_entropic_force_by_itself(order: Any, rate: float) -> None:
    """The rates of an independent run, known to 5e-5; order 2 is nearer to SGD."""
    measured, error = langevin_rate(order, by_hand=False)
    assert error < 5e-5
    assert abs(measured - rate) < 5e-5 + 4.0 * error


def test_sgd_itself_decays_as_the_second_order_equation_does() -> None:
    measured, error = sgd_rate()
    assert abs(measured - 0.0158) < 5e-5 + 4.0 * error
    assert abs(langevin_rate(2, by_hand=False)[0] / measured - 1.0) < 0.05


def test_the_full_entropic_drift_in_an_ito_equation_counts_the_noise_twice() -> None:
    """The partner: -grad F with F = L + (eta / 4)(|grad L|^2 + Tr C) decays almost twice as fast as SGD."""
    measured, error = langevin_rate(1, by_hand=True)
    assert abs(measured - 0.0293) < 5e-5 + 4.0 * error
    assert measured > 1.8 * sgd_rate()[0]
