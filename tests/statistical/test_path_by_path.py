"""With equal noise two dynamics can be compared path by path: no distribution sees a wrong sign, this does."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from sde_engine.components import scale_matrix
from sde_engine.discovery import load_model, schemes
from sde_engine.dynamics.gaussian_sgd import GaussianSgd
from sde_engine.dynamics.gradient_flow import GradientFlow
from sde_engine.dynamics.langevin import Langevin
from sde_engine.ensemble import Run, start_states, trace_of
from sde_engine.kernel import Hyper
from sde_engine.model import Model

COIN = load_model("two_layer_scalar", noise=1.5)
TABLE = ((1.0, 0.5), (-0.5, -0.2), (0.8, 0.1), (0.3, 0.9), (-1.1, -0.4), (0.6, 0.3))
STORED = load_model("two_layer_scalar", law="table", table=TABLE)
BOWL = load_model("quadratic", hessian=((1.0, 0.0), (0.0, 3.0)), covariance=((2.2, -1.4), (-1.4, 2.7)))
HYPER = Hyper(0.08, 2, 0.1)
UPDATES = 100


def final(
    model: Model, dynamics: Any, hyper: Hyper = HYPER, updates: int = UPDATES, backend: str = "numba"
) -> np.ndarray:
    return trace_of(model, dynamics, hyper, Run(256, 8, updates=updates, burn_in=0.0), backend=backend)[0].final


@pytest.mark.parametrize(
    ("model", "sampling"),
    [(COIN, "iid"), (STORED, "without_replacement"), (BOWL, "iid")],
    ids=["two_layer_scalar", "without_replacement", "quadratic"],
)
def test_euler_maruyama_with_a_step_an_update_is_gaussian_sgd_path_by_path(model: Model, sampling: Any) -> None:
    discrete = final(model, GaussianSgd(sampling))
    langevin = final(model, Langevin("euler_maruyama", dt=HYPER.eta, sampling=sampling))
    assert np.all(np.abs(discrete - langevin) <= 1e-11 * np.abs(discrete).max())
    assert np.std(discrete, axis=1).min() > 0.05


def mirrored_factor(theta: Any, p: Any) -> Any:
    return scale_matrix(-1.0, COIN.noise_factor(theta, p))


def louder_factor(theta: Any, p: Any) -> Any:
    return scale_matrix(1.02, COIN.noise_factor(theta, p))


@pytest.mark.parametrize("factor", [mirrored_factor, louder_factor])
def test_a_wrong_sign_or_strength_of_the_noise_is_seen_path_by_path(factor: Any) -> None:
    """The partner: G and -G have one law, and different paths."""
    wrong = final(replace(COIN, noise_factor=factor), GaussianSgd(), backend="numpy")
    langevin = final(COIN, Langevin("euler_maruyama", dt=HYPER.eta))
    assert np.median(np.abs(wrong - langevin)) > 1e-3


def flow(model: Model, time: float, weight_decay: float, paths: int) -> np.ndarray:
    """Return the end of the gradient flow from each start, by an ODE solver."""

    def velocity(_: float, x: np.ndarray) -> np.ndarray:
        theta = x.reshape(model.dim, -1)
        return -(np.array(model.gradient(tuple(theta), model.params)) + weight_decay * theta).ravel()

    run = Run(paths, 8, updates=1)
    start = start_states(model, run, 0, paths, np.array(model.starts(model.params)))
    found = solve_ivp(velocity, (0.0, time), start.ravel(), method="DOP853", rtol=1e-11, atol=1e-12)
    return found.y[:, -1].reshape(model.dim, -1)


QUIET = load_model("two_layer_scalar", noise=0.0)
TIME = 2.0


SERVED = [name for name, scheme in schemes().items() if "scalar" in scheme.noise_kinds]


@pytest.mark.parametrize("name", SERVED)
def test_zero_noise_is_the_deterministic_flow(name: str) -> None:
    """Every scheme on noiseless data, as it is run: the error vanishes with the step at the weak order or faster."""
    exact = flow(QUIET, TIME, HYPER.weight_decay, 64)
    errors = []
    for dt in (0.04, 0.01):
        langevin = Langevin(name, dt=dt, tolerance=1e9)  # the longest step, everywhere
        run = Run(64, 8, updates=1, time=TIME, burn_in=0.0)
        errors.append(np.abs(trace_of(QUIET, langevin, HYPER, run, backend="numpy")[0].final - exact).max())
    assert errors[1] < 0.01
    assert errors[1] < 4.0 ** (0.3 - schemes()[name].weak_order) * errors[0]


def test_gradient_flow_is_the_flow_and_conserves_the_charge() -> None:
    hyper = Hyper(0.1)
    run = Run(64, 8, updates=1, time=TIME, burn_in=0.0)
    start = start_states(QUIET, run, 0, 64, np.array(QUIET.starts(QUIET.params)))
    end = trace_of(QUIET, GradientFlow(dt=0.005), hyper, run, backend="numpy")[0].final
    assert np.abs(end - flow(QUIET, TIME, 0.0, 64)).max() < 1e-7
    assert np.abs((end[0] ** 2 - end[1] ** 2) - (start[0] ** 2 - start[1] ** 2)).max() < 1e-8
    decayed = trace_of(QUIET, GradientFlow(dt=0.005), hyper._replace(weight_decay=0.3), run, backend="numpy")[0].final
    assert np.abs(decayed - flow(QUIET, TIME, 0.3, 64)).max() < 1e-7


def test_schemes_follow_one_brownian_path_of_the_same_equation() -> None:
    """Driven by the same normals at a small step, all schemes end near each other, far closer than two paths are."""
    ends = {
        name: final(COIN, Langevin(name, dt=0.002, tolerance=1e9), Hyper(0.1), 10, backend="numpy") for name in SERVED
    }
    scatter = np.std(ends["euler_maruyama"][:, ::4], axis=1).min()  # of the paths of one start
    for name, end in ends.items():
        assert np.sqrt(np.mean((end - ends["log_platen"]) ** 2)) < 0.1 * scatter, name
