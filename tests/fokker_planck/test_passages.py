"""First passage times, committors, relaxation rates and quasi-stationary laws, each against an independent number."""

import numpy as np
import pytest
from equations import COVARIANCE, HESSIAN, box, linear, manufactured

import sde_engine as sde
from sde_engine.errors import Incompatible, SpecError
from sde_engine.fokker_planck import Axis, Equation, Grid, generator, of_model, quasi_stationary_law, stationary_law
from sde_engine.fokker_planck.passage import committor, mean_first_passage_time, relaxation_rates

WELL = sde.load_model("double_well", mu=1.0, s=1.0)


def escape_time_by_quadrature(temperature: float, start: float, goal: float, low: float) -> float:
    """Mean time of dx = -(x^3 - x) dt + sqrt(T) dW from start to goal, reflected at low (Gardiner, 5.5.23)."""
    x = np.linspace(low, goal, 400_001)
    v = 2.0 / temperature * (0.25 * x**4 - 0.5 * x**2)
    inner = np.concatenate([[0.0], np.cumsum(0.5 * np.diff(x) * (np.exp(-v[1:]) + np.exp(-v[:-1])))])
    outer = np.exp(v) * inner * 2.0 / temperature
    after = x >= start
    return float(np.trapezoid(outer[after], x[after]))


def escape_grid(cells: int, low: float = -3.0) -> Grid:
    return Grid((Axis(low, 1.0, cells, ends=("reflecting", "absorbing")),))


@pytest.mark.parametrize("temperature", [0.1, 0.3, 1.0])
def test_the_time_over_a_barrier_is_the_double_integral(temperature: float) -> None:
    errors = []
    exact = escape_time_by_quadrature(temperature, -1.0, 1.0, -3.0)
    for cells in (200, 400):
        grid = escape_grid(cells)
        times = mean_first_passage_time(generator(of_model(WELL, sde.Hyper(temperature)), grid))
        errors.append(abs(np.interp(-1.0, grid.nodes[0], times) / exact - 1.0))
    assert errors[1] < 2e-4
    assert errors[1] < 0.35 * errors[0]


def test_the_time_over_a_barrier_is_the_simulated_one_over_a_decade_of_temperature() -> None:
    """Euler steps with the exact crossing probability of the Brownian bridge at the goal."""
    rng = np.random.default_rng(11)
    dt, paths = 0.01, 800
    for temperature in (0.2, 0.63, 2.0):
        grid = escape_grid(400, low=-6.0)
        built = generator(of_model(WELL, sde.Hyper(temperature)), grid)
        expected = np.interp(-1.0, grid.nodes[0], mean_first_passage_time(built))
        x, alive, times = np.full(paths, -1.0), np.ones(paths, dtype=bool), np.zeros(paths)
        while alive.any():
            y = x + (x - x**3) * dt + np.sqrt(temperature * dt) * rng.normal(size=x.size)
            gap = np.maximum((1.0 - x) * (1.0 - y), 0.0)
            crossed = (y >= 1.0) | (rng.random(x.size) < np.exp(-2.0 * gap / (temperature * dt)))
            times[alive] += dt
            alive[np.flatnonzero(alive)[crossed]] = False
            x = y[~crossed]
        error = times.std() / np.sqrt(paths)
        assert abs(times.mean() - expected) < 4.0 * error + 0.01 * expected, temperature
        other = mean_first_passage_time(generator(of_model(WELL, sde.Hyper(1.5 * temperature)), grid))
        assert abs(times.mean() - np.interp(-1.0, grid.nodes[0], other)) > 4.0 * error + 0.01 * expected


def test_a_target_set_of_cells_serves_as_an_absorbing_end() -> None:
    grid = Grid((Axis(-3.0, 3.0, 1200),))
    times = mean_first_passage_time(generator(of_model(WELL, sde.Hyper(0.5)), grid), grid.nodes[0] >= 1.0)
    exact = escape_time_by_quadrature(0.5, -1.0, 1.0, -3.0)
    assert np.interp(-1.0, grid.nodes[0], times) == pytest.approx(exact, rel=5e-3)


