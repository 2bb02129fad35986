"""Laws are declared by the model: a changed formula drops them, a wrong density is refused, a user states their own."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from my_own_model import MODEL as valley

import sde_engine as sde
from sde_engine.errors import Incompatible
from sde_engine.model import Model
from sde_engine.stationary_law import stationary
from sde_engine.stationary_law.routes import exact_routes
from sde_engine.stationary_law.support import supports
from sde_engine.theory.density import ClosedLaw, Joint, Known, gaussian

REGRESSION = sde.load_model("linear_regression_1d", law="gaussian", noise=0.5)
PLANE = sde.load_model("quadratic", hessian=((1.0, 0.2), (0.2, 3.0)), covariance=((1.0, 0.5), (0.5, 2.0)))
HYPER = sde.Hyper(0.3)


def doubled(theta: Any, p: Any) -> Any:
    return tuple(2.0 * g for g in REGRESSION.gradient(theta, p))


def test_a_changed_formula_drops_the_declared_laws() -> None:
    changed = replace(REGRESSION, gradient=doubled)
    assert not changed.closed_forms
    for dynamics in (None, sde.Sgd()):
        with pytest.raises(Incompatible, match="no closed form of the law of v is known"):
            stationary(changed, HYPER, dynamics=dynamics)
    kept = replace(REGRESSION, params=REGRESSION.params._replace(b1=2.0))
    assert stationary(kept, HYPER).lines[0].mean == pytest.approx(0.5)  # a closed form is one of the parameters


def test_no_law_is_found_by_a_models_name() -> None:
    named = replace(valley(), name="quadratic", components=("x0", "x1"))
    with pytest.raises(Incompatible, match="no closed form"):
        stationary(named, HYPER)
    renamed = replace(REGRESSION, name="mine")
    assert stationary(renamed, HYPER).lines[0].variance == stationary(REGRESSION, HYPER).lines[0].variance


def test_a_law_declared_for_another_equation_is_refused() -> None:
    changed = replace(replace(REGRESSION, gradient=doubled), closed_forms=REGRESSION.closed_forms)
    with pytest.raises(Incompatible, match="is no law of its equation"):
        stationary(changed, HYPER)
    places = supports(changed, HYPER, None)
    routes, _ = exact_routes(changed, HYPER, sde.Langevin(), places, "all", None, None, True)
    assert [route.method for route in routes] == ["fokker_planck"]


def warmer(model: Model, share: float) -> Mapping[str, Any]:
    """Return the closed forms of a model for another temperature."""
    forms = model.closed_forms
    at = {"law": lambda p, h: forms["law"](p, h._replace(eta=share * h.eta))}
    if "law_on_ray" in forms:
        at |= {"law_on_ray": lambda p, h, ray: forms["law_on_ray"](p, h._replace(eta=share * h.eta), ray)}
    return at


SHARP = {
    "power tail": REGRESSION,
    "ray": sde.load_model("two_layer_scalar", law="gaussian", noise=0.5),
    "two wells": sde.load_model("double_well"),
    "plane": PLANE,
}


@pytest.mark.parametrize("name", SHARP)
def test_a_law_of_a_temperature_one_percent_off_is_refused_and_the_right_one_is_exact(name: str) -> None:
    model = SHARP[name]
    assert stationary(model, HYPER).verdict.startswith("exact: relative residual of the stationary equation")
    key = "law_on_ray" if name == "ray" else "law"
    with pytest.raises(Incompatible, match=rf"is no law of its equation .*; mend closed_forms\['{key}'\]"):
        stationary(replace(model, closed_forms=warmer(model, 1.01)), HYPER)


@pytest.mark.parametrize("eta", [1e-6, 1e-3, 0.3])
def test_the_residual_of_a_right_law_is_small_at_any_temperature(eta: float) -> None:
    for model in SHARP.values():
        assert float(stationary(model, sde.Hyper(eta)).verdict.split()[-1]) < (1e-4 if eta > 1e-4 else 0.05)


def test_a_users_own_law_in_the_plane_is_held_against_the_equation() -> None:
    """x and y independent: noise s in both, forces -x^3 and -y."""

    def density(x: tuple[np.ndarray, ...]) -> Any:
        return np.exp(-2.0 / 0.3 * (0.25 * x[0] ** 4 + 0.5 * x[1] ** 2))

    points = np.linspace(-3.0, 3.0, 4001)
    weight = np.exp(-2.0 / 0.3 * 0.25 * points**4)
    total = weight.sum() * (points[1] - points[0]) * np.sqrt(np.pi * 0.3)
    variance = float((weight * points**2).sum() / weight.sum())
    found = Joint(np.zeros(2), np.diag([variance, 0.15]), lambda x: density(x) / total)
    model = replace(
        valley(),
        gradient=lambda theta, p: (theta[0] ** 3, theta[1]),
        noise_factor=lambda theta, p: ((1.0, 0.0), (0.0, 1.0)),
        noise_kind="additive",
        closed_forms={"law": lambda p, hyper: found},
    )
    law, solved = (stationary(model, HYPER, method=method, cells=96) for method in ("closed_form", "fokker_planck"))  # type: ignore[arg-type]
    assert law.verdict.startswith("exact")
    for mine, theirs in zip(law.lines, solved.lines, strict=True):
        assert mine.variance == pytest.approx(theirs.variance, rel=1e-3)
        gap = np.abs(mine.quantiles - theirs.quantiles)
        assert np.all(gap < 4.0 * (mine.quantile_errors + theirs.quantile_errors))
        assert np.all(mine.quantile_errors < 0.03 * np.sqrt(mine.variance))
    with pytest.raises(Incompatible, match="is no law of its equation"):
        stationary(model, sde.Hyper(0.33))


def test_a_users_own_moments_are_laws_in_any_dimension() -> None:
    wide = sde.load_model("quadratic", hessian=np.diag([1.0, 2.0, 3.0, 4.0, 5.0]))
    spread = 0.3 / (2.0 * np.arange(1.0, 6.0))
    moments = {f"x{k}": Known(0.0, spread[k]) for k in range(5)}
    for stated in (moments, Joint(np.zeros(5), np.diag(spread)), gaussian(np.zeros(5), np.diag(spread))):
        found = stationary(replace(wide, closed_forms={"law": lambda p, hyper, it=stated: it}), HYPER)
        assert [line.variance for line in found.lines] == pytest.approx(list(spread))
        assert "exact" in found.verdict
    some = replace(wide, closed_forms={"law": lambda p, hyper: {"x0": moments["x0"]}})
    with pytest.raises(Incompatible, match="no closed form of the law of x1, x2, x3, x4 is known .* known: x0;"):
        stationary(some, HYPER)


def test_a_declared_law_sees_the_temperature_of_the_sampling() -> None:
    rows = ((1.0, 0.5), (-0.5, -0.2), (0.8, 0.1), (0.3, 0.9))
    model = sde.load_model("linear_regression_1d", law="table", table=rows)
    seen = []

    def stated(p: Any, hyper: sde.Hyper) -> ClosedLaw:
        seen.append(hyper.temperature)
        return model.closed_forms["law"](p, hyper)

    mine = replace(model, closed_forms={"law": stated})
    stationary(mine, sde.Hyper(0.3, 2), dynamics=sde.Langevin(sampling="without_replacement"))
    assert seen == pytest.approx([0.15 * 2.0 / 3.0])  # and is asked once
