"""Paths that leave are frozen, counted with their clock and left out; paths that collapse are followed in log space."""

from typing import Any

import numpy as np
import pytest

from sde_engine.backends.trace import BLOWN_UP, LOG_RESCALE
from sde_engine.discovery import load_model
from sde_engine.dynamics.langevin import Langevin
from sde_engine.dynamics.sgd import Sgd
from sde_engine.ensemble import measure, quantities, simulate
from sde_engine.kernel import Hyper
from sde_engine.paths import trace_of
from sde_engine.run import Run
from sde_engine.stats.histogram import Histogram
from sde_engine.testing import assert_within
from sde_engine.theory import lyapunov

BOWL, WELL = load_model("quadratic", covariance=1e-12), load_model("double_well")
BACKENDS = ["numba", "numpy"]


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_planted_blow_up_is_counted_with_its_clock(backend: str) -> None:
    """x' = -3 x from 1 passes 1e12 after 26 updates, and is seen at the next multiple of four."""
    trace, _ = trace_of(BOWL, Sgd(), Hyper(4.0), Run(200, 1, updates=60), backend=backend, points=np.array([[1.0]]))
    assert np.allclose(trace.diverged_at, 4.0 * 28)
    assert np.all(np.abs(trace.final) > BLOWN_UP)
    assert np.all(trace.weight == 0.0)  # they left before the record began
    early, _ = trace_of(BOWL, Sgd(), Hyper(4.0), Run(200, 1, updates=24), backend=backend, points=np.array([[1.0]]))
    assert np.all(np.isinf(early.diverged_at))


def mixture(points: list[list[float]], backend: str) -> tuple[Any, Any, Run]:
    run = Run(256, 2, updates=100, burn_in=0.2, histograms=(Histogram("x", -2.0, 2.0, 8),))
    trace, clock = trace_of(WELL, Sgd(), Hyper(0.1), run, backend=backend, points=np.array(points))
    return trace, clock, run


@pytest.mark.parametrize("planted", [100.0, 1e200, np.nan], ids=["blow-up", "overflow", "nan"])
@pytest.mark.parametrize("backend", BACKENDS)
def test_a_path_that_leaves_is_frozen_counted_and_excluded(backend: str, planted: float) -> None:
    """Every second path leaves within four updates; the averages are those of the other paths alone."""
    trace, clock, run = mixture([[planted], [1.0]], backend)
    gone = np.arange(256) % 2 == 0
    assert np.array_equal(np.isfinite(trace.diverged_at), gone)
    assert np.allclose(trace.diverged_at[gone], 0.4)
    found = {name: quantity.value for name, quantity in quantities(WELL, run, trace, clock).items()}
    assert found["diverged_fraction"] == 0.5
    assert found["t_first_diverged"] == pytest.approx(0.4)
    clean, _, _ = mixture([[1.0], [1.0]], backend)
    alone = clean._replace(**{name: getattr(clean, name)[..., ~gone] for name in clean._fields})
    expected = {name: quantity.value for name, quantity in quantities(WELL, run, alone, clock).items()}
    for name in ("x", "x_variance", "x_stderr", "x_ess", "x_below"):
        assert found[name] == expected[name]
    assert np.allclose(found["x_density"], expected["x_density"], rtol=1e-14, atol=0.0)
    assert np.isfinite(found["x"])


def test_when_every_path_leaves_nothing_is_averaged_and_nothing_hidden() -> None:
    found = measure(BOWL, Sgd(), Hyper(4.0), Run(64, 1, updates=60))
    assert found["diverged_fraction"] == 1.0
    assert found["t_first_diverged"] > 0.0
    assert np.isnan(found["x0"])
    assert np.isnan(found["x0_variance"])


def test_a_labelled_run_says_when_each_path_left() -> None:
    found = simulate(WELL, Sgd(), Hyper(0.1), paths=64, seed=2, updates=100, start=[[100.0], [1.0]])
    gone = np.isfinite(found["diverged_at"].values)
    assert gone.sum() == 32
    assert np.all(np.abs(found["x_final"].values[~gone]) < 3.0)


