"""Relaxation rates and metastable sets from trajectories against the generator and the exact transfer operator."""

from typing import Any

import numpy as np
import pytest
from two_point_well import MODEL as two_point_well

import sde_engine as sde
from sde_engine.errors import Incompatible, SpecError
from sde_engine.fokker_planck import Axis, Grid, generator, of_model
from sde_engine.fokker_planck.passage import relaxation_rates
from sde_engine.stationary_law import stationary

WELL = sde.load_model("double_well")
RUN = {"paths": 20_000, "time": 10.0, "seed": 1, "threads": 1}


def generator_rate(temperature: float) -> float:
    built = generator(of_model(WELL, sde.Hyper(temperature)), Grid((Axis(-3.0, 3.0, 400),)))
    return float(relaxation_rates(built, 2).real[1])


@pytest.mark.parametrize(("temperature", "lag"), [(0.2, 20.0), (0.5, 3.0)])
def test_the_slow_rate_of_a_double_well_is_that_of_its_generator(temperature: float, lag: float) -> None:
    """The time step of 0.02 and the cells are in the stated error or below it; a third more temperature is not."""
    found = sde.relaxation(WELL, sde.Hyper(temperature), dynamics=sde.Langevin(dt=0.02), lag=lag, **RUN)
    rate, error = (float(found[name][0]) for name in ("relaxation_rate", "relaxation_rate_error"))
    exact = generator_rate(temperature)
    assert abs(rate - exact) < 4.0 * error
    assert error < 0.05 * exact
    assert abs(rate - generator_rate(1.3 * temperature)) > 4.0 * error
    sets, x = found["metastable_set"].values, found["x"].values
    assert np.all(sets == (x > x[np.flatnonzero(np.diff(sets))[0]]))  # two sets, cut once
    assert abs(x[np.flatnonzero(np.diff(sets))[0]]) < 0.3  # near the top of the barrier
    assert found["population"].values == pytest.approx([0.5, 0.5], abs=0.04)


def test_the_slow_rate_of_sgd_is_that_of_its_transfer_operator_and_not_of_the_equation() -> None:
    model, hyper = two_point_well(s=1.0), sde.Hyper(0.2)
    exact = stationary(model, hyper, dynamics=sde.Sgd(), method="transfer_operator", cells=1000)
    found = sde.relaxation(model, hyper, dynamics=sde.Sgd(), lag=10.0, **RUN)
    rate, error = (float(found[name][0]) for name in ("relaxation_rate", "relaxation_rate_error"))
    assert abs(rate - float(exact.dataset["relaxation_rate"][0])) < 4.0 * error
    assert error < 0.05 * rate


def test_a_bowl_relaxes_at_its_curvature_and_has_no_metastable_sets() -> None:
    found = sde.relaxation(sde.load_model("quadratic"), sde.Hyper(0.2), dynamics=sde.Sgd(), lag=1.0, **RUN)
    rate, error = (float(found[name][0]) for name in ("relaxation_rate", "relaxation_rate_error"))
    assert abs(rate + np.log(0.8) / 0.2) < 4.0 * error
    assert set(found["metastable_set"].values.tolist()) == {0}


def test_trajectories_in_a_bowl_relax_at_the_rates_of_the_closed_form() -> None:
    """The slow coordinate of two correlated ones; an Euler step of 0.01 changes its rate by half a percent."""
    model = sde.load_model("quadratic", hessian=((1.0, 0.0), (0.0, 3.0)), covariance=((1.0, 0.5), (0.5, 1.0)))
    found = sde.relaxation(model, sde.Hyper(0.2), dynamics=sde.Langevin("euler_maruyama", dt=0.01), lag=1.0, **RUN)
    rate, error = (float(found[name][0]) for name in ("relaxation_rate", "relaxation_rate_error"))
    exact = float(sde.relaxation_spectrum(np.diag([1.0, 3.0]), 2)[1].real)
    assert abs(rate - exact) < 4.0 * error
    assert error < 0.05 * exact
    assert abs(rate - 1.5 * exact) > 4.0 * error


def test_a_mode_that_died_out_within_the_lag_is_said_to_be_unknown() -> None:
    found = sde.relaxation(WELL, sde.Hyper(0.2), dynamics=sde.Langevin(dt=0.02), lag=20.0, **RUN)
    assert np.isfinite(found["relaxation_rate_error"].values[0])
    assert np.isinf(found["relaxation_rate_error"].values[1])


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"lag": 0.0}, "numbers above 0"),
        ({"cells": 1000}, "100 paths each"),
        ({"observable": "y"}, "unknown observable"),
    ],
)
def test_wrong_requests_are_refused_in_words(changed: dict[str, Any], words: str) -> None:
    with pytest.raises(SpecError, match=words):
        sde.relaxation(WELL, sde.Hyper(0.2), **({"lag": 1.0} | RUN | changed))


def test_paths_with_steps_of_their_own_are_refused() -> None:
    with pytest.raises(Incompatible, match="fixed step"):
        sde.relaxation(sde.load_model("linear_regression_1d"), sde.Hyper(0.1), lag=1.0, seed=1)
