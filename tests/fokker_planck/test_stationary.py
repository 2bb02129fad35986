"""stationary(): three routes to one law, labelled, with errors that hold."""

from functools import partial
from typing import Any

import numpy as np
import pytest
import xarray
from my_own_model import MODEL as valley

import sde_engine as sde
from sde_engine.errors import Incompatible, SpecError
from sde_engine.fokker_planck import Axis, Grid
from sde_engine.stationary_law import StationaryLaw, stationary

GAUSSIAN = {"law": "gaussian", "target": 1.0, "noise": 0.5}
CLOSED = [
    ("linear_regression_1d", GAUSSIAN, sde.Hyper(0.2, 1, 0.1)),
    ("two_layer_scalar", GAUSSIAN, sde.Hyper(0.4)),
    ("two_layer_scalar", {"law": "two_point", "noise": 1.0}, sde.Hyper(0.3, 1, 0.1)),
    ("diagonal_network", {"depth": 2, **GAUSSIAN}, sde.Hyper(0.4)),
    ("diagonal_network", {"depth": 3, **GAUSSIAN}, sde.Hyper(0.4)),
    ("double_well", {}, sde.Hyper(0.5)),
    ("double_well", {"noise": "multiplicative"}, sde.Hyper(0.5, 1, 0.2)),
    ("quadratic", {"hessian": [[1.0, 0.2], [0.2, 3.0]], "covariance": [[1.0, 0.5], [0.5, 2.0]]}, sde.Hyper(0.2)),
    ("quadratic", {"hessian": 2.0, "covariance": 0.5}, sde.Hyper(0.2, 1, 0.3)),
]


@pytest.mark.parametrize(("name", "parameters", "hyper"), CLOSED)
def test_the_fokker_planck_route_gives_every_closed_form(name: str, parameters: dict, hyper: sde.Hyper) -> None:
    model = sde.load_model(name, **parameters)
    solved = stationary(model, hyper, method="fokker_planck")
    exact = stationary(model, hyper, method="closed_form")
    for a, b in zip(solved.lines, exact.lines, strict=True):
        assert a.mean == pytest.approx(b.mean, abs=1e-6)
        if np.isfinite(b.variance):
            assert abs(a.variance - b.variance) <= 4.0 * a.variance_error + 1e-9
            assert a.variance == pytest.approx(b.variance, rel=1e-4)
        assert np.max(np.abs(b.cdf(a.quantiles) - solved.dataset["probability"].values)) < 1e-4
    assert solved.dataset.attrs["residual"] < 1e-10
    assert np.allclose(solved.density, exact.density, atol=2e-4 * float(exact.density.max()))


@pytest.mark.parametrize(
    ("name", "parameters", "hyper", "dynamics"),
    [
        ("double_well", {}, sde.Hyper(1.0), sde.Langevin(dt=0.02)),
        ("quadratic", {"hessian": [[1.0, 0.2], [0.2, 3.0]]}, sde.Hyper(0.2), None),
    ],
)
def test_all_routes_agree(name: str, parameters: dict, hyper: sde.Hyper, dynamics: sde.Langevin | None) -> None:
    model = sde.load_model(name, **parameters)
    law = stationary(model, hyper, method="all", dynamics=dynamics, seed=1, paths=1024, time=60.0)
    assert [route.method for route in law.routes] == ["closed_form", "fokker_planck", "ensemble"]
    assert "agree within their errors" in law.agreement
    assert max(law.distances.values()) < 0.02


def test_routes_of_different_temperatures_do_not_agree() -> None:
    from sde_engine.stationary_law import compared

    model = sde.load_model("double_well")
    one = stationary(model, sde.Hyper(0.5), method="fokker_planck")
    other = stationary(model, sde.Hyper(0.51), method="closed_form")
    assert "do not agree" in compared((one, other))[1]


