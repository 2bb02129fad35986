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

from sde_engine import rng
from sde_engine.backends.lanes.compiled import compiled
from sde_engine.backends.lanes.primitives import INLINED, INNER, gather_pairs, ones
from sde_engine.backends.trace import BLOWN_UP, LANES, LOG_RESCALE, SMALL_SQUARE, TINY_SQUARE
from sde_engine.elementary import log

Patterns = tuple[tuple[float, ...], ...]


def _read(array: str, count: int) -> str:
    return "(" + "".join(f"{array}[{i * LANES} + j], " for i in range(count)) + ")"


def _noise(count: int) -> str:
    """Normals of step q, from (columns, 4, LANES); the mask says that q is not negative, so no index wraps around."""
    return "(" + "".join(f"z[({4 * i} + (q & 3)) * LANES + j], " for i in range(count)) + ")"


def _write(array: str, source: str, count: int) -> str:
    return "".join(f"        {array}[{i * LANES} + j] = {source}[{i}]\n" for i in range(count))


def _square(count: int) -> str:
    return " + ".join(f"th[{i * LANES} + j] * th[{i * LANES} + j]" for i in range(count))


def _define(text: str, inline: bool = False, **names: Any) -> Callable[..., Any]:
    scope: dict[str, Any] = {"LANES": LANES, **names}
    exec(text, scope)
    return numba.njit(**(INLINED if inline else INNER))(scope["block"])


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


def _example(kind: str, draws: int, after: int) -> str:
    """Spell example `first + after`: numbers as they are, signs out of their words."""
    if kind != "sign":
        return "(" + "".join(f"z[({4 * i} + (first + {after} & 3)) * LANES + j], " for i in range(draws)) + ")"
    word = "(first >> 6 & 1)"
    return "(" + "".join(f"sign(z[({2 * i} + {word}) * LANES + j], place{after}), " for i in range(draws)) + ")"


def _begun(dim: int) -> list[str]:
    return [f"theta = {_read('th', dim)}", *(f"t{i} = total[{i * LANES} + j]" for i in range(dim))]


def _kept(dim: int) -> list[str]:
    return [f"total[{i * LANES} + j] = t{i}" for i in range(dim)]


def _over_lanes(lines: list[str]) -> str:
    return "    for j in range(LANES):\n" + "".join(f"        {line}\n" for line in lines)


def _summed(examples: list[str], dim: int) -> str:
    """Spell a loop that adds the gradients on some examples to `total`, one after the other, in registers."""
    lines = _begun(dim)
    for example in examples:
        lines += [f"g = example_gradient(theta, {example}, p)", *(f"t{i} = t{i} + g[{i}]" for i in range(dim))]
    return _over_lanes(lines + _kept(dim))


@lru_cache(maxsize=256)
def add_gradients(example_gradient: Any, dim: int, draws: int, kind: str, count: int) -> Any:
    """Return block(th, z, first, total, p): add the gradients on `count` examples to `total`.

    `z` holds what they are made of: four numbers a draw, or for signs two words of 64.
    """
    places = "".join(f"    place{k} = uint64((first + {k}) & 63)\n" for k in range(count))
    loop = _summed([_example(kind, draws, k) for k in range(count)], dim)
    return _define(
        "def block(th, z, first, total, p):\n" + (places if kind == "sign" else "") + loop,
        example_gradient=compiled(example_gradient),
        sign=rng.sign,
        uint64=np.uint64,
    )


def _numbers(patterns: Patterns) -> list[str]:
    """Spell how often each pattern but the last has occurred: as held of earlier words, and in the bits of this one."""
    words = [f"w{i} = z[({2 * i} + (first >> 6 & 1)) * LANES + j]" for i in range(len(patterns[0]))]
    bits = [" & ".join(("~" if sign > 0.0 else "") + f"w{i}" for i, sign in enumerate(one)) for one in patterns[:-1]]
    return words + [f"n{k} = (held[{k} * LANES + j] & keep) + ones({bit} & mask)" for k, bit in enumerate(bits)]


@lru_cache(maxsize=256)
def count_patterns(patterns: Patterns) -> Any:
    """Return block(z, first, mask, held, keep): count the patterns in the masked bits of the word of sign `first`.

    `z` is (draws, 2, LANES) of 64 signs each. `held` is (patterns - 1, LANES), for the last is what the others leave;
    where `keep` is 0 and not all bits, it is begun anew.
    """
    lines = [*_numbers(patterns), *(f"held[{k} * LANES + j] = n{k}" for k in range(len(patterns) - 1))]
    return _define("def block(z, first, mask, held, keep):\n" + _over_lanes(lines), ones=ones)


