"""A scheme that does not serve a model says so in words, before anything is compiled."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from sde_engine.convergence import solver_error
from sde_engine.discovery import load_model, schemes
from sde_engine.dynamics import from_spec
from sde_engine.dynamics.langevin import Langevin
from sde_engine.dynamics.sgd import Sgd
from sde_engine.dynamics.svag import Svag
from sde_engine.dynamics.underdamped import UnderdampedLangevin
from sde_engine.errors import Incompatible, SpecError
from sde_engine.kernel import Hyper
from sde_engine.scheme import Scheme, commutation_defect, ito_of_stratonovich

HYPER = Hyper(0.1, 2)
QUADRATIC = load_model("quadratic", hessian=((1.0, 0.0), (0.0, 2.0)))
TWO_LAYER = load_model("two_layer_scalar")


def with_noise(kind: Any, factor: Any) -> Any:
    return replace(QUADRATIC, name="mine", noise_kind=kind, noise_factor=factor)


def crossed(theta: Any, p: Any) -> Any:
    x, y = theta
    return ((1.0 + 0.3 * y, 0.0 * x), (0.0 * x, 1.0 + 0.2 * x))


def separate(theta: Any, p: Any) -> Any:
    x, y = theta
    return ((1.0 + 0.3 * x, 0.0 * x), (0.0 * x, 1.0 + 0.2 * y))


def turned(theta: Any, p: Any) -> Any:
    """The separate noise in coordinates turned by an eighth: it commutes, though neither diagonal nor additive."""
    x, y = theta
    r = 0.5**0.5
    a, b = 1.0 + 0.3 * r * (x + y), 1.0 + 0.2 * r * (y - x)
    return ((r * a, -r * b), (r * a, r * b))


@pytest.mark.parametrize(
    ("scheme", "model", "words"),
    [
        ("heun", TWO_LAYER, "'heun' serves additive noise, but 'two_layer_scalar' has scalar noise; use .*platen"),
        ("leimkuhler_matthews", TWO_LAYER, "serves additive noise, but 'two_layer_scalar' has scalar noise"),
        ("platen", QUADRATIC, "'platen' serves scalar noise, but 'quadratic' has additive noise; use .*ri6"),
        ("ri6", TWO_LAYER, "'ri6' serves additive, diagonal, general noise, but .* scalar noise; use .*platen"),
        ("milstein", with_noise("diagonal", crossed), "columns 0 and 1 of the noise of 'mine' do not .*; use 'ri6'"),
        ("log_euler", QUADRATIC, "declares no log_chart"),
        ("exact_ou", TWO_LAYER, "'exact_ou' serves additive noise, but 'two_layer_scalar' has scalar noise"),
        (
            "exact_ou",
            load_model("double_well"),
            "a linear gradient .* of 'double_well'.* differ by 1 of .*; use 'heun'",
        ),
        ("exact_ou", with_noise("additive", crossed), "of the gradient of 'mine', or its noise, differ by 1 of"),
        ("implicit_trapezoid", load_model("diagonal_network", depth=2, width=3), "up to 8 components, but .* has 9"),
    ],
)
def test_a_scheme_refuses_noise_that_it_does_not_serve(scheme: str, model: Any, words: str) -> None:
    with pytest.raises(Incompatible, match=words):
        Langevin(scheme=scheme).kernel(model, HYPER)


@pytest.mark.parametrize(("kind", "factor"), [("diagonal", separate), ("general", turned)])
def test_milstein_serves_noises_that_commute_whatever_they_are_called(kind: str, factor: Any) -> None:
    assert commutation_defect(with_noise(kind, factor))[0] < 1e-8
    Langevin(scheme="milstein").kernel(with_noise(kind, factor), HYPER)


def test_a_refusal_names_schemes_that_do_serve() -> None:
    model = with_noise("diagonal", crossed)
    with pytest.raises(Incompatible) as refusal:
        Langevin(scheme="heun").kernel(model, HYPER)
    for name in str(refusal.value).partition("; use ")[2].split(" or "):
        Langevin(scheme=name).kernel(model, HYPER)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Langevin(order=3), "order is 3; an equation of order 1 or 2"),  # type: ignore[arg-type]
        (lambda: Svag(levels=0), "levels is 0; a whole number, 1 or more"),
        (lambda: Svag(levels=1.5), "levels is 1.5"),  # type: ignore[arg-type]
        (lambda: UnderdampedLangevin(momentum=0.0), "without momentum use Langevin"),
        (lambda: UnderdampedLangevin(momentum=1.0), "below 1 is accepted"),
        (lambda: UnderdampedLangevin(dt=0.0), "dt is 0.0"),
        (lambda: from_spec({"kind": "svag", "levels": "four"}), "levels is 'four'"),
        (lambda: from_spec({"kind": "underdamped", "momentum": "much"}), "momentum is 'much'"),
        (lambda: from_spec({"kind": "underdamped", "dt": "short"}), "dt is 'short'"),
        (lambda: from_spec({"kind": "langevin", "tolerance": "little"}), "tolerance is 'little'"),
        (lambda: from_spec({"kind": "svag", "sampling": "epochs"}), "unknown sampling 'epochs'; did you mean 'epoch'"),
    ],
)
def test_a_value_that_makes_no_sense_is_refused(make: Any, words: str) -> None:
    with pytest.raises(SpecError, match=words):
        make()


@pytest.mark.parametrize("dynamics", [Svag(sampling="epoch"), UnderdampedLangevin(sampling="epoch")])
def test_reshuffled_epochs_have_no_equation(dynamics: Any) -> None:
    with pytest.raises(Incompatible, match="accepted: 'iid', 'without_replacement'"):
        dynamics.kernel(
            load_model("two_layer_scalar", law="table", table=((1.0, 0.5), (-0.5, -0.2), (0.8, 0.1))), HYPER
        )


def test_a_scheme_that_is_exact_in_law_has_no_solver_error() -> None:
    with pytest.raises(Incompatible, match="exact_ou.* is exact in law at every dt"):
        solver_error(QUADRATIC, Langevin("exact_ou"), HYPER, paths=8, seed=1, updates=10)


def test_sgd_has_no_solver_error() -> None:
    with pytest.raises(Incompatible, match="sgd is not solved with a numerical step"):
        solver_error(QUADRATIC, Sgd(), HYPER, paths=8, seed=1, updates=10)


@pytest.mark.parametrize("kind", ["svag", "underdamped", {"kind": "langevin", "order": 2}])
def test_new_dynamics_are_found_by_name(kind: Any) -> None:
    assert from_spec(kind).kernel(QUADRATIC, HYPER).step is from_spec(kind).kernel(QUADRATIC, Hyper(0.2, 4)).step


@pytest.mark.parametrize("scheme", schemes().values(), ids=lambda s: s.name)
def test_every_scheme_states_its_orders_and_its_noise(scheme: Scheme) -> None:
    assert scheme.weak_order in (1.0, 2.0, np.inf)
    assert scheme.strong_order in (0.5, 1.0)
    assert scheme.noise_kinds <= {"additive", "scalar", "diagonal", "general"}
    assert scheme.noise_kinds
    assert scheme.draws(3, 2) >= 3


def test_stratonovich_noise_is_converted_column_by_column() -> None:
    """dx = (sin y, x) o dW_1 + (x y, y^2) o dW_2: the drift gains half of sum_k D b_k b_k."""

    def factor(theta: Any, p: Any, h: Any) -> Any:
        x, y = theta
        return ((np.sin(y), x * y), (x, y * y))

    x, y = 0.7, -0.4
    system = ito_of_stratonovich(lambda theta, p, h: (0.0 * theta[0], 0.0 * theta[1]), factor)
    first = (np.cos(y) * x, np.sin(y))
    second = (y * x * y + x * y * y, 2.0 * y * y * y)
    expected = [0.5 * (a + b) for a, b in zip(first, second, strict=True)]
    np.testing.assert_allclose(system.drift((x, y), None, None), expected, atol=1e-6)
