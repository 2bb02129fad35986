"""Every scheme gives the same bits under numpy and in compiled lanes."""

from typing import Literal

import numpy as np
import pytest

from sde_engine import rng
from sde_engine.discovery import load_model, schemes
from sde_engine.dynamics.langevin import Langevin
from sde_engine.kernel import Hyper
from sde_engine.scheme import Scheme
from sde_engine.testing.evaluation import Each, on_lanes, on_numpy

MODELS = {
    "additive": load_model(
        "quadratic",
        hessian=((1.0, 0.3, 0.1), (0.3, 2.0, -0.2), (0.1, -0.2, 0.7)),
        covariance=((1.0, 0.5, 0.0), (0.5, 1.0, 0.2), (0.0, 0.2, 0.4)),
    ),
    "scalar": load_model("two_layer_scalar"),
}
STATES = 32


CASES = [(scheme, 1) for scheme in schemes().values()] + [(schemes()["platen"], 2)]


@pytest.mark.parametrize(("scheme", "order"), CASES, ids=[f"{s.name}, order {order}" for s, order in CASES])
def test_a_step_has_the_same_bits_on_both_backends(scheme: Scheme, order: Literal[1, 2]) -> None:
    model = MODELS["scalar" if "scalar" in scheme.noise_kinds else "additive"]
    kernel = Langevin(scheme=scheme.name, order=order).kernel(model, Hyper(0.1, 2, 0.01))
    index = np.arange(STATES)
    state = Each(np.array([rng.normals(1, index, rng.START + i, 0) for i in range(kernel.width)]))
    z = Each(np.array([rng.normals(1, index, rng.INCREMENT + c, 0) for c in range(kernel.columns)]))
    arguments = (state, z, kernel.dt, kernel.dt**0.5, model.params, kernel.settings)
    plain, lanes = on_numpy(kernel.step, arguments), on_lanes(kernel.step, arguments)
    assert np.isfinite(plain).all()
    assert np.array_equal(plain, lanes)
