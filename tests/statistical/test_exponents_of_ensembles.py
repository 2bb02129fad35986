"""Lyapunov exponents from paths: of the fastest direction, wherever the paths begin, and whenever they are looked at."""

import numpy as np
import pytest

from sde_engine.backends.trace import LANES
from sde_engine.discovery import load_model
from sde_engine.dynamics.langevin import Langevin
from sde_engine.kernel import Hyper
from sde_engine.paths import trace_of
from sde_engine.run import Run
from sde_engine.stability import _SMALL, lyapunov
from sde_engine.stats.fate import log_drift, steadiness
from sde_engine.testing import assert_within

COIN = load_model("two_layer_scalar")
ORTHANTS = np.array([[1.0, 1.0], [1.0, -1.0]])


@pytest.mark.parametrize("hyper", [Hyper(0.01), Hyper(0.3, 4), Hyper(30.0)], ids=str)
def test_the_growth_of_paths_from_every_orthant_is_the_exact_exponent_of_sgd(hyper):
    found = lyapunov(COIN, hyper, method="ensemble", seed=1)
    exact = lyapunov(COIN, hyper).exponent
    assert_within(4.0, found.exponent, exact, found.stderr, visible=0.05)


def test_a_run_that_is_too_short_for_the_fastest_direction_is_not_steady():
    """The partner: half of the paths begin along the falling direction, and 400 updates of 0.01 are four units of t."""
    for updates, exact in ((400, False), (6400, True)):
        run = Run(1024, 1, updates=updates, burn_in=0.25)
        trace, clock = trace_of(COIN, Langevin(order=2), Hyper(0.01), run, points=_SMALL * ORTHANTS)
        drift, error, _ = log_drift(trace, clock)
        assert (steadiness(trace, clock, 2) > 1e-4) == exact
        assert (abs(drift - 0.99) < 4.0 * error + 0.005) == exact


@pytest.mark.parametrize("eta", [0.003, 0.02, 0.05])
def test_the_drift_is_right_where_windows_have_few_looks(eta):
    """x' = x without curvature near 0: d ln|x| = (1 - s^2 eta / 2) dt + s dW with s = 0.05, at adaptive steps."""
    model = load_model("double_well", noise="multiplicative", mu=1.0, s=0.05)
    run = Run(8 * LANES, 2, updates=400, burn_in=0.25)
    trace, clock = trace_of(model, Langevin(), Hyper(eta), run, points=np.array([[1e-80]]))
    drift, error, _ = log_drift(trace, clock)
    assert_within(4.0, drift, 1.0 - 0.5 * 0.05**2 * eta, error, visible=0.01)
    # The partner: from centre to centre of the windows.
    ends = 0.5 * trace.sums[[0, -1], -2] / trace.weight[[0, -1]]
    centred = float((ends[1] - ends[0]).mean()) / ((clock.windows - 1) * clock.window)
    assert abs(centred - drift) > 4.0 * error
