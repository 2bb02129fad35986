"""Closed forms of discrete SGD through `stationary`: the discrete Lyapunov equation and two moments of regression."""

from typing import Any

import numpy as np
import pytest

import sde_engine as sde
from sde_engine.errors import Incompatible, SpecError
from sde_engine.stationary_law import stationary
from sde_engine.theory import linear_regression
from sde_engine.theory.moments import gaussian

HESSIAN, COVARIANCE = np.array([[1.0, 0.2], [0.2, 3.0]]), np.array([[1.0, 0.5], [0.5, 2.0]])
PLANE = sde.load_model("quadratic", hessian=HESSIAN, covariance=COVARIANCE)


def closed(model: Any, hyper: sde.Hyper, dynamics: Any) -> Any:
    return stationary(model, hyper, method="closed_form", dynamics=dynamics)


@pytest.mark.parametrize(("momentum", "factors"), [(0.0, None), (0.5, None), (0.9, (1.0, 0.5)), (0.0, (2.0, 0.25))])
def test_the_law_of_a_bowl_is_the_fixed_point_of_its_covariance_map(momentum: float, factors: Any) -> None:
    """(theta, v) goes to M (theta, v) + noise: iterate the covariance until it stays."""
    eta, batch, decay = 0.3, 2, 0.1
    found = closed(PLANE, sde.Hyper(eta, batch, decay), sde.Sgd(momentum=momentum, preconditioner=factors))
    step = eta * np.diag(factors or (1.0, 1.0))
    stiff = HESSIAN + decay * np.eye(2)
    matrix = np.block([[np.eye(2) - step @ stiff, momentum * np.eye(2)], [-step @ stiff, momentum * np.eye(2)]])
    push = np.vstack([step, step])
    noise, joint = push @ COVARIANCE @ push.T / batch, np.zeros((4, 4))
    for _ in range(3000):
        joint = matrix @ joint @ matrix.T + noise
    assert found.dataset.attrs["covariance"] == pytest.approx(joint[:2, :2].ravel(), rel=1e-10)
    cell = np.prod([float(np.diff(found.density[name].values[:2])[0]) for name in ("x0", "x1")])
    assert float(found.density.sum()) * cell == pytest.approx(1.0, rel=1e-6)


def test_gaussian_and_two_point_noise_of_one_covariance_share_two_moments_only() -> None:
    hyper = sde.Hyper(0.5)
    normal = closed(sde.load_model("quadratic"), hyper, sde.Sgd())
    coin = closed(sde.load_model("quadratic", noise="sign"), hyper, sde.Sgd())
    assert coin.lines[0].variance == pytest.approx(normal.lines[0].variance, rel=1e-12)
    assert "density" in normal.dataset
    assert "density" not in coin.dataset
    assert "no closed form" in coin.verdict
    assert not coin.is_point_mass


@pytest.mark.parametrize("momentum", [0.0, 0.5, 0.9])
def test_regression_with_momentum_has_the_published_second_moment(momentum: float) -> None:
    """Gaussian inputs, E w^2 of arXiv:2102.05375 in one dimension, against the derivation for any data law."""
    m, eta, batch = gaussian(1.0, 0.5), 0.1, 2
    published = linear_regression.sgd_second_moments([1.0], 0.25, eta, batch, momentum)[0]
    assert linear_regression.sgd_variance(m, eta, batch, momentum=momentum) == pytest.approx(published, rel=1e-12)
    model = sde.load_model("linear_regression_1d", law="gaussian", noise=0.5)
    found = closed(model, sde.Hyper(eta, batch), sde.Sgd(momentum=momentum))
    assert found.lines[0].variance == pytest.approx(published, rel=1e-12)
    assert found.lines[0].mean == pytest.approx(1.0)


def test_two_percent_more_learning_rate_is_another_second_moment() -> None:
    m = gaussian(1.0, 0.5)
    one, other = (linear_regression.sgd_variance(m, eta, 1) for eta in (0.1, 0.102))
    assert abs(other / one - 1.0) > 0.015


