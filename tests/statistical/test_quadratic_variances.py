"""On a quadratic every variance is exact: discrete SGD, momentum, Gaussian noise, the equation; they differ, and by how much."""

from typing import Any

import numpy as np
import pytest

from sde_engine.discovery import load_model
from sde_engine.dynamics.gaussian_sgd import GaussianSgd
from sde_engine.dynamics.langevin import Langevin
from sde_engine.dynamics.sgd import Sgd
from sde_engine.ensemble import Run, measure
from sde_engine.kernel import Hyper
from sde_engine.testing import assert_within
from sde_engine.theory import quadratic

BOWL = load_model("quadratic")
ROTATED = np.array([[2.245049, -1.478175], [-1.478175, 2.754951]])
PLANE = load_model("quadratic", hessian=((1.0, 0.0), (0.0, 3.0)), covariance=ROTATED)


def variance(dynamics: Any, eta: float, batch: int = 1, model: Any = BOWL, seed: int = 1) -> tuple[float, float]:
    """Return the time-averaged variance and its error. The record is 100 and more relaxation times of 4096 paths."""
    found = measure(
        model, dynamics, Hyper(eta, batch), Run(4096 if eta < 1.2 else 10_240, seed, time=120.0, burn_in=0.1)
    )
    return float(found["x0_variance"]), float(found["x0_variance_stderr"])


@pytest.mark.parametrize("eta", [0.1, 0.5, 1.0, 1.5])
def test_sgd_on_a_quadratic_has_its_exact_stationary_variance(eta: float) -> None:
    """Var = eta s^2 / (B h (2 - eta h)): 0.0131579, 0.0833333, 0.25, 0.75 at batch 4."""
    estimate, error = variance(Sgd(), eta, batch=4)
    exact = quadratic.sgd_covariance(1.0, 1.0, eta, 4)
    assert exact == pytest.approx(eta / (4.0 * (2.0 - eta)))
    assert_within(4.0, estimate, exact, error)


@pytest.mark.parametrize("eta", [0.1, 0.5, 1.0, 1.5])
def test_a_learning_rate_wrong_by_two_per_cent_is_caught(eta: float) -> None:
    estimate, error = variance(Sgd(), 1.02 * eta, batch=4)
    with pytest.raises(AssertionError, match="sigma from"):
        assert_within(4.0, estimate, eta / (4.0 * (2.0 - eta)), error)


@pytest.mark.parametrize("eta", [0.1, 0.5, 1.0, 1.5])
def test_the_equation_has_another_variance_than_sgd(eta: float) -> None:
    """T / 2 for the equation, 2 / (2 - eta) of that for SGD; the step is numerics, and Euler has 1 / (1 - dt / 2)."""
    estimate, error = variance(Langevin(), eta, batch=4)
    assert_within(4.0, estimate, eta / 8.0, error)
    with pytest.raises(AssertionError, match="sigma from"):
        assert_within(4.0, estimate, eta / (4.0 * (2.0 - eta)), error)


def test_gaussian_noise_of_the_same_covariance_has_the_variance_of_sgd() -> None:
    estimate, error = variance(GaussianSgd(), 1.0, batch=4)
    assert_within(4.0, estimate, 0.25, error)


@pytest.mark.parametrize(("momentum", "exact"), [(0.0, 0.1003344), (0.5, 0.1856764), (0.9, 0.9000677)])
def test_momentum_has_its_exact_stationary_variance(momentum: float, exact: float) -> None:
    """eta C / (h (1 - beta) (2 - eta h / (1 + beta))) at h = 1.3, C = 0.7, eta = 0.3."""
    bowl = load_model("quadratic", hessian=1.3, covariance=0.7)
    found = measure(bowl, Sgd(momentum=momentum), Hyper(0.3), Run(16_384, 2, time=150.0, burn_in=0.4))
    assert quadratic.momentum_variance(1.3, 0.7, 0.3, 1, momentum) == pytest.approx(exact, abs=1e-7)
    assert_within(4.0, float(found["x0_variance"]), exact, float(found["x0_variance_stderr"]))
    with pytest.raises(AssertionError, match="sigma from"):
        wrong = quadratic.momentum_variance(1.3, 0.7, 0.3, 1, momentum + 0.02 * (1.0 - momentum))
        assert_within(4.0, float(found["x0_variance"]), wrong, float(found["x0_variance_stderr"]))


def test_a_preconditioner_scales_the_learning_rate_of_its_component() -> None:
    """theta' = theta - eta P g: a factor of 3 is eta = 0.3, and the noise is scaled with the force."""
    found = measure(BOWL, Sgd(preconditioner=(3.0,)), Hyper(0.1), Run(4096, 3, time=120.0, burn_in=0.3))
    assert_within(4.0, float(found["x0_variance"]), 0.3 / 1.7, float(found["x0_variance_stderr"]))


@pytest.mark.parametrize("dynamics", [Sgd(), Langevin("euler_maruyama", dt=0.005)], ids=["sgd", "langevin"])
def test_noise_that_does_not_commute_with_the_hessian_has_its_full_covariance(dynamics: Any) -> None:
    """H S + S H - eta H S H = T C, every entry: the mixed moment shows a transposed factor."""
    eta = 0.2
    found = measure(PLANE, dynamics, Hyper(eta), Run(16_384, 4, time=30.0, burn_in=0.2))
    step = eta if dynamics.kind == "sgd" else dynamics.dt
    exact = np.asarray(quadratic.svag_covariance(np.diag([1.0, 3.0]), ROTATED, eta, 1, eta / step))
    pairs = {"x0_variance": exact[0, 0], "x1_variance": exact[1, 1], "x0_x1_covariance": exact[0, 1]}
    for name, value in pairs.items():
        assert_within(4.0, float(found[name]), float(value), float(found[f"{name}_stderr"]))
    assert abs(exact[0, 1]) > 0.05


def test_weight_decay_adds_to_the_curvature() -> None:
    """theta' = theta - eta (g + lambda theta): h -> h + lambda in the restoring force, noise unchanged."""
    eta, decay = 0.5, 0.6
    found = measure(BOWL, Sgd(), Hyper(eta, 1, decay), Run(4096, 5, time=120.0, burn_in=0.1))
    assert_within(4.0, float(found["x0_variance"]), eta / (1.6 * (2.0 - 1.6 * eta)), float(found["x0_variance_stderr"]))


def test_the_variance_does_not_depend_on_how_far_the_noise_has_been_drawn() -> None:
    """A run of two million updates: noise that repeats or wears out shows as a wrong variance."""
    found = measure(BOWL, Sgd(), Hyper(0.5), Run(256, 6, updates=2_000_000, burn_in=1_900_000))
    assert_within(4.0, float(found["x0_variance"]), 0.5 / 1.5, float(found["x0_variance_stderr"]))
