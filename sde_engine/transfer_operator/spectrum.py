"""Stationary laws, relaxation rates and metastable sets of a transition matrix.

Entry (i, j) of a matrix P is the probability to go from cell j to cell i in one step of length tau. Its eigenvalues
relax at rates -ln|lambda| / tau; 1 - |lambda_2| is the spectral gap. Where the k slowest of them are separated from the
next, the left eigenvectors are nearly constant on k sets that paths rarely leave.

References
----------
Ulam, S. (1960). A Collection of Mathematical Problems, Interscience.
Weber, M. and Galliat, T. (2002). Characterization of transition states in conformational dynamics, ZIB-Report 02-12.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator, eigs, splu

NUMBER = 4  # eigenvalues that are looked at
SEPARATED = 4.0  # ratio of consecutive rates from which the slower ones are metastable
_DENSE = 120
_LARGE = 6000  # from here on a factorisation is quicker than many steps of Arnoldi
_RESIDUAL = 1e-11
_SHIFT = 1e-9
_FORGOTTEN = 1e-12  # eigenvalue that counts as 0


class Relaxation(NamedTuple):
    """How a chain forgets where it began.

    Attributes
    ----------
    rates : (NUMBER,) per unit of time, the slowest first, without that of the stationary law (0)
    eigenvalues : (NUMBER,) complex, of one step
    sets : (cells,) the metastable set of each cell, from 0; all 0 where nothing is metastable
    """

    rates: NDArray
    eigenvalues: NDArray
    sets: NDArray


def stationary_vector(matrix: sparse.spmatrix, power: int = 1) -> NDArray:
    """Return the law that an irreducible P leaves as it is; Arnoldi takes `power` steps at a time."""
    if matrix.shape[0] < _LARGE:
        law = np.abs(_leading(matrix, 1, power)[1][:, 0].real)
        law /= law.sum()
    if matrix.shape[0] >= _LARGE or np.abs(matrix @ law - law).sum() > _RESIDUAL:
        size = matrix.shape[0]
        solver = splu((sparse.identity(size, format="csc") * (1.0 + _SHIFT) - matrix).tocsc())
        law = np.full(size, 1.0 / size)
        for _ in range(8):  # inverse iteration: each takes the other modes down by their rate over the shift
            law = solver.solve(law)
            law /= law.sum()
        law = np.abs(law)
    for _ in range(4 * power):  # removes what is left of the fast modes
        law = matrix @ law
    return law / law.sum()


def relaxation_of(matrix: sparse.spmatrix, step: float, *, power: int = 1, number: int = NUMBER) -> Relaxation:
    """Return relaxation rates and metastable sets of an irreducible P whose steps last `step`."""
    values, vectors = _leading(matrix.T, number + 1, power)
    size = np.abs(values)
    with np.errstate(divide="ignore"):
        rates = -np.log(np.where(size > _FORGOTTEN, size, 0.0)) / step
    rates[0] = 0.0
    return Relaxation(rates[1:], values[1:], _sets(rates, vectors.real, values))


def _leading(matrix: sparse.spmatrix, number: int, power: int) -> tuple[NDArray, NDArray]:
    """Return the eigenvalues of largest modulus and their right eigenvectors."""
    size = matrix.shape[0]
    if size <= _DENSE or number >= size - 1:
        values, vectors = np.linalg.eig(matrix.toarray() if sparse.issparse(matrix) else matrix)
    else:
        vectors = _arnoldi(matrix, number, power)
        # The power hides the argument of an eigenvalue: take it from the vector.
        values = np.einsum("ik,ik->k", vectors.conj(), matrix @ vectors) / np.einsum(
            "ik,ik->k", vectors.conj(), vectors
        )
    order = np.lexsort((-values.imag, -np.round(np.abs(values), 13)))[:number]
    return values[order], vectors[:, order]


def _arnoldi(matrix: sparse.spmatrix, number: int, power: int) -> NDArray:
    """Return at least `number` right eigenvectors if they can be had; slow modes by shift and inversion."""
    size = matrix.shape[0]
    start = 1.0 + 0.5 * np.sin(np.arange(size))  # fixed, so that a result can be repeated

    def several(x: NDArray) -> NDArray:
        for _ in range(power):
            x = matrix @ x
        return x

    if size < _LARGE:
        many = LinearOperator(matrix.shape, matvec=several, dtype=float)
        try:
            return eigs(many, k=number + 1, which="LM", v0=start, ncv=4 * number + 24, tol=1e-12, maxiter=30)[1]
        except ArpackNoConvergence as stopped:  # fast modes of a fractal law are rough; the slow ones come first
            if stopped.eigenvectors.shape[1] >= min(number, 2):
                return stopped.eigenvectors
    return eigs(matrix.tocsc(), k=number + 1, sigma=1.0 + _SHIFT, v0=start, tol=1e-12)[1]


def _sets(rates: NDArray, vectors: NDArray, values: NDArray) -> NDArray:
    """Return the set of each cell, by the corners of the simplex that the slow eigenvectors span (Weber and Galliat)."""
    safe = np.clip(rates, 1e-300, 1e300)
    if len(safe) < 3:
        return np.zeros(len(vectors), dtype=int)
    ratio = safe[2:] / safe[1:-1]
    slow = 1 + int(np.argmax(ratio)) + 1
    real = np.abs(values[:slow].imag).max() < 1e-9 and (values[:slow].real > 0.0).all()
    if ratio.max() < SEPARATED or not real:
        return np.zeros(len(vectors), dtype=int)
    points = vectors[:, :slow] / vectors[:, :1]
    corners = [int(np.argmax(np.linalg.norm(points, axis=1)))]
    rest = points - points[corners[0]]
    for _ in range(slow - 1):
        corners.append(int(np.argmax(np.linalg.norm(rest, axis=1))))
        unit = rest[corners[-1]] / np.linalg.norm(rest[corners[-1]])
        rest = rest - np.outer(rest @ unit, unit)
    share = points @ np.linalg.inv(points[corners])
    sets = np.argmax(share, axis=1)
    names = {old: new for new, old in enumerate(dict.fromkeys(sets.tolist()))}  # numbered along the line
    return np.array([names[old] for old in sets.tolist()])
