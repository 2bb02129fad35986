"""Every model that the engine finds, at several parameters, against itself; a new file is met here without a list."""

from typing import Any

import numpy as np
import pytest

from sde_engine.discovery import list_models, load_model
from sde_engine.testing import check_model

TABLE = ((1.0, 0.5), (-0.5, -0.2), (0.8, 0.1), (0.3, 0.9), (-1.1, -0.4), (0.6, 0.3))
ROWS = tuple((x, 0.5 - x * y, y) for x, y in TABLE)
ROTATED = ((2.245049, -1.478175), (-1.478175, 2.754951))
# Beside its defaults a family is met at these parameters; a family that is not named is met at its defaults.
CHOICES: dict[str, list[dict[str, Any]]] = {
    "two_layer_scalar": [
        {"target": 1.0, "noise": 3.0},
        {"target": -0.7, "noise": 0.0},
        {"law": "gaussian", "noise": 0.5, "scale": 1.5},
        {"law": "gaussian", "noise": 0.0},
        {"law": "table", "table": TABLE},
        {"law": "diabetes", "feature": "age"},
    ],
    "linear_regression_1d": [
        {"target": -2.0},
        {"law": "two_point"},
        {"law": "table", "table": TABLE, "standardise": True},
    ],
    "linear_regression": [{"law": "table", "table": ROWS}],
    "double_well": [{"mu": 0.7, "s": 0.3}, {"noise": "multiplicative", "mu": 1.2, "s": 0.8}, {"mu": -0.5}],
    "quadratic": [
        {"hessian": 1.3, "covariance": 0.7},
        {"hessian": ((1.0, 0.0), (0.0, 3.0)), "covariance": ROTATED},
        {"hessian": ((1.0, 0.0), (0.0, 3.0)), "covariance": ((1.0, 1.0), (1.0, 1.0)), "noise": "sign"},
        {"hessian": tuple(map(tuple, np.eye(5)))},
    ],
    "diagonal_network": [
        {"depth": 1, "width": 2},
        {"depth": 3, "width": 2, "law": "two_point"},
        {"depth": 1, "law": "diabetes"},
    ],
}
CASES = [(name, choice) for name in list_models() for choice in ({}, *CHOICES.get(name, []))]


@pytest.mark.parametrize(("name", "parameters"), CASES, ids=[f"{n}-{i}" for i, (n, _) in enumerate(CASES)])
def test_the_parts_of_a_model_agree(name: str, parameters: dict[str, Any]) -> None:
    check_model(load_model(name, **parameters), seed=11)


@pytest.mark.parametrize("name", list_models())
def test_a_model_can_be_made_from_plain_numbers_and_says_its_name(name: str) -> None:
    model = load_model(name)
    assert model.name == name
    assert hash(model.params) == hash(load_model(name).params)
    assert all(isinstance(model.observable(known).formula, type(check_model)) for known in model.components)


def test_a_covariance_is_centred() -> None:
    """One stored example has no gradient noise, however large its gradient."""
    model = load_model("two_layer_scalar", law="table", table=((2.0, 3.0),))
    assert model.gradient((1.0, 0.5), model.params) != (0.0, 0.0)
    assert model.noise_factor((1.0, 0.5), model.params) == ((0.0,), (0.0,))
