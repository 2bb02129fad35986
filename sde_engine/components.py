"""Arithmetic on components: one meaning for numpy arrays, compiled lanes and JAX tracers.

A state is a tuple of components. Under numpy a component is an array over trajectories, under numba one float in
one lane of a loop over trajectories, under JAX a traced array. A model file uses the functions of this module and
plain arithmetic, nothing else, and its formulas then run on all three.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from sde_engine import elementary

Components = tuple[Any, ...]
"""A tuple of numbers or arrays of one shape."""


def _is_numpy(x: Any) -> bool:
    return isinstance(x, np.ndarray | np.generic | float | int)


def _dispatch(name: str, formula: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def function(x: Any) -> Any:
        if not _is_numpy(x):
            import jax.numpy as jnp

            return getattr(jnp, name)(x)
        array = np.asarray(x, dtype=np.float64)
        # Bit arithmetic on numpy scalars warns when it wraps around; on arrays it does what it says.
        return formula(array.reshape(-1)).reshape(array.shape)[()]

    function.__name__ = name
    function.__doc__ = formula.__doc__
    return function


exp = _dispatch("exp", elementary.exp)
log = _dispatch("log", elementary.log)
tanh = _dispatch("tanh", elementary.tanh)
sqrt = _dispatch("sqrt", np.sqrt)
absolute = _dispatch("absolute", np.abs)


def where(condition: Any, yes: Any, no: Any) -> Any:
    """Return `yes` where the condition holds and `no` elsewhere; both are evaluated."""
    if all(_is_numpy(x) or isinstance(x, bool) for x in (condition, yes, no)):
        return np.where(condition, yes, no)[()]
    import jax.numpy as jnp

    return jnp.where(condition, yes, no)


def add(a: Components, b: Components) -> Components:
    """Return a + b, component by component."""
    return tuple(x + y for x, y in zip(a, b, strict=True))


def subtract(a: Components, b: Components) -> Components:
    """Return a - b, component by component."""
    return tuple(x - y for x, y in zip(a, b, strict=True))


def multiply(a: Components, b: Components) -> Components:
    """Return a * b, component by component."""
    return tuple(x * y for x, y in zip(a, b, strict=True))


def scale(factor: Any, a: Components) -> Components:
    """Return factor * a."""
    return tuple(factor * x for x in a)


def dot(a: Components, b: Components) -> Any:
    """Return the sum of a_i b_i, added from the left."""
    result = a[0] * b[0]
    for x, y in zip(a[1:], b[1:], strict=True):
        result = result + x * y
    return result


def total(a: Components) -> Any:
    """Return the sum of the components, from the left."""
    result = a[0]
    for x in a[1:]:
        result = result + x
    return result


def product(a: Components) -> Any:
    """Return the product of the components, from the left."""
    result = a[0]
    for x in a[1:]:
        result = result * x
    return result


def matvec(matrix: tuple[Components, ...], a: Components) -> Components:
    """Return matrix @ a; the matrix is a tuple of rows."""
    return tuple(dot(row, a) for row in matrix)


def matmul(a: tuple[Components, ...], b: tuple[Components, ...]) -> tuple[Components, ...]:
    """Return the matrix product a @ b; matrices are tuples of rows."""
    columns = tuple(zip(*b, strict=True))
    return tuple(tuple(dot(row, column) for column in columns) for row in a)


def scale_rows(factors: Components, matrix: tuple[Components, ...]) -> tuple[Components, ...]:
    """Return diag(factors) @ matrix."""
    return tuple(scale(factor, row) for factor, row in zip(factors, matrix, strict=True))


def apply(function: Callable[[Any], Any], a: Components) -> Components:
    """Return function(a_i) for every item of a tuple (an item may be a row)."""
    return tuple(function(x) for x in a)


def square_norm(a: Components) -> Any:
    """Return the sum of a_i**2."""
    return dot(a, a)


def reciprocal(x: Any) -> Any:
    """Return 1/x, and 1 where x is 0."""
    return 1.0 / where(x == 0.0, 1.0, x)


def away_from_zero(a: Components, bound: Any) -> Components:
    """Return each component, or the bound with its sign where it is smaller than the bound."""
    return tuple(where(absolute(x) < bound, where(x < 0.0, -bound, bound), x) for x in a)


def larger(a: Any, b: Any) -> Any:
    """Return a where a > b, else b."""
    return where(a > b, a, b)


def smaller(a: Any, b: Any) -> Any:
    """Return a where a < b, else b."""
    return where(a < b, a, b)


def largest(a: Components) -> Any:
    """Return the largest component."""
    top = a[0]
    for x in a[1:]:
        top = larger(x, top)
    return top


def scale_matrix(factor: Any, matrix: tuple[Components, ...]) -> tuple[Components, ...]:
    """Return factor * matrix."""
    return tuple(scale(factor, row) for row in matrix)


def split(a: Components, shape: tuple[Components, ...]) -> tuple[Components, ...]:
    """Return the components of `a` in rows of the lengths of the rows of `shape` (whose values are not used)."""
    rows, at = [], 0
    for row in shape:
        rows.append(tuple(a[at : at + len(row)]))
        at += len(row)
    return tuple(rows)


def flatten(rows: tuple[Components, ...]) -> Components:
    """Return the components of all rows, one after the other."""
    return tuple(x for row in rows for x in row)


def cofactors(a: Components) -> Components:
    """Return for each component the product of the others (1 for a single component)."""
    return tuple(product((*a[:i], *a[i + 1 :])) if len(a) > 1 else 1.0 for i in range(len(a)))


def two_point(x: Any) -> Any:
    """Return -1 where x < 0 and 1 elsewhere: a fair sign, if x is a standard normal."""
    return where(x < 0.0, -1.0, 1.0)


def halves(a: Components) -> tuple[Components, Components]:
    """Return the first and the second half of the components."""
    return tuple(a[: len(a) // 2]), tuple(a[len(a) // 2 :])


def transpose(matrix: tuple[Components, ...]) -> tuple[Components, ...]:
    """Return the columns of a matrix as rows."""
    return tuple(zip(*matrix, strict=True))


def vecmat(a: Components, matrix: tuple[Components, ...]) -> Components:
    """Return a @ matrix, the sum of a_k times row k."""
    return tuple(dot(a, column) for column in zip(*matrix, strict=True))


def shifted(a: Components, rows: tuple[Components, ...]) -> tuple[Components, ...]:
    """Return the points a + row, one for each row."""
    return tuple(add(a, row) for row in rows)


def nudged(a: Components, size: Any) -> tuple[Components, ...]:
    """Return the points that are `a` with `size` added to one component, in order."""
    return tuple(tuple(x + size if i == k else x for i, x in enumerate(a)) for k in range(len(a)))


def at_each(formula: Callable[..., Any], points: tuple[Components, ...], p: Any, h: Any) -> tuple[Any, ...]:
    """Return formula(point, p, h) for each point."""
    return tuple(formula(point, p, h) for point in points)


def own_columns(matrices: tuple[tuple[Components, ...], ...]) -> tuple[Components, ...]:
    """Return rows; row k is column k of matrix k."""
    return tuple(tuple(row[k] for row in matrix) for k, matrix in enumerate(matrices))


def contract(matrices: tuple[tuple[Components, ...], ...], rows: tuple[Components, ...]) -> Components:
    """Return the sum over k of matrix k @ row k."""
    result = matvec(matrices[0], rows[0])
    for matrix, row in zip(matrices[1:], rows[1:], strict=True):
        result = add(result, matvec(matrix, row))
    return result


def double_integrals(z: Components) -> tuple[Components, ...]:
    """Return z_k z_m - delta_km: the Ito integrals of W_k over W_m and of W_m over W_k, added, over dt."""
    return tuple(tuple(x * y - 1.0 if k == m else x * y for m, y in enumerate(z)) for k, x in enumerate(z))


def weak_integrals(z: Components, signs: Components) -> tuple[Components, ...]:
    """Return the weak double Ito integrals over dt off the diagonal, and 0 on it.

    (z_k z_m - s_k) / 2 for k < m and (z_k z_m + s_m) / 2 for k > m, with one fair sign s less than there are normals z.
    """

    def entry(k: int, m: int) -> Any:
        if k == m:
            return 0.0
        return 0.5 * (z[k] * z[m] - signs[k]) if k < m else 0.5 * (z[k] * z[m] + signs[m])

    return tuple(tuple(entry(k, m) for m in range(len(z))) for k in range(len(z)))


def subtract_matrix(a: tuple[Components, ...], b: tuple[Components, ...]) -> tuple[Components, ...]:
    """Return a - b."""
    return tuple(subtract(x, y) for x, y in zip(a, b, strict=True))


def identity_minus(matrix: tuple[Components, ...]) -> tuple[Components, ...]:
    """Return the identity minus a square matrix."""
    return tuple(tuple(1.0 - x if i == k else -x for k, x in enumerate(row)) for i, row in enumerate(matrix))


def solve(matrix: tuple[Components, ...], b: Components) -> Components:
    """Return matrix^-1 b by elimination without exchange of rows: for matrices near the identity or definite ones."""
    count = len(b)
    rows, right = [list(row) for row in matrix], list(b)
    for k in range(count):
        for i in range(k + 1, count):
            ratio = rows[i][k] / rows[k][k]
            for j in range(k + 1, count):
                rows[i][j] = rows[i][j] - ratio * rows[k][j]
            right[i] = right[i] - ratio * right[k]
    for k in range(count - 1, -1, -1):
        for j in range(k + 1, count):
            right[k] = right[k] - rows[k][j] * right[j]
        right[k] = right[k] / rows[k][k]
    return tuple(right)
