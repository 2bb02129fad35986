"""Where noise kills the unit: by the drift of ln |theta| on both sides of every edge, for SGD and for its equation."""

from typing import Any

import numpy as np
import pytest

from sde_engine.discovery import load_model
from sde_engine.dynamics.langevin import Langevin
from sde_engine.dynamics.sgd import Sgd
from sde_engine.ensemble import simulate
from sde_engine.errors import SpecError
from sde_engine.kernel import Hyper
from sde_engine.phase import VERDICTS, verdicts
from sde_engine.runner.verdict import verdict
from sde_engine.theory import lyapunov, two_layer

COIN = load_model("two_layer_scalar", noise=3.0)  # target 1, batch 1: SGD collapses from 1/4 on, its equation from 2/9
TINY = 1e-90  # so small that no path comes back to order one
ORTHANTS = np.array([[1.0, 0.7], [-0.7, 1.0], [-1.0, -0.7], [0.7, -1.0]])


def drift(
    model: Any, dynamics: Any, hyper: Hyper, updates: int, paths: int = 4096, seed: int = 1
) -> tuple[float, float]:
    """Return the growth rate of ln |theta| per unit of t near the origin, and its standard error."""
    found = simulate(
        model, dynamics, hyper, paths=paths, updates=updates, burn_in=0.1, windows=2, seed=seed, start=TINY * ORTHANTS
    )
    assert found["log_distance"] < -20.0
    assert found["diverged_fraction"] == 0.0
    return float(found["log_distance_drift"]), float(found["log_distance_drift_stderr"])


def sign_of(rate: tuple[float, float]) -> int:
    """Return the sign of a rate that is more than four standard errors from zero."""
    value, error = rate
    assert abs(value) > 4.0 * error, f"{value:.5f} +- {error:.5f} has no sign; run more paths"
    return 1 if value > 0.0 else -1


@pytest.mark.parametrize(("dynamics", "edge"), [(Sgd(), 0.25), (Langevin(), 2.0 / 9.0)], ids=["sgd", "langevin"])
def test_the_lower_edge_of_collapse_is_bracketed_within_two_per_cent(dynamics: Any, edge: float) -> None:
    """Discrete SGD collapses later than its equation: 0.25 against 0.2222, and neither at the other's edge."""
    assert lyapunov.two_point_edges(1.0, 3.0).lower == pytest.approx(0.25)
    assert two_layer.critical_temperature(COIN.params) == pytest.approx(2.0 / 9.0)
    assert sign_of(drift(COIN, dynamics, Hyper(0.98 * edge), 1500)) == 1
    assert sign_of(drift(COIN, dynamics, Hyper(1.02 * edge), 1500)) == -1


def test_sgd_repels_again_above_the_upper_edge_and_its_equation_does_not() -> None:
    """Re-entrance through u - w at 0.390388; the equation collapses ever faster."""
    edge = lyapunov.two_point_edges(1.0, 3.0).upper_minus
    assert edge == pytest.approx(0.390388, abs=1e-6)
    assert sign_of(drift(COIN, Sgd(), Hyper(0.98 * edge), 800)) == -1
    assert sign_of(drift(COIN, Sgd(), Hyper(1.02 * edge), 800)) == 1
    assert sign_of(drift(COIN, Langevin(), Hyper(1.02 * edge), 800)) == -1


@pytest.mark.parametrize("eta", [0.1, 0.26, 0.3])
def test_the_drift_is_the_exact_exponent(eta: float) -> None:
    value, error = drift(COIN, Sgd(), Hyper(eta), 400)
    exact = float(np.max(lyapunov.exponents(eta, 1, 0.0, lyapunov.TwoPoint(1.0, 3.0)))) / eta
    assert abs(value - exact) < 4.0 * error
    assert error < 0.03 * abs(exact) + 0.01


def test_from_ordinary_starts_a_run_collapses_above_the_edge_and_not_below() -> None:
    """Four hundred clock units from order one: a stationary ln |theta| at 0.21, a steady fall at 0.27."""
    below = simulate(COIN, Sgd(), Hyper(0.2), paths=1024, time=2000.0, burn_in=0.5, windows=2, seed=2)
    above = simulate(COIN, Sgd(), Hyper(0.27), paths=1024, time=2000.0, burn_in=0.5, windows=2, seed=2)
    assert abs(below["log_distance_drift"]) < 4.0 * below["log_distance_drift_stderr"]
    assert below["v"] > 20.0 * below["v_stderr"]
    exact = float(lyapunov.exponents(0.27, 1, 0.0, lyapunov.TwoPoint(1.0, 3.0))[0]) / 0.27
    assert above["log_distance_drift"] == pytest.approx(exact, rel=0.05)
    assert above["collapsed_fraction"] > 0.99


AGE = {"law": "diabetes", "feature": "age"}


