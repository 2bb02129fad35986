"""The route of the Fokker-Planck equation: a grid that fits, the laws on it, and what they say in words."""

import numpy as np
from numpy.typing import NDArray

from sde_engine.errors import Incompatible
from sde_engine.fokker_planck import Axis, Equation, Grid, GridLaw, generator, quasi_stationary_law, stationary_laws
from sde_engine.fokker_planck.resolution import coarse_law, density_error
from sde_engine.kernel import Hyper
from sde_engine.model import Model
from sde_engine.stationary_law.grids import CELLS, box_grid, line_grid, polar_grid, ray_grid
from sde_engine.stationary_law.law import Shape, StationaryLaw, build, point_line, point_mass
from sde_engine.stationary_law.summary import Function, line_of, mass_beyond, tail_share, zero_end
from sde_engine.stationary_law.support import Support

_TRUSTED = 1e-6  # mass beyond the grid up to which a verdict is plain
_ROUGH = 0.02  # L1 error of the law from which it is not


def find_grid(model: Model, equation: Equation, place: Support, cells: int | None) -> tuple[Grid, bool]:
    """Return a grid that holds the law, and whether its mass dies out towards the symmetric state."""
    points = np.array(model.starts(model.params), dtype=float)
    cells = cells or CELLS[equation.dim]
    if place.radius is not None:
        return polar_grid(equation, cells), True
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


def variables(model: Model, place: Support, grid: Grid) -> list[Function]:
    """Return each variable of the law as a function of grid coordinates."""
    if grid.dim > 1:
        return [lambda *x, k=k: x[k] for k in range(grid.dim)]
    line = Support(place.label, place.names, np.ones(1), False) if model.dim == 1 else place
    place.refuse_folded(line.values(model, grid.axes[0].nodes))
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
    if not laws:
        raise Incompatible(
            f"{model.name!r} has no stationary law{' on ' + place.label if place.label else ''}: its mass runs to the ends "
            "of every grid; a loss that grows in every direction is accepted"
        )
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
    functions, coarse, end = variables(model, place, law.grid), coarse_law(law), zero_end(law, place)
    lines = tuple(
        line_of(law, coarse, name, f, k, end) for k, (name, f) in enumerate(zip(place.names, functions, strict=True))
    )
    lines += tuple(point_line(name, value) for name, value in place.still.items())
    tail, outside, change = tail_share(law, end), mass_beyond(law, end), density_error(law, coarse)
    beyond = tail + (1.0 - tail) * outside
    coordinates, density = _density((1.0 - tail) * law.density, law.grid, place, functions)
    _, spread = _density(change, law.grid, place, functions)
    error = float(np.sum(change * law.grid.volumes))
    doubts = _doubts(law, outside, error)
    words = f", {tail:.1e} of it between 0 and the grid, continued as a power" if tail > _TRUSTED else ""
    verdict = (
        f"solved on {' x '.join(map(str, law.grid.shape))} cells: residual {law.residual:.1e}, mass beyond the grid "
        f"{beyond:.1e}{words}, L1 error from half the resolution {error:.1e}{doubts}"
    )
    if outside < 1.0:
        reason = "the mass dies out towards every end of the grid"
        reason += "" if outside < _TRUSTED else ", beyond which it is extrapolated"
    else:
        reason = "mass piles up at an end"
    extra = {
        "residual": law.residual,
        "imbalance": law.imbalance,
        "density_error": error,
        "artificial_diffusion": float(law.generator.raised.max()),
    }
    return build(
        model,
        hyper,
        method="fokker_planck",
        label=label,
        lines=lines,
        shape=Shape(coordinates, density, spread),
        mass_outside=beyond,
        is_normalisable=outside < 1.0,
        reason=reason,
        verdict=verdict,
        is_converged=not doubts,
        escape_rate=law.escape_rate,
        attributes=extra,
    )


def _doubts(law: GridLaw, outside: float, error: float) -> str:
    """Return why a law is not to be trusted, in words; nothing if it is."""
    doubts = []
    if law.residual > 1e-9:
        doubts.append("the residual is large")
    if outside > _TRUSTED:
        doubts.append("the grid does not hold the law")
    if not error < _ROUGH:
        doubts.append("the grid is too coarse")
    return f"; not to be trusted: {' and '.join(doubts)}" if doubts else ""


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
