"""A closed form on the nodes of a grid, as a labelled law."""

import numpy as np
from numpy.typing import NDArray

from sde_engine.errors import Incompatible
from sde_engine.fokker_planck import Axis, Grid
from sde_engine.kernel import Hyper
from sde_engine.model import Model
from sde_engine.stationary_law.closed import ClosedLaw, GaussianLaw
from sde_engine.stationary_law.grids import CELLS
from sde_engine.stationary_law.law import PROBABILITIES, Line, Shape, StationaryLaw, build, point_mass
from sde_engine.stationary_law.on_grid import variables
from sde_engine.stationary_law.summary import inverse
from sde_engine.stationary_law.support import Support

_DEVIATIONS = 7.0  # half width of the grid on which a Gaussian is tabulated


def tabulated(
    model: Model, hyper: Hyper, closed: ClosedLaw | GaussianLaw, place: Support, grid: Grid | None = None
) -> StationaryLaw:
    """Return a closed form on the nodes of a grid; a Gaussian law finds one, and has a joint density in up to 3-D."""
    if isinstance(closed, GaussianLaw):
        return _gaussian(model, hyper, closed, place, grid)
    if grid is None:
        raise Incompatible(f"the law of {', '.join(place.names)} is tabulated on a grid; give one")
    if closed.collapsed:
        return point_mass(
            model,
            hyper,
            method="closed_form",
            label=place.label,
            names=place.names,
            reason="the density of the closed form is not integrable at 0",
            verdict="exact: collapsed onto the symmetric state",
        )
    x = np.sort(variables(model, place, grid)[0](grid.axes[0].nodes))
    return build(
        model,
        hyper,
        method="closed_form",
        label=place.label,
        lines=(_line(closed, place.names[0], x),),
        shape=Shape({place.names[0]: x}, closed.pdf(x)),
        mass_outside=float(max(closed.cdf(x[0]) + 1.0 - closed.cdf(x[-1]), 0.0)),
        reason="the integral of the closed form converges",
        verdict="exact",
    )


def _gaussian(model: Model, hyper: Hyper, law: GaussianLaw, place: Support, grid: Grid | None) -> StationaryLaw:
    law.refuse_degenerate()
    widths = _DEVIATIONS * np.sqrt(np.diag(law.covariance))
    cells = CELLS.get(len(widths), CELLS[1])
    found = tuple(Axis(-w, w, cells) for w in widths) if grid is None else grid.axes
    axes, shape = list(zip(place.names, found, strict=True)), Shape()
    if len(widths) <= 3:
        shape = Shape({name: axis.nodes for name, axis in axes}, law.density(Grid(found).nodes))
    return build(
        model,
        hyper,
        method="closed_form",
        label=place.label,
        lines=tuple(_line(law.line(k), name, axis.nodes) for k, (name, axis) in enumerate(axes)),
        shape=shape,
        mass_outside=0.0,
        reason="every curvature is positive",
        verdict="exact",
        attributes={"covariance": law.covariance.ravel()},
    )


def _line(law: ClosedLaw, name: str, x: NDArray) -> Line:
    below = law.cdf(x)
    quantiles = np.array([inverse(lambda v: law.cdf(np.asarray(v)), p, x, below) for p in PROBABILITIES])
    return Line(
        name,
        law.mean,
        1e-10 * abs(law.mean),
        law.var,
        1e-10 * law.var,
        quantiles,
        1e-9 * np.abs(quantiles),
        law.cdf,
        1e-9,
    )
