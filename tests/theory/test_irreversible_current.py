"""Circulation and entropy production of SGD on a quadratic loss."""

import math

import numpy as np
import pytest
from scipy.linalg import solve_discrete_lyapunov

from sde_engine.theory import current, quadratic

ROTATION = np.array([[math.cos(0.7), -math.sin(0.7)], [math.sin(0.7), math.cos(0.7)]])
HESSIAN = np.diag([1.0, 3.0])
NOISE = ROTATION @ np.diag([1.0, 4.0]) @ ROTATION.T


def test_circulation_is_antisymmetric_with_the_reference_value():
    q = current.circulation(HESSIAN, 0.1 * NOISE)
    np.testing.assert_allclose(q, -q.T, atol=1e-16)
    assert q[0, 1] == pytest.approx(-0.0739087, abs=5e-8)


def test_detailed_balance_holds_iff_curvature_and_noise_commute():
    commuting = HESSIAN @ HESSIAN + 2.0 * HESSIAN
    assert current.entropy_production(HESSIAN, commuting) == pytest.approx(0.0, abs=1e-14)
    np.testing.assert_allclose(current.circulation(HESSIAN, commuting), 0.0, atol=1e-14)


@pytest.mark.parametrize("temperature", [0.02, 1.0])
def test_entropy_production_of_the_sde_does_not_depend_on_temperature(temperature):
    d = 0.5 * temperature * NOISE
    assert current.entropy_production(HESSIAN, d) == pytest.approx(0.546250, abs=5e-7)
    plane = d[0, 1] ** 2 * 4.0 / (4.0 * np.linalg.det(d))
    assert current.entropy_production(HESSIAN, d) == pytest.approx(plane, rel=1e-12)


@pytest.mark.parametrize(
    ("batch", "value"), [(1, 0.218500), (4, 0.054625), (16, 0.0064265), (64, 4.9434e-4), (256, 3.2700e-5)]
)
def test_injected_isotropic_noise_suppresses_irreversibility_at_large_batch(batch, value):
    d = 0.05 * np.eye(2) + 0.1 / (2.0 * batch) * NOISE
    assert current.entropy_production(HESSIAN, d) == pytest.approx(value, rel=1e-4)


def pair_covariance(eta):
    """Covariance of (theta_k, theta_k+1) from the Lyapunov equation of the pair."""
    step = np.eye(2) - eta * HESSIAN
    pair = np.block([[np.zeros((2, 2)), np.eye(2)], [np.zeros((2, 2)), step]])
    kick = np.zeros((4, 4))
    kick[2:, 2:] = eta**2 * NOISE
    return solve_discrete_lyapunov(pair, kick)


@pytest.mark.parametrize("eta", [0.1, 0.5])
def test_chain_currents_are_those_of_the_gaussian_pair_law(eta):
    s = quadratic.sgd_covariance(HESSIAN, NOISE, eta, 1)
    forth = pair_covariance(eta)
    swap = np.block([[np.zeros((2, 2)), np.eye(2)], [np.eye(2), np.zeros((2, 2))]])
    back = swap @ forth @ swap
    divergence = 0.5 * (
        np.trace(np.linalg.solve(back, forth)) - 4 + np.linalg.slogdet(back)[1] - np.linalg.slogdet(forth)[1]
    )
    assert current.chain_entropy_production(HESSIAN, s, eta) == pytest.approx(divergence, rel=1e-10)
    cross = forth[:2, 2:]  # <theta_i theta'_j>
    np.testing.assert_allclose(current.chain_area_rate(HESSIAN, s, eta), (cross - cross.T) / (2 * eta), atol=1e-12)


def test_chain_currents_grow_from_those_of_the_sde():
    rates, areas = [], []
    for eta in (1e-4, 0.1, 0.5):
        s = quadratic.sgd_covariance(HESSIAN, NOISE, eta, eta / 0.2)
        rates.append(current.chain_entropy_production(HESSIAN, s, eta) / eta)
        areas.append(current.chain_area_rate(HESSIAN, s, eta)[0, 1])
    assert rates[0] == pytest.approx(0.546250, rel=1e-3)
    assert areas[0] == pytest.approx(float(current.area_rate(HESSIAN, 0.1 * NOISE)[0, 1]), rel=1e-3)
    assert rates[0] < rates[1] < rates[2]
    assert abs(areas[0]) < abs(areas[1]) < abs(areas[2])
