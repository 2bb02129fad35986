"""Two and three dimensions: order of convergence, exact detailed balance, positivity, singular tensors."""

import numpy as np
import pytest
from equations import (
    COVARIANCE,
    HESSIAN,
    box,
    distance,
    gaussian,
    linear,
    manufactured,
    manufactured_density,
    tensor,
)

import sde_engine as sde
from sde_engine.fokker_planck import (
    Axis,
    Equation,
    Grid,
    generator,
    half_resolution_error,
    of_model,
    stationary_law,
)
from sde_engine.fokker_planck.stencil import decompose
from sde_engine.theory.quadratic import sde_covariance


def test_weights_of_lattice_directions_rebuild_any_tensor() -> None:
    rng = np.random.default_rng(5)
    for d in (2, 3):
        root = rng.normal(size=(d, d, 200)) * np.array([1.0, 0.2, 0.05])[:d, None, None]
        matrix = np.einsum("ikn,jkn->ijn", root, root) + 1e-4 * np.eye(d)[:, :, None]
        weights = decompose(matrix)
        assert min(w.min() for w in weights.values()) >= 0.0
        rebuilt = sum(np.outer(e, e)[:, :, None] * w for e, w in weights.items())
        assert np.abs(rebuilt - matrix).max() < 1e-12


def test_the_law_of_a_correlated_bowl_converges_to_fourth_order() -> None:
    model = sde.load_model("quadratic", hessian=HESSIAN, covariance=COVARIANCE)
    hyper = sde.Hyper(0.2)
    exact = np.asarray(sde_covariance(HESSIAN, COVARIANCE, hyper.temperature))
    errors = {}
    for cells in (32, 64, 128):
        law = stationary_law(of_model(model, hyper), box(exact, cells, deviations=8.0))
        errors[cells] = distance(law, gaussian(exact, law.grid))
        assert law.imbalance < 1e-12
        assert law.residual < 1e-12
        assert law.mass.min() >= 0.0
    assert errors[128] < 1e-5
    assert np.log2(errors[32] / errors[128]) / 2.0 > 3.5
    found = half_resolution_error(law, {"xy": lambda x, y: x * y})
    assert abs(law.expectation(lambda x, y: x * y) - exact[0, 1]) < 2.0 * found["xy"]
    assert errors[128] < 2.0 * found["density"]


@pytest.mark.parametrize("swirl", [1.0 / 3.0, 3.0, 10.0])
def test_a_rotating_bowl_is_not_smeared(swirl: float) -> None:
    """Second order or better from small grids on; 2e-4 at 256 x 256 is asked and reached at 128 x 128."""
    equation, covariance = linear(np.array([[-1.0, swirl], [-swirl, -1.0]]), 0.5 * np.eye(2))
    errors = {}
    for cells in (32, 64, 128):
        law = stationary_law(equation, box(covariance, cells, deviations=7.0))
        errors[cells] = distance(law, gaussian(covariance, law.grid))
        assert law.mass.min() >= 0.0
    assert errors[128] < 2e-4
    assert np.log2(errors[32] / errors[128]) / 2.0 > 1.9


def test_the_fastest_rotation_meets_its_bound_at_256() -> None:
    equation, covariance = linear(np.array([[-1.0, 10.0], [-10.0, -1.0]]), 0.5 * np.eye(2))
    law = stationary_law(equation, box(covariance, 256, deviations=7.0))
    assert distance(law, gaussian(covariance, law.grid)) < 2e-5
    faster, _ = linear(np.array([[-1.0, 10.2], [-10.0, -1.0]]), 0.5 * np.eye(2))
    bent = stationary_law(faster, box(covariance, 128, deviations=7.0))
    assert distance(bent, gaussian(covariance, bent.grid)) > 2e-3


@pytest.mark.parametrize("correlation", [0.95, 0.97, -0.975])
def test_a_strong_correlation_cuts_no_corner_off(correlation: float) -> None:
    """Long lattice directions step over the cells of a corner: they turn along the ends, and the law is one."""
    diffusion = 0.1 * np.array([[1.0, correlation], [correlation, 1.0]])
    equation, covariance = linear(-np.diag([1.0, 2.0]), diffusion)
    law = stationary_law(equation, box(covariance, 80, deviations=8.5))
    assert law.mass.min() >= 0.0
    assert law.imbalance < 1e-12
    assert law.is_normalisable
    for k in range(2):
        x = law.grid.nodes[k]
        assert float(np.sum(law.mass * x * x)) == pytest.approx(covariance[k, k], rel=0.02)


def test_detailed_balance_holds_in_a_box_that_cuts_the_law_off() -> None:
    """Correlation 0.9 in a box of one deviation: the ends and corners hold much of the mass."""
    diffusion = 0.1 * np.array([[1.0, 0.9], [0.9, 1.0]])
    equation, covariance = linear(-5.0 * diffusion @ np.array([[1.0, 0.3], [0.3, 2.0]]), diffusion)
    law = stationary_law(equation, Grid((Axis(-0.5, 0.5, 48), Axis(-0.5, 0.5, 48))))
    exact = gaussian(covariance, law.grid)
    assert distance(law, exact / np.sum(exact * law.grid.volumes)) < 1e-6


