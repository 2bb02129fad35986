"""Two scalar layers under the Langevin equation: the sampled law of v = u w against the closed one.

Kolmogorov distances are taken of whole distribution functions, of final states and of time averages.
"""

from functools import cache
from typing import Any

import numpy as np
import pytest
from scipy.stats import kstest

from sde_engine.discovery import load_model
from sde_engine.dynamics.langevin import Langevin
from sde_engine.dynamics.sgd import Sgd
from sde_engine.ensemble import simulate
from sde_engine.kernel import Hyper
from sde_engine.stats.histogram import Histogram
from sde_engine.testing import assert_within
from sde_engine.theory import two_layer

COIN = load_model("two_layer_scalar")  # target 1, noise 1: T_c = 2
GAUSSIAN = load_model("two_layer_scalar", law="gaussian", noise=0.5)
BINS = Histogram("v", 1e-4, 100.0, 600, "log")
ACCURATE = Langevin(tolerance=0.02)
FIXED = Langevin("log_euler", dt=0.002)  # at 0.004 its variance is 0.5 % too large


@cache
def ensemble(model: Any, dynamics: Any, temperature: float, paths: int, time: float, seed: int = 1) -> Any:
    """eta = T at batch 1: the equation knows of no more."""
    return simulate(
        model, dynamics, Hyper(temperature), paths=paths, time=time, seed=seed, statistics=[BINS], windows=4
    )


def distance(found: Any, law: Any) -> float:
    """Largest difference of the distribution functions of the time average and of a law, at the edges of the bins."""
    mass = np.concatenate(([float(found["v_below"])], found["v_density"].values * np.diff(BINS.edges)))
    return float(np.abs(np.cumsum(mass) - law.cdf(BINS.edges)).max())


@pytest.mark.parametrize(
    ("dynamics", "temperature", "paths"),
    [(Langevin(), 0.1, 20_000), (Langevin(), 0.5, 20_000), (Langevin(), 1.2, 20_000), (FIXED, 0.5, 13_000)],
    ids=["default-0.1", "default-0.5", "default-1.2", "log_euler-0.5"],
)
def test_final_states_on_two_point_data_follow_the_gamma_law(dynamics: Any, temperature: float, paths: int) -> None:
    """1.95 / sqrt(n): one in a thousand; a temperature off by a tenth is beyond it."""
    found = ensemble(COIN, dynamics, temperature, paths, 60.0 if dynamics is FIXED else 30.0)
    v, bound = found["v_final"].values, 1.95 / np.sqrt(paths)
    assert kstest(v, two_layer.gamma_law(COIN.params, temperature).cdf).statistic < bound
    assert kstest(v, two_layer.gamma_law(COIN.params, 1.1 * temperature).cdf).statistic > bound


@pytest.mark.parametrize(
    ("dynamics", "temperature", "paths"),
    [(FIXED, 0.5, 13_000), (ACCURATE, 0.1, 7000), (ACCURATE, 0.5, 13_000), (ACCURATE, 1.2, 10_000)],
    ids=["log_euler-0.5", "log_platen-0.1", "log_platen-0.5", "log_platen-1.2"],
)
def test_mean_and_variance_on_two_point_data_are_those_of_the_gamma_law(
    dynamics: Any, temperature: float, paths: int
) -> None:
    """E v = A - T sigma^2 / 2, Var v = T sigma^2 (A - T sigma^2 / 2); at T = 1.2 five per cent are visible."""
    found = ensemble(COIN, dynamics, temperature, paths, 60.0)
    law = two_layer.gamma_law(COIN.params, temperature)
    visible = 0.05 if temperature > 1.0 else 0.02
    for name, value in (("v", law.mean), ("v_variance", law.var)):
        assert_within(4.0, float(found[name]), value, float(found[f"{name}_stderr"]), visible=visible)
        with pytest.raises(AssertionError, match="sigma from"):
            assert_within(
                4.0, float(found[name]), (1.0 + visible) * value, float(found[f"{name}_stderr"]), visible=visible
            )


def test_the_error_of_the_default_scheme_shrinks_with_its_tolerance() -> None:
    """2 per cent of the mean at 0.6 T_c for a tolerance of 0.1, half a per cent for the default."""
    law = two_layer.gamma_law(COIN.params, 1.2)
    errors = []
    for tolerance in (0.2, 0.1, 0.05):
        found = ensemble(COIN, Langevin(tolerance=tolerance), 1.2, 10_000, 60.0)
        errors.append(abs(float(found["v"]) / law.mean - 1.0))
    assert errors[0] > 1.5 * errors[1] > 2.0 * errors[2]
    assert errors[1] < 0.03
    assert errors[2] < 0.012


