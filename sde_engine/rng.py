"""Every random number of the engine: Philox4x32-10 of (seed, path, stream, index).

The noise depends on *what* is drawn, never on who draws it: key = seed, counter = (path, stream, index). The index
counts steps or examples as an integer (never a float time), so results do not depend on threads, block sizes or
restarts, and nested step sizes can share a path. One counter gives four 32-bit words, which serve four successive
indices of one stream: index n takes word n mod 4 of counter n // 4. A fair sign is one bit, so they serve 128 of them:
index n takes bit n mod 32 of word (n // 32) mod 4 of counter n // 128.

The integer arithmetic and the polynomials behind the normals are written once: equal bits under numpy and numba, JAX to
rounding. Normals come by Box-Muller from 32-bit uniforms, two of two words: |z| <= 6.77, granularity 2**-32 in the uniform
behind the radius and 2**-30 of a quarter turn in the angle. Beside that their rounding, below 2e-11, is nothing.

References
----------
Salmon, J. K., Moraes, M. A., Dror, R. O. and Shaw, D. E. (2011). Parallel random numbers: as easy as 1, 2, 3. SC'11.
"""

from itertools import product
from typing import Any

import numpy as np

from sde_engine.components import sqrt
from sde_engine.elementary import as_float, as_word

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
_BELOW_TWO_52 = 2.0**52 - 0.5
_TWO_52_AND_33 = 2.0**52 + 33.0
_SQRT_EIGHTH_BITS = np.uint64(0x3FD6A09E667F3BCD)
_FRACTION = np.uint64(0x000FFFFFFFFFFFFF)
_EXPONENT = np.uint64(52)
_TO_FRACTION = np.uint64(22)
_TO_SIGN = np.uint64(33)
_SIGN = np.uint64(0x8000000000000000)
_MIDDLE = 1.5 - 2.0**-31
_LN2 = 0.6931471805599453


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


def half_square_radius(word: Any) -> Any:
    """Return -ln u for the midpoint u of a 32-bit word's cell of the unit interval, relative error below 5e-12.

    2**32 u = 2**k m with m in [sqrt(1/8), sqrt(1/2)); ln 2m is a series in s = (2m - 1)/(2m + 1). k is an unsigned
    integer, turned into a double as the last bits of 2**52 + k.
    """
    bits = as_word(as_float(word | _TWO_52_BITS) - _BELOW_TWO_52)
    k = (bits - _SQRT_EIGHTH_BITS) >> _EXPONENT
    m = as_float(bits - (k << _EXPONENT))
    s = (m - 0.5) / (m + 0.5)
    z = s * s
    series = z * 0.11808179549572992 + 0.14267525518908156
    series = series * z + 0.20000192336187594
    series = series * z + 0.3333333262374376
    series = series * z + 1.0000000000041798
    return (_TWO_52_AND_33 - as_float(k | _TWO_52_BITS)) * _LN2 - (s + s) * series


def normals_of(a: Any, b: Any) -> Any:
    """Return two standard normals made of two words: r cos(phi) and r sin(phi) (Box and Muller 1958).

    Two bits of b are the signs, the others an angle phi = pi/4 + psi of the first quadrant, so with r**2 = -2 ln u the
    normals are +-sqrt(-ln u) (cos psi -+ sin psi). Cosine and sine of psi = pi t / 2 are series in t, |t| < 1/2, with
    errors below 4e-12: no quadrant has to be told from another.
    """
    radius = sqrt(half_square_radius(a))
    t = as_float(((b << _TO_FRACTION) & _FRACTION) | _ONE_BITS) - _MIDDLE
    y = t * t
    sine = y * 0.00015820630355647733 - 0.004681266256726245
    sine = sine * y + 0.07969258272563062
    sine = sine * y - 0.6459640961467954
    sine = sine * y + 1.5707963267881
    sine = sine * t
    cosine = y * -2.4850963357813638e-05 + 0.0009191617369539572
    cosine = cosine * y - 0.020863468002244645
    cosine = cosine * y + 0.25366950715370434
    cosine = cosine * y - 1.2337005501201592
    cosine = cosine * y + 0.9999999999999444
    one, other = radius * (cosine - sine), radius * (cosine + sine)
    return as_float(as_word(one) ^ ((b << _HALF) & _SIGN)), as_float(as_word(other) ^ ((b << _TO_SIGN) & _SIGN))


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
    pair = index % 4 // 2 * 2
    return normals_of(quad[pair], quad[pair + 1])[index % 2]


def signs(seed: int, paths: np.ndarray, stream: int, index: int) -> np.ndarray:
    """Return one fair sign a path, (paths,)."""
    return sign(words(seed, paths, stream, index // SIGNS * 4 + index // 32 % 4), np.uint64(index % 32))