def coin(noise: float) -> Any:
    return load_model("two_layer_scalar", noise=noise)


COLLAPSING = [
    ("sgd", Sgd(), coin(3.0), Hyper(0.3), 20_000),
    ("langevin", Langevin(), coin(1.0), Hyper(4.0), 500),
]


def exact_exponent(dynamics: Any, model: Any, hyper: Hyper) -> float:
    """The larger exponent of u + w and u - w, per unit of t."""
    if dynamics.kind == "sgd":
        law = lyapunov.TwoPoint(model.params.target, model.params.noise)
        return float(np.max(lyapunov.exponents(hyper.eta, hyper.batch, hyper.weight_decay, law))) / hyper.eta
    return float(np.max(lyapunov.sde_exponents(hyper.temperature, hyper.weight_decay, model.params)))


@pytest.mark.parametrize(("name", "dynamics", "model", "hyper", "updates"), COLLAPSING, ids=["sgd", "langevin"])
def test_a_collapse_goes_on_at_the_lyapunov_exponent_far_below_underflow(
    name: str, dynamics: Any, model: Any, hyper: Hyper, updates: int
) -> None:
    far = [[1e-60, 3e-61], [-2e-60, 1e-60]]  # so far that no path leaves before it collapses
    found = simulate(model, dynamics, hyper, paths=3072, seed=3, updates=updates, burn_in=0.1, start=far)
    exact = exact_exponent(dynamics, model, hyper)
    assert_within(4.0, float(found["log_distance_drift"]), exact, float(found["log_distance_drift_stderr"]))
    assert found["log_distance"] < -1000.0  # |theta| = e^-1000; the smallest double is e^-745
    assert found["collapsed_fraction"] == 1.0
    assert found["diverged_fraction"] == 0.0
    with pytest.raises(AssertionError, match="sigma from"):
        assert_within(4.0, float(found["log_distance_drift"]), 1.03 * exact, float(found["log_distance_drift_stderr"]))


def test_rescaling_changes_neither_sign_nor_bit_of_a_mantissa() -> None:
    """The first rescaling is a power of two: the state times 2**(250 exponent) is what it would have been."""
    model, hyper = coin(3.0), Hyper(0.3)
    point = np.array([[2.0**-310, 2.0**-311]])
    for updates in (4, 8):
        trace, _ = trace_of(model, Sgd(), hyper, Run(256, 3, updates=updates, burn_in=0.0), points=point)
        big, _ = trace_of(model, Sgd(), hyper, Run(256, 3, updates=updates, burn_in=0.0), points=point * 2.0**250)
        assert np.all(trace.exponent == -1.0)
        assert np.all(big.exponent == 0.0)
        assert np.array_equal(trace.final, big.final)
    assert pytest.approx(250.0 * np.log(2.0)) == LOG_RESCALE


def test_a_path_that_comes_back_is_scaled_back() -> None:
    """Below the transition the origin repels: from 1e-150 every path returns to order one."""
    found = trace_of(coin(1.0), Sgd(), Hyper(0.1), Run(256, 3, updates=6000), points=np.full((1, 2), 1e-150))[0]
    assert np.all(found.exponent == 0.0)
    assert np.abs(np.prod(found.final, axis=0)).mean() == pytest.approx(0.95, abs=0.1)


def test_a_threshold_on_the_order_parameter_is_no_criterion_for_collapse() -> None:
    """Coin, a = 1, sigma = 3, batch 1, eta = 0.236 < 0.25: most of a stationary law lies below 1e-8."""
    found = measure(coin(3.0), Sgd(), Hyper(0.236), Run(2000, 1, updates=100_000, burn_in=0.5, windows=2))
    assert found["collapsed_fraction"] > 0.2
    assert abs(found["log_distance_drift"]) < 4.0 * found["log_distance_drift_stderr"]
    exponent = exact_exponent(Sgd(), coin(3.0), Hyper(0.236))
    assert exponent > 20.0 * found["log_distance_drift_stderr"]