@lru_cache(maxsize=256)
def add_patterns(example_gradient: Any, dim: int, patterns: Patterns) -> Any:
    """Return block(th, z, first, mask, held, keep, batch, total, p): add the gradients of a batch to `total`.

    It ends in the word of sign `first`; the rest is as in `count_patterns`. The gradient on each pattern is added times
    the number of its examples, in the order of `patterns`.
    """
    others = "".join(f" - n{k}" for k in range(len(patterns) - 1))
    lines = [*_numbers(patterns), f"n{len(patterns) - 1} = uint64(batch){others}"]
    lines += _begun(dim)
    for k, pattern in enumerate(patterns):
        lines += [f"times = float64(n{k})", f"g = example_gradient(theta, {pattern}, p)"]
        lines += [f"t{i} = t{i} + times * g[{i}]" for i in range(dim)]
    return _define(
        "def block(th, z, first, mask, held, keep, batch, total, p):\n" + _over_lanes(lines + _kept(dim)),
        example_gradient=compiled(example_gradient),
        ones=ones,
        uint64=np.uint64,
        float64=np.float64,
    )


@lru_cache(maxsize=256)
def gather(draws: int) -> Any:
    """Return block(table, rows, first, count, z): copy rows[first : first + count] of a table to where examples are.

    A loop that looked them up itself could not be vectorized: a row might be anywhere, the sums themselves included.
    Columns go two by two, and a last one that is left over by itself.
    """
    rows = ", ".join(f"{draws} * rows[first + q, j + {k}] + {{c}}" for k in range(4))
    text = "def block(table, rows, first, count, z):\n    for q in range(count):\n"
    if draws > 1:
        text += "        for j in range(0, LANES, 4):\n"
    for c in range(0, draws - 1, 2):
        to = f"({4 * c} + q) * LANES + j, ({4 * c + 4} + q) * LANES + j"
        text += f"            gather_pairs(table, {rows.format(c=c)}, z, {to})\n"
    if draws % 2:
        text += "        for j in range(LANES):\n"
        text += "            k = rows[first + q, j] & 0xFFFFFFFFFF\n"
        text += f"            z[({4 * draws - 4} + q) * LANES + j] = table[k * {draws} + {draws - 1}]\n"
    return _define(text, gather_pairs=gather_pairs)


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
def look(formulas: tuple[Any, ...], width: int, dim: int, log_distance: bool, own: bool = False) -> Any:
    """Return block(th, p, t, dt, window, live, values, share, trace): add one look to a window of the trace.

    A lane counts with share = dt * live at the clock t; both are numbers, or with `own` arrays. What a lane adds stays in
    registers; as calls on arrays, the few operations of a look cost four times as much.
    """
    count, at = len(formulas), "[j]" if own else ""
    lines = [f"        share[j] = dt{at} * live[j]", "        weight[window, j] += share[j]"]
    for k in range(count):
        lines += [
            f"        x = f{k}(state, p)",
            f"        old = reference[{k}, j]",
            "        fresh = x if (share[j] > 0.0) & (old != old) else old",
            f"        reference[{k}, j] = fresh",
            f"        d{k} = x - fresh if share[j] > 0.0 else 0.0",
            f"        values[{k}, j] = d{k}",
            f"        sums[window, {k}, j] += share[j] * d{k}",
        ]
    pairs = [(k, m) for k in range(count) for m in range(k, count)]
    lines += [f"        sums[window, {count + n}, j] += share[j] * (d{k} * d{m})" for n, (k, m) in enumerate(pairs)]
    if log_distance:
        lines += [
            f"        distance = log({_square(dim)}) + {2.0 * LOG_RESCALE!r} * exponent[j]",
            f"        sums[window, {count + len(pairs)}, j] += share[j] * distance if share[j] > 0.0 else 0.0",
            f"        sums[window, {count + len(pairs) + 1}, j] += share[j] * t{at}",
        ]
    return _define(
        "def block(th, p, t, dt, window, live, values, share, trace):\n"
        "    reference, weight, sums, exponent = trace.reference, trace.weight, trace.sums, trace.exponent\n"
        f"    for j in range(LANES):\n        state = {_read('th', width)}\n" + "\n".join(lines) + "\n",
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
