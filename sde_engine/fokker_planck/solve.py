"""Stationary and quasi-stationary laws on a grid, with residual, mass balance and a half-resolution error.

The null vector of the generator is found by a sparse LU with one mass fixed and normalised afterwards: every
operation of that LU adds numbers of one sign, so no cell can come out negative. On a line without absorbing ends the
law is the exponential of the summed edge forces. Cells that no jump connects carry laws of their own.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse import csgraph
from scipy.sparse.linalg import splu

from sde_engine.errors import Incompatible, SpecError
from sde_engine.fokker_planck.equation import Equation
from sde_engine.fokker_planck.generator import Generator, generator
from sde_engine.fokker_planck.grid import Grid

MOST_CELLS_3D = 40_000  # a direct factorisation in three dimensions fills up: 34^3 cells take some 3 GB
_COARSEST = 8  # cells an axis of the coarsest grid that serves a finer one as its reference law
_REPEATS, _SETTLED = 8, 1e-3  # a law serves as its own reference until it moves by less than this (L1)
_REPEATED = 20_000  # cells up to which it does: a finer grid's reference is good enough
_RAISED = 1e-6  # share of the mass in cells of raised diffusion from which the error of a law is of first order
_REFERENCE_FLOOR = 1e-3  # the fixed cell is exchanged for the fullest one if it carries less than this share of it


@dataclass(frozen=True, eq=False)
class GridLaw:
    """A law on a grid.

    Attributes
    ----------
    generator : what it belongs to
    mass : probability of each cell, of the grid's shape, sums to 1
    escape_rate : rate at which mass leaks through absorbing ends (quasi-stationary law), 0 for a stationary law
    residual : sum |Q m| over sum |Q| m
    imbalance : largest |column sum| of the generator over its diagonal, leaks counted: 0 if mass is conserved
    coarse : the same law at half resolution, where one was needed
    outside : estimate of the mass beyond each pair of ends, extrapolated geometrically; infinite where mass piles up
        at an end
    """

    generator: Generator
    mass: NDArray
    escape_rate: float
    residual: float
    imbalance: float
    outside: tuple[tuple[float, float], ...]
    coarse: "GridLaw | None" = None

    @property
    def grid(self) -> Grid:
        """The grid."""
        return self.generator.grid

    @property
    def density(self) -> NDArray:
        """Probability density at the nodes."""
        return self.mass / self.grid.volumes

    @property
    def is_normalisable(self) -> bool:
        """Whether the mass dies out towards every reflecting end."""
        return all(np.isfinite(part) for pair in self.outside for part in pair)

    def expectation(self, function: Callable[..., NDArray]) -> float:
        """Return the mean of function(*coordinates)."""
        return float(np.sum(self.mass * function(*self.grid.nodes)))

    def marginal(self, axis: int) -> NDArray:
        """Return the probability of each cell of one axis."""
        return self.mass.sum(axis=tuple(k for k in range(self.grid.dim) if k != axis))


def stationary_law(equation: Equation, grid: Grid) -> GridLaw:
    """Return the stationary law of an equation on a closed grid.

    Raises
    ------
    Incompatible : an end absorbs (use `quasi_stationary_law`), or several laws exist (use `stationary_laws`)
    """
    laws = stationary_laws(equation, grid)
    if len(laws) > 1:
        raise Incompatible(
            f"the grid holds {len(laws)} stationary laws that no path connects; use stationary_laws, or a "
            "grid that holds one of them"
        )
    return laws[0]


def stationary_laws(equation: Equation, grid: Grid) -> tuple[GridLaw, ...]:
    """Return every stationary law of an equation on a closed grid, one for each closed set of connected cells."""
    if not grid.is_closed:
        raise Incompatible("mass leaks through an absorbing end, so no law is stationary; use quasi_stationary_law")
    if grid.dim == 1 and not grid.axes[0].is_periodic:
        built = generator(equation, grid)
        edges = built.edges[0]
        if len(edges.i) == grid.size - 1 and min(edges.forth.min(), edges.back.min()) > 0.0:
            log_density = np.concatenate([[0.0], np.cumsum(edges.force)])
            mass = np.exp(log_density - log_density.max()) * grid.volumes
            return (_law(built, mass, 0.0),)
        return tuple(_law(built, _null_vector(built, cells), 0.0) for cells in closed_classes(built.matrix))
    coarse, reference = None, None
    if min(grid.shape) >= 2 * _COARSEST:
        found = stationary_laws(equation, grid.coarser())
        coarse = found[0] if len(found) == 1 else None
        reference = None if coarse is None else refined(coarse, grid)
    laws = _laws(generator(equation, grid, reference=reference), reference, coarse)
    for _ in range(_REPEATS):
        if len(laws) > 1 or grid.size > _REPEATED or _is_settled(laws[0], reference):
            break
        reference = _logarithm(laws[0]).ravel()
        laws = _laws(generator(equation, grid, reference=reference), reference, coarse)
    return laws


def _laws(built: Generator, reference: NDArray | None, coarse: GridLaw | None) -> tuple[GridLaw, ...]:
    """Return the law of every closed class of cells."""
    return tuple(
        _law(built, _null_vector(built, cells, reference), 0.0, coarse) for cells in closed_classes(built.matrix)
    )


def _is_settled(law: GridLaw, reference: NDArray | None) -> bool:
    """Whether a law is so near to the reference that its generator was built with that another round changes little."""
    if reference is None:
        return False
    return float(np.abs(np.exp(reference) * law.grid.volumes.ravel() - law.mass.ravel()).sum()) < _SETTLED


def _logarithm(law: GridLaw) -> NDArray:
    """Return the logarithm of the density at the nodes; where that underflows, a value so near that cubics do not swing."""
    return np.log(np.maximum(law.density, 1e-300))


def refined(law: GridLaw, grid: Grid) -> NDArray:
    """Return the logarithm of a coarse law's density at the nodes of a finer grid, by cubic interpolation."""
    values = _logarithm(law)
    for k, (coarse, fine) in enumerate(zip(law.grid.axes, grid.axes, strict=True)):
        at = (np.arange(fine.cells) + 0.5) * coarse.cells / fine.cells - 0.5
        first = np.floor(at).astype(int) - 1
        if not coarse.is_periodic:
            first = np.clip(first, 0, coarse.cells - 4)
        u = at - first
        weights = (
            -(u - 1.0) * (u - 2.0) * (u - 3.0) / 6.0,
            u * (u - 2.0) * (u - 3.0) / 2.0,
            -u * (u - 1.0) * (u - 3.0) / 2.0,
            u * (u - 1.0) * (u - 2.0) / 6.0,
        )
        shape = tuple(-1 if j == k else 1 for j in range(grid.dim))
        parts = [w.reshape(shape) * np.take(values, (first + n) % coarse.cells, axis=k) for n, w in enumerate(weights)]
        values = parts[0] + parts[1] + parts[2] + parts[3]
    return values.ravel()


