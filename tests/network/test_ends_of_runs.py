"""Runs of networks end where they are asked to, and a shorter last window counts as what it is."""

import jax
import numpy as np
import pytest
from small_networks import mean_network, relu_network, written_out

from sde_engine.backends.scan import noise
from sde_engine.dynamics.gradient_flow import GradientFlow
from sde_engine.dynamics.langevin import Langevin
from sde_engine.dynamics.sgd import Sgd
from sde_engine.ensemble import compare
from sde_engine.kernel import Hyper
from sde_engine.network import simulate_network
from sde_engine.network.model import mean_gradient
from sde_engine.stats.histogram import Histogram


def test_a_last_window_is_as_long_as_is_left_and_weighs_as_much():
    """Nine updates in windows of six; of the second, three are made and looked at after none and two of them."""
    net, hyper = relu_network(12), Hyper(0.1, 3, 0.02)
    how = {"paths": 2, "updates": 9, "seed": 2, "windows": 2, "burn_in": 0.0, "every": 2, "observables": ("loss",)}
    ds = simulate_network(net, Sgd(), hyper, **how, histograms=(Histogram("loss", 0.0, 99.0, 3),))
    with jax.enable_x64(True):
        rows = [np.asarray(noise.rows(2, path, 0, 9, 3, 12)) for path in range(2)]
    theta, states = zip(*(written_out(net, hyper, rows[path], path=path) for path in range(2)), strict=True)
    np.testing.assert_allclose(ds.theta_final, theta, rtol=0, atol=1e-12)
    loss = np.array([[mean_gradient(net, theta)[0] for theta in path[::2]] for path in states])
    np.testing.assert_allclose([ds.loss, ds.loss_variance], [loss.mean(), loss.var()], rtol=1e-9)
    np.testing.assert_allclose(ds.loss_trace, [loss[:, :3].mean(), loss[:, 3:].mean()], rtol=1e-12)
    np.testing.assert_allclose(ds.time, [0.3, 0.75])
    assert float(ds.loss_density.sum()) * 33.0 == pytest.approx(1.0)
    assert ds.attrs["time"] == pytest.approx(0.9)


@pytest.mark.parametrize("time", [0.33, 0.001])
def test_an_equation_ends_at_its_time(time):
    """On one example from 1, theta = e^-t; Euler steps of 0.025 fit the windows, and shorter ones what is left."""
    net, hyper = mean_network(np.zeros((1, 1))), Hyper(0.05, 1)
    how = {
        "paths": 1,
        "time": time,
        "seed": 1,
        "start": np.ones(1),
        "windows": 4,
        "burn_in": 0.0,
        "observables": ("loss",),
    }
    flow = simulate_network(net, GradientFlow(rtol=1e-9, atol=1e-12), hyper, **how)
    np.testing.assert_allclose(flow.theta_final, np.exp(-time), rtol=1e-7)
    euler = simulate_network(net, Langevin(dt=0.03), hyper, **how)
    expected = {0.33: 0.975**12 * 0.985**2, 0.001: 0.999}[time]
    np.testing.assert_allclose(euler.theta_final, expected, rtol=1e-12)
    assert flow.attrs["time"] == euler.attrs["time"] == time
    assert np.array_equal(flow.time, euler.time)


def test_last_windows_of_different_lengths_are_not_compared():
    how = {"paths": 1, "time": 0.33, "seed": 1, "windows": 4, "burn_in": 0.0, "observables": ("loss",)}
    ds = compare(mean_network(np.zeros((1, 1))), [Sgd(), Langevin(dt=0.03)], Hyper(0.05, 1), **how)
    np.testing.assert_allclose(ds.time, [0.05, 0.15, 0.25, 0.315, 0.325])
    assert np.isnan(ds.loss_trace).values.tolist() == [[False] * 3 + [True, False], [False] * 4 + [True]]


def test_what_would_have_happened_after_the_end_does_not_count():
    """theta' = -2 theta reaches 1e12 in the fourth update, and a window is two."""
    how = {"paths": 1, "seed": 1, "start": np.full(1, 1e11), "windows": 2, "burn_in": 0.0}
    net = mean_network(np.zeros((1, 1)))
    three, four = (simulate_network(net, Sgd(), Hyper(3.0), updates=count, **how) for count in (3, 4))
    assert [float(three.diverged_fraction), float(four.diverged_fraction)] == [0.0, 1.0]
    assert float(three.theta_final[0, 0]) == -8e11
    assert float(four.diverged_at[0]) == 12.0
