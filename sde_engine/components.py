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
