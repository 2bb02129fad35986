"""What numba must be told about `elementary` and `components`: bit casts, selects and unrolled tuples.

Everything else is compiled from the one formula that numpy runs too. Importing this module registers the overloads.
"""

import functools
import inspect
import math
from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic, overload

from sde_engine import components, elementary, rng

# No fastmath: the bits are those of numpy, and NaN stays NaN.
ENTRY: dict[str, Any] = {"error_model": "numpy", "nogil": True, "_nrt": False}
# For what compiled code alone calls. A fifth of the time to compile goes into wrappers for calls from Python; without
# them such a call ends the process: `compiled.entered` is the way in.
INNER: dict[str, Any] = {"error_model": "numpy", "_nrt": False, "no_cpython_wrapper": True, "no_cfunc_wrapper": True}
# Inlined by numba itself: as calls, the long polynomials would stop LLVM from vectorizing the loop around them.
INLINED: dict[str, Any] = {"forceinline": True, **INNER}
_AS_INLINED: dict[str, Any] = {"jit_options": INLINED}


Implementation = Callable[..., Any]


@intrinsic
def _float_of_word(context: Any, word: Any) -> Any:
    return types.float64(types.uint64), lambda c, b, s, a: b.bitcast(a[0], ir.DoubleType())


@intrinsic
def _word_of_float(context: Any, value: Any) -> Any:
    return types.uint64(types.float64), lambda c, b, s, a: b.bitcast(a[0], ir.IntType(64))


@intrinsic
def ones(context: Any, word: Any) -> Any:
    """Return how many bits of a word are 1."""
    return types.uint64(types.uint64), lambda c, b, s, a: b.ctpop(a[0])


@intrinsic
def gather_pairs(
    context: Any, table: Any, first: Any, second: Any, third: Any, fourth: Any, z: Any, a: Any, b: Any
) -> Any:
    """Copy the pairs of numbers at four places of `table` to z: their first numbers from `a` on, their second from `b`.

    A load for each pair and two stores for all: half the time of a gather for each number.
    """
    pair, four = (ir.VectorType(ir.DoubleType(), count) for count in (2, 4))

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        def pointer(array: int, index: Any, kind: Any) -> Any:
            data = context.make_array(signature.args[array])(context, builder, arguments[array]).data
            return builder.bitcast(builder.gep(data, [index]), kind.as_pointer())

        def mixed(x: Any, y: Any, *places: int) -> Any:
            return builder.shuffle_vector(x, y, ir.Constant(ir.VectorType(ir.IntType(32), 4), places))

        pairs = [builder.load(pointer(0, place, pair), align=8) for place in arguments[1:5]]
        even, odd = mixed(pairs[0], pairs[2], 0, 1, 2, 3), mixed(pairs[1], pairs[3], 0, 1, 2, 3)
        builder.store(mixed(even, odd, 0, 4, 2, 6), pointer(5, arguments[6], four), align=8)
        builder.store(mixed(even, odd, 1, 5, 3, 7), pointer(5, arguments[7], four), align=8)
        return context.get_dummy_value()

    whole = types.int64
    return types.void(table, whole, whole, whole, whole, z, whole, whole), generate


def _overload(function: Implementation, signature: inspect.Signature, choose: Implementation) -> None:
    """Let `choose(types)` say what compiled code runs for `function`; numba wants both to show one signature."""

    def typer(*arguments: Any) -> Implementation:
        return choose(*arguments)

    vars(typer)["__signature__"] = signature
    overload(function, **_AS_INLINED)(typer)


def as_written(function: Implementation, formula: Implementation) -> None:
    """Compile `formula`, as it stands, wherever a compiled function calls `function`."""
    _overload(function, inspect.signature(formula), lambda *types: formula)


def _as_text(function: Implementation, arguments: str, body: Callable[..., str]) -> None:
    """Compile the expression `body(types)`; text is used only to spell out a tuple item by item."""

    def implementation(expression: str) -> Implementation:
        scope: dict[str, Any] = {
            "math": math,
            "to_float": _float_of_word,
            "to_word": _word_of_float,
            "larger": components.larger,
        }
        exec(f"def formula({arguments}):\n    return {expression}", scope)
        return scope["formula"]

    signature = inspect.signature(implementation("None"))
    _overload(function, signature, lambda *types: implementation(body(*types)))


def _items(expression: str, count: int) -> str:
    return "(" + "".join(expression.format(i=i) + ", " for i in range(count)) + ")"


