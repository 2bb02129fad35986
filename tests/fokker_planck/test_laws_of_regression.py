"""Linear regression in d dimensions through `stationary`: moments by closed form, the plane by Fokker-Planck, SGD by runs."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import sde_engine as sde
from sde_engine.errors import Incompatible, SpecError
from sde_engine.stationary_law import stationary
from sde_engine.testing import assert_within
from sde_engine.theory import linear_covariance as linear

PLANE = sde.load_model("linear_regression", spectrum=(1.0, 0.4), target=(1.0, -0.5))


def test_the_equation_in_the_plane_has_the_closed_moments_for_all_its_tails() -> None:
    """On real data; `verify` has the same for Gaussian inputs."""
    model = sde.load_model("linear_regression", law="diabetes", features=("bmi", "bp"))
    hyper = sde.Hyper(0.3, 2)
    solved = stationary(model, hyper, method="fokker_planck", cells=128)
    exact = stationary(model, hyper)
    for a, b in zip(solved.lines, exact.lines, strict=True):
        assert abs(a.mean - b.mean) < 4.0 * a.mean_error + 1e-7
        assert abs(a.variance - b.variance) < 4.0 * a.variance_error
        assert a.variance == pytest.approx(b.variance, rel=2e-3)
        assert abs(a.mean - b.mean) < 1e-5
    wrong = stationary(model, hyper._replace(eta=1.02 * hyper.eta))
    assert abs(wrong.lines[0].variance / exact.lines[0].variance - 1.0) > 0.015  # the partner


def test_the_closed_form_says_what_it_has_not() -> None:
    law = stationary(PLANE, sde.Hyper(0.1))
    assert "the density has no closed form" in law.verdict
    assert "density" not in law.dataset
    assert np.isnan(law.lines[0].quantiles).all()
    expected = linear.sde_covariance(linear.of_gaussian((1.0, 0.4), (1.0, -0.5), 0.25), 0.1)
    assert PLANE.closed_forms["covariance"](PLANE.params, sde.Hyper(0.1)) == pytest.approx(expected)
    assert [line.variance for line in law.lines] == pytest.approx(np.diag(expected), rel=1e-14)


@pytest.mark.parametrize(
    ("hyper", "dynamics", "words"),
    [
        (sde.Hyper(0.9), None, "second moments of the Ito equation are infinite at T = eta / batch = 0.9"),
        (sde.Hyper(0.7), sde.Sgd(), "second moments of SGD are infinite at eta = 0.7, batch = 1"),
    ],
)
def test_moments_that_do_not_exist_are_refused_with_the_reason(hyper: sde.Hyper, dynamics: Any, words: str) -> None:
    with pytest.raises(SpecError, match=words):
        stationary(PLANE, hyper, dynamics=dynamics)


def test_reshuffled_epochs_have_no_closed_moments() -> None:
    stored = sde.load_model("linear_regression", law="table", table=((1.0, 0.5, 0.2), (0.5, -1.0, 0.3)))
    with pytest.raises(Incompatible, match="with this sampling"):
        stationary(stored, sde.Hyper(0.1), dynamics=sde.Sgd("epoch"))


def test_sgd_and_gaussian_sgd_have_the_same_exact_moments_and_runs_have_them() -> None:
    hyper, dynamics = sde.Hyper(0.4, 2, 0.1), sde.Sgd(momentum=0.3, preconditioner=(1.0, 2.0))
    exact = stationary(PLANE, hyper, dynamics=dynamics)
    run = sde.simulate(PLANE, dynamics, hyper, paths=16_384, updates=300, burn_in=0.2, seed=3)
    wrong = stationary(PLANE, hyper._replace(eta=1.02 * hyper.eta), dynamics=dynamics)
    for a, b in zip(exact.lines, wrong.lines, strict=True):
        found, error = (float(run[f"{a.name}_variance{part}"]) for part in ("", "_stderr"))
        assert_within(4.0, found, a.variance, error, visible=0.04)
        assert_within(4.0, float(run[a.name]), a.mean, float(run[f"{a.name}_stderr"]))
        with pytest.raises(AssertionError, match="sigma from"):
            assert_within(4.0, found, b.variance, error, visible=0.04)
    plain = sde.Hyper(0.4, 2, 0.1)
    variances = [
        [line.variance for line in stationary(PLANE, plain, dynamics=d).lines] for d in (sde.Sgd(), sde.GaussianSgd())
    ]
    assert variances[0] == pytest.approx(variances[1], rel=1e-13)


def test_the_closed_moments_are_those_of_the_parameters_of_the_model() -> None:
    """Changed parameters change the law: label noise s^2 scales the variance of a bowl without a signal to fit."""
    noisy = replace(PLANE, params=PLANE.params._replace(noise=2.0 * PLANE.params.noise))
    ratio = stationary(noisy, sde.Hyper(0.2)).lines[0].variance / stationary(PLANE, sde.Hyper(0.2)).lines[0].variance
    assert ratio == pytest.approx(4.0, rel=1e-9)
