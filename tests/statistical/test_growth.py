"""Near the origin u +- w grow by random factors: means and second moments of SGD and of geometric Brownian motion."""

from functools import cache
from typing import Any

import numpy as np
import pytest

from sde_engine.discovery import load_model
from sde_engine.dynamics.langevin import Langevin
from sde_engine.dynamics.sgd import Sgd
from sde_engine.kernel import Hyper
from sde_engine.paths import start_states, trace_of
from sde_engine.run import Run
from sde_engine.testing import assert_within

COIN = load_model("two_layer_scalar")
HYPER, UPDATES, PATHS = Hyper(0.1, 2, 0.3), 10, 200_000
TIME = HYPER.eta * UPDATES
POINT = np.array([[1e-9, -0.4e-9]])


@cache
def growths(dynamics: Any, hyper: Hyper = HYPER) -> tuple[np.ndarray, np.ndarray]:
    """Return the factors by which u + w and u - w have grown at the end, path by path."""
    run = Run(PATHS, 3, updates=UPDATES, burn_in=0.0, windows=1)
    start = start_states(COIN, run, 0, PATHS, POINT)
    end = trace_of(COIN, dynamics, hyper, run, points=POINT)[0].final
    return (end[0] + end[1]) / (start[0] + start[1]), (end[0] - end[1]) / (start[0] - start[1])


def sgd_moment(sign: float, power: int, hyper: Hyper = HYPER) -> float:
    """E of (1 - eta lambda +- eta m_B)^power per update, m_B of mean 1 and variance 1 / B."""
    first = 1.0 - hyper.eta * hyper.weight_decay + sign * hyper.eta
    return float((first if power == 1 else first**2 + hyper.eta**2 / hyper.batch) ** UPDATES)


def sde_moment(sign: float, power: int, hyper: Hyper = HYPER) -> float:
    """E x^n = exp(n A t + n (n - 1) T t / 2) with A = +-1 - lambda."""
    rate = power * (sign - hyper.weight_decay) + 0.5 * power * (power - 1) * hyper.temperature
    return float(np.exp(rate * hyper.eta * UPDATES))


@pytest.mark.parametrize(
    ("dynamics", "moment"), [(Sgd(), sgd_moment), (Langevin("log_euler", dt=0.05), sde_moment)], ids=["sgd", "langevin"]
)
def test_geometric_brownian_motion_has_its_mean_and_second_moment(dynamics: Any, moment: Any) -> None:
    """A predictor with unscaled noise, a forgotten Ito term or a wrong sign all show here."""
    for sign, growth in zip((1.0, -1.0), growths(dynamics), strict=True):
        for power in (1, 2):
            values = growth**power
            error = float(values.std() / np.sqrt(PATHS))
            assert_within(4.0, float(values.mean()), moment(sign, power), error)


def test_the_growth_of_sgd_is_not_that_of_its_equation() -> None:
    """(1 + eta A)^(1 / eta) against e^A: two per cent and more at eta = 0.1, in the mean already."""
    for sign in (1.0, -1.0):
        assert abs(sgd_moment(sign, 1) / sde_moment(sign, 1) - 1.0) > 0.02
    growth = growths(Sgd())[0]
    with pytest.raises(AssertionError, match="sigma from"):
        assert_within(4.0, float(growth.mean()), sde_moment(1.0, 1), float(growth.std() / np.sqrt(PATHS)))


def test_a_temperature_wrong_by_four_per_cent_is_seen_in_the_logarithm() -> None:
    """Var ln growth = T t exactly, for steps of any length: the noise of the equation is additive there."""
    logs = np.log(growths(Langevin("log_euler", dt=0.05))[0])
    error = HYPER.temperature * TIME * np.sqrt(2.0 / PATHS)
    assert_within(4.0, float(logs.var()), HYPER.temperature * TIME, error, visible=0.04)
    with pytest.raises(AssertionError, match="sigma from"):
        assert_within(4.0, float(logs.var()), 1.04 * HYPER.temperature * TIME, error, visible=0.04)
    assert_within(4.0, float(logs.mean()), 1.0 - 0.3 - 0.5 * HYPER.temperature, float(logs.std() / np.sqrt(PATHS)))
