"""Scale-invariant losses through `stationary`: closed form, Fokker-Planck on the polar angle, ensemble; and refusals."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import sde_engine as sde
from sde_engine.components import scale_matrix
from sde_engine.errors import Incompatible, SpecError
from sde_engine.fokker_planck import resting_radius
from sde_engine.stationary_law import stationary

GAS = sde.load_model("scale_invariant")
HYPER = sde.Hyper(0.2, 1, 0.2)


@pytest.mark.parametrize(
    ("dimension", "mu", "hyper"),
    [
        (2, 1.0, sde.Hyper(0.3, 1, 0.3)),
        (3, 1.0, HYPER),
        (5, -2.0, sde.Hyper(0.5, 2, 0.4)),
        (4, 1.0, sde.Hyper(1e-4, 1, 0.3)),
    ],
)
def test_the_equation_of_the_polar_angle_has_the_closed_law(dimension: int, mu: float, hyper: sde.Hyper) -> None:
    model = sde.load_model("scale_invariant", dimension=dimension, mu=mu)
    solved, exact = (stationary(model, hyper, method=m) for m in ("fokker_planck", "closed_form"))
    assert [line.name for line in solved.lines] == [line.name for line in exact.lines] == ["energy", "radius"]
    for a, b in zip(solved.lines, exact.lines, strict=True):
        assert abs(a.mean - b.mean) <= 4.0 * (a.mean_error + b.mean_error)
        assert a.mean == pytest.approx(b.mean, rel=3e-6)
        assert a.variance == pytest.approx(b.variance, rel=1e-6)
    line = exact.lines[0]
    assert np.max(np.abs(line.cdf(solved.lines[0].quantiles) - solved.dataset["probability"].values)) < 1e-5
    assert float(solved.dataset["mass_outside"]) < 1e-20
    warmer = stationary(model, hyper._replace(eta=1.02 * hyper.eta))
    assert abs(warmer.lines[0].mean - line.mean) > 1e-3 * line.variance**0.5  # the partner


def test_all_routes_agree_on_a_sphere() -> None:
    euler = sde.Langevin("euler_maruyama", dt=0.01)
    law = stationary(GAS, HYPER, method="all", dynamics=euler, seed=1, paths=4096, time=60.0)
    assert [route.method for route in law.routes] == ["closed_form", "fokker_planck", "ensemble"]
    assert law.agrees, law.agreement
    energy, radius = law.routes[2].lines
    assert energy.mean == pytest.approx(0.1, rel=0.04)
    assert radius.mean == pytest.approx(1.0, rel=4e-3)
    assert radius.variance < 4e-4  # of the time step: the equation has none
    assert max(law.distances.values()) < 0.02
    assert "radius_density" in law.routes[2].dataset


def test_each_component_has_a_closed_law_and_the_radius_a_value() -> None:
    along, across = (stationary(GAS, HYPER, observable=name).lines[0] for name in ("x0", "x2"))
    assert along.mean == pytest.approx(-0.9, rel=1e-7)
    assert along.variance + 0.81 + 2.0 * across.variance == pytest.approx(1.0, rel=1e-7)
    assert across.quantiles[2] == pytest.approx(0.0, abs=1e-12)
    radius = stationary(GAS, HYPER, observable="radius")
    assert radius.lines[0].quantiles == pytest.approx(np.ones(5))
    assert "density" not in radius.dataset
    still = stationary(replace(GAS, params=GAS.params._replace(mu=0.0)), HYPER)
    found = {line.name: (line.mean, line.variance) for line in still.lines}
    assert (found["energy"], found["radius"]) == ((1.0, 0.0), (1.0, 0.0))
    assert found["x0"] == pytest.approx((0.0, 1.0 / 3.0), abs=1e-12)  # what fluctuates where the observables do not


def test_rotations_about_the_axis_leave_the_law_of_the_examples_alone_and_not_each_example() -> None:
    turn, _ = np.linalg.qr(np.random.default_rng(3).normal(size=(2, 2)))
    turn = np.block([[np.ones((1, 1)), np.zeros((1, 2))], [np.zeros((2, 1)), turn]])
    theta, draw = np.array([0.4, -1.1, 0.7]), (0.3, -0.8, 1.2)

    def at(state: Any) -> tuple[Any, Any, Any]:
        g = np.array(GAS.gradient(tuple(state), GAS.params))
        factor = np.array(GAS.noise_factor(tuple(state), GAS.params))
        return g, factor @ factor.T, np.array(GAS.example_gradient(tuple(state), draw, GAS.params))

    (g, c, one), (turned_g, turned_c, turned_one) = at(theta), at(turn @ theta)
    assert turned_g == pytest.approx(turn @ g, abs=1e-14)
    assert turned_c == pytest.approx(turn @ c @ turn.T, abs=1e-14)
    assert np.abs(turned_one - turn @ one).max() > 0.1


def test_the_radius_of_sgd_is_known_and_what_is_not_is_refused() -> None:
    hyper, sgd = sde.Hyper(0.02, 1, 0.5), sde.Sgd()
    law = stationary(GAS, hyper, dynamics=sgd, observable="radius")
    assert law.lines[0].mean > resting_radius(GAS, hyper)
    assert "as a series" in law.verdict
    for words, asked in (
        ("known: radius; ask for one of them", {"dynamics": sgd}),
        ("known in closed form for plain SGD", {"dynamics": sde.Sgd(momentum=0.5), "observable": "radius"}),
        ("x1 of 'scale_invariant' is no function of the polar angle", {"method": "fokker_planck", "observable": "x1"}),
        ("radius does not fluctuate in the Ito equation", {"method": "fokker_planck", "observable": "radius"}),
    ):
        with pytest.raises(Incompatible, match=words):
            stationary(GAS, hyper, **asked)  # type: ignore[arg-type]


def lopsided(theta: Any, p: Any) -> Any:
    """Noise that depends on where theta points: tangential still."""
    return scale_matrix(
        1.0 + 0.5 * theta[1] / (theta[0] ** 2 + theta[1] ** 2 + theta[2] ** 2) ** 0.5, GAS.noise_factor(theta, p)
    )


def slanted(theta: Any, p: Any) -> Any:
    x, y, z = theta
    r = (x * x + y * y + z * z) ** 0.5
    return tuple(p.mu * (e - y * c / (r * r)) / r for e, c in zip((0.0, 1.0, 0.0), theta, strict=True))


def absent(theta: Any, p: Any) -> Any:
    return scale_matrix(0.0, GAS.noise_factor(theta, p))


def radial(theta: Any, p: Any) -> Any:
    return tuple((theta[i], *row) for i, row in enumerate(GAS.noise_factor(theta, p)))


@pytest.mark.parametrize(
    ("changed", "hyper", "words"),
    [
        ({"noise_factor": lopsided}, HYPER, "drift of 'scale_invariant' leaves the sphere of radius"),
        ({"noise_factor": radial, "columns": 4}, HYPER, "noise of 'scale_invariant' leaves the sphere of radius"),
        ({"noise_factor": absent}, HYPER, "has no noise along 'x0', so weight decay shrinks"),
        ({"gradient": slanted}, HYPER, "rotations about component 'x0' change the equation"),
        ({}, sde.Hyper(0.2), "grows for ever without weight decay"),
    ],
)
def test_a_sphere_that_is_no_place_of_rest_is_refused_in_words(changed: Any, hyper: sde.Hyper, words: str) -> None:
    with pytest.raises(Incompatible, match=words):
        stationary(replace(GAS, **changed), hyper, method="fokker_planck")


def test_a_radius_that_grows_for_ever_has_no_closed_law() -> None:
    with pytest.raises(SpecError, match="without weight decay .theta. grows for ever"):
        stationary(GAS, sde.Hyper(0.2))


def test_a_landscape_over_the_energy_is_the_energy() -> None:
    found = sde.landscape(GAS, HYPER, stationary(GAS, HYPER, method="fokker_planck"))
    assert np.abs(found["loss"] - found["energy"]).max() < 1e-6


def test_starts_that_lie_on_either_side_of_one_sphere_have_one_law() -> None:
    """A radius that is still on its way has hardly any spread, and must not tell the starts apart."""
    law = stationary(GAS, sde.Hyper(0.05, 1, 0.02), method="ensemble", seed=1, paths=128, time=40.0)
    assert "metastable" not in law.label
    assert "starts are not forgotten" in law.verdict