def test_a_users_own_model_gets_its_law_by_two_routes() -> None:
    law = stationary(
        valley(),
        sde.Hyper(0.3),
        method="all",
        seed=2,
        paths=1024,
        time=40.0,
        dynamics=sde.Langevin(scheme="adaptive_euler"),
        cells=128,
    )
    assert [route.method for route in law.routes] == ["fokker_planck", "ensemble"]
    assert "agree within their errors" in law.agreement
    assert law.density.dims == ("x", "y")
    assert float(law.density.min()) >= 0.0


def test_a_collapsed_law_is_a_point_mass_and_laws_of_other_signs_are_listed() -> None:
    model = sde.load_model("two_layer_scalar", law="two_point", noise=3.0)
    cold, hot = sde.Hyper(0.1), sde.Hyper(0.3)  # T_c = 2 / 9
    alive, dead = (stationary(model, h, method="fokker_planck") for h in (cold, hot))
    assert not alive.is_point_mass
    assert dead.is_point_mass
    assert dead.lines[0].mean == 0.0
    assert "piles up" in dead.reason
    assert stationary(model, hot, method="closed_form").is_point_mass
    kinds = {other.label: other.is_point_mass for other in alive.others}
    assert kinds["(u, w) = (-r, -r), r > 0"] is False
    assert kinds["(u, w) = (r, -r), r > 0"] is True


def test_a_metastable_law_is_reported_with_its_escape_rate() -> None:
    """Three layers with weight decay: the truth is the collapsed state, the learned one lives for a finite time."""
    model = sde.load_model("diagonal_network", law="two_point", depth=2, target=1.0, noise=1.0)
    law = stationary(model, sde.Hyper(0.2, 1, 0.2), method="fokker_planck")
    assert law.is_point_mass
    stays = next(other for other in law.others if "metastable" in other.label)
    assert 0.0 < stays.escape_rate < 0.1
    assert stays.lines[0].mean == pytest.approx(0.65, abs=0.15)


def test_both_signs_of_a_multiplicative_well_are_laws_of_their_own() -> None:
    law = stationary(sde.load_model("double_well", noise="multiplicative"), sde.Hyper(0.5), method="fokker_planck")
    assert law.lines[0].mean > 0.0
    assert law.others[0].lines[0].mean == pytest.approx(-law.lines[0].mean, rel=1e-10)


def test_sgd_has_a_law_of_its_own_that_the_fokker_planck_equation_does_not_give() -> None:
    model, hyper = sde.load_model("quadratic", hessian=1.0), sde.Hyper(0.5)
    law = stationary(model, hyper, method="ensemble", dynamics=sde.Sgd(), seed=4, paths=512, time=100.0)
    assert law.lines[0].variance == pytest.approx(0.5 / 1.5, rel=0.02)  # eta / (2 - eta); the equation has eta / 2
    with pytest.raises(Incompatible, match="gives the law of the Ito equation"):
        stationary(model, hyper, method="fokker_planck", dynamics=sde.Sgd())


def test_a_law_is_written_and_read_back(tmp_path: object) -> None:
    model = sde.load_model("two_layer_scalar", **GAUSSIAN)
    law: StationaryLaw = stationary(model, sde.Hyper(0.3), method="fokker_planck")
    path = law.to_hdf5(f"{tmp_path}/law.h5")
    with xarray.open_dataset(path, engine="h5netcdf") as read:
        assert np.array_equal(read["density"].values, law.density.values)
        assert read.attrs["eta"] == 0.3
        assert read.attrs["interpretation"] == "ito"
        assert "u_w_r_minus_r_r_above_0_mean" in read
        assert "residual" in read.attrs["verdict"]
    again = sde.open_results(path)
    assert np.array_equal(again["density"].values, law.density.values)


