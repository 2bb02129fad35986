"""The exact transfer operator of SGD: moments, cumulants and rates that are known, laws without a density, collapse."""

from itertools import combinations, product
from typing import Any

import numpy as np
import pytest
from two_point_well import MODEL as two_point_well

import sde_engine as sde
from sde_engine.errors import Incompatible
from sde_engine.stationary_law import StationaryLaw, stationary
from sde_engine.theory import linear_regression, two_layer
from sde_engine.transfer_operator.batches import batches_of

COIN = sde.load_model("quadratic", hessian=1.0, noise="sign")
TABLE = np.array([[1.0, 0.5], [-0.5, -0.2], [0.8, 0.1], [0.3, 0.9]])
STORED = sde.load_model("linear_regression_1d", law="table", table=TABLE)
SGD = sde.Sgd()


def law_of(model: Any, eta: float, batch: int = 1, cells: int = 1500, **dynamics: Any) -> StationaryLaw:
    return stationary(
        model, sde.Hyper(eta, batch), dynamics=sde.Sgd(**dynamics), method="transfer_operator", cells=cells
    )


def fourth_cumulant(law: StationaryLaw) -> float:
    x = law.density["x0"].values
    mass = law.density.values * np.gradient(x)
    x = x - np.sum(mass * x)
    return float(np.sum(mass * x**4) - 3.0 * np.sum(mass * x**2) ** 2)


@pytest.mark.parametrize(("eta", "batch"), [(0.1, 1), (0.5, 1), (0.5, 4), (1.5, 1)])
def test_two_point_noise_on_a_bowl_has_its_variance_fourth_cumulant_and_relaxation(eta: float, batch: int) -> None:
    """x' = a x + eta e, a = 1 - eta: Var = eta^2 / B / (1 - a^2), k4 = -2 eta^4 / B^3 / (1 - a^4), rates -k ln|a| / eta."""
    law, a = law_of(COIN, eta, batch), 1.0 - eta
    line, variance = law.lines[0], eta / (batch * (2.0 - eta))
    assert abs(line.variance - variance) <= line.variance_error
    assert line.variance == pytest.approx(variance, rel=2e-4)
    assert fourth_cumulant(law) == pytest.approx(-2.0 * eta**4 / batch**3 / (1.0 - a**4), rel=1e-5)
    assert law.dataset["relaxation_rate"].values[:2] == pytest.approx(-np.log(abs(a)) / eta * np.arange(1, 3), rel=1e-6)
    assert law.dataset.attrs["residual"] < 1e-12
    assert float(law.density.min()) >= 0.0


def test_a_learning_rate_wrong_by_two_percent_is_seen() -> None:
    line = law_of(COIN, 0.51).lines[0]
    assert abs(line.variance - 0.5 / 1.5) > 100.0 * line.variance_error


def test_half_steps_of_two_point_noise_make_the_uniform_law() -> None:
    """x' = x/2 +- 1/2: the binary digits of a number, uniform on [-1, 1]; a contraction by 0.4 leaves a Cantor set."""
    law = law_of(COIN, 0.5)
    x = np.linspace(-0.99, 0.99, 199)
    assert np.abs(law.lines[0].cdf(x) - 0.5 * (1.0 + x)).max() < 1e-3
    cantor = law_of(COIN, 0.6, cells=600)  # x' = 0.4 x +- 0.6: nothing between -0.2 and 0.2
    assert float(np.ptp(cantor.lines[0].cdf(np.linspace(-0.19, 0.19, 20)))) < 1e-12
    assert "does not exist" in cantor.verdict
    assert cantor.lines[0].variance == pytest.approx(0.36 / 0.84, rel=1e-5)


def test_a_step_of_one_over_the_curvature_forgets_everything_and_leaves_the_noise() -> None:
    """eta h = 1: the law is that of the batch mean, atoms at -1, -1/3, 1/3, 1 of binomial weights for batch 3."""
    law = law_of(COIN, 1.0, 3)
    below = law.lines[0].cdf(np.array([-1.01, -0.99, -0.35, -0.31, 0.31, 0.35, 0.99]))
    assert below == pytest.approx([0.0, 1 / 8, 1 / 8, 4 / 8, 4 / 8, 7 / 8, 7 / 8], abs=1e-12)
    assert np.isinf(law.dataset["relaxation_rate"].values[0])


@pytest.mark.parametrize("sampling", ["iid", "without_replacement"])
@pytest.mark.parametrize("batch", [1, 2, 3])
def test_batches_are_all_batches_with_their_probabilities(sampling: str, batch: int) -> None:
    """Gradient means and squares over batches against the list of all batches."""
    kernel = sde.Sgd(sampling=sampling).kernel(STORED, sde.Hyper(0.1, batch))
    found = batches_of(STORED, kernel, np.linspace(-1.0, 1.0, 7)[None])
    one = np.array([STORED.example_gradient((0.7,), row, STORED.params)[0] for row in TABLE])
    kinds = np.array([STORED.example_gradient((0.7,), draw, STORED.params)[0] for draw in found.draws.T])
    rows = product(range(4), repeat=batch) if sampling == "iid" else combinations(range(4), batch)
    means = np.array([one[list(row)].mean() for row in rows])
    for power in (1, 2, 3):
        exact = float(np.mean(means**power))
        assert float(found.weights @ (found.shares @ kinds) ** power) == pytest.approx(exact, rel=1e-12)


