"""A closed form on the nodes of a grid, as a labelled law."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sde_engine.errors import Incompatible
from sde_engine.fokker_planck import Axis, Grid
from sde_engine.kernel import Hyper
from sde_engine.model import Model
from sde_engine.stationary_law.closed import ClosedLaw, Declared, Joint, Marginals
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

_DEVIATIONS = 7.0  # half width of the grid on which a law of known moments is tabulated


def tabulated(
    model: Model,
    hyper: Hyper,
    closed: Declared,
    place: Support,
    grid: Grid | None = None,
    residual: float | None = None,
) -> StationaryLaw:
    """Return a closed form on the nodes of a grid; a joint law finds one, and has a density in up to 3-D.

    Variables known by themselves are tabulated on the grid of a place of one of them, and elsewhere on points of their own.
    `residual` is that of the stationary equation, where the closed form was held against it.
    """
    verdict = "exact" if residual is None else f"exact: relative residual of the stationary equation {residual:.0e}"
    if isinstance(closed, Marginals):
        return _separate(model, hyper, closed, place, grid)
    if isinstance(closed, Joint):
        return _joint(model, hyper, closed, place, grid, verdict)
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
    x = _nodes(closed) if grid is None else np.sort(variables(model, place, grid)[0](grid.axes[0].nodes))
    return build(
        model,
        hyper,
        method="closed_form",
        label=place.label,
        lines=(_line(closed, place.names[0], x),),
        shape=Shape({place.names[0]: x}, closed.pdf(x)),
        mass_outside=float(max(closed.cdf(x[0]) + 1.0 - closed.cdf(x[-1]), 0.0)),
        reason="the integral of the closed form converges",
        verdict=verdict,
    )


def _nodes(law: Any) -> NDArray:
    """Return points that hold nearly all of a law: of its own table if it has one, else seven deviations either way."""
    if isinstance(law, Law) and law.knots is not None and law.below is not None:
        inner = law.knots[(law.below > 1e-12) & (law.below < 1.0 - 1e-12)]
        return np.unique(law.chart.to_v(inner[::4]))
    deviation = np.sqrt(law.var)
    if not 0.0 < deviation < np.inf:
        raise Incompatible(f"a law of variance {law.var:.6g} has no grid of its own; give one")
    return law.mean + deviation * np.linspace(-_DEVIATIONS, _DEVIATIONS, CELLS[1])


def _separate(model: Model, hyper: Hyper, closed: Marginals, place: Support, grid: Grid | None) -> StationaryLaw:
    lines, marginals = [], {}
    for name, law in closed.laws.items():
        if isinstance(law, Known):
            lines.append(_known(name, law))
            continue
        x = _nodes(law)
        if grid is not None and place.names == (name,):
            x = np.sort(variables(model, place, grid)[0](grid.axes[0].nodes))
        lines.append(_line(law, name, x))
        marginals[name] = (x, law.pdf(x), 0.0 * x)
    shape = Shape(marginals=marginals)
    if len(marginals) == 1:
        ((name, (x, height, _)),) = marginals.items()
        shape = Shape({name: x}, height)
    return _stated(model, hyper, place, lines, shape, closed.verdict)


def _stated(
    model: Model, hyper: Hyper, place: Support, lines: list[Line], shape: Shape, verdict: str, **attributes: Any
) -> StationaryLaw:
    """Return a law that a closed form states: its moments are exact and finite, and no mass is left out."""
    return build(
        model,
        hyper,
        method="closed_form",
        label=place.label,
        lines=tuple(lines),
        shape=shape,
        mass_outside=0.0,
        reason="the moments of the closed form are finite",
        verdict=verdict,
        attributes=attributes,
    )


def _known(name: str, law: Known) -> Line:
    if not law.var:
        return point_line(name, law.mean)
    rounding = 1e-12 * (abs(law.mean) + law.var**0.5)
    return moment_line(name, law.mean, law.mean_error + rounding, law.var, law.var_error + 1e-12 * law.var)


def _joint(model: Model, hyper: Hyper, law: Joint, place: Support, grid: Grid | None, verdict: str) -> StationaryLaw:
    widths, size = _DEVIATIONS * np.sqrt(np.diag(law.covariance)), np.linalg.eigvalsh(law.covariance)
    if law.density is not None and not size[0] > 1e-14 * size[-1]:
        raise Incompatible(
            "there is no noise along one of the components or a mixture of them, so the law has no density there"
        )
    cells = CELLS.get(len(widths), CELLS[1])
    found = (
        tuple(Axis(m - w, m + w, cells) for m, w in zip(law.mean, widths, strict=True)) if grid is None else grid.axes
    )
    axes, shape = list(zip(place.names, found, strict=True)), Shape()
    if law.density is not None and len(widths) <= 3:
        shape = Shape({name: axis.nodes for name, axis in axes}, law.density(Grid(found).nodes))
    lines = []
    for k, (name, axis) in enumerate(axes):
        mean, var = float(law.mean[k]), float(law.covariance[k, k])
        if law.lines:
            lines.append(_line(law.lines[k], name, axis.nodes))
        elif shape.density is None:
            lines.append(_known(name, Known(mean, var)))
        else:
            lines.append(_summed(name, mean, var, Grid(found), shape.density, k))
    verdict = verdict if law.density is not None else "exact moments; the density has no closed form"
    return _stated(model, hyper, place, lines, shape, verdict, covariance=law.covariance.ravel())


def _summed(name: str, mean: float, var: float, grid: Grid, density: NDArray, k: int) -> Line:
    """Return moments as declared, and the distribution function of the density summed over the other variables."""
    mass = (density * grid.volumes).sum(axis=tuple(j for j in range(grid.dim) if j != k))
    faces, below = grid.axes[k].faces, np.concatenate([[0.0], np.cumsum(mass)])
    quantiles, widths = np.interp(PROBABILITIES, below, faces), np.diff(faces)
    error = 0.5 * float(widths.max()) ** 2 / var**0.5  # of straight lines between the faces
    share = float((mass / widths).max()) * error + abs(float(below[-1]) - 1.0)

    def cdf(x: NDArray) -> NDArray:
        return np.interp(x, faces, below)

    return Line(name, mean, 1e-10 * abs(mean), var, 1e-10 * var, quantiles, 0.0 * quantiles + error, cdf, share)


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