def test_the_committor_of_a_line_is_the_ratio_of_integrals() -> None:
    grid = Grid((Axis(-1.5, 1.5, 600),))
    x = grid.nodes[0]
    start, goal = x < -1.0, x > 1.0
    found = committor(generator(of_model(WELL, sde.Hyper(0.4)), grid), start, goal)
    weight = np.exp(2.0 / 0.4 * (0.25 * x**4 - 0.5 * x**2))
    a, b = np.flatnonzero(start)[-1], np.flatnonzero(goal)[0]
    steps = 0.5 * (weight[1:] + weight[:-1])
    exact = np.concatenate([[0.0], np.cumsum(steps[a:b])]) / steps[a:b].sum()
    assert np.abs(found[a : b + 1] - exact).max() < 1e-4


def test_the_spectrum_of_a_bowl_is_made_of_sums_of_its_rates() -> None:
    """For dx = -H x dt + noise the rates are n1 h1 + n2 h2, whatever the noise."""
    equation, covariance = linear(-HESSIAN, 0.1 * COVARIANCE)
    built = stationary_law(equation, box(covariance, 144, deviations=4.5)).generator
    found = relaxation_rates(built, 5).real
    assert found[0] == pytest.approx(0.0, abs=1e-10)
    assert found[1:4] == pytest.approx([1.0, 2.0, 3.0], rel=1e-3)


def test_the_spectrum_of_a_rotating_bowl_is_its_closed_form() -> None:
    drift = np.array([[1.0, 0.6], [-0.6, 1.0]])
    equation, covariance = linear(-drift, 0.1 * np.array([[1.0, 0.3], [0.3, 1.0]]))
    built = stationary_law(equation, box(covariance, 144, deviations=4.5)).generator
    found = relaxation_rates(built, 4)
    assert abs(found[0]) < 1e-10
    for value in sde.relaxation_spectrum(drift, 4)[1:]:
        assert np.abs(found / value - 1.0).min() < 1e-3
        assert np.abs(found / (1.02 * value) - 1.0).min() > 1e-2


def test_the_slow_rate_of_a_double_well_is_the_flux_over_its_barrier() -> None:
    """At low temperature the second eigenvalue is the rate at which the two wells exchange mass."""
    grid = Grid((Axis(-2.5, 2.5, 400),))
    built = generator(of_model(WELL, sde.Hyper(0.12)), grid)
    slow, fast = relaxation_rates(built, 3).real[1:]
    top = Grid((Axis(-2.5, 0.0, 400, ends=("reflecting", "absorbing")),))
    to_the_top = np.interp(-1.0, top.nodes[0], mean_first_passage_time(generator(of_model(WELL, sde.Hyper(0.12)), top)))
    # Half of the arrivals at the top go back, so the well is left at rate 1 / (2 tau); the eigenvalue is twice that.
    assert slow == pytest.approx(1.0 / to_the_top, rel=0.02)
    assert fast > 50.0 * slow


def test_the_law_of_survivors_of_a_bowl_cut_in_half_is_known() -> None:
    """dx = -x dt + sqrt(2 D) dW killed at 0: rate 1, law x exp(-x^2 / (2 D)) / D."""
    diffusion, errors = 0.5, []
    equation = Equation(lambda x: (-x[0],), lambda x: ((diffusion,),), ("x",), True)
    for cells in (100, 200):
        law = quasi_stationary_law(equation, Grid((Axis(0.0, 6.0, cells, ends=("absorbing", "reflecting")),)))
        x = law.grid.nodes[0]
        exact = x / diffusion * np.exp(-0.5 * x * x / diffusion)
        errors.append((abs(law.escape_rate - 1.0), np.sum(np.abs(law.density - exact) * law.grid.volumes)))
        assert law.mass.min() >= 0.0
        assert law.residual < 1e-10
    assert errors[1][0] < 1e-3
    assert errors[1][1] < 2e-3
    assert errors[1][0] < 0.3 * errors[0][0]


