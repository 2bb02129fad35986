"""The error of a law on a grid, from the same law by the same scheme at half the resolution."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from sde_engine.fokker_planck.solve import GridLaw, quasi_stationary_law, refined, stationary_laws

_RAISED = 1e-6  # share of the mass in cells of raised diffusion from which the error of a law is of first order


def coarse_law(law: GridLaw) -> GridLaw:
    """Return the law on half as many cells along each axis, by the same scheme; of several the one that fills most."""
    if law.coarse is not None:
        return law.coarse
    equation, grid = law.generator.equation, law.grid.coarser()
    if grid.is_closed:
        return max(stationary_laws(equation, grid), key=lambda one: int(np.sum(one.mass > 1e-300)))
    return quasi_stationary_law(equation, grid)


def resolution_divisor(law: GridLaw, coarse: GridLaw) -> float:
    """Return what |f(h) - f(r h)| is to be divided by for the error of f(h): r^2 - 1, or r - 1 where D is raised.

    The error is c h^2 (Richardson), which bounds that of a higher order; artificial diffusion makes it c h.
    """
    ratio = min(fine / rough for fine, rough in zip(law.grid.shape, coarse.grid.shape, strict=True))
    is_raised = float(law.mass.ravel()[law.generator.raised > 0.0].sum()) > _RAISED
    return ratio - 1.0 if is_raised else ratio**2 - 1.0


def half_resolution_error(law: GridLaw, functions: dict[str, Callable[..., NDArray]]) -> dict[str, float]:
    """Return the error of the mean of each function and, as "density", of the law (L1), from half the resolution."""
    coarse = coarse_law(law)
    divisor = resolution_divisor(law, coarse)
    errors = {
        name: abs(law.expectation(function) - coarse.expectation(function)) / divisor
        for name, function in functions.items()
    }
    errors["density"] = float(np.sum(density_error(law, coarse) * law.grid.volumes))
    return errors


def density_error(law: GridLaw, coarse: GridLaw) -> NDArray:
    """Return the error of the density at every node, from a law of lower resolution."""
    rough = np.exp(refined(coarse, law.grid)).reshape(law.grid.shape)
    return np.abs(law.density - rough) / resolution_divisor(law, coarse)
