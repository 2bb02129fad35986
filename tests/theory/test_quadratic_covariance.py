"""Stationary covariances on a quadratic loss, against matrix-equation solvers and the recursion itself."""

import math

import numpy as np
import pytest
from scipy.linalg import solve_continuous_lyapunov, solve_discrete_lyapunov
from scipy.optimize import minimize_scalar

from sde_engine.errors import SpecError
from sde_engine.theory import quadratic

ROTATION = np.array([[math.cos(0.7), -math.sin(0.7)], [math.sin(0.7), math.cos(0.7)]])
NOISE = ROTATION @ np.diag([1.0, 4.0]) @ ROTATION.T


def random_pair(seed, d):
    """A positive Hessian with largest eigenvalue 1 and a noise covariance that does not commute with it."""
    random = np.random.default_rng(seed)
    a, b = random.normal(size=(2, d, d))
    hessian = a @ a.T + 0.1 * np.eye(d)
    return hessian / np.linalg.eigvalsh(hessian)[-1], b @ b.T


@pytest.mark.parametrize("seed", [1, 2])
def test_sde_covariance_solves_the_lyapunov_equation(seed):
    h, c = random_pair(seed, 4)
    np.testing.assert_allclose(quadratic.sde_covariance(h, c, 0.3), solve_continuous_lyapunov(h, 0.3 * c), rtol=1e-11)


def test_sde_covariance_in_the_eigenbasis_is_elementwise():
    h = np.array([1.0, 3.0])
    expected = 0.2 * NOISE / (h[:, None] + h[None, :])
    np.testing.assert_allclose(quadratic.sde_covariance(np.diag(h), NOISE, 0.2), expected, rtol=1e-14)
    assert quadratic.sde_covariance(1.0, 1.0, 0.1) == pytest.approx(0.05, rel=1e-15)


@pytest.mark.parametrize("seed", [3, 4])
def test_sgd_covariance_solves_the_discrete_lyapunov_equation(seed):
    h, c = random_pair(seed, 4)
    expected = solve_discrete_lyapunov(np.eye(4) - 1.1 * h, 1.1**2 * c / 5.0)
    np.testing.assert_allclose(quadratic.sgd_covariance(h, c, 1.1, 5.0), expected, rtol=1e-10)


@pytest.mark.parametrize(
    ("eta", "sgd", "svag"),
    [(0.1, 0.0131579, 0.012658), (0.5, 0.0833333, 0.066667), (1.0, 0.25, 0.142857), (1.5, 0.75, 0.230769)],
)
def test_reference_variances_of_sgd_and_svag(eta, sgd, svag):
    assert quadratic.sgd_covariance(1.0, 1.0, eta, 4) == pytest.approx(sgd, abs=5e-8)
    assert quadratic.svag_covariance(1.0, 1.0, eta, 4, 4) == pytest.approx(svag, abs=5e-7)


def test_sgd_exceeds_its_sde_by_the_ratio_of_gradient_to_noise():
    h, c, eta, batch = 1.3, 0.7, 0.4, 3
    s = quadratic.sgd_covariance(h, c, eta, batch)
    ratio = s / quadratic.sde_covariance(h, c, eta / batch)
    assert ratio == pytest.approx(1.0 + h * h * s / (c / batch), rel=1e-13)
    assert ratio == pytest.approx(2.0 / (2.0 - eta * h), rel=1e-13)


def test_svag_tends_to_the_sde():
    h, c = random_pair(5, 3)
    limit = quadratic.sde_covariance(h, c, 0.5 / 4)
    np.testing.assert_allclose(quadratic.svag_covariance(h, c, 0.5, 4, 1), quadratic.sgd_covariance(h, c, 0.5, 4))
    np.testing.assert_allclose(quadratic.svag_covariance(h, c, 0.5, 4, 1e9), limit, rtol=1e-8)


def test_the_second_order_sde_has_the_worse_stationary_variance():
    eta, batch, h = 0.1, 1, 1.0
    first, second = quadratic.sde_covariance(h, 1.0, eta), quadratic.second_order_covariance(h, 1.0, eta, batch)
    exact = quadratic.sgd_covariance(h, 1.0, eta, batch)
    assert second == pytest.approx(eta / (h * (2.0 + eta * h)), rel=1e-14)
    assert abs(first - exact) == pytest.approx(2.6e-3, abs=5e-5)
    assert abs(second - exact) == pytest.approx(5.0e-3, abs=5e-5)