@pytest.mark.parametrize(("eta", "collapses"), [(0.19, False), (0.207, True), (1.53, True), (1.69, False)])
def test_the_collapse_window_of_the_diabetes_table_is_where_theory_has_it(eta: float, collapses: bool) -> None:
    """Disease progression on age, batch 1, weight decay 0.1: a window from 0.19816 to 1.61107."""
    model, hyper = load_model("two_layer_scalar", **AGE), Hyper(eta, 1, 0.1)
    pairs = model.examples.table
    law = lyapunov.Table.of_data(pairs[:, 0], pairs[:, 1])
    windows = lyapunov.collapse_windows(law, 1, 0.1, high=10.0).generic
    assert windows[0] == pytest.approx((0.19816, 1.61107), abs=1e-5)
    assert any(low < eta < high for low, high in windows) is collapses
    value, error = drift(model, Sgd(), hyper, 1000)
    assert sign_of((value, error)) == (-1 if collapses else 1)
    exact = float(np.max(lyapunov.exponents(eta, 1, 0.1, law))) / eta
    assert abs(value - exact) < 4.0 * error


def test_a_feature_that_carries_signal_never_collapses() -> None:
    """Disease progression on body mass index, batch 1, weight decay 0.1: no window at any learning rate."""
    model = load_model("two_layer_scalar", law="diabetes", feature="bmi")
    pairs = model.examples.table
    assert not lyapunov.collapse_windows(lyapunov.Table.of_data(pairs[:, 0], pairs[:, 1]), 1, 0.1, high=10.0).generic
    for eta in (0.05, 0.6, 1.6):
        assert sign_of(drift(model, Sgd(), Hyper(eta, 1, 0.1), 100)) == 1


def test_reshuffling_does_not_move_the_boundary() -> None:
    """Scalar multipliers commute: the growth over an epoch is the same in every order, and without replacement on average."""
    table = ((1.0, 2.5), (1.0, -1.9), (1.0, 0.4), (1.0, -0.3))
    model, eta = load_model("two_layer_scalar", law="table", table=table), 0.3
    law = lyapunov.Table(tuple(x * y for x, y in table), "epoch")
    exact = float(np.max(lyapunov.exponents(eta, 1, 0.0, law))) / eta
    for sampling in ("epoch", "without_replacement"):
        value, error = drift(model, Sgd(sampling), Hyper(eta), 400)
        assert abs(value - exact) < 4.0 * error + 0.002


def test_phases_that_coexist_are_no_collapse() -> None:
    """Two hidden layers and weight decay: learned starts stay, the others fall, and the mean of all falls as well."""
    deep, hyper = load_model("diagonal_network", depth=3), Hyper(0.1, 1, 0.1)
    found = simulate(deep, Langevin(), hyper, paths=256, time=100.0, seed=1)
    cell = found.assign(converged=0, duration=100.0)
    assert float(found["log_distance_drift"]) < -4.0 * float(found["log_distance_drift_stderr"])
    assert VERDICTS[int(verdicts(cell))] == "undecided"
    fallen = simulate(deep, Langevin(), hyper, paths=256, time=100.0, seed=1, start=0.05 * np.ones(4))
    assert VERDICTS[int(verdicts(fallen.assign(converged=0, duration=100.0)))] == "collapsed"


@pytest.mark.parametrize(("eta", "says"), [(0.4, "collapsed"), (0.1, "undecided")])
def test_a_collapse_that_began_near_the_origin_is_one_and_a_rise_is_none(eta: float, says: str) -> None:
    """A fall is measured from where it began: from |theta| = 1e-90 two dozen more e-folds are a steady fall."""
    found = simulate(COIN, Langevin(), Hyper(eta), paths=512, time=60.0, seed=1, start=TINY * ORTHANTS)
    assert VERDICTS[int(verdicts(found.assign(converged=0, duration=60.0)))] == says


def test_starts_of_ones_own_are_told_apart_as_they_were_given() -> None:
    """Every second path on each side of a barrier that none crosses: R-hat knows two starts, not the model's four."""
    well = load_model("double_well")
    apart = simulate(well, Langevin(dt=0.05), Hyper(0.01), paths=64, time=20.0, seed=1, start=[[1.0], [-1.0], [1.0]])
    assert apart["x_rhat"] > 2.0


def test_a_drift_of_unknown_error_is_not_at_rest() -> None:
    """Seven paths have no standard error: the cell has not converged, however well it mixes."""
    calm = {"v_rhat": 1.0, "v_ess": 1e4, "log_distance_drift": 1e-9, "duration": 100.0}
    known = {name: np.asarray(value) for name, value in calm.items()}
    assert verdict(known | {"log_distance_drift_stderr": np.asarray(0.1), "v": np.asarray(1.0)}, 0.0)["converged"] == 1
    assert (
        verdict(known | {"log_distance_drift_stderr": np.asarray(np.nan), "v": np.asarray(1.0)}, 0.0)["converged"] == 0
    )


def test_results_that_have_no_verdict_are_refused_in_words() -> None:
    with pytest.raises(SpecError, match="the results have no converged; those of a sweep"):
        verdicts(simulate(load_model("quadratic"), Sgd(), Hyper(0.1), paths=16, updates=8, seed=1))
    with pytest.raises(SpecError, match="the results have no diverged_fraction, converged"):
        verdicts("phase.h5")  # type: ignore[arg-type]