def closed_classes(matrix: sparse.spmatrix) -> list[NDArray]:
    """Return the sets of cells that mass cannot leave and inside which every cell reaches every other.

    Entry (i, j) of the matrix is positive where mass goes from cell j to another cell i.
    """
    number, label = csgraph.connected_components(matrix.T, directed=True, connection="strong")
    if number == 1:
        return [np.arange(matrix.shape[0])]
    jumps = matrix.tocoo()
    leaves = (label[jumps.row] != label[jumps.col]) & (jumps.data > 0.0)
    is_open = np.zeros(number, dtype=bool)
    is_open[label[jumps.col[leaves]]] = True
    return [np.flatnonzero(label == k) for k in np.flatnonzero(~is_open)]


def _null_vector(built: Generator, cells: NDArray, coarse: NDArray | None = None) -> NDArray:
    """Return the law on a closed class of cells; `coarse` is the logarithm of an approximate density."""
    mass = np.zeros(built.grid.size)
    if cells.size == 1:
        mass[cells] = 1.0
        return mass
    matrix = built.matrix[cells][:, cells].tocsc()
    if coarse is None:
        # The resolvent of a long time, e (e - Q)^-1 applied to the uniform law, shows where the mass goes.
        rate = 1e-3 * float(-matrix.diagonal().max())
        resolvent = factorised(sparse.identity(cells.size, format="csc") * rate - matrix, built.grid.dim)
        reference = int(np.argmax(resolvent.solve(np.full(cells.size, rate / cells.size))))
    else:
        reference = int(np.argmax(coarse[cells] + np.log(built.grid.volumes.ravel()[cells])))
    for _ in range(4):
        rest = np.delete(np.arange(cells.size), reference)
        source = matrix[rest][:, [reference]].toarray()[:, 0]
        part = np.insert(factorised(-matrix[rest][:, rest], built.grid.dim).solve(source), reference, 1.0)
        if np.isfinite(part).all() and part.max() * _REFERENCE_FLOOR <= 1.0:
            break
        reference = int(np.argmax(np.where(np.isfinite(part), part, 0.0)))
    if not np.isfinite(part).all():
        raise Incompatible("the masses of the cells span more than the range of doubles; choose a smaller grid")
    mass[cells] = part / part.max()
    return mass


