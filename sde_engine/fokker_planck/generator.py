"""The Fokker-Planck equation as jumps between cells: conservative, positive, exact at detailed balance.

With F = D^-1 (b - div D) the Ito current is J = D (F p - grad p), and D = sum_e w_e e e^T with w_e >= 0 splits it into
currents along lattice edges e, each exponentially fitted (Scharfetter and Gummel 1969; Chang and Cooper 1970):

    J_e = A [B(-z) p_i - B(z) p_j],   z = integral of F along the edge,   B(z) = z / (e^z - 1),   A = mean of w_e

Rates are non-negative and every column of the generator sums to zero: no cell can get negative and no mass is lost.
If F is a gradient (detailed balance) all edges vanish together on p = exp(integral F), whatever the tensor: the
discrete law is then exact up to the quadrature of z. Otherwise the error is O(h^2), and small where a reference law q
is known (a coarser grid's): with z = ln(q_j / q_i) + s the rates

    A B(-z + s) k,   A B(z - s) / k,   k = s/2 + sqrt(1 + s^2/4)

are positive, exact for s = 0, and carry on p = q just the current A s times the logarithmic mean of q_i and q_j: what
circulates is then not smeared by exponential fitting.

A tensor that is singular, or so anisotropic that its lattice directions would be longer than about sqrt(cells), is
raised by a multiple of the identity of relative size 1 / cells: first order there, and still positive. Where such
directions leave the grid, the tensor is replaced by its diagonal, so that no cell of the rim is cut off.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.polynomial.legendre import leggauss
from numpy.typing import NDArray
from scipy import sparse

from sde_engine.errors import Incompatible, SpecError
from sde_engine.fokker_planck.equation import Coordinates, Equation
from sde_engine.fokker_planck.grid import Grid
from sde_engine.fokker_planck.stencil import decompose, regularised

STEEPEST = 700.0  # largest force per cell; the rates are then those of upwinding
_STEEP = 3.0  # change of ln q over one edge from which its current is of second order
_ONE_WAY = 690.0  # force above which no jump goes uphill
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
    volume, leak = grid.volumes.ravel(), np.zeros(grid.size)
    edges = []
    for offset, weight in decompose(tensor).items():
        edges.append(_edges(equation, grid, index, offset, weight, volume, reference))
        for way in (offset, tuple(-e for e in offset)):
            edges.append(_along_the_rim(equation, grid, index, way, weight, volume, reference))
            leak += _leak(equation, grid, index, way, weight)
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


def bernoulli(z: NDArray) -> NDArray:
    """Return B(z) = z / (e^z - 1), 1 at z = 0; never negative."""
    z = np.asarray(z, dtype=float)
    small = np.abs(z) < 1e-5
    safe = np.where(small, 1.0, z)
    fitted = safe / np.expm1(np.minimum(safe, _ONE_WAY))
    return np.where(small, 1.0 - 0.5 * z + z * z / 12.0, np.where(z < _ONE_WAY, fitted, 0.0))


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


def _edges(
    equation: Equation,
    grid: Grid,
    index: NDArray,
    offset: tuple[int, ...],
    weight: NDArray,
    volume: NDArray,
    reference: NDArray | None,
) -> Edges:
    """Return the jumps between cells `offset` apart."""
    j, shift, stays = _landing(grid, index, offset)
    inside = stays & (shift == np.array(offset)[:, None]).all(axis=0)
    strength = np.where(inside, 0.5 * (volume * weight + (volume * weight)[j]), 0.0)
    i = np.flatnonzero(strength > 0.0)
    z = _edge_force(equation, grid, index[:, i].astype(float), shift[:, i].astype(float))
    gradient, rest = _split(z, i, j[i], reference)
    if reference is not None:
        rest = _sharpened(rest, i, j, strength, volume * weight, reference)
    return _jumps(i, j[i], shift[:, i], strength[i], volume, z, gradient, rest)


def _along_the_rim(
    equation: Equation,
    grid: Grid,
    index: NDArray,
    offset: tuple[int, ...],
    weight: NDArray,
    volume: NDArray,
    reference: NDArray | None,
) -> Edges:
    """Return the jumps along `offset` that a reflecting end turns along itself."""
    j, shift, stays = _landing(grid, index, offset)
    turned = stays & (shift != np.array(offset)[:, None]).any(axis=0) & (shift != 0).any(axis=0)
    i = np.flatnonzero(turned & (weight > 0.0))
    start = index[:, i].astype(float)
    z = _edge_force(equation, grid, start, shift[:, i].astype(float))
    along = (_local(equation, grid, tuple(start))[0] * shift[:, i]).sum(axis=0)
    kept = along * z > 0.0
    i, z = i[kept], z[kept]
    gradient, rest = _split(z, i, j[i], reference)
    return _jumps(i, j[i], shift[:, i], 0.5 * (volume * weight)[i], volume, z, gradient, rest)


def _split(z: NDArray, i: NDArray, j: NDArray, reference: NDArray | None) -> tuple[NDArray, NDArray]:
    """Return z as the step of the logarithm of the reference law and the rest, s."""
    if reference is None:
        return z, np.zeros_like(z)
    gradient = reference[j] - reference[i]
    # Where the reference is far off, plain exponential fitting.
    poor = np.abs(z - gradient) > 1.0 + 2.0 * np.abs(z)
    gradient = np.where(poor, z, gradient)
    return gradient, z - gradient


def _jumps(
    i: NDArray, j: NDArray, shift: NDArray, strength: NDArray, volume: NDArray, z: NDArray, g: NDArray, rest: NDArray
) -> Edges:
    tilt = np.exp(np.arcsinh(0.5 * rest))
    return Edges(
        shift, i, j, strength * bernoulli(-g) * tilt / volume[i], strength * bernoulli(g) / tilt / volume[j], z
    )


def _sharpened(
    rest: NDArray, i: NDArray, after: NDArray, strength: NDArray, amount: NDArray, reference: NDArray
) -> NDArray:
    """Return s of each edge such that the divergence of the current on p = q is of fourth order.

    With f = A s q along a line of edges the flux f - f''/24 has that property; s is an integral over the edge and q lies at
    nodes, which the other terms correct. An edge without an edge before and after it, or where q falls steeply, keeps s.
    """
    full, before, j = np.zeros_like(amount), np.full(amount.size, -1), after[i]
    full[i], before[j] = rest, i
    h, k = before[i], after[j]
    usable = (h >= 0) & (strength[j] > 0.0)
    h, k = np.where(usable, h, i), np.where(usable, k, j)
    steps = np.array([reference[i] - reference[h], reference[j] - reference[i], reference[k] - reference[j]])
    usable &= (np.abs(steps) < _STEEP).all(axis=0)
    steps = np.where(usable, steps, 0.0)
    middle = (9.0 * (amount[i] + amount[j]) - amount[h] - amount[k]) / 16.0
    left, right = strength[h] * full[h], strength[j] * full[j]
    own = strength[i] * rest
    flux = (
        middle * rest * np.exp((steps[0] - steps[2]) / 16.0)
        - (left * np.exp(-0.5 * (steps[0] + steps[1])) - 2.0 * own + right * np.exp(0.5 * (steps[1] + steps[2]))) / 24.0
        - strength[i] * (full[h] - 2.0 * rest + full[j]) / 24.0
    )
    half = 0.5 * steps[1]
    mean = np.where(np.abs(half) < 1e-4, 1.0 + half * half / 6.0, np.sinh(half) / np.where(half == 0.0, 1.0, half))
    return np.where(usable, flux * mean / strength[i], rest)


def _leak(equation: Equation, grid: Grid, index: NDArray, offset: tuple[int, ...], weight: NDArray) -> NDArray:
    """Return the rate at which each cell jumps out along `offset` through an absorbing end, distance to it included."""
    rate = np.zeros(index.shape[1])
    if grid.is_closed:
        return rate
    shift, stays = _landing(grid, index, offset)[1:]
    out = np.flatnonzero(~stays & (weight > 0.0))
    reach = np.ones(out.size)
    for k, axis in enumerate(grid.axes):
        if offset[k] != 0 and axis.ends[offset[k] > 0] == "absorbing":
            room = axis.cells - 0.5 - index[k, out] if offset[k] > 0 else index[k, out] + 0.5
            reach = np.minimum(reach, room / abs(offset[k]))
    if out.size:
        z = _edge_force(equation, grid, index[:, out].astype(float), shift[:, out] * reach)
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
