"""A chain of four layers: drift grows like |theta|^7, the variance of the noise like |theta|^14."""

import numpy as np
import pytest

from sde_engine.discovery import load_model, schemes
from sde_engine.dynamics.langevin import Langevin
from sde_engine.ensemble import simulate
from sde_engine.kernel import Hyper

CHAIN, HYPER = load_model("diagonal_network", law="gaussian", depth=3, noise=0.5), Hyper(0.2, 1, 0.01)


# Quartiles of v at t = 25: adaptive Euler at a tolerance of 0.00125, steps up to 0.005, 3e4 paths; known to 0.01.
REFERENCE = (0.43, 0.774, 0.995)


def run(scheme: str, dt: float) -> tuple[float, np.ndarray]:
    """Return the fraction of paths that exploded, and the quartiles of the others."""
    found = simulate(CHAIN, Langevin(scheme=scheme, dt=dt), HYPER, paths=4096, time=25.0, burn_in=0.5, seed=1)
    v = found.v_final.values[np.isinf(found.diverged_at.values)]
    return float(found.diverged_fraction), np.quantile(v, (0.25, 0.5, 0.75))


@pytest.mark.parametrize(("dt", "gap"), [(0.02, 0.12), (0.002, 0.04)])
def test_tamed_paths_never_leave_and_their_quartiles_converge(dt: float, gap: float) -> None:
    """Stability alone would be worth nothing: every path could stand still."""
    lost, quartiles = run("tamed_euler", dt)
    assert lost == 0.0
    assert np.abs(quartiles - REFERENCE).max() < gap


@pytest.mark.parametrize("dt", [0.02, 0.002])
def test_explosions_of_euler_are_counted_and_a_finer_step_does_not_cure_them(dt: float) -> None:
    lost, _ = run("euler_maruyama", dt)
    assert lost > 0.3


def test_the_schemes_that_say_that_they_stay_finite_are_these() -> None:
    said = {scheme.name for scheme in schemes().values() if scheme.superlinear}
    assert said == {"tamed_euler", "adaptive_euler", "adaptive_ri6", "log_euler", "log_platen"}
