"""The Fokker-Planck equation as jumps between cells: conservative, positive, exact at detailed balance.

With F = D^-1 (b - div D) the Ito current is J = D (F p - grad p), and D = sum_e w_e e e^T with w_e >= 0 splits it into
currents along lattice edges e, each exponentially fitted (see `flux`) with the integral of F along the edge and the mean
of w_e at its ends. Rates are non-negative and every column of the generator sums to zero: no cell can get negative and no
mass is lost. If F is a gradient (detailed balance) all edges vanish together on p = exp(integral F), whatever the tensor:
the discrete law is then exact up to the quadrature of F. Otherwise its error is of second order, and of fourth where a
reference law is given and the lattice directions do not change from cell to cell.

A jump that leaves through a reflecting end keeps its component along that end (Neumann: the end takes the normal one),
so that no corner is cut off however long the directions are; absorbing ends take every jump that crosses them.

A tensor that is singular, or so anisotropic that its lattice directions would be longer than about sqrt(cells), is
raised by a multiple of the identity of relative size 1 / cells: first order there, and still positive.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.polynomial.legendre import leggauss
from numpy.typing import NDArray
from scipy import sparse

from sde_engine.errors import Incompatible, SpecError
from sde_engine.fokker_planck.equation import Coordinates, Equation
from sde_engine.fokker_planck.flux import bernoulli, fitted, sharpened, split
from sde_engine.fokker_planck.grid import Grid
from sde_engine.fokker_planck.stencil import decompose, regularised

STEEPEST = 700.0  # largest force per cell; the rates are then those of upwinding
MOST_CELLS = 1_500_000


@dataclass(frozen=True, eq=False)
class Edges:
    """Jumps i -> j at rate `forth` and j -> i at rate `back`, by `shift` (d, edges) cells."""

    shift: NDArray
    i: NDArray
    j: NDArray
    forth: NDArray
    back: NDArray
    force: NDArray  # z; without a reference forth / back = e^z volume_j / volume_i


@dataclass(frozen=True, eq=False)
class Generator:
    """dm/dt = matrix @ m for the masses m of the cells, and what it is made of.

    Attributes
    ----------
    grid, equation : as they were given
    edges : jumps between cells
    leak : (cells,) rate at which each cell loses mass through absorbing ends
    raised : (cells,) largest relative artificial diffusion, 0 where the tensor is used as it is
    """

    grid: Grid
    equation: Equation
    edges: tuple[Edges, ...]
    leak: NDArray
    raised: NDArray
    matrix: sparse.csc_matrix = field(repr=False)


class _Cells(NamedTuple):
    """What jumps are made of: index `at` (d, cells), volume (cells,), logarithm of the reference law (cells,) or None."""

    equation: Equation
    grid: Grid
    at: NDArray
    volume: NDArray
    reference: NDArray | None


def generator(equation: Equation, grid: Grid, *, reference: NDArray | None = None) -> Generator:
    """Return the generator of an equation on a grid; `reference` is the logarithm of an approximate density, flat."""
    if equation.dim != grid.dim:
        raise SpecError(
            f"the equation has {equation.dim} coordinates and the grid {grid.dim} axes; equal numbers are accepted"
        )
    if grid.size > MOST_CELLS:
        raise SpecError(f"the grid has {grid.size} cells; up to {MOST_CELLS} are accepted")
    index = np.indices(grid.shape).reshape(grid.dim, -1)
    drift, tensor, raised = _local(equation, grid, tuple(index.astype(float)), with_divergence=False)
    if not (np.isfinite(tensor).all() and np.isfinite(drift).all()):
        bad = np.argmin(np.isfinite(tensor).all(axis=(0, 1)) & np.isfinite(drift).all(axis=0))
        raise Incompatible(
            f"drift or diffusion is not finite at {[float(x.ravel()[bad]) for x in grid.nodes]}; "
            "choose a grid on which they are"
        )
    if not np.any(equation.matrix(grid.nodes)):
        raise Incompatible("the diffusion is zero on the whole grid, so its laws are point masses; give some noise")
    cells, leak = _Cells(equation, grid, index, grid.volumes.ravel(), reference), np.zeros(grid.size)
    edges = []
    for offset, weight in decompose(tensor).items():
        edges.append(_edges(cells, offset, weight))
        for way in (offset, tuple(-e for e in offset)):
            edges.append(_along_the_rim(cells, way, weight))
            leak += _leak(cells, way, weight)
    edges = [part for part in edges if part.i.size]
    return Generator(grid, equation, tuple(edges), leak, raised, _matrix(grid.size, edges, leak))


def _local(
    equation: Equation, grid: Grid, s: Coordinates, *, with_divergence: bool = True
) -> tuple[NDArray, NDArray, NDArray]:
    """Return b - div D and D in units of cells at cell coordinates s (n,), and the relative artificial diffusion."""
    x, width = (np.array(part) for part in zip(*(a.points(c) for a, c in zip(grid.axes, s, strict=True)), strict=True))
    drift, matrix = equation.evaluate(tuple(x))
    if with_divergence and not equation.is_additive:
        drift = drift - _divergence(equation, x, width)
    drift, tensor = drift / width, matrix / (width[:, None] * width[None, :])
    trace = np.einsum("iin->n", tensor)
    floor = np.abs(drift).max(axis=0) / STEEPEST + 1e-300
    if grid.dim > 1:
        floor = np.maximum(floor, trace / max(grid.shape))
    safe = regularised(tensor, floor)
    return drift, safe, (np.einsum("iin->n", safe) - trace) / np.maximum(trace, 1e-200)


def _divergence(equation: Equation, x: NDArray, width: NDArray) -> NDArray:
    """Return sum_j dD_ij/dx_j (d, n) by central differences of fourth order within the cell."""
    total = np.zeros_like(x)
    for j in range(len(x)):
        step = np.zeros_like(x)
        step[j] = width[j] / 8.0
        near = equation.matrix(tuple(x + step))[:, j] - equation.matrix(tuple(x - step))[:, j]
        far = equation.matrix(tuple(x + 2.0 * step))[:, j] - equation.matrix(tuple(x - 2.0 * step))[:, j]
        total += (8.0 * near - far) / (12.0 * step[j])
    return total


def _edge_force(equation: Equation, grid: Grid, start: NDArray, shift: NDArray) -> NDArray:
    """Return the integral of F = D^-1 (b - div D) from cell coordinates `start` (d, n) along `shift` (d, n)."""
    if grid.dim == 1:
        return _line_force(equation, grid, start[0], shift[0])
    nodes, weights = leggauss(3)
    z = np.zeros(start.shape[1])
    for node, weight in zip(nodes, weights, strict=True):
        drift, tensor, _ = _local(equation, grid, tuple(start + 0.5 * (1.0 + node) * shift))
        z += 0.5 * weight * np.einsum("in,in->n", shift, _solved(tensor, drift))
    return z


def _line_force(equation: Equation, grid: Grid, start: NDArray, shift: NDArray) -> NDArray:
    """The same on a line, integral of b / D minus the change of ln D: no derivative of D is needed."""
    nodes, weights = leggauss(5)
    s = start + 0.5 * (1.0 + nodes[:, None]) * shift
    drift, tensor, _ = _local(equation, grid, (s.ravel(),), with_divergence=False)
    z = (0.5 * weights[:, None] * shift * (drift[0] / tensor[0, 0]).reshape(s.shape)).sum(axis=0)
    if equation.is_additive:
        return z
    ends = [equation.matrix((grid.axes[0].points(at)[0],))[0, 0] for at in (start, start + shift)]
    floor = 1e-300
    return z + np.log(np.maximum(ends[0], floor)) - np.log(np.maximum(ends[1], floor))


def _solved(tensor: NDArray, drift: NDArray) -> NDArray:
    if len(drift) == 2:
        determinant = tensor[0, 0] * tensor[1, 1] - tensor[0, 1] ** 2
        first = tensor[1, 1] * drift[0] - tensor[0, 1] * drift[1]
        second = tensor[0, 0] * drift[1] - tensor[0, 1] * drift[0]
        return np.stack([first, second]) / determinant
    return np.linalg.solve(np.moveaxis(tensor, -1, 0), drift.T[..., None])[..., 0].T


def _landing(grid: Grid, index: NDArray, offset: tuple[int, ...]) -> tuple[NDArray, NDArray, NDArray]:
    """Return where a jump along `offset` from each cell lands, its shift (d, n), and whether no absorbing end takes it.

    A reflecting end stops the component towards it.
    """
    shift, stays = np.repeat(np.array(offset)[:, None], index.shape[1], axis=1), np.ones(index.shape[1], dtype=bool)
    target = index + shift
    for k, axis in enumerate(grid.axes):
        if axis.is_periodic:
            target[k] %= axis.cells
            continue
        held = np.clip(target[k], 0, axis.cells - 1)
        if axis.ends[offset[k] > 0] == "absorbing":
            stays &= target[k] == held
        else:
            shift[k] = held - index[k]
        target[k] = held
    return np.ravel_multi_index(tuple(target), grid.shape), shift, stays


def _edges(cells: _Cells, offset: tuple[int, ...], weight: NDArray) -> Edges:
    """Return the jumps between cells `offset` apart."""
    j, shift, stays = _landing(cells.grid, cells.at, offset)
    inside = stays & (shift == np.array(offset)[:, None]).all(axis=0)
    amount = cells.volume * weight
    strength = np.where(inside, 0.5 * (amount + amount[j]), 0.0)
    i = np.flatnonzero(strength > 0.0)
    z = _edge_force(cells.equation, cells.grid, cells.at[:, i].astype(float), shift[:, i].astype(float))
    gradient, rest = split(z, i, j[i], cells.reference)
    if cells.reference is not None:
        rest = sharpened(rest, i, j, strength, amount, cells.reference)
    forth, back = fitted(gradient, rest)
    forth, back = strength[i] * forth / cells.volume[i], strength[i] * back / cells.volume[j[i]]
    return Edges(shift[:, i], i, j[i], forth, back, z)


def _along_the_rim(cells: _Cells, offset: tuple[int, ...], weight: NDArray) -> Edges:
    """Return the jumps along `offset` that a reflecting end turns along itself, half the weight of an edge each.

    One whose force opposes the drift is left out: it would carry mass into a corner.
    """
    j, shift, stays = _landing(cells.grid, cells.at, offset)
    turned = stays & (shift != np.array(offset)[:, None]).any(axis=0) & (shift != 0).any(axis=0)
    i = np.flatnonzero(turned & (weight > 0.0))
    start, way = cells.at[:, i].astype(float), shift[:, i].astype(float)
    z = _edge_force(cells.equation, cells.grid, start, way)
    along = np.einsum("in,in->n", _local(cells.equation, cells.grid, tuple(start))[0], way)
    kept = along * z > 0.0
    i, z = i[kept], z[kept]
    j = j[i]
    forth, back = fitted(*split(z, i, j, cells.reference))
    strength = 0.5 * cells.volume[i] * weight[i]
    return Edges(shift[:, i], i, j, strength * forth / cells.volume[i], strength * back / cells.volume[j], z)


def _leak(cells: _Cells, offset: tuple[int, ...], weight: NDArray) -> NDArray:
    """Return the rate at which each cell jumps out along `offset` through an absorbing end, distance to it included."""
    rate, grid, index = np.zeros_like(weight), cells.grid, cells.at
    if grid.is_closed:
        return rate
    _, shift, stays = _landing(grid, index, offset)
    out = np.flatnonzero(~stays & (weight > 0.0))
    reach = np.ones(out.size)
    for k, axis in enumerate(grid.axes):
        if offset[k] != 0 and axis.ends[offset[k] > 0] == "absorbing":
            room = axis.cells - 0.5 - index[k, out] if offset[k] > 0 else index[k, out] + 0.5
            reach = np.minimum(reach, room / abs(offset[k]))
    if out.size:
        z = _edge_force(cells.equation, grid, index[:, out].astype(float), shift[:, out] * reach)
        rate[out] = weight[out] * bernoulli(-z) / reach
    return rate


def _matrix(size: int, edges: list[Edges], leak: NDArray) -> sparse.csc_matrix:
    i = np.concatenate([e.i for e in edges])
    j = np.concatenate([e.j for e in edges])
    forth = np.concatenate([e.forth for e in edges])
    back = np.concatenate([e.back for e in edges])
    loss = np.bincount(i, forth, size) + np.bincount(j, back, size) + leak
    diagonal = np.arange(size)
    rows, columns = np.concatenate([j, i, diagonal]), np.concatenate([i, j, diagonal])
    matrix = sparse.csc_matrix((np.concatenate([forth, back, -loss]), (rows, columns)), shape=(size, size))
    matrix.eliminate_zeros()  # a stored zero would count as a connection
    return matrix
