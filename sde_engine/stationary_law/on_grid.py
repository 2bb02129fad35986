"""Two routes that need a grid: the Fokker-Planck equation, and a closed form tabulated on the same nodes."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import PchipInterpolator

from sde_engine.errors import Incompatible
from sde_engine.fokker_planck import Axis, Equation, Grid, GridLaw, generator, quasi_stationary_law, stationary_laws
from sde_engine.fokker_planck.solve import half_resolution_error, refined
from sde_engine.kernel import Hyper
from sde_engine.model import Model
from sde_engine.stationary_law.closed import ClosedLaw, GaussianLaw
from sde_engine.stationary_law.grids import CELLS, box_grid, line_grid, ray_grid
from sde_engine.stationary_law.law import PROBABILITIES, Line, Shape, StationaryLaw, build, point_mass
from sde_engine.stationary_law.support import Support
from sde_engine.theory.root_finding import find_root

_TRUSTED = 1e-6  # mass beyond the grid, and error of the law, up to which a verdict is plain
Function = Callable[[NDArray], NDArray]


def find_grid(model: Model, equation: Equation, place: Support, cells: int | None) -> tuple[Grid, bool]:
    """Return a grid that holds the law, and whether its mass dies out towards the symmetric state."""
    points = np.array(model.starts(model.params), dtype=float)
    cells = cells or CELLS[equation.dim]
    if place.is_ray:
        if place.direction is None:
            raise Incompatible("a ray has a direction")
        scale = float(np.abs(points).max())
        if model.dim == 1 and place.direction[0] < 0.0:
            mirrored, dies = ray_grid(_mirror(equation), scale, cells, 2)
            axis = mirrored.axes[0]
            return Grid((Axis(-axis.high, -axis.low, axis.cells, "log"),)), dies
        return ray_grid(equation, scale, cells, 2 * model.dim)
    if equation.dim == 1:
        return line_grid(equation, points[:, 0], cells), True
    return box_grid(equation, points, cells), True


def _mirror(equation: Equation) -> Equation:
    return Equation(lambda x: (-equation.drift((-x[0],))[0],), lambda x: equation.diffusion((-x[0],)), equation.names)


def _variables(model: Model, place: Support, grid: Grid) -> list[Function]:
    """Return each variable of the law as a function of grid coordinates (flattened nodes)."""
    if grid.dim > 1:
        return [lambda *x, k=k: x[k] for k in range(grid.dim)]
    line = Support(place.label, place.names, np.ones(1), False) if model.dim == 1 else place
    steps = np.diff(line.values(model, grid.axes[0].nodes))
    if (steps > 0.0).any() == (steps < 0.0).any():
        raise Incompatible(
            f"{place.names[0]} does not change monotonically along {place.label or 'the line'}, so a "
            "density of it is not a density of the parameters; ask for another observable"
        )
    return [lambda x: line.values(model, x)]


def solved(
    model: Model, hyper: Hyper, equation: Equation, place: Support, grid: Grid, dies: bool
) -> tuple[StationaryLaw, ...]:
    """Return the laws of the Fokker-Planck equation at one place: stationary ones, and metastable ones beside them."""
    if not dies:
        reason = "the density is not integrable at the symmetric state: its mass piles up at 0"
        verdict = "collapsed: the symmetric state attracts along this ray"
        dead = point_mass(
            model, hyper, method="fokker_planck", label=place.label, names=place.names, reason=reason, verdict=verdict
        )
        return (dead, *_metastable(model, hyper, equation, place))
    laws = [law for law in stationary_laws(equation, grid) if np.sum(law.mass > 1e-300) > 1]
    label = [place.label] if len(laws) == 1 else [f"{place.label} class {k}".strip() for k in range(len(laws))]
    return tuple(_labelled(model, hyper, place, law, name) for law, name in zip(laws, label, strict=True))


def _metastable(model: Model, hyper: Hyper, equation: Equation, place: Support) -> tuple[StationaryLaw, ...]:
    """Return the law of the paths that have not collapsed yet, if a barrier holds them back."""
    points = np.array(model.starts(model.params), dtype=float)
    scale = float(np.abs(points).max())
    if model.dim == 1:
        return ()
    grid = Grid((Axis(1e-8 * scale, 1e4 * scale, 1600, "log"),))
    level = np.concatenate([[0.0], np.cumsum(generator(equation, grid).edges[0].force)]) + np.log(grid.volumes)
    inner = np.flatnonzero((level[1:-1] > level[:-2]) & (level[1:-1] >= level[2:])) + 1
    if not inner.size:
        return ()
    top = int(inner[np.argmax(level[inner])])
    gap = int(np.argmin(level[:top]))
    if level[top] - level[gap] < 3.0:
        return ()
    r = grid.nodes[0]
    keep = np.flatnonzero((level > level[top] - 60.0) & (np.arange(len(r)) > gap))
    axis = Axis(float(r[gap]), float(r[keep[-1]]), CELLS[1], "log", ends=("absorbing", "reflecting"))
    stays = quasi_stationary_law(equation, Grid((axis,)))
    return (_labelled(model, hyper, place, stays, f"{place.label}, metastable"),)


def _labelled(model: Model, hyper: Hyper, place: Support, law: GridLaw, label: str) -> StationaryLaw:
    functions = _variables(model, place, law.grid)
    errors = half_resolution_error(law, {str(k): f for k, f in enumerate(functions)})
    lines = tuple(_line_of(law, name, f, k) for k, (name, f) in enumerate(zip(place.names, functions, strict=True)))
    coordinates, density = _density(law.density, law.grid, place, functions)
    rough = np.exp(refined(law.coarse or _coarse(law), law.grid)).reshape(law.grid.shape)
    _, spread = _density(np.abs(law.density - rough) / 3.0, law.grid, place, functions)
    outside = float(sum(part for pair in law.outside for part in pair))
    error = errors.get("density", np.nan)
    good = outside < _TRUSTED and law.residual < 1e-9
    verdict = (
        f"solved on {' x '.join(map(str, law.grid.shape))} cells: residual {law.residual:.1e}, mass beyond the grid "
        f"{outside:.1e}, L1 error from half the resolution {error:.1e}" + ("" if good else "; not to be trusted")
    )
    reason = "the mass dies out towards every end of the grid" if np.isfinite(outside) else "mass piles up at an end"
    extra = {
        "residual": law.residual,
        "imbalance": law.imbalance,
        "density_error": float(error),
        "artificial_diffusion": float(law.generator.raised.max()),
    }
    return build(
        model,
        hyper,
        method="fokker_planck",
        label=label,
        lines=lines,
        shape=Shape(coordinates, density, spread),
        mass_outside=outside,
        is_normalisable=bool(np.isfinite(outside)),
        reason=reason,
        verdict=verdict,
        escape_rate=law.escape_rate,
        attributes=extra,
    )


def _density(
    values: NDArray, grid: Grid, place: Support, functions: list[Function]
) -> tuple[dict[str, NDArray], NDArray]:
    """Return coordinates and density in the variables of the law."""
    if grid.dim > 1:
        return {name: axis.nodes for name, axis in zip(place.names, grid.axes, strict=True)}, values
    axis = grid.axes[0]
    shift = 1e-4
    high, low = (
        functions[0](axis.points(np.arange(axis.cells) + shift)[0]),
        functions[0](axis.points(np.arange(axis.cells) - shift)[0]),
    )
    slope = (high - low) / (2.0 * shift) / axis.points(np.arange(axis.cells))[1]
    x, density = functions[0](axis.nodes), values / np.maximum(np.abs(slope), 1e-300)
    order = np.argsort(x, kind="stable")
    return {place.names[0]: x[order]}, density[order]


def _line_of(law: GridLaw, name: str, f: Function, k: int) -> Line:
    mean, spread, beyond = _moments(law, f)
    rounding = 1e-13 * (abs(mean) + (spread**0.5 if np.isfinite(spread) else 0.0))
    coarse = law.coarse or _coarse(law)
    rough = _moments(coarse, f)
    cdf, quantiles = _distribution(law, f, k)
    _, few = _distribution(coarse, f, k)
    outside = float(sum(part for pair in law.outside for part in pair))
    return Line(
        name,
        mean,
        abs(mean - rough[0]) / 3.0 + rounding,
        spread,
        abs(spread - rough[1]) / 3.0 + 1e-14 * spread + beyond if np.isfinite(spread) else np.inf,
        quantiles,
        np.abs(quantiles - few) / 3.0,
        cdf,
        max(float(np.max(np.abs(cdf(few) - PROBABILITIES))) / 3.0, outside),
    )


def _coarse(law: GridLaw) -> GridLaw:
    equation, grid = law.generator.equation, law.grid.coarser()
    if grid.is_closed:
        return max(stationary_laws(equation, grid), key=lambda one: int(np.sum(one.mass > 1e-300)))
    return quasi_stationary_law(equation, grid)


def _moments(law: GridLaw, f: Function) -> tuple[float, float, float]:
    """Return mean, variance, and the variance that lies beyond the ends (geometric extrapolation; may be infinite)."""
    values = f(*law.grid.nodes)
    mean = float(np.sum(law.mass * values))
    weight = law.mass * (values - mean) ** 2
    spread, beyond = float(np.sum(weight)), 0.0
    if law.grid.dim == 1 and not law.grid.axes[0].is_periodic:
        for end, inner in ((0, 1), (-1, -2)):
            if weight[end] > 1e-12 * spread:
                ratio = weight[end] / max(weight[inner], 1e-300)
                beyond += weight[end] * ratio / (1.0 - ratio) if ratio < 1.0 else np.inf
    return mean, spread if np.isfinite(beyond) else np.inf, float(beyond)


def _distribution(law: GridLaw, f: Function, k: int) -> tuple[Callable[[NDArray], NDArray], NDArray]:
    axis, profile = law.grid.axes[k], law.marginal(k)
    # From values at nodes to integrals over cells, fourth order: m + m''/24. Tails are convex, so none gets negative.
    profile = np.maximum(profile + np.diff(profile, 2, prepend=profile[:1], append=profile[-1:]) / 24.0, 0.0)
    profile = profile / profile.sum()
    x, mass = axis.faces, profile
    if law.grid.dim == 1:
        x = f(axis.faces)
        if x[-1] < x[0]:
            x, mass = x[::-1], mass[::-1]
    below = np.concatenate([[0.0], np.cumsum(mass)])
    rising = np.concatenate([[True], np.diff(x) > 0.0])
    x, below = x[rising], below[rising]
    smooth = PchipInterpolator(x, below, extrapolate=False)

    def cdf(at: Any) -> NDArray:
        at = np.asarray(at, dtype=float)
        return np.where(at <= x[0], 0.0, np.where(at >= x[-1], 1.0, np.nan_to_num(smooth(np.clip(at, x[0], x[-1])))))

    return cdf, np.array([_inverse(cdf, p, x, below) for p in PROBABILITIES])


def _inverse(cdf: Callable[[NDArray], NDArray], p: float, x: NDArray, below: NDArray) -> float:
    at = int(np.clip(np.searchsorted(below, p), 1, len(x) - 1))
    if not below[at - 1] < p < below[at]:
        return float(x[at])
    return find_root(lambda v: float(cdf(np.asarray(v))) - p, float(x[at - 1]), float(x[at]), relative=1e-13)


def tabulated(model: Model, hyper: Hyper, closed: ClosedLaw | GaussianLaw, place: Support, grid: Grid) -> StationaryLaw:
    """Return a closed form on the nodes of a grid."""
    if isinstance(closed, ClosedLaw) and closed.collapsed:
        return point_mass(
            model,
            hyper,
            method="closed_form",
            label=place.label,
            names=place.names,
            reason="the density of the closed form is not integrable at 0",
            verdict="exact: collapsed onto the symmetric state",
        )
    verdict = "exact"
    if isinstance(closed, GaussianLaw):
        lines = tuple(
            _closed_line(closed.line(k), name, axis.nodes)
            for k, (name, axis) in enumerate(zip(place.names, grid.axes, strict=True))
        )
        coordinates = {name: axis.nodes for name, axis in zip(place.names, grid.axes, strict=True)}
        return build(
            model,
            hyper,
            method="closed_form",
            label=place.label,
            lines=lines,
            shape=Shape(coordinates, closed.density(grid.nodes)),
            mass_outside=0.0,
            reason="every curvature is positive",
            verdict=verdict,
            attributes={"covariance": closed.covariance.ravel()},
        )
    x = np.sort(_variables(model, place, grid)[0](grid.axes[0].nodes))
    line = _closed_line(closed, place.names[0], x)
    outside = float(max(closed.cdf(x[0]) + 1.0 - closed.cdf(x[-1]), 0.0))
    return build(
        model,
        hyper,
        method="closed_form",
        label=place.label,
        lines=(line,),
        shape=Shape({place.names[0]: x}, closed.pdf(x)),
        mass_outside=outside,
        reason="the integral of the closed form converges",
        verdict=verdict,
    )


def _closed_line(law: ClosedLaw, name: str, x: NDArray) -> Line:
    below = law.cdf(x)
    quantiles = np.array([_inverse(lambda v: law.cdf(np.asarray(v)), p, x, below) for p in PROBABILITIES])
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
