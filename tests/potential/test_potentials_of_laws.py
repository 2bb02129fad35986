"""Effective and Ito potentials: one number by two roads, and the trap of the wrong calculus."""

import numpy as np
import pytest

import sde_engine as sde
from sde_engine.entropic import entropic_force, entropic_loss
from sde_engine.errors import Incompatible
from sde_engine.plot.potential import potential as draw
from sde_engine.potential import effective_potential, ito_potential
from sde_engine.stationary_law import stationary

REGRESSION = sde.load_model("linear_regression_1d", law="gaussian", target=1.0, noise=0.5)


def test_the_ito_potential_is_the_effective_potential_of_the_solved_law() -> None:
    hyper = sde.Hyper(0.4, 2, 0.1)
    effective = effective_potential(stationary(REGRESSION, hyper, method="fokker_planck"))
    v = effective["v"].values
    near = effective["potential"].values < 8.0 * hyper.temperature
    found = ito_potential(REGRESSION, hyper, v[near])
    assert np.allclose(found, effective["potential"].values[near], atol=1e-9)


def test_the_ito_potential_of_additive_noise_is_the_loss() -> None:
    model, x = sde.load_model("double_well", s=1.3), np.linspace(-1.8, 1.8, 181)
    loss = model.loss((x,), model.params)
    # p = exp(-2 L / (T s^2)), so -T ln p = 2 L / s^2.
    assert np.allclose(ito_potential(model, sde.Hyper(0.3), x), 2.0 / 1.3**2 * (loss - loss.min()), atol=1e-12)


def test_the_minimum_moves_to_where_the_noise_is_weak() -> None:
    """The effective potential of noisy regression is lowest nearer to the quiet point than the loss is."""
    model, hyper = sde.load_model("linear_regression_1d", law="gaussian", noise=1.0), sde.Hyper(0.4, 1, 0.5)
    x = np.linspace(-1.0, 2.0, 3001)
    lowest = x[np.argmin(ito_potential(model, hyper, x))]
    calm = model.params.a2 / model.params.a1
    least_loss = model.params.b2 / (model.params.b1 + hyper.weight_decay)
    assert abs(lowest - calm) < abs(least_loss - calm) - 0.02


def test_the_potential_of_an_ensemble_has_a_band_that_holds_the_exact_one() -> None:
    model, hyper = sde.load_model("double_well"), sde.Hyper(1.0)
    law = stationary(
        model, hyper, method="ensemble", dynamics=sde.Langevin(dt=0.02), seed=3, paths=1024, time=40.0, bins=60
    )
    found = effective_potential(law)
    x, band = found["x"].values, found["potential_error"].values
    good = np.isfinite(band) & (band < 0.05)
    exact = 2.0 * (0.25 * x**4 - 0.5 * x**2)
    gap = (found["potential"].values - exact)[good]
    gap = gap - np.average(gap, weights=1.0 / band[good] ** 2)
    # A bin of width 0.1 averages the density: allow its curvature beside five errors.
    assert np.all(np.abs(gap) < 5.0 * band[good] + 0.02)
    assert good.sum() > 20


def test_an_ito_equation_with_the_entropic_drift_counts_the_noise_force_twice() -> None:
    """f = u w x on its valley: the charge u^2 - w^2 decays at T g, at twice that with -grad F.

    Ito drift of q = u^2 - w^2 under d theta = f dt + sqrt(T) G dW: 2 u f_u - 2 w f_w + T (G_u^2 - G_w^2).
    """
    model, hyper = sde.load_model("two_layer_scalar", law="gaussian", target=1.0, noise=0.5), sde.Hyper(0.05)
    theta = np.array([1.6, 1.0 / 1.6])
    factor = np.array(model.noise_factor(tuple(theta), model.params))[:, 0]
    force = entropic_force(model, hyper, theta)
    signs, charge = np.array([1.0, -1.0]), theta[0] ** 2 - theta[1] ** 2
    plain = hyper.temperature * np.sum(signs * factor**2) / charge  # grad L = 0 on the valley
    doubled = plain + 2.0 * np.sum(signs * theta * force) / charge
    flow = 2.0 * np.sum(signs * theta * force) / charge
    assert plain == pytest.approx(-0.05 * 0.25, rel=1e-12)  # -eta s^2
    assert flow == pytest.approx(plain, rel=1e-12)  # the flow of F alone has the same drift
    assert doubled == pytest.approx(2.0 * plain, rel=1e-12)  # the trap


def test_a_point_mass_has_no_potential() -> None:
    model = sde.load_model("two_layer_scalar", law="two_point", noise=3.0)
    law = stationary(model, sde.Hyper(0.4), method="fokker_planck")
    with pytest.raises(Incompatible, match="has no density"):
        effective_potential(law)
    with pytest.raises(Incompatible, match="use effective_potential"):
        ito_potential(model, sde.Hyper(0.1), [0.1, 0.2])


def test_the_figure_marks_the_minima_of_all_three() -> None:
    hyper, v = sde.Hyper(0.4, 1, 0.3), np.linspace(-1.0, 3.0, 401)
    law = stationary(REGRESSION, hyper, method="closed_form")
    loss = REGRESSION.loss((v,), REGRESSION.params) + 0.15 * v * v
    ax = draw(law, loss=(v, loss), entropic_loss=(v, entropic_loss(REGRESSION, hyper, v[None])))
    ax.figure.canvas.draw()
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert len(labels) == 3
    assert labels[0].endswith(f"minimum at {v[np.argmin(loss)]:.3g}")