@pytest.mark.parametrize("ratio", [0.3, 0.7])
@pytest.mark.parametrize("scheme", ["log_platen", "adaptive_ri6"])
def test_the_law_on_gaussian_data_is_found_by_the_default_schemes(scheme: str, ratio: float) -> None:
    """A power tail v^(-7/2) and a power at zero: no path may be lost, and the distance is below 0.006."""
    temperature = ratio * two_layer.critical_temperature(GAUSSIAN.params)
    found = ensemble(GAUSSIAN, Langevin(scheme), temperature, 10_000, 80.0)
    assert found["diverged_fraction"] == 0.0
    assert distance(found, two_layer.law(GAUSSIAN.params, temperature)) < 0.006
    assert distance(found, two_layer.law(GAUSSIAN.params, 1.06 * temperature)) > 0.006


def test_fixed_step_euler_fails_on_gaussian_data() -> None:
    """The guard: it overshoots at large v, loses paths, and what is left has another law."""
    temperature = 0.7 * two_layer.critical_temperature(GAUSSIAN.params)
    found = ensemble(GAUSSIAN, Langevin("euler_maruyama", dt=0.004), temperature, 2000, 60.0)
    assert found["diverged_fraction"] > 0.2
    assert distance(found, two_layer.law(GAUSSIAN.params, temperature)) > 0.03


def test_the_exact_identity_of_the_stationary_law_holds() -> None:
    """2 A - 2 b1 E v - T E g(v) = 0: the generator on ln v. With E g = a1 E v^2 - 2 a2 E v + a3."""
    p, temperature = GAUSSIAN.params, 0.3
    found = ensemble(GAUSSIAN, ACCURATE, temperature, 4000, 60.0)
    mean = float(found["v"])
    noise = p.a1 * (float(found["v_variance"]) + mean * mean) - 2.0 * p.a2 * mean + p.a3
    assert temperature * noise / (2.0 * (p.b2 - p.b1 * mean)) == pytest.approx(1.0, abs=0.02)


def test_sgd_with_real_batches_has_its_own_law_and_approaches_the_equation() -> None:
    """Kolmogorov distance to the Gamma law of T = eta / batch: 0.04 at eta = 0.1 and 0.007 at 0.02, batch 1."""
    distances = []
    for eta in (0.1, 0.02):
        found = ensemble(COIN, Sgd(), eta, 8000, 60.0)
        distances.append(distance(found, two_layer.gamma_law(COIN.params, eta)))
    assert distances[0] == pytest.approx(0.04, rel=0.2)
    assert distances[1] == pytest.approx(0.007, rel=0.3)


def test_the_distance_of_two_point_data_at_a_large_batch_is_the_known_one() -> None:
    """eta = 0.4, batch 4 has the temperature of eta = 0.1, batch 1, and lies five times as far from its law."""
    found = simulate(COIN, Sgd(), Hyper(0.4, 4), paths=8000, time=60.0, seed=1, statistics=[BINS], windows=4)
    assert distance(found, two_layer.gamma_law(COIN.params, 0.1)) == pytest.approx(0.21, rel=0.1)


@pytest.mark.parametrize(
    ("batch", "ratio", "mean"), [(1, 0.25, 0.741), (4, 0.25, 0.632), (1, 0.5, 0.469), (1, 0.75, 0.154)]
)
def test_moments_at_one_temperature_depend_on_the_learning_rate(batch: int, ratio: float, mean: float) -> None:
    """Coin, a = 1, sigma = 3; the Gamma law has 0.75, 0.5, 0.25 at a quarter, a half, three quarters of T_c = 2/9."""
    noisy = load_model("two_layer_scalar", noise=3.0)
    hyper = Hyper(ratio * 2.0 / 9.0 * batch, batch)
    found = simulate(noisy, Sgd(), hyper, paths=4000, time=400.0, seed=1, windows=4)
    assert float(found["v"]) == pytest.approx(mean, rel=0.02)
    assert abs(float(found["v"]) / (1.0 - ratio) - 1.0) > 4.0 * float(found["v_stderr"]) / (1.0 - ratio)


def test_wrong_sign_starts_escape_through_the_saddle() -> None:
    """From u = -w, jittered, every path reaches v > 0 and the law of the right sign: E v = 0.975 at T = 0.05."""
    found = simulate(COIN, Sgd(), Hyper(0.05), paths=2000, time=400.0, burn_in=0.8, seed=1, start=(0.6, -0.6))
    assert np.all(found["v_final"].values > 0.0)
    assert float(found["v"]) == pytest.approx(0.975, abs=0.01)