def _sum(expression: str, count: int) -> str:
    return " + ".join(expression.format(i=i) for i in range(count))


def _matmul(rows: int, inner: int, columns: int) -> str:
    entry = "a[{i}][{j}] * b[{j}][{k}]"
    entries = [
        [" + ".join(entry.format(i=i, j=j, k=k) for j in range(inner)) for k in range(columns)] for i in range(rows)
    ]
    return "(" + "".join("(" + "".join(e + ", " for e in row) + "), " for row in entries) + ")"


def _split(lengths: list[int]) -> str:
    starts = [sum(lengths[:i]) for i in range(len(lengths))]
    rows = ["(" + "".join(f"a[{at + k}], " for k in range(n)) + "), " for at, n in zip(starts, lengths, strict=True)]
    return "(" + "".join(rows) + ")"


def _cofactors(count: int) -> str:
    others = [[f"a[{k}]" for k in range(count) if k != i] for i in range(count)]
    return "(" + "".join((" * ".join(names) or "1.0") + ", " for names in others) + ")"


for _name in ("log", "exp", "tanh"):
    as_written(getattr(elementary, _name), getattr(elementary, _name))
    as_written(getattr(components, _name), getattr(elementary, _name))
_ITSELF: tuple[Implementation, ...] = (
    rng.philox,
    rng.words_of,
    rng.half_square_radius,
    rng.normals_of,
    rng.sign,
    rng.index_below,
    components.square_norm,
    components.reciprocal,
)
for _function in _ITSELF:
    as_written(_function, _function)

_as_text(elementary.as_float, "word", lambda word: "to_float(word)")
_as_text(elementary.as_word, "value", lambda value: "to_word(value)")
_as_text(elementary.where, "condition, yes, no", lambda *types: "yes if condition else no")
_as_text(components.where, "condition, yes, no", lambda *types: "yes if condition else no")
_as_text(components.sqrt, "x", lambda x: "math.sqrt(x)")
_as_text(components.absolute, "x", lambda x: "abs(x)")
_as_text(components.add, "a, b", lambda a, b: _items("a[{i}] + b[{i}]", len(a)))
_as_text(components.subtract, "a, b", lambda a, b: _items("a[{i}] - b[{i}]", len(a)))
_as_text(components.multiply, "a, b", lambda a, b: _items("a[{i}] * b[{i}]", len(a)))
_as_text(components.scale, "factor, a", lambda factor, a: _items("factor * a[{i}]", len(a)))
_as_text(components.dot, "a, b", lambda a, b: _sum("a[{i}] * b[{i}]", len(a)))
_as_text(components.total, "a", lambda a: _sum("a[{i}]", len(a)))
_as_text(components.product, "a", lambda a: _sum("a[{i}]", len(a)).replace("+", "*"))
_as_text(
    components.matvec,
    "matrix, a",
    lambda matrix, a: _items(
        "(" + " + ".join(f"matrix[{{i}}][{k}] * a[{k}]" for k in range(len(a))) + ")", len(matrix)
    ),
)
_as_text(components.apply, "function, a", lambda function, a: _items("function(a[{i}])", len(a)))
_as_text(
    components.scale_rows,
    "factors, matrix",
    lambda factors, matrix: _items(
        "(" + "".join(f"factors[{{i}}] * matrix[{{i}}][{k}], " for k in range(len(matrix[0]))) + ")", len(matrix)
    ),
)
_as_text(
    components.scale_matrix,
    "factor, matrix",
    lambda factor, matrix: _items(
        "(" + "".join(f"factor * matrix[{{i}}][{k}], " for k in range(len(matrix[0]))) + ")", len(matrix)
    ),
)
_as_text(components.matmul, "a, b", lambda a, b: _matmul(len(a), len(b), len(b[0])))
_as_text(components.larger, "a, b", lambda a, b: "a if a > b else b")
_as_text(components.smaller, "a, b", lambda a, b: "a if a < b else b")
_as_text(
    components.largest,
    "a",
    lambda a: functools.reduce(lambda top, i: f"larger(a[{i}], {top})", range(1, len(a)), "a[0]"),
)
_as_text(
    components.away_from_zero,
    "a, bound",
    lambda a, bound: _items("((-bound if a[{i}] < 0.0 else bound) if abs(a[{i}]) < bound else a[{i}])", len(a)),
)
_as_text(components.split, "a, shape", lambda a, shape: _split([len(row) for row in shape]))
_as_text(
    components.flatten,
    "rows",
    lambda rows: "(" + "".join(f"rows[{i}][{k}], " for i in range(len(rows)) for k in range(len(rows[i]))) + ")",
)
_as_text(components.cofactors, "a", lambda a: _cofactors(len(a)))