PAIRS = ((1.0, 0.5), (-0.5, -0.2), (0.8, 0.1), (0.3, 0.9), (-1.0, -1.4), (0.6, 0.2))
STORED = sde.load_model("linear_regression_1d", law="table", table=PAIRS)
WITHOUT = sde.Langevin(sampling="without_replacement")


@pytest.mark.parametrize("method", ["closed_form", "fokker_planck"])
def test_the_potential_of_batches_without_replacement_is_in_units_of_their_temperature(method: str) -> None:
    hyper = sde.Hyper(0.3, 4)
    law = stationary(STORED, hyper, method=method, dynamics=WITHOUT)  # type: ignore[arg-type]
    effective = effective_potential(law)
    v = effective["v"].values
    near = np.abs(v - law.lines[0].mean) < 2.0 * law.lines[0].variance ** 0.5
    ito = ito_potential(STORED, hyper, v[near], sampling="without_replacement")
    slope = np.polyfit(ito, effective["potential"].values[near], 1)[0]
    assert slope == pytest.approx(1.0, rel=1e-6)  # 2.5 with T = eta / batch
    assert effective.attrs["temperature"] == pytest.approx(0.3 / 4 * 2 / 5)
    assert effective.attrs["sampling"] == "without_replacement"


def test_a_landscape_takes_sampling_and_momentum_of_its_law() -> None:
    hyper = sde.Hyper(0.3, 4)
    law = stationary(STORED, hyper, method="fokker_planck", dynamics=WITHOUT)
    found, told, iid = (sde.landscape(STORED, hyper, law, **how) for how in ({}, WITHOUT_ALSO, {"sampling": "iid"}))
    assert np.array_equal(found["entropic_loss"], told["entropic_loss"])
    assert not np.allclose(found["entropic_loss"], iid["entropic_loss"], rtol=1e-3)
    bowl = sde.load_model("quadratic")
    heavy = stationary(bowl, sde.Hyper(0.1), dynamics=sde.Sgd(momentum=0.5))
    assert sde.landscape(bowl, sde.Hyper(0.1), heavy).attrs["momentum"] == 0.5
    with pytest.raises(Incompatible, match="give a law of this model at these hyperparameters"):
        sde.landscape(bowl, sde.Hyper(0.2), heavy)


WITHOUT_ALSO = {"sampling": "without_replacement"}


@pytest.mark.parametrize("momentum", [0.0, 0.5, 0.9])
def test_the_potential_of_heavy_ball_is_that_of_the_loss_at_a_small_step(momentum: float) -> None:
    """Unit curvature and noise: -T ln p = x^2 (1 - eta / (2 (1 + momentum))) with T = eta / (batch (1 - momentum))."""
    law = stationary(sde.load_model("quadratic"), sde.Hyper(0.01), dynamics=sde.Sgd(momentum=momentum))
    found = effective_potential(law)
    x, height = found["x0"].values, found["potential"].values
    shrunk = 1.0 - 0.005 / (1.0 + momentum)
    assert np.polyfit(x**2, height, 1)[0] == pytest.approx(shrunk, rel=1e-3)
    assert found.attrs["temperature"] == pytest.approx(0.01 / (1.0 - momentum))


def test_without_noise_there_is_no_temperature() -> None:
    full = sde.Hyper(0.3, 6)
    for dynamics in (WITHOUT, sde.Sgd("without_replacement")):
        with pytest.raises(Incompatible, match="a batch of all 6 examples without replacement has no noise: T = 0"):
            stationary(STORED, full, dynamics=dynamics)
    with pytest.raises(Incompatible, match="a batch of all 6 examples without replacement has no noise: T = 0"):
        ito_potential(STORED, full, [0.1, 0.2], sampling="without_replacement")
    with pytest.raises(Incompatible, match="is a flow without noise: T = 0"):
        stationary(STORED, full, method="ensemble", dynamics=sde.GradientFlow(), seed=1)


def test_the_potential_of_a_law_along_a_curve_is_that_of_its_density_there() -> None:
    """On a bowl p = N(0, S) in the plane, so -T ln p = T x^T S^-1 x / 2 along any curve, an ellipse for one."""
    model = sde.load_model("quadratic", hessian=[[1.0, 0.2], [0.2, 3.0]], covariance=[[1.0, 0.3], [0.3, 2.0]])
    hyper, angle = sde.Hyper(0.2), np.linspace(0.0, 6.0, 25)
    law = stationary(model, hyper, method="closed_form")
    curve = np.array([0.6 * np.cos(angle), 0.3 * np.sin(angle)])
    found = sde.profile(model, hyper, curve, law=law)["potential"].values
    inverse = np.linalg.inv(law.dataset.attrs["covariance"].reshape(2, 2))
    exact = 0.5 * hyper.temperature * np.einsum("in,ij,jn->n", curve, inverse, curve)
    assert np.abs(found - exact).max() < 2e-3 * exact.max()
    assert np.abs(found - 1.02 * exact).max() > 5e-3 * exact.max()
    far = sde.profile(model, hyper, 100.0 * curve, law=law)
    assert np.isnan(far["potential"]).all()
    with pytest.raises(Incompatible, match="was asked for; give a law of this model"):
        sde.profile(model, sde.Hyper(0.3), curve, law=law)
