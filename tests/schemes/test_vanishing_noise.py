"""Where two examples agree the noise of a two-layer network vanishes, and a step there is no shorter than nearby."""

import numpy as np
import pytest

from sde_engine.discovery import load_model
from sde_engine.dynamics.langevin import Langevin
from sde_engine.kernel import Hyper

PAIR = load_model(
    "two_layer_scalar", law="table", table=((1.0, 2.0), (3.0, 4.0))
)  # both gradients are equal at v = 1.25


@pytest.mark.parametrize("scheme", ["log_platen", "log_euler"])
@pytest.mark.parametrize("gap", [1e-3, 1e-4, 1e-6, 0.0])
def test_a_path_arrives_where_the_noise_vanishes(scheme: str, gap: float) -> None:
    kernel = Langevin(scheme).kernel(PAIR, Hyper(0.1))

    def step_at(v: float) -> float:
        side = np.array([v**0.5])
        return float(kernel.size((side, side), PAIR.params, kernel.settings)[0])

    assert step_at(1.25 + gap) > 0.3 * step_at(1.25 + 0.1)
