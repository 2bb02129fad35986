"""The velocity of entropic flow is minus the slope of the entropic loss."""

import numpy as np
import pytest

from sde_engine.discovery import load_model
from sde_engine.dynamics.entropic_flow import EntropicFlow
from sde_engine.kernel import Hyper
from sde_engine.potential import entropic_loss

TABLE = ((1.0, 0.5), (-0.5, -0.2), (0.8, 0.1), (0.3, 0.9), (-1.1, -0.4), (0.6, 0.3))
STORED = load_model("two_layer_scalar", law="table", table=TABLE)
GAUSSIAN = load_model("two_layer_scalar", law="gaussian", noise=0.5)
HYPER = Hyper(0.3, 2, 0.2)
POINTS = np.array([[0.9, -0.4, 1.7, 0.02], [1.1, 0.8, -0.6, -1.3]])


def slope(model, hyper, sampling):
    shift = 1e-5 * np.eye(2)[:, :, None]
    up, down = (
        np.array([entropic_loss(model, hyper, POINTS + sign * s, sampling=sampling) for s in shift])
        for sign in (1.0, -1.0)
    )
    return (up - down) / 2e-5


def velocity(model, hyper, sampling):
    kernel = EntropicFlow(sampling=sampling).kernel(model, hyper)
    return np.array(kernel.velocity(tuple(POINTS), model.params, kernel.settings))


@pytest.mark.parametrize(
    ("model", "sampling"), [(STORED, "iid"), (STORED, "without_replacement"), (STORED, "epoch"), (GAUSSIAN, "iid")]
)
def test_the_velocity_is_minus_the_slope_of_the_entropic_loss(model, sampling):
    np.testing.assert_allclose(velocity(model, HYPER, sampling), -slope(model, HYPER, sampling), atol=3e-8)


def test_a_noise_wrong_by_two_percent_is_seen():
    wrong = velocity(STORED, Hyper(0.3, 2 / 1.02, 0.2), "iid")
    assert np.abs(wrong + slope(STORED, HYPER, "iid")).max() > 1e-4
