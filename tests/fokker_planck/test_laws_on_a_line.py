"""One dimension: the law on the grid is the closed form, to quadrature."""

import time

import numpy as np
import pytest
from equations import distance

import sde_engine as sde
from sde_engine.errors import Incompatible
from sde_engine.fokker_planck import (
    Axis,
    Equation,
    Grid,
    GridLaw,
    half_resolution_error,
    of_model,
    on_line,
    stationary_law,
    stationary_laws,
)
from sde_engine.theory import diagonal, linear_regression, two_layer
from sde_engine.theory.moments import gaussian

DATA = {"law": "gaussian", "target": 1.0, "noise": 0.5}
M = gaussian(1.0, 0.5)


def regression(hyper: sde.Hyper, cells: int = 2000) -> GridLaw:
    grid = Grid((Axis(-1e6, 1e6, cells, "sinh", centre=1.0, width=0.1),))
    return stationary_law(of_model(sde.load_model("linear_regression_1d", **DATA), hyper), grid)


@pytest.mark.parametrize("weight_decay", [0.0, 0.3])
@pytest.mark.parametrize("temperature", [0.1, 0.4, 0.8])
def test_the_law_of_regression_is_its_closed_form(temperature: float, weight_decay: float) -> None:
    law = regression(sde.Hyper(temperature, 1, weight_decay))
    exact = linear_regression.law(M, temperature, weight_decay)
    assert distance(law, exact.pdf(law.grid.nodes[0])) < 1e-10
    assert law.expectation(lambda v: v) == pytest.approx(exact.mean, rel=1e-9)
    assert law.imbalance < 1e-12
    assert law.residual < 1e-12
    assert law.mass.min() >= 0.0


@pytest.mark.parametrize("weight_decay", [0.0, 0.3])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_the_law_of_two_layers_is_its_closed_form_below_the_critical_temperature(
    share: float, weight_decay: float
) -> None:
    temperature = share * two_layer.critical_temperature(M, weight_decay)
    model, hyper = sde.load_model("two_layer_scalar", **DATA), sde.Hyper(temperature, 1, weight_decay)
    kappa = 0.5 / share - 0.5  # P(v < eps) ~ eps^kappa
    axis = Axis(float(np.exp(-15.0 / kappa)), 1e4, 600 + int(300.0 / kappa), "log")
    law = stationary_law(on_line(model, hyper, (1.0, 1.0)), Grid((axis,)))
    r = law.grid.nodes[0]
    assert distance(law, two_layer.law(M, temperature, weight_decay).pdf(r * r) * 2.0 * r) < 1e-8
    assert law.is_normalisable


def test_above_the_critical_temperature_the_mass_piles_up_at_zero() -> None:
    model = sde.load_model("two_layer_scalar", **DATA)
    hyper = sde.Hyper(1.1 * two_layer.critical_temperature(M), 1, 0.0)
    law = stationary_law(on_line(model, hyper, (1.0, 1.0)), Grid((Axis(1e-30, 1e3, 800, "log"),)))
    assert not law.is_normalisable
    assert law.outside[0][0] == np.inf
    assert law.outside[0][1] < 1e-10


@pytest.mark.parametrize("layers", [3, 4])
def test_the_law_of_deep_diagonal_networks_is_its_closed_form(layers: int) -> None:
    model = sde.load_model("diagonal_network", depth=layers - 1, **DATA)
    law = stationary_law(on_line(model, sde.Hyper(0.4), (1.0,) * layers), Grid((Axis(1e-2, 1e4, 1500, "log"),)))
    r = law.grid.nodes[0]
    exact = diagonal.law(M, 0.4, layers=layers)
    assert distance(law, exact.pdf(r**layers) * layers * r ** (layers - 1)) < 1e-8


def test_two_percent_more_noise_is_seen() -> None:
    law = regression(sde.Hyper(0.4 * 1.02))
    assert distance(law, linear_regression.law(M, 0.4).pdf(law.grid.nodes[0])) > 1e-3


def test_the_half_resolution_error_covers_the_true_one() -> None:
    law = regression(sde.Hyper(0.1), cells=120)
    exact = linear_regression.law(M, 0.1)
    errors = half_resolution_error(law, {"mean": lambda v: v})
    assert distance(law, exact.pdf(law.grid.nodes[0])) <= errors["density"] + 1e-12


def test_a_driven_ring_has_its_constant_current() -> None:
    """dx = (f - V') dt + sqrt(2 D) dW on a circle: p ~ integral of exp((V(y) - V(x) - f (y - x)) / D), one turn on."""
    f, diffusion = 0.7, 0.5
    equation = Equation(lambda x: (f - np.cos(x[0]),), lambda x: ((diffusion,),), ("x",), True)
    axis = Axis(0.0, 2.0 * np.pi, 400, ends=("periodic", "periodic"))
    law = stationary_law(equation, Grid((axis,)))
    x = law.grid.nodes[0]
    turn = 2.0 * np.pi * (np.arange(4000) + 0.5) / 4000
    p = np.array([np.mean(np.exp((np.sin(a + turn) - np.sin(a) - f * turn) / diffusion)) for a in x])
    p /= np.sum(p * law.grid.volumes)
    assert distance(law, p) < 2e-4


def test_cells_that_nothing_connects_have_laws_of_their_own() -> None:
    def wall(x: tuple[np.ndarray, ...]) -> tuple[np.ndarray]:
        return (-x[0] + np.where(np.abs(x[0]) < 0.3, np.sign(x[0]) * 1e9, 0.0),)

    equation = Equation(wall, lambda x: ((np.where(np.abs(x[0]) < 0.3, 0.0, 0.1),),), ("x",))
    grid = Grid((Axis(-3.0, 3.0, 60),))
    laws = stationary_laws(equation, grid)
    assert len(laws) == 2
    assert {float(np.sign(law.expectation(lambda x: x))) for law in laws} == {-1.0, 1.0}
    with pytest.raises(Incompatible, match="2 stationary laws"):
        stationary_law(equation, grid)


def test_a_line_that_the_noise_leaves_is_refused() -> None:
    model = sde.load_model("two_layer_scalar", **DATA)
    with pytest.raises(Incompatible, match="not invariant"):
        on_line(model, sde.Hyper(0.1), (1.0, 0.5))


def test_ten_thousand_cells_take_thirty_milliseconds() -> None:
    regression(sde.Hyper(0.1), 10_000)
    times = []
    for _ in range(5):
        start = time.perf_counter()
        regression(sde.Hyper(0.1), 10_000)
        times.append(time.perf_counter() - start)
    assert min(times) < 0.030