@pytest.mark.parametrize("beta", [0.0, 0.5, 0.9])
def test_momentum_covariance_solves_the_matrix_equation_and_the_recursion(beta):
    h, c = random_pair(6, 3)
    lam = 0.3 * np.eye(3) + 0.05 * random_pair(7, 3)[0]
    s, noise = quadratic.momentum_covariance(h, c, lam, 2.0, beta), c / 2.0
    lh = lam @ h
    left = (1 - beta) * (lh @ s + s @ lh.T) - (1 + beta**2) / (1 - beta**2) * lh @ s @ lh.T
    left += beta / (1 - beta**2) * (lh @ lh @ s + s @ lh.T @ lh.T)
    np.testing.assert_allclose(left, lam @ noise @ lam, rtol=1e-9, atol=1e-13)
    total = np.zeros((6, 6))  # E of (theta, m)(theta, m)^T, update by update
    step = np.block([[np.eye(3) - lh, -beta * lam], [h, beta * np.eye(3)]])
    kick = np.block([[-lam], [np.eye(3)]]) @ noise @ np.block([[-lam, np.eye(3)]])
    for _ in range(6000):
        total = step @ total @ step.T + kick
    np.testing.assert_allclose(s, total[:3, :3], rtol=1e-9)


@pytest.mark.parametrize(("beta", "value"), [(0.0, 0.1003344), (0.5, 0.1856764), (0.9, 0.9000677)])
def test_reference_variances_with_momentum(beta, value):
    assert quadratic.momentum_variance(1.3, 0.7, 0.3, 1.0, beta) == pytest.approx(value, abs=5e-8)
    assert quadratic.momentum_covariance(1.3, 0.7, 0.3, 1.0, beta) == pytest.approx(value, abs=5e-8)


@pytest.mark.parametrize("x", [0.01, 0.4, 0.99])
def test_the_interpolating_process_has_the_mean_and_variance_of_sgd(x):
    h, c, batch = 1.7, 0.6, 3
    eta = x / h
    process = quadratic.interpolating_process(h, c, eta, batch)
    assert math.exp(-process.relaxation * eta) == pytest.approx(1.0 - x, rel=1e-12)
    expected = quadratic.sgd_covariance(h, c, eta, batch)
    assert process.diffusion / (2.0 * process.relaxation) == pytest.approx(expected, rel=1e-12)


def test_autocovariances_are_those_of_the_equations_of_motion():
    h, c = random_pair(8, 3)
    s = quadratic.sde_covariance(h, c, 0.1)
    steps = np.linalg.matrix_power(np.eye(3) - 1e-6 * h, 2_000_000) @ s
    np.testing.assert_allclose(quadratic.sde_autocovariance(h, s, 2.0), steps, rtol=1e-5)
    chain, expected = quadratic.sgd_covariance(h, c, 0.4, 2), quadratic.sgd_covariance(h, c, 0.4, 2)
    for _ in range(5):
        expected = expected - 0.4 * h @ expected
    np.testing.assert_allclose(quadratic.sgd_autocovariance(h, chain, 0.4, 5), expected, rtol=1e-12)


def test_the_best_sampling_rate_minimises_the_divergence_from_the_posterior():
    h, c = random_pair(9, 3)
    batch, examples = 8, 500

    def divergence(log_eta):
        s = quadratic.sde_covariance(h, c, math.exp(log_eta) / batch)
        return 0.5 * (examples * np.trace(h @ s) - np.linalg.slogdet(s)[1])

    best = minimize_scalar(divergence, bounds=(-12.0, 3.0), method="bounded", options={"xatol": 1e-9})
    assert quadratic.best_sampling_rate(c, batch, examples) == pytest.approx(math.exp(best.x), rel=1e-5)


def test_instability_is_refused_in_words():
    with pytest.raises(SpecError, match="largest eigenvalue = 2.01"):
        quadratic.sgd_covariance(2.01, 1.0, 1.0, 1)
    with pytest.raises(SpecError, match="all must be positive"):
        quadratic.sde_covariance(np.diag([1.0, -0.1]), np.eye(2), 0.1)
    with pytest.raises(SpecError, match="unstable"):
        quadratic.momentum_covariance(1.0, 1.0, 3.801, 1.0, 0.9)  # the limit is 2 (1 + beta)
    with pytest.raises(SpecError, match="must be below 3"):
        quadratic.momentum_variance(1.0, 1.0, 3.0, 1.0, 0.5)
    with pytest.raises(SpecError, match="not symmetric"):
        quadratic.sde_covariance(np.array([[1.0, 0.5], [0.0, 1.0]]), np.eye(2), 0.1)
    with pytest.raises(SpecError, match="0 < eta h < 1"):
        quadratic.interpolating_process(1.0, 1.0, 1.01, 1)
