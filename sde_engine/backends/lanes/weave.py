"""Text that unrolls a tuple of components over the arrays of a block: the only place where array meets formula.

numba cannot build a tuple from an array in a loop, so the few lines that read a state from column j and write it back
are spelled out for each number of components and compiled around the formula.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numba

from sde_engine.backends.lanes.compiled import OPTIONS, compiled
from sde_engine.backends.trace import LANES


def _read(array: str, count: int, middle: str = "") -> str:
    return "(" + "".join(f"{array}[{i}, {middle}j], " for i in range(count)) + ")"


def _write(array: str, source: str, count: int, operation: str = "=") -> str:
    return "".join(f"        {array}[{i}, j] {operation} {source}[{i}]\n" for i in range(count))


def _define(text: str, **names: Any) -> Callable[..., Any]:
    scope: dict[str, Any] = {"LANES": LANES, **names}
    exec(text, scope)
    return numba.njit(**OPTIONS)(scope["block"])


@lru_cache(maxsize=256)
def advance(step: Any, width: int, columns: int) -> Any:
    """Return block(th, z, q, dt, root, p, h): one step of every lane on the noise z[:, q]."""
    return _define(
        "def block(th, z, q, dt, root, p, h):\n"
        "    for j in range(LANES):\n"
        f"        new = step({_read('th', width)}, {_read('z', columns, 'q, ')}, dt[j], root[j], p, h)\n"
        + _write("th", "new", width),
        step=compiled(step),
    )


@lru_cache(maxsize=256)
def step_sizes(size: Any, width: int) -> Any:
    """Return block(th, out, p, h): the step that each lane may take."""
    return _define(
        f"def block(th, out, p, h):\n    for j in range(LANES):\n        out[j] = size({_read('th', width)}, p, h)\n",
        size=compiled(size),
    )


@lru_cache(maxsize=256)
def observe(formulas: tuple[Any, ...], dim: int) -> Any:
    """Return block(th, values, p): every observable of every lane."""
    lines = "".join(f"        values[{k}, j] = f{k}(theta, p)\n" for k in range(len(formulas)))
    return _define(
        "def block(th, values, p):\n    for j in range(LANES):\n"
        f"        theta = {_read('th', dim)}\n" + (lines or "        pass\n"),
        **{f"f{k}": compiled(formula) for k, formula in enumerate(formulas)},
    )


@lru_cache(maxsize=256)
def add_fresh_gradient(example_gradient: Any, dim: int, draws: int) -> Any:
    """Return block(th, z, q, total, p): add the gradient on the example made of z[:, q] to `total`."""
    return _define(
        "def block(th, z, q, total, p):\n"
        "    for j in range(LANES):\n"
        f"        g = example_gradient({_read('th', dim)}, {_read('z', draws, 'q, ')}, p)\n"
        + _write("total", "g", dim, "+="),
        example_gradient=compiled(example_gradient),
    )


@lru_cache(maxsize=256)
def add_stored_gradient(example_gradient: Any, dim: int, draws: int) -> Any:
    """Return block(th, table, index, total, p): add the gradient on row index[j] of the table to `total`."""
    row = "(" + "".join(f"table[k, {c}], " for c in range(draws)) + ")"
    return _define(
        "def block(th, table, index, total, p):\n"
        "    for j in range(LANES):\n"
        "        k = index[j]\n"
        f"        g = example_gradient({_read('th', dim)}, {row}, p)\n" + _write("total", "g", dim, "+="),
        example_gradient=compiled(example_gradient),
    )


@lru_cache(maxsize=256)
def update(step: Any, width: int, dim: int) -> Any:
    """Return block(th, total, share, p, h): one update of every lane by the mean gradient total * share."""
    mean = "(" + "".join(f"total[{i}, j] * share, " for i in range(dim)) + ")"
    return _define(
        "def block(th, total, share, p, h):\n"
        "    for j in range(LANES):\n"
        f"        new = step({_read('th', width)}, {mean}, p, h)\n" + _write("th", "new", width),
        step=compiled(step),
    )
