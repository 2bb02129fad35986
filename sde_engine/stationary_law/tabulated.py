"""A closed form on the nodes of a grid, as a labelled law."""

import numpy as np
from numpy.typing import NDArray

from sde_engine.errors import Incompatible
from sde_engine.fokker_planck import Axis, Grid
from sde_engine.kernel import Hyper
from sde_engine.model import Model
from sde_engine.stationary_law.closed import ClosedLaw, GaussianLaw, Marginals
from sde_engine.stationary_law.grids import CELLS
from sde_engine.stationary_law.law import (
    PROBABILITIES,
    Line,
    Shape,
    StationaryLaw,
    build,
    moment_line,
    point_line,
    point_mass,
)
from sde_engine.stationary_law.on_grid import variables
from sde_engine.stationary_law.summary import inverse
from sde_engine.stationary_law.support import Support
from sde_engine.theory.density import Known, Law

_DEVIATIONS = 7.0  # half width of the grid on which a Gaussian is tabulated


def tabulated(
    model: Model, hyper: Hyper, closed: ClosedLaw | GaussianLaw | Marginals, place: Support, grid: Grid | None = None
) -> StationaryLaw:
    """Return a closed form on the nodes of a grid; a Gaussian law finds one, and has a joint density in up to 3-D.

    Marginals are tabulated on the grid of a place of one variable, and elsewhere on points of their own.
    """
    if isinstance(closed, Marginals):
        return _separate(model, hyper, closed, place, grid)
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


def _separate(model: Model, hyper: Hyper, closed: Marginals, place: Support, grid: Grid | None) -> StationaryLaw:
    lines, marginals = [], {}
    for name, law in closed.laws.items():
        if isinstance(law, Known):
            lines.append(_known(name, law))
            continue
        x = _points(law)
        if grid is not None and place.names == (name,):
            x = np.sort(variables(model, place, grid)[0](grid.axes[0].nodes))
        plain = ClosedLaw(law.pdf, law.cdf, law.mean, law.var)
        lines.append(_line(plain, name, x))
        marginals[name] = (x, law.pdf(x), 0.0 * x)
    shape = Shape(marginals=marginals)
    if len(marginals) == 1:
        ((name, (x, height, _)),) = marginals.items()
        shape = Shape({name: x}, height)
    return build(
        model,
        hyper,
        method="closed_form",
        label=place.label,
        lines=tuple(lines),
        shape=shape,
        mass_outside=0.0,
        reason="the moments of the closed form are finite",
        verdict=closed.verdict,
    )


def _known(name: str, law: Known) -> Line:
    if not law.var:
        return point_line(name, law.mean)
    rounding = 1e-12 * (abs(law.mean) + law.var**0.5)
    return moment_line(name, law.mean, law.mean_error + rounding, law.var, law.var_error + 1e-12 * law.var)


def _points(law: Law) -> NDArray:
    """Return points of the table of a law that hold all but 1e-12 of it at either end."""
    if law.knots is None or law.below is None:
        raise Incompatible("a law of this kind has no table; give a grid")
    inner = law.knots[(law.below > 1e-12) & (law.below < 1.0 - 1e-12)]
    return np.unique(law.chart.to_v(inner[::4]))


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
