"""The matrix of a random map of a line, and the laws that it leaves as they are.

A node x_j goes to f_b(x_j) with probability w_b; its mass is shared by the two nodes around the image, so that the mean
of the grid's coordinate is kept. Seen backwards this is the expectation of functions that are linear between nodes:
mass is conserved, no entry is negative, and the means of smooth functions converge as the square of the cell. That
holds for laws without a density as well (a contracting map of two-point noise has a fractal one).
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from sde_engine.errors import Incompatible
from sde_engine.fokker_planck.grid import Axis
from sde_engine.fokker_planck.solve import closed_classes
from sde_engine.transfer_operator.chain import Chain
from sde_engine.transfer_operator.spectrum import Relaxation, relaxation_of, stationary_vector

_STRIDE = 0.25  # clock that one application of the matrix covers when eigenvectors are sought
_FLOOR = 1e-13  # relative mass below which a cell of a coarse law is left out
_HULL_ROOM = 1.02
_DEEP = 1e-130  # where a logarithmic axis begins until it is known where the law does
_LOG_CELL = 0.006  # wished width of a cell in ln r, if that takes up to so many cells:
_MOST_CELLS = 16_000
_SHALLOW = 1e-6


@dataclass(frozen=True, eq=False)
class ChainLaw:
    """A stationary law of a chain on the cells of an axis.

    Attributes
    ----------
    mass : (cells,) sums to 1
    relaxation : rates and metastable sets; cells beyond the law's own have set -1
    residual : sum |P m - m|
    outside : mass beyond the two ends, which the end cells hold
    collapsed : whether the law, on a ray, is the point mass at 0 in truth
    coarse : the same law on half as many cells, None at the coarsest
    """

    axis: Axis
    mass: NDArray
    relaxation: Relaxation
    residual: float
    outside: tuple[float, float]
    collapsed: bool = False
    coarse: "ChainLaw | None" = None


def operator(chain: Chain, axis: Axis) -> sparse.csc_matrix:
    """Return P (cells, cells); columns sum to 1. What leaves the axis is put into its last cell."""
    n, columns = axis.cells, np.arange(axis.cells)
    total = sparse.csc_matrix((n, n))
    for weights, images in chain.images(axis.nodes):
        at = np.clip(axis.coordinate(images), 0.0, n - 1.0)
        low = np.minimum(at.astype(int), n - 2)
        share = at - low
        where = np.broadcast_to(columns, low.shape).ravel()
        pairs = ((low, 1.0 - share), (low + 1, share))
        for row, part in pairs:
            total = total + sparse.csc_matrix(((weights[:, None] * part).ravel(), (row.ravel(), where)), shape=(n, n))
    total.eliminate_zeros()
    return total


def chain_laws(chain: Chain, axis: Axis, *, with_coarse: bool = True) -> tuple[ChainLaw, ...]:
    """Return every stationary law on an axis, one for each closed set of cells, that of most cells first."""
    matrix = operator(chain, axis)
    classes = _classes(chain, axis, matrix)
    rough = chain_laws(chain, axis.coarser(), with_coarse=False) if with_coarse else ()
    laws = [_law(chain, axis, matrix, cells) for cells in classes]
    paired = rough if len(rough) == len(laws) else (None,) * len(laws)
    return tuple(replace(fine, coarse=half) for fine, half in zip(laws, paired, strict=True))


def _classes(chain: Chain, axis: Axis, matrix: sparse.csc_matrix) -> list[NDArray]:
    """Return the closed sets of cells, the largest first, without the ends of the axis where paths pile up that left.

    Only on a ray, where all paths fall to its end, that end is the law: the state has collapsed.
    """
    classes = closed_classes(matrix)
    found = [cells for cells in classes if not set(cells[:3].tolist()) <= {0, axis.cells - 1}]
    if not found and chain.is_ray:
        found = [cells for cells in classes if cells[0] == 0]
    if not found:
        raise Incompatible(
            f"every path of {chain.model.name!r} leaves [{axis.low:.6g}, {axis.high:.6g}] in the end and none comes "
            "back: discrete SGD diverges here; lower eta"
        )
    return sorted(found, key=len, reverse=True)


def _power(chain: Chain) -> int:
    return int(np.clip(round(_STRIDE / chain.eta), 1, 256))


def _law(chain: Chain, axis: Axis, matrix: sparse.csc_matrix, cells: NDArray) -> ChainLaw:
    mass, sets = np.zeros(axis.cells), np.full(axis.cells, -1)
    collapsed = chain.is_ray and cells[0] == 0 and growth(chain, axis.low) <= 0.0
    if cells.size == 1 or collapsed:
        mass[cells[0]], sets[cells[0]] = 1.0, 0
        return ChainLaw(axis, mass, Relaxation(np.array([]), np.array([]), sets), 0.0, (0.0, 0.0), collapsed)
    inner = matrix[cells][:, cells].tocsc()
    mass[cells] = stationary_vector(inner, _power(chain))
    found = relaxation_of(inner, chain.eta, power=_power(chain))
    sets[cells] = found.sets
    residual = float(np.abs(matrix @ mass - mass).sum())
    return ChainLaw(axis, mass, found._replace(sets=sets), residual, _outside(chain, axis, mass), collapsed)


def growth(chain: Chain, x: float) -> float:
    """Return E ln|f(x) / x| of one update: near 0 the exponent that decides whether a ray collapses."""
    with np.errstate(divide="ignore"):
        parts = [float(w @ np.log(np.abs(f[:, 0] / x))) for w, f in chain.images(np.array([x]))]
    return sum(parts)


def _outside(chain: Chain, axis: Axis, mass: NDArray) -> tuple[float, float]:
    """Return the mass beyond each end, which the end cells hold; none where the axis holds the images of its ends."""
    ends = axis.points(np.array([-0.5, axis.cells - 0.5]))[0]
    images = np.concatenate([part.ravel() for _, part in chain.images(ends)])
    return (
        float(mass[0]) if images.min() < ends[0] else 0.0,
        float(mass[-1]) if images.max() > ends[1] else 0.0,
    )


def find_axis(chain: Chain, points: NDArray, cells: int) -> Axis:
    """Return an axis that holds the law of a chain whose paths start at `points`.

    An interval that every batch maps into itself, where there is one; else a graded axis around the bulk of the law, or
    a logarithmic one on a ray.
    """
    if chain.is_ray:
        return _ray_axis(chain, float(np.abs(points).max()), cells)
    hull = _hull(chain, float(points.min()), float(points.max()))
    if hull is not None:
        middle, half = 0.5 * (hull[0] + hull[1]), 0.5 * _HULL_ROOM * (hull[1] - hull[0])
        low, high, _ = _kept(chain, Axis(middle - half, middle + half, 1200))
        return Axis(low, high, cells)
    centre, width = float(np.median(points)), float(np.ptp(points)) + 1e-12
    for _ in range(2):
        wide = Axis(centre - 1e6 * width, centre + 1e6 * width, 1200, "sinh", centre=centre, width=width)
        low, high, mass = _kept(chain, wide)
        below = np.cumsum(mass)
        quarter, centre, rest = (float(wide.nodes[np.searchsorted(below, q)]) for q in (0.25, 0.5, 0.75))
        width = max(0.5 * (rest - quarter), 1e-12 * (1.0 + abs(centre)))
    return Axis(low, high, cells, "sinh", centre=centre, width=width)


def _kept(chain: Chain, wide: Axis, moment: int = 0) -> tuple[float, float, NDArray]:
    """Return the ends of the part of a wide axis that carries mass and the mean of x^moment, and the mass."""
    matrix, mass = operator(chain, wide), np.zeros(wide.cells)
    for cells in _classes(chain, wide, matrix):
        part = matrix[cells][:, cells].tocsc()
        mass[cells] = stationary_vector(part, _power(chain)) if cells.size > 1 else 1.0
    mass = mass / mass.sum()
    weight = mass * wide.nodes**moment
    keep = np.flatnonzero((mass > _FLOOR * mass.max()) | (weight > _FLOOR * weight.max()))
    return float(wide.faces[max(keep[0] - 1, 0)]), float(wide.faces[min(keep[-1] + 2, wide.cells)]), mass


def _image_hull(chain: Chain, low: float, high: float) -> tuple[float, float]:
    parts = [part for _, part in chain.images(np.linspace(low, high, 65))]
    return min(float(p.min()) for p in parts), max(float(p.max()) for p in parts)


def _hull(chain: Chain, low: float, high: float) -> tuple[float, float] | None:
    """Return an interval that is mapped into itself, as small as that is quick to find; None if there is none near."""
    middle, half = 0.5 * (low + high), 0.5 * (high - low) + 1e-12
    for scale in np.geomspace(1.0, 1e4, 81):
        ends = (middle - scale * half, middle + scale * half)
        below, above = _image_hull(chain, *ends)
        if below >= ends[0] and above <= ends[1]:
            break
    else:
        return None
    for _ in range(3000):
        before, ends = ends, _image_hull(chain, *ends)
        if max(abs(ends[0] - before[0]), abs(ends[1] - before[1])) < 1e-4 * (ends[1] - ends[0]):
            break
    return ends


def _ray_axis(chain: Chain, scale: float, cells: int) -> Axis:
    """Return a logarithmic axis that holds the law and its fourth moment, as fine as that is allowed to be."""
    tops = np.geomspace(0.3, 1e4, 97) * scale
    high = next((t for t in tops if _image_hull(chain, 0.0, t)[1] <= t), tops[-1])
    if growth(chain, _DEEP * scale) <= 0.0:  # what is sought is at 0, or a law that never comes near it
        return Axis(_SHALLOW * scale, float(high), cells, "log")
    low, top, _ = _kept(chain, Axis(_DEEP * scale, float(high), 2400, "log"), moment=4)
    return Axis(low, top, int(np.clip(np.log(top / low) / _LOG_CELL, cells, _MOST_CELLS)), "log")
