"""Every scheme that the engine finds has the orders that it declares, converges to its equation, and keeps still."""

from collections.abc import Callable
from dataclasses import replace
from math import inf
from typing import Any

import pytest

from sde_engine.components import add, matvec, scale
from sde_engine.discovery import schemes
from sde_engine.scheme import Ito, Scheme
from sde_engine.testing import check_scheme
from sde_engine.testing.problem import Problem, problems
from sde_engine.testing.scheme_order import weak_errors, weak_order

ALL = schemes()
SERVED = [
    (scheme, problem)
    for scheme in ALL.values()
    for problem in problems()
    if problem.noise_kind in scheme.noise_kinds and scheme.needs_log_chart == (problem.system.log_chart is not None)
]


@pytest.mark.parametrize("name", ALL)
def test_a_scheme_has_the_orders_that_it_declares(name: str) -> None:
    check_scheme(ALL[name], seed=1)


@pytest.mark.parametrize(("scheme", "problem"), SERVED, ids=[f"{s.name}, {p.name}" for s, p in SERVED])
def test_every_scheme_has_the_right_covariance_under_every_noise_kind_it_declares(
    scheme: Scheme, problem: Problem
) -> None:
    """Second and mixed moments too: the largest error vanishes at the declared order, to the right limit."""
    assert weak_order(scheme, problem) >= scheme.weak_order - 0.2


def _changed(step_of: Callable[..., Any]) -> Callable[[Ito], Any]:
    """Return a builder that hands `step_of(drift, factor)` its two formulas."""
    return lambda system: step_of(system.drift, system.factor)


def _noisier(drift: Any, factor: Any) -> Any:
    def step(theta: Any, z: Any, dt: Any, root: Any, p: Any, h: Any) -> Any:
        noise = scale(1.02, matvec(factor(theta, p, h), scale(root, z)))
        return add(theta, add(scale(dt, drift(theta, p, h)), noise))

    return step


def _transposed(drift: Any, factor: Any) -> Any:
    def step(theta: Any, z: Any, dt: Any, root: Any, p: Any, h: Any) -> Any:
        turned = tuple(zip(*factor(theta, p, h), strict=True))
        return add(theta, add(scale(dt, drift(theta, p, h)), matvec(turned, scale(root, z))))

    return step


def _stratonovich(drift: Any, factor: Any) -> Any:
    def step(theta: Any, z: Any, dt: Any, root: Any, p: Any, h: Any) -> Any:
        w = scale(root, z)
        guess = add(theta, matvec(factor(theta, p, h), w))
        noise = scale(0.5, add(matvec(factor(theta, p, h), w), matvec(factor(guess, p, h), w)))
        return add(theta, add(scale(dt, drift(theta, p, h)), noise))

    return step


def _faster(drift: Any, factor: Any) -> Any:
    def step(theta: Any, z: Any, dt: Any, root: Any, p: Any, h: Any) -> Any:
        noise = matvec(factor(theta, p, h), scale(root, z))
        return add(theta, add(scale(1.02 * dt, drift(theta, p, h)), noise))

    return step


def _restless(drift: Any, factor: Any) -> Any:
    def step(theta: Any, z: Any, dt: Any, root: Any, p: Any, h: Any) -> Any:
        moved = add(theta, add(scale(dt, drift(theta, p, h)), matvec(factor(theta, p, h), scale(root, z))))
        return add(moved, scale(0.01 * dt, tuple(1.0 + 0.0 * x for x in theta)))

    return step


EULER = ALL["euler_maruyama"]
WRONG = [
    (replace(EULER, build=_changed(_noisier)), "does not converge to this equation"),
    (replace(EULER, build=_changed(_stratonovich)), "does not converge to this equation"),
    (
        replace(EULER, build=_changed(_transposed), noise_kinds=frozenset({"additive"})),
        "does not converge to this equation",
    ),
    (replace(EULER, build=_changed(_faster)), "does not converge to this equation"),
    (replace(EULER, build=_changed(_restless), noise_kinds=frozenset({"additive"})), "does not converge to"),
    (replace(EULER, weak_order=2.0), "at its declared order"),
    (replace(ALL["heun"], weak_order=inf), "is declared exact in law, but a moment is off by"),
    (replace(EULER, strong_order=1.0), r"declares strong order 1, but 0\.[45]"),
    (replace(ALL["log_platen"], build=ALL["log_euler"].build), "at its declared order"),
    (replace(ALL["log_platen"], weak_order=1.0), "declares weak order 1, but "),
    (replace(ALL["log_platen"], strong_order=0.5), "declares strong order 0.5, but "),
    (replace(EULER, noise_kinds=frozenset()), "none of the known equations suits it"),
    (replace(EULER, size=lambda system: lambda theta, p, h: 0.1 + 0.0 * theta[0]), "must be twice as large"),
    (replace(EULER, size=lambda system: lambda theta, p, h: h.tolerance * theta[0] - 1.0), "the step size is"),
]


@pytest.mark.parametrize(("scheme", "words"), WRONG)
def test_a_wrong_scheme_is_refused_in_words(scheme: Scheme, words: str) -> None:
    with pytest.raises(AssertionError, match=words):
        check_scheme(scheme, seed=1)


def test_the_known_moments_are_those_of_a_fine_grid() -> None:
    """The exact moments are derived from the equations, the scheme from neither: three steps more halve the error."""
    for problem in problems():
        if problem.columns == 1 and problem.system.log_chart is None:
            coarse, fine = (abs(weak_errors(EULER, problem, steps)).max() for steps in (5, 10))
            assert 1.8 < coarse / fine < 2.2
