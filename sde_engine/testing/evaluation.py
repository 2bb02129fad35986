"""One formula on three machines: numpy arrays over states, compiled code a state at a time, JAX in double precision.

A formula returns a number, a tuple or a tuple of tuples; here its leaves, in order, become the rows of one array.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

Machine = Callable[[Any, Sequence[Any]], np.ndarray]


class Each:
    """An argument that differs from state to state: a tuple of d components, given as a (d, n) array."""

    def __init__(self, components: np.ndarray) -> None:
        self.components = np.asarray(components, dtype=np.float64)


def on_numpy(formula: Any, arguments: Sequence[Any]) -> np.ndarray:
    """Return (leaves, n) values of the formula on numpy arrays. An `Each` runs over states, all else is handed on."""
    with np.errstate(all="ignore"):
        found = formula(*(tuple(a.components) if isinstance(a, Each) else a for a in arguments))
    return _rows(found, _count(arguments))


def on_lanes(formula: Any, arguments: Sequence[Any]) -> np.ndarray:
    """Return (leaves, n) values of the formula as the compiled backend inlines it."""
    from sde_engine.backends.lanes.compiled import compiled, entered

    function, count = entered(compiled(formula)), _count(arguments)
    columns = []
    for j in range(count):
        own = (tuple(map(float, a.components[:, j])) if isinstance(a, Each) else a for a in arguments)
        columns.append(_rows(function(*own), 1)[:, 0])
    return np.array(columns).T.reshape(-1, count)


def on_jax(formula: Any, arguments: Sequence[Any]) -> np.ndarray:
    """Return (leaves, n) values of the formula on JAX arrays of doubles, traced and compiled by XLA."""
    import jax

    with jax.enable_x64(True):
        given = [tuple(map(jax.numpy.asarray, a.components)) for a in arguments if isinstance(a, Each)]

        def traced(each: Any) -> Any:
            queue = iter(each)
            return formula(*(next(queue) if isinstance(a, Each) else a for a in arguments))

        found = jax.jit(traced)(given)
        return _rows(jax.tree_util.tree_map(np.asarray, found), _count(arguments))


def _count(arguments: Sequence[Any]) -> int:
    return next(a.components.shape[1] for a in arguments if isinstance(a, Each))


def _rows(found: Any, count: int) -> np.ndarray:
    rows = [np.broadcast_to(np.asarray(leaf, dtype=np.float64), (count,)) for leaf in _leaves(found)]
    return np.array(rows).reshape(len(rows), count)


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, tuple | list):
        for item in value:
            yield from _leaves(item)
    else:
        yield value
