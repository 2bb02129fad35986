"""A tensor as a sum of non-negative weights times lattice directions: D = sum_e w_e e e^T  (Selling).

With it any diffusion tensor becomes jumps between cells i and i + e at non-negative rates, so the discrete law stays
positive however strong the correlation. The directions are those of an obtuse superbase, found by Selling's algorithm;
the more anisotropic the tensor (in units of cells), the longer they get: about sqrt(condition number).

References
----------
Selling, E. (1874). J. reine angew. Math. 77, 143-229.
Fehrenbach, J. and Mirebeau, J.-M. (2014). J. Math. Imaging Vis. 49, 123-147 (its use for anisotropic diffusion).
"""

from itertools import combinations

import numpy as np
from numpy.typing import NDArray

Weights = dict[tuple[int, ...], NDArray]


def regularised(matrix: NDArray, floor: NDArray) -> NDArray:
    """Return D (d, d, n) with its smallest eigenvalue raised to `floor` (n,) by a multiple of the identity."""
    d = len(matrix)
    if d == 1:
        return np.maximum(matrix, floor)
    if d == 2:
        half, gap = 0.5 * (matrix[0, 0] + matrix[1, 1]), 0.5 * (matrix[0, 0] - matrix[1, 1])
        lowest = half - np.hypot(gap, matrix[0, 1])
    else:
        lowest = np.linalg.eigvalsh(np.moveaxis(matrix, -1, 0))[:, 0]
    return matrix + np.maximum(floor - lowest, 0.0) * np.eye(d)[:, :, None]


def decompose(matrix: NDArray) -> Weights:
    """Return the non-negative weights (n,) of every lattice direction that some of the tensors (d, d, n) need."""
    d = len(matrix)
    if d == 1:
        return {(1,): matrix[0, 0]}
    base = _obtuse_superbase(matrix)
    found: Weights = {}
    for i, j in combinations(range(d + 1), 2):
        weight = np.maximum(-np.einsum("ni,ijn,nj->n", base[:, i], matrix, base[:, j]), 0.0)
        rest = [base[:, k] for k in range(d + 1) if k not in (i, j)]
        turned = np.stack([-rest[0][:, 1], rest[0][:, 0]], axis=1)
        direction = turned if d == 2 else np.cross(rest[0], rest[1])
        _collect(found, _canonical(np.rint(direction).astype(np.int64)), weight)
    return found


def _obtuse_superbase(matrix: NDArray) -> NDArray:
    """Return d + 1 lattice vectors (n, d + 1, d) that sum to zero and whose D-products are all <= 0."""
    d, n = len(matrix), matrix.shape[-1]
    base = np.broadcast_to(np.concatenate([np.eye(d), -np.ones((1, d))]), (n, d + 1, d)).copy()
    tolerance = 1e-14 * np.einsum("iin->n", matrix)
    active = np.arange(n)
    pairs = list(combinations(range(d + 1), 2))
    while active.size:
        some, tensor = base[active], matrix[..., active]
        products = np.stack([np.einsum("ni,ijn,nj->n", some[:, i], tensor, some[:, j]) for i, j in pairs], axis=1)
        worst = products.argmax(axis=1)
        acute = products.max(axis=1) > tolerance[active]
        active, some, worst = active[acute], some[acute], worst[acute]
        for k, (i, j) in enumerate(pairs):
            rows = active[worst == k]
            old = some[worst == k]
            new = old.copy()
            new[:, i] = -old[:, i]
            others = [m for m in range(d + 1) if m not in (i, j)]
            if d == 2:
                new[:, others[0]] = old[:, i] - old[:, j]
            else:
                for m in others:
                    new[:, m] = old[:, m] + old[:, i]
            base[rows] = new
    return base


def _canonical(direction: NDArray) -> NDArray:
    """Return each direction with its first non-zero entry positive."""
    sign = np.zeros(len(direction), dtype=np.int64)
    for k in range(direction.shape[1]):
        sign = np.where(sign == 0, np.sign(direction[:, k]), sign)
    return direction * sign[:, None]


def _collect(found: Weights, direction: NDArray, weight: NDArray) -> None:
    used = weight > 0.0
    for row in np.unique(direction[used], axis=0):
        here = used & (direction == row).all(axis=1)
        key = tuple(int(x) for x in row)
        found.setdefault(key, np.zeros(len(weight)))
        found[key] += np.where(here, weight, 0.0)