def test_a_manufactured_law_with_a_correlated_state_dependent_tensor_and_a_current_is_found() -> None:
    errors = []
    for cells in (64, 128):
        law = stationary_law(manufactured(1.0), Grid((Axis(-3.6, 3.6, cells), Axis(-5.5, 5.5, cells))))
        errors.append(distance(law, manufactured_density(law.grid)))
        assert law.mass.min() >= 0.0
    assert errors[1] < 1e-3
    assert np.log2(errors[0] / errors[1]) > 1.8


def test_a_drift_wrong_by_two_percent_is_seen_in_the_manufactured_law() -> None:
    good = manufactured(1.0)
    bad = Equation(lambda x: tuple(1.02 * b for b in good.drift(x)), tensor, ("x", "y"))
    law = stationary_law(bad, Grid((Axis(-3.6, 3.6, 64), Axis(-5.5, 5.5, 64))))
    assert distance(law, manufactured_density(law.grid)) > 4e-3


def test_detailed_balance_is_exact_for_a_correlated_state_dependent_tensor() -> None:
    law = stationary_law(manufactured(0.0), Grid((Axis(-4.0, 4.0, 128), Axis(-6.0, 6.0, 128))))
    assert distance(law, manufactured_density(law.grid)) < 1e-8


def test_graded_axes_give_the_same_law() -> None:
    equation = manufactured(0.0)
    grid = Grid((Axis(-6.0, 6.0, 96, "sinh", centre=0.3, width=1.5), Axis(-8.0, 8.0, 96, "sinh", width=2.0)))
    law = stationary_law(equation, grid)
    assert distance(law, manufactured_density(grid)) < 1e-6


def test_three_dimensions_work() -> None:
    drift = -np.diag([1.0, 1.5, 2.0]) + np.array([[0.0, 0.5, 0.0], [-0.5, 0.0, 0.3], [0.0, -0.3, 0.0]])
    diffusion = np.array([[0.5, 0.2, 0.1], [0.2, 0.6, -0.1], [0.1, -0.1, 0.4]])
    equation, covariance = linear(drift, diffusion)
    errors = []
    for cells in (10, 20):
        law = stationary_law(equation, box(covariance, cells, deviations=4.0))
        errors.append(distance(law, gaussian(covariance, law.grid)))
        assert law.mass.min() >= 0.0
        assert law.imbalance < 1e-12
    assert errors[1] < 0.02
    assert np.log2(errors[0] / errors[1]) > 1.7


def test_a_singular_tensor_gives_a_positive_law_that_converges() -> None:
    """dx = v dt, dv = (-x - v) dt + sqrt(2 T) dW: D = diag(0, T), p ~ exp(-(x^2 + v^2) / (2 T))."""
    temperature = 0.5
    equation = Equation(lambda x: (x[1], -x[0] - x[1]), lambda x: ((0.0, 0.0), (0.0, temperature)), ("x", "v"), True)
    errors = []
    for cells in (64, 128):
        law = stationary_law(equation, box(temperature * np.eye(2), cells, deviations=5.0))
        errors.append(distance(law, gaussian(temperature * np.eye(2), law.grid)))
        assert law.mass.min() >= 0.0
        assert law.generator.raised.max() > 0.0
    assert errors[1] < 0.6 * errors[0]
    assert errors[1] < 0.1


def test_a_tensor_of_rank_one_gives_a_positive_law() -> None:
    """One noise into both of two coupled coordinates: S from the Lyapunov equation has full rank."""
    n = np.array([1.0, 0.4])
    equation, covariance = linear(-np.array([[1.0, 0.8], [-0.5, 2.0]]), 0.3 * np.outer(n, n))
    errors = []
    for cells in (64, 128):
        law = stationary_law(equation, box(covariance, cells))
        errors.append(abs(law.expectation(lambda x, y: x * y) / covariance[0, 1] - 1.0))
        assert law.mass.min() >= 0.0
    assert errors[1] < 0.6 * errors[0]


def test_axes_can_be_periodic_in_the_plane() -> None:
    """dx = (1 - sin x) dt, dy = -y dt, independent: the marginal in x is that of a driven ring."""

    def drift(x: tuple[np.ndarray, ...]) -> tuple[np.ndarray, ...]:
        return (1.0 - np.sin(x[0]), -x[1])

    both = Equation(drift, lambda x: ((0.4, 0.0), (0.0, 0.3)), ("x", "y"), True)
    ring = Axis(0.0, 2.0 * np.pi, 64, ends=("periodic", "periodic"))
    law = stationary_law(both, Grid((ring, Axis(-3.5, 3.5, 64))))
    alone = Equation(lambda x: (1.0 - np.sin(x[0]),), lambda x: ((0.4,),), ("x",), True)
    marginal = stationary_law(alone, Grid((Axis(0.0, 2.0 * np.pi, 512, ends=("periodic", "periodic")),)))
    assert np.abs(law.marginal(0) - marginal.mass.reshape(64, 8).sum(axis=1)).sum() < 2e-3


def test_a_grid_of_the_wrong_dimension_is_refused_in_words() -> None:
    with pytest.raises(sde.SdeEngineError, match="2 coordinates and the grid 1 axes"):
        generator(manufactured(0.0), Grid((Axis(-1.0, 1.0, 10),)))