def test_wrong_requests_are_refused_in_words() -> None:
    model, hyper = sde.load_model("double_well"), sde.Hyper(0.5)
    for asked in (stationary, partial(sde.relaxation, lag=1.0, seed=1), partial(sde.profile, theta=np.zeros((1, 2)))):
        with pytest.raises(SpecError, match="model is 'double_well'; a Model"):
            asked("double_well", hyper)  # type: ignore[operator]
    with pytest.raises(SpecError, match="did you mean 'fokker_planck'"):
        stationary(model, hyper, method="fokker_plank")  # type: ignore[arg-type]
    with pytest.raises(SpecError, match="no default seed"):
        stationary(model, hyper, method="ensemble")
    with pytest.raises(Incompatible, match="no closed form"):
        stationary(valley(), hyper)
    wide = sde.load_model("quadratic", hessian=np.eye(4))
    with pytest.raises(Incompatible, match="use method='ensemble'"):
        stationary(wide, hyper, method="fokker_planck")


@pytest.mark.parametrize("share", [0.9, 0.99, 0.9999])
def test_moments_hold_up_to_the_critical_temperature(share: float) -> None:
    """P(v < e) ~ e^kappa with kappa = (T_c / T - 1) / 2: at 0.9999 T_c most of the law lies below the smallest double."""
    model = sde.load_model("two_layer_scalar", **GAUSSIAN)
    critical = model.closed_forms["critical_temperature"](model.params, 0.0)
    line = stationary(model, sde.Hyper(share * critical), method="fokker_planck").lines[0]
    exact = model.closed_forms["law"](model.params, sde.Hyper(share * critical))
    assert line.mean == pytest.approx(exact.mean, rel=1e-7)
    assert line.variance == pytest.approx(exact.var, rel=1e-7)
    v = np.geomspace(1e-250, 1.0, 40)
    assert np.abs(line.cdf(v) - exact.cdf(v)).max() < 1e-4
    if share == 0.99:
        assert line.mean == pytest.approx(0.04801, abs=1e-5)
        assert line.variance == pytest.approx(0.05052, abs=1e-5)
    beyond = stationary(model, sde.Hyper((2.0 - share) * critical), method="fokker_planck")
    assert beyond.is_point_mass


def test_the_mirrored_ray_has_the_mirrored_law_near_collapse() -> None:
    """Multiplicative well at T s^2 = 1.9 of 2: the part of the law next to 0 lies at the upper end of x < 0."""
    model = sde.load_model("double_well", noise="multiplicative")
    law, exact = (stationary(model, sde.Hyper(1.9), method=m) for m in ("fokker_planck", "closed_form"))  # type: ignore[arg-type]
    assert law.lines[0].mean == pytest.approx(exact.lines[0].mean, rel=1e-8)
    x = np.geomspace(1e-100, 1.0, 20)
    assert law.others[0].lines[0].cdf(-x) == pytest.approx(1.0 - exact.lines[0].cdf(x), abs=1e-4)


@pytest.mark.parametrize(
    "route", [{"method": "fokker_planck"}, {"method": "transfer_operator", "dynamics": sde.Sgd(), "cells": 200}]
)
def test_an_observable_that_does_not_move_along_a_ray_is_refused(route: Any) -> None:
    with pytest.raises(Incompatible, match="q does not change monotonically"):
        stationary(sde.load_model("two_layer_scalar"), sde.Hyper(0.3), observable="q", **route)


def test_an_ensemble_keeps_to_one_of_several_laws() -> None:
    """Paths of both signs would have mean 0: the law of x > 0 is that of paths that start there."""
    model = sde.load_model("double_well", noise="multiplicative")
    law = stationary(model, sde.Hyper(0.5), method="all", seed=3, paths=512, time=40.0)
    assert law.agrees, law.agreement
    assert law.routes[-1].method == "ensemble"
    assert law.routes[-1].lines[0].mean > 0.5


