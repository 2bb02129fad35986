"""First passages and relaxation, from the backward side of the same generator.

    mean first passage time   Q^T tau = -1 outside the target, tau = 0 on it and beyond absorbing ends
    committor                 Q^T q = 0 outside both sets, q = 0 on the first and 1 on the second
    relaxation rates          leading eigenvalues of -Q

Times are on the clock of the equation (t = eta * updates for a model).
"""

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.linalg import eigs

from sde_engine.errors import Incompatible, SpecError
from sde_engine.fokker_planck.generator import Generator
from sde_engine.fokker_planck.solve import factorised


def mean_first_passage_time(built: Generator, target: NDArray | None = None) -> NDArray:
    """Return the mean time to reach the target cells, from every cell.

    Parameters
    ----------
    target : boolean array of the grid's shape; None: only the absorbing ends of the grid end a path
    """
    reached = np.zeros(built.grid.size, dtype=bool) if target is None else _mask(built, target, "target")
    if not reached.any() and not np.any(built.leak > 0.0):
        raise SpecError("nothing ends a path: give target cells, or a grid with an absorbing end")
    times = _backward(built, reached, np.ones(built.grid.size), np.zeros(built.grid.size))
    longest = 1.0 / (np.finfo(float).eps * float(np.abs(built.matrix.diagonal()).min()))
    if not (times.min() >= 0.0 and times.max() < longest):
        raise Incompatible("the passage takes longer than doubles resolve; use a smaller grid or more noise")
    return times


def committor(built: Generator, start: NDArray, goal: NDArray) -> NDArray:
    """Return the probability to reach `goal` before `start` (and before an absorbing end), from every cell."""
    first, last = _mask(built, start, "start"), _mask(built, goal, "goal")
    if not first.any() or not last.any() or np.any(first & last):
        raise SpecError("start and goal are two sets of cells; neither may be empty and they may not overlap")
    return _backward(built, first | last, np.zeros(built.grid.size), last.astype(float))


def relaxation_rates(built: Generator, number: int = 4) -> NDArray:
    """Return the `number` eigenvalues of -Q nearest to 0, complex, by real part; the first is 0 where no mass leaks."""
    if built.grid.size <= 600 or number > built.grid.size - 2:
        values = np.linalg.eigvals(-built.matrix.toarray())
    else:
        scale = float(np.abs(built.matrix.diagonal()).min())
        shift = 1e-6 * scale
        start = np.full(built.grid.size, 1.0)  # a fixed start makes the result reproducible
        solver = factorised(sparse.identity(built.grid.size, format="csc") * shift - built.matrix, built.grid.dim)
        size = built.matrix.shape
        inverse = sparse.linalg.LinearOperator(size, matvec=solver.solve, dtype=float)
        values = 1.0 / eigs(inverse, k=number, which="LM", v0=start, return_eigenvectors=False) - shift
    order = np.lexsort((np.abs(values.imag), values.real))
    return np.asarray(values[order][:number], dtype=complex)


def _backward(built: Generator, known: NDArray, source: NDArray, values: NDArray) -> NDArray:
    free = np.flatnonzero(~known)
    operator = built.matrix.T.tocsr()
    right = source[free] + operator[free][:, np.flatnonzero(known)] @ values[known]
    result = values.copy()
    result[free] = factorised(-operator[free][:, free], built.grid.dim).solve(right)
    return result.reshape(built.grid.shape)


def _mask(built: Generator, cells: NDArray, name: str) -> NDArray:
    cells = np.asarray(cells)
    if cells.dtype != bool or cells.shape != built.grid.shape:
        raise SpecError(
            f"{name} is an array of {cells.dtype} of shape {cells.shape}; booleans of shape "
            f"{built.grid.shape} are accepted"
        )
    return cells.ravel()
