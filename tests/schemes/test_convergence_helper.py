"""The solver's error beside the statistical one, on a quadratic where both are known."""

import re

import numpy as np
import pytest

from sde_engine.convergence import extrapolated, refined, solver_error
from sde_engine.discovery import load_model
from sde_engine.dynamics.langevin import Langevin
from sde_engine.ensemble import simulate
from sde_engine.kernel import Hyper

MODEL, HYPER = load_model("quadratic", hessian=1.0, covariance=1.0), Hyper(0.5, 1)
EXACT, DT = 0.25, 0.4  # T / 2, and Euler's own variance T / (2 - dt)
EULER = 0.5 / (2.0 - DT)
RUN = {"paths": 2048, "seed": 3, "time": 200.0, "burn_in": 0.1}


def test_the_solver_error_of_euler_is_found_to_a_fraction_of_itself() -> None:
    """2 (v(dt) - v(dt / 2)) = 0.0556 of the true 0.0625, and the extrapolated variance is off by the rest."""
    found = solver_error(MODEL, Langevin("euler_maruyama", dt=DT), HYPER, **RUN)
    half = 0.5 / (2.0 - 0.5 * DT)
    value, error = float(found.x0_variance), float(found.x0_variance_stderr)
    assert abs(value - EULER) < 4.0 * error
    estimate, spread = float(found.x0_variance_solver_error), float(found.x0_variance_solver_error_stderr)
    assert abs(estimate - 2.0 * (EULER - half)) < 4.0 * spread
    assert abs(float(found.x0_variance_extrapolated) - (2.0 * half - EULER)) < 4.0 * float(
        found.x0_variance_extrapolated_stderr
    )
    assert 8.0 * spread < 0.1 * estimate


def test_two_runs_on_the_same_paths_know_their_difference_better_than_two_alone() -> None:
    found = solver_error(MODEL, Langevin("euler_maruyama", dt=0.1), HYPER, **RUN)
    alone = 2.0 * np.sqrt(2.0) * float(found.x0_variance_stderr)
    assert float(found.x0_variance_solver_error_stderr) < 0.25 * alone


def test_extrapolation_is_better_than_the_finer_run() -> None:
    found = extrapolated(MODEL, Langevin("euler_maruyama", dt=DT), HYPER, **RUN)
    assert set(found) == {"x0", "x0_stderr", "x0_variance", "x0_variance_stderr", "diverged_fraction"}
    assert abs(float(found.x0_variance) - EXACT) < 0.35 * abs(0.5 / (2.0 - 0.5 * DT) - EXACT)


def test_refinement_stops_when_the_solver_is_below_the_statistics_or_says_that_it_is_not() -> None:
    run = RUN | {"paths": 128}
    done = refined(MODEL, Langevin("euler_maruyama", dt=DT), HYPER, **run)
    assert done.attrs["refined"] == 1
    assert done.attrs["dt"] < DT
    assert abs(float(done.x0_variance) - EXACT) < 5.0 * float(done.x0_variance_stderr)
    stopped = refined(MODEL, Langevin("euler_maruyama", dt=DT), HYPER, halvings=0, **run)
    assert stopped.attrs["refined"] == 0
    assert "standard errors; allow more halvings, or run fewer paths" in stopped.attrs["verdict"]


def test_a_fixed_step_is_halved_even_where_its_two_runs_part() -> None:
    """With dt = 1 Euler forgets its state in one step, so coarse and fine runs have little in common; at 2^-n they do."""
    model, dynamics, hyper = load_model("quadratic"), Langevin("euler_maruyama", dt=1.0), Hyper(0.5, 4)
    found = simulate(model, dynamics, hyper, paths=512, time=100.0, seed=3, tolerance=1.0)
    assert abs(float(found.x0_variance) - 0.0625) < 4.0 * float(found.x0_variance_stderr) < 0.004
    assert found.attrs["refined"] == 1
    few = {"paths": 16, "time": 3.0, "seed": 3, "backend": "numpy"}
    stopped = refined(model, dynamics, hyper, halvings=0, **few)
    assert "standard errors only; start from a smaller dt, or use a tolerance above that" in stopped.attrs["verdict"]
    assert refined(model, dynamics, hyper, **few).attrs["refined"] == 1


