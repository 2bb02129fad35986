"""Random numbers of a block of lanes, made in the loop: the compiled twin of `sde_engine.rng`."""

from typing import Any

import numba
import numpy as np

from sde_engine.backends.lanes.primitives import INNER
from sde_engine.backends.trace import LANES
from sde_engine.elementary import as_float, as_word
from sde_engine.rng import index_below, normals_of, words_of

_U64 = np.uint64


@numba.njit(**INNER)
def fill_words(out: Any, first_path: Any, stream: Any, counter: Any, seed: Any) -> None:
    """Fill out (4, LANES) with the words of one counter a path."""
    for j in range(LANES):
        a, b, c, d = words_of(_U64(first_path + j), _U64(stream), _U64(counter), _U64(seed))
        out[0, j], out[1, j], out[2, j], out[3, j] = a, b, c, d


@numba.njit(**INNER)
def _fill_bits(out: Any, first_path: Any, stream: Any, counter: Any, seed: Any) -> None:
    for j in range(LANES):
        a, b, c, d = words_of(_U64(first_path + j), _U64(stream), _U64(counter), _U64(seed))
        out[0, j], out[1, j], out[2, j], out[3, j] = as_float(a), as_float(b), as_float(c), as_float(d)


@numba.njit(**INNER)
def _bits_to_normals(out: Any) -> None:
    """Turn words, kept as the bits of doubles, into normals where they are."""
    for q in range(0, 4, 2):
        for j in range(LANES):
            out[q, j], out[q + 1, j] = normals_of(as_word(out[q, j]), as_word(out[q + 1, j]))


@numba.njit(**INNER)
def fill_normals(out: Any, first_path: Any, stream: Any, counter: Any, seed: Any) -> None:
    """Fill out (4, LANES) with the normals of one counter a path.

    In three short loops: each is one long chain of operations, and a processor has several turns of a short loop in
    flight. In one loop it takes 1.25 times as long.
    """
    _fill_bits(out, first_path, stream, counter, seed)
    _bits_to_normals(out)


@numba.njit(**INNER)
def fill_signs(out: Any, first_path: Any, stream: Any, counter: Any, seed: Any) -> None:
    """Fill out (2, LANES) with a counter's 128 bits, in order."""
    for j in range(LANES):
        a, b, c, d = words_of(_U64(first_path + j), _U64(stream), _U64(counter), _U64(seed))
        out[0, j] = a | b << _U64(32)
        out[1, j] = c | d << _U64(32)


@numba.njit(**INNER)
def fill_normals_of(out: Any, first_path: Any, slot: Any, stream: Any, counter: Any, seed: Any) -> None:
    """Fill out (4, LANES) as `fill_normals`, for lanes with a path number and a counter of their own."""
    for j in range(LANES):
        a, b, c, d = words_of(_U64(first_path + slot[j]), _U64(stream), _U64(counter[j]), _U64(seed))
        out[0, j], out[1, j], out[2, j], out[3, j] = as_float(a), as_float(b), as_float(c), as_float(d)
    _bits_to_normals(out)


@numba.njit(**INNER)
def fill_rows(out: Any, first_path: Any, stream: Any, counter: Any, seed: Any, count: int) -> None:
    """Fill out (4, LANES) with indices below `count`, made of a counter's words."""
    for j in range(LANES):
        a, b, c, d = words_of(_U64(first_path + j), _U64(stream), _U64(counter), _U64(seed))
        out[0, j] = index_below(a, _U64(count))
        out[1, j] = index_below(b, _U64(count))
        out[2, j] = index_below(c, _U64(count))
        out[3, j] = index_below(d, _U64(count))


@numba.njit(**INNER)
def shuffle_front(order: Any, lane_words: Any, places: Any, out: Any) -> None:
    """Draw distinct entries of `order` (N,) into out (taken,), and leave `order` as it was found.

    Fisher and Yates from the front; undoing the swaps in reverse makes the draw a function of the words alone. `places`
    (taken,) is where the swaps are kept.
    """
    n, taken = order.shape[0], out.shape[0]
    for i in range(taken):
        k = i + np.int64((lane_words[i] * _U64(n - i)) >> _U64(32))
        places[i] = k
        order[i], order[k] = order[k], order[i]
        out[i] = order[i]
    for i in range(taken - 1, -1, -1):
        k = places[i]
        order[i], order[k] = order[k], order[i]


@numba.njit(**INNER)
def draw_distinct(
    first_path: Any, stream: Any, draw: Any, seed: Any, order: Any, quad: Any, words: Any, swaps: Any, out: Any
) -> None:
    """Fill out (taken, LANES) with distinct indices for each lane; `draw` numbers the draw of each path.

    Entry i of the draw takes the word of index draw * taken + i of the stream. The rest is room to work in: quad
    (4, LANES) and words (LANES, taken) of integers, swaps (2, taken).
    """
    taken = out.shape[0]
    for i in range(taken):
        index = draw * taken + i
        if i == 0 or index % 4 == 0:
            fill_words(quad, first_path, stream, index // 4, seed)
        for j in range(LANES):
            words[j, i] = quad[index % 4, j]
    chosen = swaps[1]
    for j in range(LANES):
        shuffle_front(order, words[j], swaps[0], chosen)
        for i in range(taken):
            out[i, j] = chosen[i]