def factorised(matrix: sparse.spmatrix, dim: int) -> "sparse.linalg.SuperLU":
    """Return the LU of a diagonally dominant matrix, pivots on the diagonal."""
    if dim == 3 and matrix.shape[0] > MOST_CELLS_3D:
        raise SpecError(
            f"a direct solve in three dimensions takes up to {MOST_CELLS_3D} cells, but got "
            f"{matrix.shape[0]}; use a coarser or graded grid, or the ensemble"
        )
    order = "NATURAL" if dim == 1 else "MMD_AT_PLUS_A"
    return splu(matrix.tocsc(), permc_spec=order, diag_pivot_thresh=0.0, options={"SymmetricMode": True})


def quasi_stationary_law(equation: Equation, grid: Grid, *, iterations: int = 200) -> GridLaw:
    """Return the law of paths that have not yet left through an absorbing end, and the rate at which they leave.

    The principal eigenvector of the generator, by inverse iteration: it stays positive at every step.
    """
    built = generator(equation, grid)
    if not np.any(built.leak > 0.0):
        raise Incompatible("no end of the grid absorbs, so no mass leaks; use stationary_law")
    solver = factorised(-built.matrix, grid.dim)
    mass, rate = np.full(grid.size, 1.0 / grid.size), np.inf
    for _ in range(iterations):
        following = solver.solve(mass)
        previous, rate = rate, 1.0 / following.sum()
        following *= rate
        change, mass = np.abs(following - mass).sum(), following
        if change < 1e-13 and abs(previous - rate) <= 1e-14 * rate:
            break
    return _law(built, mass, float(rate))


def _law(built: Generator, mass: NDArray, rate: float, coarse: GridLaw | None = None) -> GridLaw:
    mass = mass / mass.sum()
    matrix = built.matrix
    flow = matrix @ mass + rate * mass
    gross = abs(matrix) @ mass
    columns = np.asarray(matrix.sum(axis=0)).ravel() + built.leak
    imbalance = float(np.max(np.abs(columns) / np.maximum(-matrix.diagonal(), 1e-300)))
    shaped = mass.reshape(built.grid.shape)
    residual = float(np.abs(flow).sum() / max(gross.sum(), 1e-300))  # a cell without jumps has no flow at all
    return GridLaw(built, shaped, rate, residual, imbalance, _outside(shaped, built.grid), coarse)


def _outside(mass: NDArray, grid: Grid) -> tuple[tuple[float, float], ...]:
    found = []
    for k, axis in enumerate(grid.axes):
        profile = mass.sum(axis=tuple(j for j in range(grid.dim) if j != k))
        pair = []
        for end, (last, inner) in zip(axis.ends, ((profile[0], profile[1]), (profile[-1], profile[-2])), strict=True):
            ratio = last / inner if inner > 0.0 else 0.0
            tail = np.inf if ratio >= 1.0 and last > 0.0 else last * ratio / (1.0 - ratio)
            pair.append(float(tail) if end == "reflecting" else 0.0)
        found.append((pair[0], pair[1]))
    return tuple(found)


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
