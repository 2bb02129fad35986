"""Text that unrolls a tuple of components over the arrays of a block: the only place where array meets formula.

numba cannot build a tuple from an array in a loop, so the few lines that read a state from column j and write it back
are spelled out for each number of components and compiled around the formula.

States, noise and sums of gradients come in flat: component i of lane j is th[i * LANES + j]. With offsets that it knows,
LLVM tests once that two arrays do not overlap; of arrays with strides it tests every pair of rows, and gives up
vectorizing at twelve components.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numba
import numpy as np

from sde_engine.backends.lanes.compiled import OPTIONS, compiled
from sde_engine.backends.trace import BLOWN_UP, LANES, LOG_RESCALE, SMALL_SQUARE, TINY_SQUARE
from sde_engine.elementary import log


def _read(array: str, count: int) -> str:
    return "(" + "".join(f"{array}[{i * LANES} + j], " for i in range(count)) + ")"


def _noise(count: int) -> str:
    """Normals of step q, from (columns, 4, LANES); the mask says that q is not negative, so no index wraps around."""
    return "(" + "".join(f"z[({4 * i} + (q & 3)) * LANES + j], " for i in range(count)) + ")"


def _write(array: str, source: str, count: int, operation: str = "=") -> str:
    return "".join(f"        {array}[{i * LANES} + j] {operation} {source}[{i}]\n" for i in range(count))


def _square(count: int) -> str:
    return " + ".join(f"th[{i * LANES} + j] * th[{i * LANES} + j]" for i in range(count))


def _define(text: str, inline: bool = False, **names: Any) -> Callable[..., Any]:
    scope: dict[str, Any] = {"LANES": LANES, **names}
    exec(text, scope)
    return numba.njit(forceinline=inline, **OPTIONS)(scope["block"])


@lru_cache(maxsize=256)
def advance(step: Any, width: int, columns: int) -> Any:
    """Return block(th, z, q, dt, root, p, h): one step of every lane on the noise z[:, q]."""
    return _define(
        "def block(th, z, q, dt, root, p, h):\n"
        "    for j in range(LANES):\n"
        f"        new = step({_read('th', width)}, {_noise(columns)}, dt[j], root[j], p, h)\n"
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
        f"        g = example_gradient({_read('th', dim)}, {_noise(draws)}, p)\n" + _write("total", "g", dim, "+="),
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
    mean = "(" + "".join(f"total[{i * LANES} + j] * share, " for i in range(dim)) + ")"
    return _define(
        "def block(th, total, share, p, h):\n"
        "    for j in range(LANES):\n"
        f"        new = step({_read('th', width)}, {mean}, p, h)\n" + _write("th", "new", width),
        step=compiled(step),
    )


@lru_cache(maxsize=256)
def look(formulas: tuple[Any, ...], dim: int, log_distance: bool) -> Any:
    """Return block(th, p, dt, window, live, reference, weight, sums, exponent, values, share): add one look.

    All lanes are at the same clock. What a lane adds stays in registers; as calls on arrays, the few operations of a look
    cost four times as much.
    """
    count = len(formulas)
    lines = ["        share[j] = dt * live[j]", "        weight[window, j] += share[j]"]
    for k in range(count):
        lines += [
            f"        x = f{k}(theta, p)",
            f"        old = reference[{k}, j]",
            "        fresh = x if (live[j] > 0.0) & (old != old) else old",
            f"        reference[{k}, j] = fresh",
            f"        d{k} = x - fresh if live[j] > 0.0 else 0.0",
            f"        values[{k}, j] = d{k}",
            f"        sums[window, {k}, j] += share[j] * d{k}",
        ]
    pairs = [(k, m) for k in range(count) for m in range(k, count)]
    lines += [f"        sums[window, {count + n}, j] += share[j] * (d{k} * d{m})" for n, (k, m) in enumerate(pairs)]
    if log_distance:
        lines += [
            f"        distance = log({_square(dim)}) + {2.0 * LOG_RESCALE!r} * exponent[j]",
            f"        sums[window, {count + len(pairs)}, j] += share[j] * distance if live[j] > 0.0 else 0.0",
        ]
    return _define(
        "def block(th, p, dt, window, live, reference, weight, sums, exponent, values, share):\n"
        f"    for j in range(LANES):\n        theta = {_read('th', dim)}\n" + "\n".join(lines) + "\n",
        inline=True,
        log=log,
        **{f"f{k}": compiled(formula) for k, formula in enumerate(formulas)},
    )


@lru_cache(maxsize=256)
def strays(width: int) -> Any:
    """Return block(th, exponent): more than 0 if any lane has left or must be rescaled."""
    return _define(
        "def block(th, exponent):\n"
        "    odd = 0\n"
        "    for j in range(LANES):\n"
        f"        square = {_square(width)}\n"
        "        small = int64(square < TINY) & int64(square > 0.0)\n"
        "        back = int64(exponent[j] < 0.0) & int64(square > SMALL)\n"
        "        odd |= int64(not (square < LIMIT)) | small | back\n"
        "    return odd\n",
        inline=True,
        int64=np.int64,
        TINY=TINY_SQUARE,
        SMALL=SMALL_SQUARE,
        LIMIT=BLOWN_UP * BLOWN_UP,
    )