@pytest.mark.parametrize("paths", [256, 1024])
def test_schemes_that_choose_their_steps_say_what_tolerance_they_can_meet(paths: int) -> None:
    """However many the paths: below it they are halved while their error shows, above it they arrive.

    Two independent runs of order 1 know twice their difference to 2 sqrt(2) = 2.8 standard errors.
    """
    model, dynamics = (
        load_model("double_well", noise="multiplicative"),
        Langevin("adaptive_euler", tolerance=1.0, dt=1.0),
    )
    run = {"paths": paths, "time": 20.0, "seed": 3, "burn_in": 0.1, "backend": "numpy"}
    below = simulate(model, dynamics, Hyper(0.5, 1), tolerance=1.0, **run)
    assert below.attrs["refined"] == 0
    assert below.attrs["dt"] < 1.0
    said = re.search(r"known to ([\d.]+) standard errors only, however many the paths, .*above that", below.verdict)
    assert said is not None
    assert 1.0 < float(said[1]) < 3.2
    assert simulate(model, dynamics, Hyper(0.5, 1), tolerance=4.0, **run).attrs["refined"] == 1


def test_leimkuhler_matthews_is_of_order_two_in_detailed_balance_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """A solver's error is 4/3 of the difference of the two runs then, and not twice it."""
    well, dynamics = load_model("double_well"), Langevin("leimkuhler_matthews", dt=0.2)
    run = {"paths": 16, "seed": 5, "time": 4.0, "backend": "numpy"}
    found = solver_error(well, dynamics, HYPER, **run)
    assert found.attrs["order"] == 2.0
    monkeypatch.setattr(Langevin, "accuracy", lambda self, model: 1.0)
    first = solver_error(well, dynamics, HYPER, **run)
    monkeypatch.undo()
    assert abs(float(found.x_solver_error / first.x_solver_error) - 2.0 / 3.0) < 1e-9
    for covariance, order in (((2.0, 0.0), 2.0), ((2.0, 0.1), 1.0), ((1.0, 0.0), 1.0)):
        noise = (covariance, (covariance[1], 2.0))
        assert dynamics.accuracy(load_model("quadratic", hessian=((1.0, 0.3), (0.3, 2.0)), covariance=noise)) == order


def test_diverging_paths_are_no_converged_result() -> None:
    found = refined(MODEL, Langevin("euler_maruyama", dt=2.5), HYPER, halvings=0, paths=64, seed=1, time=250.0)
    assert found.attrs["refined"] == 0
    assert "diverged" in found.attrs["verdict"]


@pytest.mark.parametrize("threads", [1, 2])
def test_the_result_does_not_depend_on_the_threads(threads: int) -> None:
    run = RUN | {"paths": 300, "time": 10.0}
    found = solver_error(MODEL, Langevin("euler_maruyama", dt=0.1), HYPER, threads=threads, **run)
    again = solver_error(MODEL, Langevin("euler_maruyama", dt=0.1), HYPER, threads=1, **run)
    assert found.identical(again)


def test_schemes_that_choose_their_steps_are_run_with_half_the_tolerance() -> None:
    """The run at the given tolerance is the plain run but for the weights of its paths, all close to one."""
    model, dynamics = load_model("double_well", noise="multiplicative"), Langevin(tolerance=0.2)
    run = {"paths": 64, "seed": 2, "time": 4.0, "burn_in": 0.5, "backend": "numpy"}
    found = solver_error(model, dynamics, Hyper(0.5, 1), **run)
    plain = simulate(model, dynamics, Hyper(0.5, 1), **run)
    finer = simulate(model, Langevin(tolerance=0.1, dt=0.5 * plain.attrs["dt"]), Hyper(0.5, 1), **run)
    assert found.attrs["order"] == 2.0
    assert abs(float(found.x_variance) / float(plain.x_variance) - 1.0) < 0.01
    expected = 4.0 / 3.0 * float(plain.x_variance - finer.x_variance)
    assert abs(float(found.x_variance_solver_error) - expected) < 0.01 * float(plain.x_variance)