def _matrix(entry: Callable[[int, int], str], rows: int, columns: int) -> str:
    """Spell a tuple of rows, entry by entry."""
    return "(" + "".join("(" + "".join(f"{entry(i, k)}, " for k in range(columns)) + "), " for i in range(rows)) + ")"


def _contract(count: int, rows: int, columns: int) -> str:
    def term(i: int, k: int) -> str:
        return "(" + " + ".join(f"matrices[{k}][{i}][{j}] * rows[{k}][{j}]" for j in range(columns)) + ")"

    return "(" + "".join(" + ".join(term(i, k) for k in range(count)) + ", " for i in range(rows)) + ")"


def _weak_integral(k: int, m: int) -> str:
    if k == m:
        return "0.0"
    return f"0.5 * (z[{k}] * z[{m}] - signs[{k}])" if k < m else f"0.5 * (z[{k}] * z[{m}] + signs[{m}])"


def _elimination(count: int) -> Implementation:
    lines = [f"m{i}_{k} = matrix[{i}][{k}]" for i in range(count) for k in range(count)]
    lines += [f"x{i} = b[{i}]" for i in range(count)]
    for k in range(count):
        for i in range(k + 1, count):
            lines.append(f"ratio = m{i}_{k} / m{k}_{k}")
            lines += [f"m{i}_{j} = m{i}_{j} - ratio * m{k}_{j}" for j in range(k + 1, count)]
            lines.append(f"x{i} = x{i} - ratio * x{k}")
    for k in reversed(range(count)):
        lines += [f"x{k} = x{k} - m{k}_{j} * x{j}" for j in range(k + 1, count)]
        lines.append(f"x{k} = x{k} / m{k}_{k}")
    scope: dict[str, Any] = {}
    exec(
        "def formula(matrix, b):\n" + "".join(f"    {line}\n" for line in [*lines, f"return {_items('x{i}', count)}"]),
        scope,
    )
    return scope["formula"]


as_written(components.two_point, components.two_point)
_overload(components.solve, inspect.signature(_elimination(1)), lambda matrix, b: _elimination(len(b)))
_as_text(components.halves, "a", lambda a: f"(a[:{len(a) // 2}], a[{len(a) // 2}:])")
_as_text(components.transpose, "matrix", lambda m: _matrix(lambda i, k: f"matrix[{k}][{i}]", len(m[0]), len(m)))
_as_text(
    components.vecmat,
    "a, matrix",
    lambda a, m: _items("(" + " + ".join(f"a[{k}] * matrix[{k}][{{i}}]" for k in range(len(a))) + ")", len(m[0])),
)
_as_text(components.shifted, "a, rows", lambda a, r: _matrix(lambda k, i: f"a[{i}] + rows[{k}][{i}]", len(r), len(a)))
_as_text(
    components.nudged,
    "a, size",
    lambda a, size: _matrix(lambda k, i: f"a[{i}]" + (" + size" if i == k else ""), len(a), len(a)),
)
_as_text(
    components.at_each,
    "formula, points, p, h",
    lambda f, points, p, h: _items("formula(points[{i}], p, h)", len(points)),
)
_as_text(
    components.own_columns, "matrices", lambda m: _matrix(lambda k, i: f"matrices[{k}][{i}][{k}]", len(m), len(m[0]))
)
_as_text(components.contract, "matrices, rows", lambda m, rows: _contract(len(m), len(m[0]), len(rows[0])))
_as_text(
    components.double_integrals,
    "z",
    lambda z: _matrix(lambda k, m: f"z[{k}] * z[{m}]" + (" - 1.0" if k == m else ""), len(z), len(z)),
)
_as_text(components.weak_integrals, "z, signs", lambda z, signs: _matrix(_weak_integral, len(z), len(z)))
_as_text(
    components.subtract_matrix,
    "a, b",
    lambda a, b: _matrix(lambda i, k: f"a[{i}][{k}] - b[{i}][{k}]", len(a), len(a[0])),
)
_as_text(
    components.identity_minus,
    "matrix",
    lambda m: _matrix(lambda i, k: f"1.0 - matrix[{i}][{k}]" if i == k else f"-matrix[{i}][{k}]", len(m), len(m)),
)