@pytest.mark.parametrize(
    "covariance", [((1.0, 0.5), (0.5, 2.0)), ((1.0, 0.9), (0.9, 1.0)), ((1.0, 0.995), (0.995, 1.0))]
)
@pytest.mark.parametrize("cells", [24, 48, 65])
def test_stated_errors_of_the_plane_hold(covariance: tuple, cells: int) -> None:
    """One scheme at both resolutions, an odd number of cells, and raised tensors, whose error is of first order."""
    model = sde.load_model("quadratic", hessian=((1.0, 0.2), (0.2, 3.0)), covariance=covariance)
    exact = stationary(model, sde.Hyper(0.2))
    law = stationary(model, sde.Hyper(0.2), method="fokker_planck", cells=cells)
    for a, b in zip(law.lines, exact.lines, strict=True):
        assert abs(a.variance - b.variance) <= 2.0 * a.variance_error
        assert np.max(np.abs(b.cdf(a.quantiles) - law.dataset["probability"].values)) <= 2.0 * a.cdf_error
    assert ("too coarse" in law.verdict) == (law.dataset.attrs["density_error"] >= 0.02)


def test_one_law_of_strongly_correlated_noise_by_two_routes() -> None:
    model = sde.load_model("quadratic", hessian=((1.0, 0.0), (0.0, 2.0)), covariance=((1.0, 0.97), (0.97, 1.0)))
    law, exact = (stationary(model, sde.Hyper(0.2), method=m, cells=96) for m in ("fokker_planck", "closed_form"))  # type: ignore[arg-type]
    assert law.others == ()
    assert law.lines[0].variance == pytest.approx(exact.lines[0].variance, rel=1e-3)


def test_a_verdict_names_its_doubts_and_a_share_of_mass_is_below_one() -> None:
    well, bowl = sde.load_model("double_well"), sde.load_model("quadratic", hessian=((1.0, 0.2), (0.2, 3.0)))
    for cells, is_coarse in ((8, True), (9, True), (201, False)):
        law = stationary(well, sde.Hyper(0.3), method="fokker_planck", cells=cells)
        assert ("not to be trusted: the grid is too coarse" in law.verdict) == is_coarse
        assert np.isfinite(law.dataset.attrs["density_error"])
    narrow = Grid((Axis(-0.5, 0.5, 64), Axis(-0.05, 0.05, 64)))
    cut = stationary(bowl, sde.Hyper(0.2), method="fokker_planck", grid=narrow)
    assert 0.5 < float(cut.dataset["mass_outside"]) < 1.0
    assert "does not hold the law" in cut.verdict
    assert "extrapolated" in cut.reason


@pytest.mark.parametrize("method", ["fokker_planck", "closed_form"])
def test_laws_without_noise_or_confinement_are_refused_in_words(method: str) -> None:
    asked = partial(stationary, method=method)
    table = ((1.0, 0.5), (-0.5, -0.2), (0.8, 0.1), (0.3, 0.9))
    for name in ("linear_regression_1d", "two_layer_scalar"):
        model = sde.load_model(name, law="table", table=table)
        with pytest.raises(Incompatible, match="batch of all 4 examples without replacement has no noise: T = 0"):
            asked(model, sde.Hyper(0.3, 4), dynamics=sde.Langevin(sampling="without_replacement"))
    with pytest.raises(Incompatible, match="diffusion is zero on the whole grid"):
        asked(sde.load_model("quadratic", covariance=0.0), sde.Hyper(0.2))
    with pytest.raises(sde.SdeEngineError, match="no stationary law"):
        asked(sde.load_model("quadratic", hessian=((-1.0,),)), sde.Hyper(0.2))


def test_a_saddle_is_not_normalisable() -> None:
    law = stationary(
        sde.load_model("quadratic", hessian=((1.0, 0.0), (0.0, -1.0))), sde.Hyper(0.2), method="fokker_planck", cells=48
    )
    assert not law.is_normalisable
    assert "piles up" in law.reason


def test_a_closed_form_along_a_line_has_no_density() -> None:
    model = sde.load_model("quadratic", hessian=np.eye(2), covariance=((1.0, 0.5), (0.5, 0.25)))
    with pytest.raises(Incompatible, match="no noise along one of the components or a mixture"):
        stationary(model, sde.Hyper(0.2))
