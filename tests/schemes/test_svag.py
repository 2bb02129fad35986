"""SVAG: the mean of SGD, l times its noise in steps l times smaller, and real minibatches."""

import numpy as np
import pytest

from sde_engine.discovery import load_model
from sde_engine.dynamics.sgd import Sgd
from sde_engine.dynamics.svag import Svag
from sde_engine.ensemble import Run, simulate, trace_of
from sde_engine.kernel import Hyper
from sde_engine.testing.bound import assert_within
from sde_engine.theory.quadratic import svag_covariance

TABLE = ((1.0, 0.5), (-0.5, -0.2), (0.8, 0.1), (0.3, 0.9), (-1.1, -0.4), (0.6, 0.3))
MODEL = load_model("quadratic", hessian=1.3, covariance=0.7, noise="sign")


@pytest.mark.parametrize("levels", [1, 2, 3, 16, 1000])
def test_the_weights_keep_the_mean_and_amplify_the_noise(levels: int) -> None:
    weights = Svag(levels).kernel(MODEL, Hyper(0.1, 4)).weights
    assert abs(sum(weights) - 1.0) < 1e-13 * levels
    assert abs(sum(w * w for w in weights) - levels) < 1e-12 * levels
    assert weights[-1] >= 1.0


def test_the_stationary_variance_is_exact_between_sgd_and_the_langevin_equation() -> None:
    """eta C / (2 h - (eta / l) h^2); a variance with twice the levels is told apart."""
    found = simulate(MODEL, Svag(3), Hyper(0.5, 1), paths=20_000, updates=400, burn_in=0.1, seed=2)
    value, error = float(found.x0_variance), float(found.x0_variance_stderr)
    assert_within(4.0, value, float(svag_covariance(1.3, 0.7, 0.5, 1, 3)), error, visible=0.01)
    with pytest.raises(AssertionError, match="sigma from"):
        assert_within(4.0, value, float(svag_covariance(1.3, 0.7, 0.5, 1, 6)), error, visible=0.01)


def test_one_level_is_sgd() -> None:
    """The second of two minibatches counts alone: the same law, and with a batch drawn alike the same path."""
    kernel, sgd = Svag(1).kernel(MODEL, Hyper(0.5, 2)), Sgd().kernel(MODEL, Hyper(0.5, 2))
    assert kernel.weights == (0.0, 1.0)
    arguments = ((0.3,), (0.7,), MODEL.params)
    assert kernel.step(*arguments, kernel.settings) == sgd.step(*arguments, sgd.settings)


def test_both_backends_draw_the_same_pairs_of_minibatches() -> None:
    model, run = load_model("linear_regression_1d", law="table", table=TABLE), Run(20, 5, updates=6, burn_in=0.2)
    dynamics = Svag(2, "without_replacement")
    plain, lanes = (trace_of(model, dynamics, Hyper(0.05, 3), run, backend=b)[0] for b in ("numpy", "numba"))
    assert np.array_equal(plain.final, lanes.final)
    assert np.array_equal(plain.sums, lanes.sums)


def test_the_clock_counts_updates_and_not_steps() -> None:
    found = simulate(MODEL, Svag(4), Hyper(0.1, 1), paths=8, updates=30, seed=1, backend="numpy")
    assert abs(found.attrs["time"] - 3.0) < 1e-12
    assert abs(found.attrs["dt"] - 0.025) < 1e-15
