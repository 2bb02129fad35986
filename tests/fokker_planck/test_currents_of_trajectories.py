"""Area rates and entropy production from trajectories against the closed forms of chain and SDE."""

import numpy as np
import pytest
from equations import COVARIANCE, HESSIAN
from scipy.stats import kstest

import sde_engine as sde
from sde_engine.current import pair_current, state_pairs
from sde_engine.errors import Incompatible, SpecError
from sde_engine.theory import current as theory
from sde_engine.theory.quadratic import sgd_covariance

MODEL = sde.load_model("quadratic", hessian=HESSIAN, covariance=COVARIANCE)


@pytest.mark.parametrize(("kind", "eta"), [("sgd", 0.1), ("langevin", 0.1), ("sgd", 0.4)])
def test_trajectories_give_the_area_rate_and_entropy_production_of_their_chain(kind: str, eta: float) -> None:
    """Langevin with dt = eta is the same Gaussian chain as SGD with normal examples."""
    hyper = sde.Hyper(eta, 2)
    dynamics = sde.Sgd() if kind == "sgd" else sde.Langevin("euler_maruyama", dt=eta)
    pairs = state_pairs(MODEL, dynamics, hyper, paths=60_000, updates=int(6.0 / eta), seed=3)
    found = pair_current(pairs.before, pairs.after, time=pairs.time)
    chain = np.asarray(sgd_covariance(HESSIAN, COVARIANCE, eta, 2))
    area = theory.chain_area_rate(HESSIAN, chain, eta)[0, 1]
    entropy = theory.chain_entropy_production(HESSIAN, chain, eta) / eta
    assert abs(found.area_rate[0, 1] - area) < 4.0 * found.area_rate_stderr[0, 1]
    assert abs(found.entropy_production - entropy) < 4.0 * found.entropy_production_stderr
    assert found.entropy_production_stderr < 0.1 * entropy
    assert found.area_rate_stderr[0, 1] < 0.1 * abs(area)
    assert found.p_value < 1e-6


def test_small_steps_give_the_rates_of_the_equation() -> None:
    """The chain of step eta differs from the SDE by O(eta): at eta = 0.02 by about 2 %."""
    hyper = sde.Hyper(0.02, 1)
    pairs = state_pairs(MODEL, sde.Langevin(dt=0.02), hyper, paths=60_000, updates=300, seed=5)
    found = pair_current(pairs.before, pairs.after, time=pairs.time)
    exact = theory.area_rate(HESSIAN, 0.5 * hyper.temperature * COVARIANCE)[0, 1]
    assert abs(found.area_rate[0, 1] - exact) < 4.0 * found.area_rate_stderr[0, 1] + 0.04 * abs(exact)
    assert found.area_rate_stderr[0, 1] < 0.1 * abs(exact)


def test_a_reversible_chain_produces_no_entropy() -> None:
    model = sde.load_model("quadratic", hessian=HESSIAN, covariance=np.diag([1.0, 4.0]))
    pairs = state_pairs(model, sde.Sgd(), sde.Hyper(0.2), paths=50_000, updates=50, seed=7)
    found = pair_current(pairs.before, pairs.after, time=pairs.time)
    assert abs(found.area_rate[0, 1]) < 4.0 * found.area_rate_stderr[0, 1]
    assert abs(found.entropy_production) < 4.0 * found.entropy_production_stderr + 1e-4


@pytest.mark.parametrize(("swirl", "uniform"), [(0.0, True), (0.05, False)])
def test_the_p_value_of_detailed_balance_is_uniform_for_a_reversible_process_only(swirl: float, uniform: bool) -> None:
    """An exact Gaussian chain in three dimensions, x' = A x + noise that keeps the identity as covariance."""
    rng, found = np.random.default_rng(11), []
    turn = np.array([[0.6, swirl, 0.0], [-swirl, 0.5, swirl], [0.0, -swirl, 0.7]])
    root = np.linalg.cholesky(np.eye(3) - turn @ turn.T)
    for _ in range(300):
        x = rng.standard_normal((3, 2000))
        found.append(pair_current(x, turn @ x + root @ rng.standard_normal(x.shape), time=1.0).p_value)
    assert (kstest(found, "uniform").pvalue > 1e-3) == uniform


def test_pairs_are_consecutive_states_of_one_path() -> None:
    """Without noise the later state is one update of the earlier: theta' = (1 - eta h) theta."""
    model = sde.load_model("quadratic", hessian=HESSIAN, covariance=np.zeros((2, 2)))
    pairs = state_pairs(model, sde.Sgd(), sde.Hyper(0.1), paths=50, updates=7, seed=1)
    assert pairs.after == pytest.approx((1.0 - 0.1 * np.diag(HESSIAN))[:, None] * pairs.before, rel=1e-14)


def test_paths_with_steps_of_their_own_are_refused() -> None:
    model = sde.load_model("linear_regression_1d")
    with pytest.raises(Incompatible, match="fixed step"):
        state_pairs(model, sde.Langevin(), sde.Hyper(0.1), paths=10, updates=5, seed=1)
    with pytest.raises(SpecError, match="equal shapes"):
        pair_current(np.zeros((2, 100)), np.zeros((2, 99)), time=1.0)
