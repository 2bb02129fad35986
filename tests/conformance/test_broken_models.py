"""`check_model` must see an error of two per cent in any part, and say which part it is in."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from sde_engine.components import exp, scale, scale_matrix, where
from sde_engine.discovery import load_model
from sde_engine.model import Examples, Model, Observable
from sde_engine.testing import check_model

COIN = load_model("two_layer_scalar")
BOWL = load_model("quadratic", hessian=((1.0, 0.0), (0.0, 2.0)))
WELL = load_model("double_well")
TABLE = load_model("linear_regression_1d", law="table", table=((1.0, 0.5), (-0.5, -0.2), (0.8, 0.1)))


def wrong_gradient(theta: Any, p: Any) -> Any:
    return scale(1.02, COIN.gradient(theta, p))


def wrong_factor(theta: Any, p: Any) -> Any:
    return scale_matrix(1.02, COIN.noise_factor(theta, p))


def wrong_table_factor(theta: Any, p: Any) -> Any:
    return scale_matrix((3.0 / 2.0) ** 0.5, TABLE.noise_factor(theta, p))  # N - 1 for N


def wrong_well_factor(theta: Any, p: Any) -> Any:
    return scale_matrix(1.02, WELL.noise_factor(theta, p))


def uncentred_factor(theta: Any, p: Any) -> Any:
    g, slope = COIN.noise_factor(theta, p), COIN.gradient(theta, p)
    return (g[0][0], slope[0]), (g[1][0], slope[1])


def turned_tangent(theta: Any, p: Any) -> Any:
    u, w = theta
    return u, -1.02 * w


def no_tangent(theta: Any, p: Any) -> Any:
    return scale(0.0, theta)


def biased_example(theta: Any, draw: Any, p: Any) -> Any:
    return scale(1.02, COIN.example_gradient(theta, draw, p))


def rough_example(theta: Any, draw: Any, p: Any) -> Any:
    """Two values of chance 1/2 and a bias of two per cent: no quadrature is exact, so it is sampled."""
    return (theta[0] * (theta[0] * theta[0] - p.mu) - p.s * where(draw[0] > 0.0, 1.02, -0.98),)


def fair_example(theta: Any, draw: Any, p: Any) -> Any:
    return (theta[0] * (theta[0] * theta[0] - p.mu) - p.s * where(draw[0] > 0.0, 1.0, -1.0),)


def impure(theta: Any, p: Any) -> Any:
    return float(theta[0].sum()) + theta[0]


def untraceable(theta: Any, p: Any) -> Any:
    return theta[0] if theta[0] is None else np.sin(np.asarray(theta[0]))


def same_gradient(theta: Any, p: Any) -> Any:
    u, w = theta
    slope = p.b1 * (u * w) - p.b2
    return slope * w, slope * u


def one_sided(p: Any) -> Any:
    return (1.0, 1.0), (0.5, 2.0)


def short(p: Any) -> Any:
    return ((1.0,),)


def infinite(p: Any) -> Any:
    return (1.0, -1.0), (float("nan"), 1.0)


def growing(theta: Any, p: Any) -> Any:
    return exp(1000.0 * theta[0] * theta[0])


def of(model: Model, **changed: Any) -> Model:
    return replace(model, **changed)


BROKEN = [
    (of(COIN, gradient=wrong_gradient), "the gradient and the central differences of the loss, entry .* at theta = "),
    (
        of(COIN, noise_factor=wrong_factor),
        "G G.T of noise_factor and the covariance of example_gradient .*all 4 outcomes",
    ),
    (of(TABLE, noise_factor=wrong_table_factor), "covariance of example_gradient .*3 stored examples"),
    (of(WELL, noise_factor=wrong_well_factor), "covariance of example_gradient .*Gauss-Hermite quadrature"),
    (of(COIN, noise_factor=uncentred_factor, columns=2, noise_kind="general"), "covariance of example_gradient"),
    (of(COIN, example_gradient=biased_example), "the gradient and the mean of example_gradient"),
    (
        of(WELL, example_gradient=rough_example),
        "the mean of example_gradient .400000 samples. differ by .* standard errors",
    ),
    (of(COIN, symmetries={"bent": turned_tangent}), "symmetry 'bent' changes the loss of an example"),
    (of(COIN, symmetries={"nothing": no_tangent}), "the tangent of symmetry 'nothing' is zero"),
    (of(COIN, noise_kind="additive"), "noise_kind is 'additive', but noise_factor depends on theta"),
    (of(BOWL, noise_kind="scalar"), "noise_kind is 'scalar', but noise_factor has 2 columns"),
    (of(COIN, noise_kind="diagonal"), "noise_kind is 'diagonal', but noise_factor has 1 columns for 2 rows"),
    (
        of(
            load_model("quadratic", hessian=((1.0, 0.0), (0.0, 2.0)), covariance=((1.0, 0.5), (0.5, 1.0))),
            noise_kind="diagonal",
        ),
        "row i uses another column than i",
    ),
    (of(WELL, symmetric_origin=True), "symmetric_origin is stated, but an example has a gradient at theta = 0"),
    (of(COIN, log_chart=((1.0, 0.0), (0.0, 1.0))), "coordinate 0 of log_chart does not stay zero"),
    (of(COIN, log_chart=((1.0, 1.0), (1.0, 1.0))), "log_chart cannot be inverted"),
    (of(COIN, starts=one_sided), "no component has starts of both signs .u from 0.5 to 1, w from 1 to 2"),
    (of(COIN, starts=short), "has 1 numbers, but theta has 2 components"),
    (of(COIN, starts=infinite), "a start is not finite"),
    (of(COIN, columns=2), "noise_factor has 2 entries, but 4 are needed"),
    (of(COIN, observables={"u": Observable(growing, "a name that is taken")}), "share a name"),
    (of(COIN, observables={"f": Observable(growing, "too steep")}), "observable f is not finite near the starts"),
    (of(COIN, observables={"f": Observable(impure, "a method of arrays")}), "observable f cannot be compiled"),
    (
        of(COIN, observables={"f": Observable(untraceable, "numpy's own sine")}),
        "observable f cannot be (traced|compiled)",
    ),
    (of(COIN, gradient=same_gradient), "the docstring of .* has no 'Units'"),
]


@pytest.mark.parametrize(("model", "words"), BROKEN, ids=[words[:48] for _, words in BROKEN])
def test_a_broken_model_is_refused_with_the_sentence_that_names_the_break(model: Model, words: str) -> None:
    with pytest.raises(AssertionError, match=words):
        check_model(model, seed=3)


def test_what_a_table_says_is_held_against_the_table() -> None:
    """A model whose parameters were not computed from its own table."""
    other = Examples("table", 2, TABLE.examples.table * 1.02)
    with pytest.raises(AssertionError, match="mean of example_gradient"):
        check_model(of(TABLE, examples=other, starts=lambda p: ((1.0,), (-1.0,))), seed=3)


def test_a_law_that_can_only_be_sampled_is_held_to_standard_errors() -> None:
    """A sign made of a normal: its mean and variance are exact, and no polynomial finds them."""
    check_model(of(WELL, example_gradient=fair_example), seed=3)
