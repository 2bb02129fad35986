"""A model in the user's own file has every right a built-in one has."""

from pathlib import Path

import numpy as np
import pytest

from sde_engine.discovery import load_model
from sde_engine.dynamics.langevin import Langevin
from sde_engine.dynamics.sgd import Sgd
from sde_engine.ensemble import measure
from sde_engine.kernel import Hyper
from sde_engine.run import Run
from sde_engine.testing import check_model


@pytest.fixture(autouse=True)
def own_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parent))


def test_a_model_of_ones_own_is_found_checked_and_run() -> None:
    model = load_model("outside_model:MODEL", noise=0.2)
    assert model.params.noise == 0.2
    check_model(model, seed=5)
    hyper, run = Hyper(0.1, 2), Run(500, seed=6, time=40.0)
    discrete, langevin = (measure(model, dynamics, hyper, run) for dynamics in (Sgd(), Langevin()))
    for found in (discrete, langevin):
        assert found["diverged_fraction"] == 0.0
        assert abs(found["f"] - 0.4) < 0.02
    assert np.array_equal(discrete["f"], measure(model, Sgd(), hyper, run)["f"])
