"""Currents, entropy production and area rates: zero at detailed balance, the closed forms on a quadratic loss."""

import numpy as np
import pytest
from equations import COVARIANCE, HESSIAN, box, manufactured, manufactured_density

import sde_engine as sde
from sde_engine.fokker_planck import Axis, Equation, Grid, of_model, stationary_law
from sde_engine.fokker_planck.current import area_rate, entropy_production, probability_current
from sde_engine.theory import current as theory
from sde_engine.theory.quadratic import sde_covariance

HYPER = sde.Hyper(0.2)
DIFFUSION = 0.5 * HYPER.temperature * COVARIANCE
MODEL = sde.load_model("quadratic", hessian=HESSIAN, covariance=COVARIANCE)


def test_no_current_flows_at_detailed_balance_under_a_correlated_state_dependent_tensor() -> None:
    law = stationary_law(manufactured(0.0), Grid((Axis(-4.0, 4.0, 128), Axis(-6.0, 6.0, 128))))
    current = probability_current(law)
    assert current.net < 1e-10 * current.gross
    assert entropy_production(law) < 1e-12


def test_no_current_flows_where_noise_and_curvature_commute() -> None:
    model = sde.load_model("quadratic", hessian=HESSIAN, covariance=np.diag([2.0, 0.7]))
    law = stationary_law(of_model(model, HYPER), box(np.diag([0.2, 0.7 * 0.2 / 6.0]), 64))
    current = probability_current(law)
    assert current.net < 1e-10 * current.gross


def test_current_entropy_production_and_area_rate_of_a_bowl_are_the_closed_forms() -> None:
    covariance = np.asarray(sde_covariance(HESSIAN, COVARIANCE, HYPER.temperature))
    law = stationary_law(of_model(MODEL, HYPER), box(covariance, 256))
    assert entropy_production(law) == pytest.approx(theory.entropy_production(HESSIAN, DIFFUSION), rel=1e-3)
    assert area_rate(law)[0, 1] == pytest.approx(theory.area_rate(HESSIAN, DIFFUSION)[0, 1], rel=1e-3)
    velocity = theory.circulation(HESSIAN, DIFFUSION) @ np.linalg.inv(covariance)
    exact = np.einsum("ij,j...->i...", velocity, np.array(law.grid.nodes)) * law.density
    current = probability_current(law)
    assert np.abs(current.field - exact).max() < 2e-3 * np.abs(exact).max()
    assert current.divergence < 1e-10


def test_the_current_of_a_manufactured_law_is_the_one_put_in() -> None:
    """J = rot(w p) = (d(w p)/dy, -d(w p)/dx), differentiated here by finite differences."""
    law = stationary_law(manufactured(1.0), Grid((Axis(-3.6, 3.6, 128), Axis(-5.5, 5.5, 128))))
    x, y = law.grid.nodes
    stream = (np.cos(x) + np.sin(x * y)) * manufactured_density(law.grid)
    along_x = np.gradient(stream, law.grid.axes[0].nodes, axis=0)
    along_y = np.gradient(stream, law.grid.axes[1].nodes, axis=1)
    current = probability_current(law)
    scale = np.abs(current.field).max()
    assert np.abs(current.field[0] - along_y).max() < 0.02 * scale
    assert np.abs(current.field[1] + along_x).max() < 0.02 * scale


def test_a_current_of_a_driven_ring_is_constant_and_produces_entropy_force_times_current() -> None:
    """Entropy production = force * current * length / D for a constant force along a ring."""
    f, diffusion = 0.7, 0.5
    equation = Equation(lambda x: (f - np.cos(x[0]),), lambda x: ((diffusion,),), ("x",), True)
    law = stationary_law(equation, Grid((Axis(0.0, 2.0 * np.pi, 400, ends=("periodic", "periodic")),)))
    current = probability_current(law).field[0]
    assert np.ptp(current) < 1e-10 * np.abs(current).max()
    assert entropy_production(law) == pytest.approx(f * current[0] * 2.0 * np.pi / diffusion, rel=1e-3)