def test_a_leaking_plane_loses_mass_at_the_rate_of_its_line() -> None:
    """Two independent coordinates, one of them killed at 0: the rate is that of the line, 1."""
    equation = Equation(lambda x: (-x[0], -2.0 * x[1]), lambda x: ((0.5, 0.0), (0.0, 0.5)), ("x", "y"), True)
    killed = Axis(0.0, 5.0, 60, ends=("absorbing", "reflecting"))
    law = quasi_stationary_law(equation, Grid((killed, Axis(-3.0, 3.0, 60))))
    assert law.escape_rate == pytest.approx(1.0, rel=5e-3)
    assert law.imbalance < 1e-12


@pytest.mark.parametrize("correlation", [0.9, 0.95, -0.97])
def test_a_leaking_plane_of_correlated_noise_keeps_the_rate_of_its_line(correlation: float) -> None:
    """The first coordinate does not feel the second, so its rate is 1 whatever the correlation: to second order."""
    off, errors = 0.5 * correlation, []
    equation = Equation(lambda x: (-x[0], -2.0 * x[1]), lambda x: ((0.5, off), (off, 0.5)), ("x", "y"), True)
    for cells in (80, 160):
        killed = Axis(0.0, 5.0, cells, ends=("absorbing", "reflecting"))
        law = quasi_stationary_law(equation, Grid((killed, Axis(-4.0, 4.0, cells))))
        errors.append(abs(law.escape_rate - 1.0))
        assert law.mass.min() >= 0.0
        assert law.imbalance < 1e-12
    assert errors[0] < 1e-2
    assert errors[1] < 0.3 * errors[0]


def test_first_passages_of_correlated_noise_are_those_of_the_line() -> None:
    line = Grid((Axis(-1.0, 4.0, 1000, ends=("absorbing", "reflecting")),))
    alone = Equation(lambda x: (-x[0],), lambda x: ((0.5,),), ("x",), True)
    exact = np.interp(1.0, line.nodes[0].ravel(), mean_first_passage_time(generator(alone, line)))
    both = Equation(lambda x: (-x[0], -2.0 * x[1]), lambda x: ((0.5, 0.475), (0.475, 0.5)), ("x", "y"), True)
    plane = Grid((Axis(-1.0, 4.0, 120, ends=("absorbing", "reflecting")), Axis(-4.0, 4.0, 120)))
    times = mean_first_passage_time(generator(both, plane))
    assert np.isfinite(times).all()
    assert np.interp(1.0, plane.axes[0].nodes, times[:, 60]) == pytest.approx(exact, rel=0.02)


def test_questions_that_make_no_sense_are_refused_in_words() -> None:
    built = generator(manufactured(0.0), Grid((Axis(-3.0, 3.0, 8), Axis(-3.0, 3.0, 8))))
    with pytest.raises(SpecError, match="nothing ends a path"):
        mean_first_passage_time(built)
    with pytest.raises(SpecError, match="may not overlap"):
        committor(built, np.ones((8, 8), dtype=bool), np.ones((8, 8), dtype=bool))
    with pytest.raises(Incompatible, match="use quasi_stationary_law"):
        stationary_law(of_model(WELL, sde.Hyper(0.1)), escape_grid(10))


def test_an_escape_beyond_double_precision_is_refused_in_words() -> None:
    """A barrier of some 180 times the noise: a solver of linear equations returns rates and times of either sign."""
    diffusion = ((0.0071179, 0.03080563), (0.03080563, 0.99904421))
    equation = Equation(
        lambda x: (-np.sin(0.5 * np.pi * x[0]), -2.0 * np.sin(0.5 * np.pi * x[1])),
        lambda x: diffusion,
        ("x", "y"),
        True,
    )
    grid = Grid((Axis(-2.0, 2.0, 40, ends=("absorbing", "reflecting")), Axis(-2.0, 2.0, 41)))
    with pytest.raises(Incompatible, match="rate of escape is below what doubles resolve"):
        quasi_stationary_law(equation, grid)
    with pytest.raises(Incompatible, match="longer than doubles resolve"):
        mean_first_passage_time(generator(equation, grid))