NAMED = [
    ("linear_regression", {}, sde.Sgd(), "transfer_operator", "acts on a line.*'ensemble', or method='closed_form'$"),
    (
        "quadratic",
        {},
        sde.Sgd(momentum=0.5),
        "transfer_operator",
        "with momentum the state.*'ensemble', or method='closed_form'$",
    ),
    ("quadratic", {}, sde.GaussianSgd(), "transfer_operator", r"dynamics=Sgd\(\), or method='closed_form'$"),
    ("two_layer_scalar", {"law": "gaussian"}, sde.Sgd(), "transfer_operator", "or method='ensemble'$"),
    (
        "linear_regression",
        {"spectrum": (1.0, 0.5, 0.4, 0.3, 0.2), "target": (1.0,) * 5},
        None,
        "fokker_planck",
        "'ensemble', or method='closed_form'$",
    ),
    ("two_layer_scalar", {}, sde.Sgd(), "closed_form", "method='transfer_operator' or 'ensemble'$"),
    ("two_layer_scalar", {}, sde.GaussianSgd(), "closed_form", "method='ensemble'$"),
    ("two_layer_scalar", {}, sde.GaussianSgd(), "fokker_planck", "use method='ensemble', or dynamics=None$"),
    ("double_well", {}, sde.Sgd(momentum=0.5), "closed_form", "use method='ensemble'$"),
    ("diagonal_network", {"width": 2}, None, "closed_form", "use method='fokker_planck' or 'ensemble'$"),
]


@pytest.mark.parametrize(("name", "settings", "dynamics", "method", "words"), NAMED)
def test_a_refusal_names_the_methods_that_serve(
    name: str, settings: dict[str, Any], dynamics: Any, method: Any, words: str
) -> None:
    with pytest.raises(Incompatible, match=words):
        stationary(sde.load_model(name, **settings), sde.Hyper(0.1), dynamics=dynamics, method=method)


def test_what_has_no_closed_form_is_refused_in_words() -> None:
    with pytest.raises(Incompatible, match="no closed form of the law of v is known for 'two_layer_scalar'"):
        closed(sde.load_model("two_layer_scalar"), sde.Hyper(0.1), sde.Sgd())
    stored = sde.load_model("linear_regression_1d", law="table", table=((1.0, 0.5), (0.5, 0.3)))
    with pytest.raises(Incompatible, match="with this sampling"):
        closed(stored, sde.Hyper(0.1), sde.Sgd("epoch"))
    with pytest.raises(SpecError, match="second moment of SGD is infinite"):
        linear_regression.sgd_variance(gaussian(1.0, 0.5), 1.0, 1)
    with pytest.raises(Incompatible, match="no noise along one of the components"):
        closed(
            sde.load_model("quadratic", hessian=np.eye(2), covariance=np.diag([1.0, 0.0])), sde.Hyper(0.1), sde.Sgd()
        )


@pytest.mark.parametrize("dynamics", [None, sde.Sgd(momentum=0.5)], ids=["equation", "sgd"])
def test_a_bowl_of_many_dimensions_has_its_marginals_in_closed_form(dynamics: Any) -> None:
    """Five independent bowls: each marginal is the one of its own bowl."""
    curvatures = np.array([0.5, 1.0, 1.5, 2.0, 3.0])
    hyper = sde.Hyper(0.2)
    whole = closed(sde.load_model("quadratic", hessian=np.diag(curvatures)), hyper, dynamics)
    assert "density" not in whole.dataset
    for line, h in zip(whole.lines, curvatures, strict=True):
        alone = closed(sde.load_model("quadratic", hessian=h), hyper, dynamics).lines[0]
        assert line.variance == pytest.approx(alone.variance, rel=1e-12)
        assert line.quantiles == pytest.approx(alone.quantiles, rel=1e-6)
