"""A verdict of agreement can fail, says what it would have seen, and compares like with like; laws are never pooled."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import sde_engine as sde
from sde_engine import verify
from sde_engine.stationary_law import StationaryLaw, compared, stationary

WELL = sde.load_model("double_well")
COIN = sde.load_model("two_layer_scalar")
BOWL = sde.load_model("quadratic")
STEP = sde.Langevin(dt=0.02)


def tilted(theta: Any, p: Any) -> Any:
    x = theta[0]
    return ((x * x - p.mu) * x + 0.1,)


TILTED = replace(WELL, name="tilted", gradient=tilted)


def exact(eta: float = 1.0) -> StationaryLaw:
    return stationary(BOWL, sde.Hyper(eta))


def with_errors(law: StationaryLaw, share: float) -> StationaryLaw:
    """Return a law whose moments and quantiles are known up to a share of themselves."""
    line = law.lines[0]
    spread = share * line.variance**0.5
    vague = replace(
        line,
        mean_error=spread,
        variance_error=share * line.variance,
        quantile_errors=0.0 * line.quantiles + spread,
        cdf_error=share,
    )
    return replace(law, method="ensemble", lines=(vague,))


@pytest.mark.parametrize(("paths", "time"), [(2, 1.0), (4, 0.5), (64, 0.5)])
def test_of_an_ensemble_that_has_not_converged_nothing_is_told(paths: int, time: float) -> None:
    law = stationary(WELL, sde.Hyper(1.0), method="all", dynamics=STEP, seed=1, paths=paths, time=time)
    assert law.agrees is None
    assert law.agreement.startswith("cannot tell whether the routes")
    assert "not converged: starts are not forgotten" in law.agreement
    assert not law.routes[-1].is_converged


def test_agreement_says_what_it_would_have_seen() -> None:
    law = exact()
    known = compared((law, with_errors(law, 0.01)))
    assert known.agrees is True
    assert known.resolution == pytest.approx(0.04, rel=0.3)  # 4 errors of a hundredth
    assert f"differences above {known.resolution:.1%} would be seen" in known.agreement
    vague = compared((law, with_errors(law, 0.2)))
    assert vague.agrees is None
    assert "only differences above" in vague.agreement


def test_what_agreement_would_have_seen_is_no_less_than_what_the_distributions_would_have_shown() -> None:
    law = exact()
    blurred = with_errors(law, 0.001)
    for share, resolution in ((0.0, 0.004), (0.03, 0.12)):
        line = replace(blurred.lines[0], cdf_error=share)
        assert compared((law, replace(blurred, lines=(line,)))).resolution == pytest.approx(resolution, rel=0.3)


def distance(one: StationaryLaw, other: StationaryLaw) -> float:
    return max(compared((one, other)).distances.values())


@pytest.mark.parametrize("eta", [1.0, 1.4])
def test_an_ensemble_on_a_ray_has_no_mass_beyond_0_and_knows_the_law_close_to_it(eta: float) -> None:
    """Gamma laws at 0.5 and 0.7 T_c: a twentieth of the mass lies below 2e-3 and 8e-7, the deviation is 0.7."""
    law = stationary(COIN, sde.Hyper(eta), method="ensemble", seed=1, paths=1024, time=60.0)
    truth, line = stationary(COIN, sde.Hyper(eta)), law.lines[0]
    assert law.is_converged, law.verdict
    assert line.cdf(np.array([-1.0, 0.0])).tolist() == [0.0, 0.0]
    assert float(law.dataset["v"].min()) > 0.0
    gap = np.abs(line.quantiles - truth.lines[0].quantiles)
    assert np.all(gap < 5.0 * line.quantile_errors)
    assert np.all(line.quantile_errors < 0.5 * truth.lines[0].quantiles)
    assert line.cdf_error < 0.01
    assert distance(truth, law) < 5.0 * line.cdf_error
    hotter = stationary(COIN, sde.Hyper(1.2 * eta))
    assert distance(hotter, law) > 5.0 * line.cdf_error


@pytest.mark.parametrize("error", [np.inf, np.nan])
def test_errors_that_are_no_numbers_are_no_agreement(error: float) -> None:
    law = exact()
    assert compared((law, with_errors(law, error))).agrees is None
    # One number that is known is enough to see with, and to be wrong with.
    line = with_errors(law, error).lines[0]
    for quantiles, agrees in ((line.quantiles, True), (1.1 * line.quantiles, False)):
        sharp = replace(line, quantiles=quantiles, quantile_errors=0.0 * quantiles + 1e-3)
        assert compared((law, replace(law, method="ensemble", lines=(sharp,)))).agrees is agrees


def test_a_temperature_five_percent_off_is_seen_where_four_errors_are_less() -> None:
    for share, agrees in ((0.005, False), (0.05, True)):
        assert compared((exact(1.05), with_errors(exact(), share))).agrees is agrees


def test_the_law_of_three_layers_is_known_well_enough_to_see_five_percent() -> None:
    """Its variance has an infinite error: quantiles, and steps small enough for the tail, are what sees."""
    outcome = verify.examine("diagonal-three", seed=2)
    assert outcome.holds, outcome.law.agreement
    assert outcome.is_sharp
    assert outcome.law.resolution < 0.05


def test_collapsed_laws_are_compared_by_their_rate_of_collapse() -> None:
    hot = sde.load_model("two_layer_scalar", noise=3.0)
    law = stationary(hot, sde.Hyper(0.5), method="all", seed=1, paths=64, time=200.0)
    assert law.agrees is True, law.agreement
    rates = {route.method: route.collapse_rate for route in law.routes}
    assert rates["closed_form"][0] == pytest.approx(1.0 - 0.5 * 0.5 * 9.0, rel=1e-12)  # A - T sigma^2 / 2
    assert rates["fokker_planck"][0] == pytest.approx(rates["closed_form"][0], rel=1e-6)
    assert 0.0 < law.resolution < 0.01
    wrong = stationary(hot, sde.Hyper(0.51))
    assert compared((wrong, law.routes[-1])).agrees is False


def test_an_ensemble_in_two_wells_gives_a_law_of_each_and_not_their_mixture() -> None:
    """Tilted wells at T = 0.03: the law is at -1.03, and paths that start at the right stay at 0.95."""
    law = stationary(TILTED, sde.Hyper(0.03), method="ensemble", dynamics=STEP, seed=1, paths=512, time=40.0)
    found = (law, *law.others)
    assert sorted(round(one.lines[0].mean) for one in found) == [-1, 1]
    assert all("metastable" in one.label and one.escape_rate != 0.0 for one in found)
    assert "stay elsewhere until t = 40 (R-hat" in law.reason
    truth = stationary(TILTED, sde.Hyper(0.03), method="fokker_planck")
    left = min(found, key=lambda one: one.lines[0].mean)
    assert abs(left.lines[0].mean - truth.lines[0].mean) < 4.0 * left.lines[0].mean_error
    both = stationary(TILTED, sde.Hyper(0.03), method="all", dynamics=STEP, seed=1, paths=512, time=40.0)
    assert both.agrees is None
    assert "metastable" in both.agreement or "end among those of other starts" in both.agreement


def test_wells_that_paths_cross_are_one_law() -> None:
    law = stationary(TILTED, sde.Hyper(1.0), method="ensemble", dynamics=STEP, seed=1, paths=512, time=40.0)
    assert not law.others
    assert law.is_converged, law.verdict
    assert law.escape_rate == 0.0


@pytest.mark.parametrize("method", ["closed_form", "fokker_planck", "all"])
def test_every_exact_route_lists_the_laws_of_the_other_signs(method: Any) -> None:
    law = stationary(COIN, sde.Hyper(0.3), method=method, seed=1, paths=64, time=20.0)
    kinds = {one.label: one.is_point_mass for one in (law, *law.others)}
    assert kinds == {
        "(u, w) = (r, r), r > 0": False,
        "(u, w) = (-r, -r), r > 0": False,
        "(u, w) = (r, -r), r > 0": True,
        "(u, w) = (-r, r), r > 0": True,
    }


def test_an_ensemble_lists_the_laws_that_paths_beside_a_ray_stay_at() -> None:
    """Paths that start beside (r, -r) leave it for a ray of the right sign: no law of v < 0 is theirs."""
    law = stationary(COIN, sde.Hyper(0.3), method="ensemble", seed=1, paths=64, time=20.0)
    assert [one.label for one in (law, *law.others)] == ["(u, w) = (r, r), r > 0", "(u, w) = (-r, -r), r > 0"]
