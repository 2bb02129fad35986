"""How fast paths fall onto the symmetric state, by each route: the number that collapsed laws are compared by.

d ln r = (b / r - D / r^2) dt + ...   at r -> 0 on a ray with drift b and diffusion D (Ito)
"""

from dataclasses import replace

import numpy as np

from sde_engine.errors import SdeEngineError
from sde_engine.fokker_planck import Equation
from sde_engine.kernel import Dynamics, Hyper
from sde_engine.model import Model
from sde_engine.stability import lyapunov
from sde_engine.stationary_law.law import StationaryLaw
from sde_engine.stationary_law.support import Support

_NEAR = 1e-8  # of the starts' size: the ray's equation is linear there to rounding


def with_rates(
    routes: list[StationaryLaw], model: Model, hyper: Hyper, dynamics: Dynamics, place: Support, seed: int
) -> list[StationaryLaw]:
    """Return collapsed laws with the growth rate of ln r at the symmetric state, where their route knows one."""
    if not all(route.is_point_mass for route in routes):
        return routes
    return [replace(route, collapse_rate=_rate(route.method, model, hyper, dynamics, place, seed)) for route in routes]


def _rate(
    method: str, model: Model, hyper: Hyper, dynamics: Dynamics, place: Support, seed: int
) -> tuple[float, float]:
    try:
        if method == "fokker_planck":
            size = float(np.abs(np.array(model.starts(model.params))).max())
            equation = place.equation(model, hyper, getattr(dynamics, "sampling", "iid"))
            return _on_ray(equation, _NEAR * size), 0.0
        how = "exact" if method == "closed_form" else "ensemble"
        if method != "transfer_operator":
            found = lyapunov(model, hyper, dynamics=dynamics, method=how, paths=4096, updates=1600, seed=seed)  # type: ignore[arg-type]
            return found.exponent, found.stderr
    except SdeEngineError:  # this route states no rate
        pass
    return np.nan, np.nan


def _on_ray(equation: Equation, r: float) -> float:
    b, tensor = equation.evaluate((np.array([r]),))
    return float(b[0, 0] / r - tensor[0, 0, 0] / r**2)