@pytest.mark.parametrize(("sampling", "batch"), [("iid", 1), ("iid", 2), ("without_replacement", 2)])
def test_regression_on_a_table_has_its_exact_mean_and_variance(sampling: str, batch: int) -> None:
    line = law_of(STORED, 0.3, batch, sampling=sampling).lines[0]
    m = STORED.params
    exact = float(linear_regression.table_covariance(TABLE[:, :1], TABLE[:, 1], 0.3, batch, sampling)[0, 0])
    share = 1.0 if sampling == "iid" else (4.0 - batch) / 3.0
    assert linear_regression.sgd_variance(m, 0.3, batch, share=share) == pytest.approx(exact, rel=1e-12)
    assert line.mean == pytest.approx(m.b2 / m.b1, rel=1e-10)
    assert abs(line.variance - exact) <= line.variance_error
    assert line.variance_error < 5e-4 * exact


def test_heavy_tails_of_a_real_table_are_held_by_a_graded_axis() -> None:
    """Some patients repel at this learning rate: the law has a tail, and its closed variance is found all the same."""
    patients = sde.load_model("linear_regression_1d", law="diabetes")
    line = law_of(patients, 0.25).lines[0]
    exact = linear_regression.sgd_variance(patients.params, 0.25, 1)
    assert abs(line.variance - exact) <= line.variance_error
    assert line.variance == pytest.approx(exact, rel=5e-4)


@pytest.mark.parametrize(("eta", "batch", "distance", "mean"), [(0.1, 1, 0.0346, 0.94470), (0.4, 4, 0.2080, 0.90949)])
def test_two_layers_under_sgd_have_a_law_of_their_own(eta: float, batch: int, distance: float, mean: float) -> None:
    """Coin data, T = 0.1: the Gamma law of the equation has mean 0.95; simulations found distances 0.04 and 0.21."""
    model = sde.load_model("two_layer_scalar")
    law = law_of(model, eta, batch)
    gamma = two_layer.gamma_law(model.params, 0.1)
    v = law.density["v"].values
    assert np.abs(law.lines[0].cdf(v) - gamma.cdf(v)).max() == pytest.approx(distance, abs=4e-3)
    assert law.lines[0].mean == pytest.approx(mean, abs=1e-4)


def test_the_exponent_at_zero_is_that_of_the_chain_and_not_of_the_equation() -> None:
    """P(v < e) ~ e^kappa with E|1 + eta m_B|^(-2 kappa) = 1: 0.1978 at eta = 0.18, where the equation has 0.1173."""
    law = law_of(sde.load_model("two_layer_scalar", noise=3.0), 0.18, cells=4000)
    x = np.linspace(-20.0, -10.0, 50)
    slope = np.polyfit(x, np.log(law.lines[0].cdf(np.exp(x))), 1)[0]
    assert slope == pytest.approx(0.19777, rel=0.02)
    assert abs(slope - 0.11728) > 0.05


def test_collapse_begins_at_the_edge_of_the_chain() -> None:
    """Coin a = 1, sigma = 3: the equation collapses above eta = 2/9, SGD above 1/4."""
    model = sde.load_model("two_layer_scalar", noise=3.0)
    assert not law_of(model, 0.236).is_point_mass
    dead = law_of(model, 0.27)
    assert dead.is_point_mass
    assert "collapsed" in dead.verdict


def test_bounded_noise_that_cannot_cross_a_barrier_keeps_two_laws() -> None:
    """The equation with the same noise crosses it, at a rate of 1e-7: only the chain is broken for good."""
    law = law_of(two_point_well(s=0.3), 0.1, cells=600)
    assert len(law.others) == 1
    assert law.lines[0].mean * law.others[0].lines[0].mean < 0.0
    whole = law_of(two_point_well(s=1.0), 0.1, cells=600)
    assert not whole.others
    assert set(np.unique(whole.dataset["metastable_set"].values)) - {-1} == {0, 1}


def test_routes_of_sgd_agree_and_another_learning_rate_does_not() -> None:
    law = stationary(COIN, sde.Hyper(0.3), dynamics=SGD, method="all", seed=1, paths=512, time=60.0, cells=1500)
    assert [route.method for route in law.routes] == ["closed_form", "transfer_operator", "ensemble"]
    assert law.agrees, law.agreement
    from sde_engine.stationary_law import compared

    wrong = law_of(COIN, 0.306)
    assert compared((law.routes[0], wrong))[2] is False


def test_what_has_no_transfer_operator_is_refused_in_words() -> None:
    gaussian, plane = sde.load_model("quadratic"), sde.load_model("quadratic", hessian=np.eye(2), noise="sign")
    with pytest.raises(Incompatible, match="are normal, so its batches cannot be enumerated"):
        law_of(gaussian, 0.1)
    with pytest.raises(Incompatible, match="acts on a line, but 'quadratic' has 2"):
        law_of(plane, 0.1)
    with pytest.raises(Incompatible, match="within a reshuffled epoch"):
        law_of(STORED, 0.1, 2, sampling="epoch")
    with pytest.raises(Incompatible, match="with momentum the state is more"):
        law_of(COIN, 0.1, momentum=0.5)
    with pytest.raises(Incompatible, match="up to 4096 are enumerated"):
        law_of(sde.load_model("linear_regression_1d", law="diabetes"), 0.1, 3)
    with pytest.raises(Incompatible, match="diverges here"):
        law_of(COIN, 2.5)
    with pytest.raises(Incompatible, match="gives the law of discrete SGD"):
        stationary(COIN, sde.Hyper(0.1), method="transfer_operator")
    with pytest.raises(Incompatible, match="that of batches, but the dynamics is 'gaussian_sgd'"):
        stationary(COIN, sde.Hyper(0.1), method="transfer_operator", dynamics=sde.GaussianSgd())
