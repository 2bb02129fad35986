"""Every random number of the engine: Philox4x32-10 of (seed, path, stream, index).

The noise depends on *what* is drawn, never on who draws it: key = seed, counter = (path, stream, index). The index
counts steps or examples as an integer (never a float time), so results do not depend on threads, block sizes or
restarts, and nested step sizes can share a path. One counter gives four 32-bit words, which serve four successive
indices of one stream: index n takes word n mod 4 of counter n // 4. A fair sign is one bit, so they serve 128 of them:
index n takes bit n mod 32 of word (n // 32) mod 4 of counter n // 128.

The integer arithmetic and the polynomials behind the normals are written once and give equal bits under numpy and
numba. Normals come by Box-Muller from 32-bit uniforms: |z| <= 6.66, granularity 2**-32.

References
----------
Salmon, J. K., Moraes, M. A., Dror, R. O. and Shaw, D. E. (2011). Parallel random numbers: as easy as 1, 2, 3. SC'11.
"""

from itertools import product
from typing import Any

import numpy as np

from sde_engine.elementary import as_float, cos_sin_turn, log

# Streams: one family of counters for each use; a column or draw number is added to the family.
INCREMENT = 0  # Gaussian increments of an SDE or of Gaussian SGD, one stream a column
EXAMPLE = 1 << 16  # random numbers of a fresh example, one stream a draw
BATCH = 2 << 16  # indices of the examples of a minibatch
EPOCH = 3 << 16  # the permutation of an epoch
START = 4 << 16  # initial states, one stream a component

SIGNS = 128  # fair signs that one counter serves
MOST_PATTERNS = 4  # of the signs of an example, over which the gradients of a batch are added up by number

_MASK = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(32)
_M0 = np.uint64(0xD2511F53)
_M1 = np.uint64(0xCD9E8D57)
_W0 = np.uint64(0x9E3779B9)
_W1 = np.uint64(0xBB67AE85)
_ONE_BITS = np.uint64(0x3FF0000000000000)
_BIT = np.uint64(1)
_TOP = np.uint64(63)
_TWO_52_BITS = np.uint64(0x4330000000000000)
_TWO_52 = 4503599627370496.0


def philox(c0: Any, c1: Any, c2: Any, c3: Any, k0: Any, k1: Any) -> Any:
    """Return the four words of Philox4x32-10; each 32-bit word travels in 64 bits."""
    for _ in range(10):
        p0 = _M0 * c0
        p1 = _M1 * c2
        c0, c1, c2, c3 = (p1 >> _HALF) ^ c1 ^ k0, p1 & _MASK, (p0 >> _HALF) ^ c3 ^ k1, p0 & _MASK
        k0 = (k0 + _W0) & _MASK
        k1 = (k1 + _W1) & _MASK
    return c0, c1, c2, c3


def words_of(path: Any, stream: Any, counter: Any, seed: Any) -> Any:
    """Return the four words that serve the indices 4 * counter to 4 * counter + 3. All arguments are uint64."""
    return philox(path & _MASK, stream, counter & _MASK, counter >> _HALF, seed & _MASK, seed >> _HALF)


def unit(word: Any) -> Any:
    """Return the midpoint of a 32-bit word's cell of the open unit interval."""
    return (as_float(word | _TWO_52_BITS) - _TWO_52 + 0.5) * 2.3283064365386963e-10


def normals_of(a: Any, b: Any, c: Any, d: Any) -> Any:
    """Return four standard normals made of four words (two Box-Muller pairs)."""
    r = np.sqrt(-2.0 * log(unit(a)))
    x, y = cos_sin_turn(unit(b) - 0.5)
    s = np.sqrt(-2.0 * log(unit(c)))
    v, w = cos_sin_turn(unit(d) - 0.5)
    return r * x, r * y, s * v, s * w


def sign(word: Any, place: Any) -> Any:
    """Return +1 where bit `place` (uint64, 0 to 31) of a word is 0, else -1."""
    return as_float((((word >> place) & _BIT) << _TOP) | _ONE_BITS)


def sign_patterns(draws: int, batch: int) -> tuple[tuple[float, ...], ...]:
    """Return the patterns of `draws` signs whose gradients a batch adds up by number, or none: then one by one.

    A batch with all patterns and more of few signs costs as much as one of that many examples. Every backend adds in
    this order, the first sign changing last.
    """
    return tuple(product((1.0, -1.0), repeat=draws)) if 2**draws <= min(batch, MOST_PATTERNS) else ()


def index_below(word: Any, count: Any) -> Any:
    """Return an integer in [0, count) from a 32-bit word; the bias of a value is below count / 2**32."""
    return np.int64((word * count) >> _HALF)


def words(seed: int, paths: np.ndarray, stream: int, index: int) -> np.ndarray:
    """Return one 32-bit word a path, (paths,) uint64: the reference for every backend."""
    quad = words_of(paths.astype(np.uint64), np.uint64(stream), np.uint64(index // 4), np.uint64(seed))
    return quad[index % 4]


def normals(seed: int, paths: np.ndarray, stream: int, index: int) -> np.ndarray:
    """Return one standard normal a path, (paths,)."""
    quad = words_of(paths.astype(np.uint64), np.uint64(stream), np.uint64(index // 4), np.uint64(seed))
    return normals_of(*quad)[index % 4]


def signs(seed: int, paths: np.ndarray, stream: int, index: int) -> np.ndarray:
    """Return one fair sign a path, (paths,)."""
    return sign(words(seed, paths, stream, index // SIGNS * 4 + index // 32 % 4), np.uint64(index % 32))
