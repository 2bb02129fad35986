"""Statistics of the engine's random numbers, made by the compiled fillers that trajectories are driven with.

`collect` runs through paths and steps and adds up what fits in a cache; `scores` turns it into numbers that are standard
normal if the noise is perfect: moments, histogram, tails, runs of signs, bytes, and correlations (of the numbers and of
their squares) along a path, between neighbouring paths and between two streams. Any `Source` can be put in the place of
the engine's, so that a source with a known fault shows what the statistics see.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from math import sqrt
from typing import Any, NamedTuple

import numba
import numpy as np
from scipy.stats import norm

from sde_engine.backends.lanes.noise import fill_normals, fill_words
from sde_engine.backends.trace import LANES
from sde_engine.rng import INCREMENT, normals_of, words_of

_OPTIONS: dict[str, Any] = {"error_model": "numpy", "nogil": True}  # these loops allocate
LAGS = 16
OFFSETS = (1, 2, 4, 8, 16, 32, 64)  # between paths
BINS_A_UNIT, EDGE = 64, 8
POWERS = 8
LONGEST_RUN = 40
TAILS = (4.0, 4.5, 5.0, 5.5, 6.0)
FEWEST = 20.0  # expected counts below this are printed, but not scored


class Source(NamedTuple):
    """fill(out (4, LANES), first_path, stream, counter, seed), once for 32-bit words and once for normals."""

    words: Any
    normals: Any
    start: int = 0  # the counter where its fault shows


ENGINE = Source(fill_words, fill_normals)


class Tally(NamedTuple):
    """What is added up; `by_lane` avoids a sum over lanes inside of the loop."""

    numbers: np.ndarray  # (1,) draws counted
    powers: np.ndarray  # (POWERS, LANES)
    products: np.ndarray  # (rows of `_pairs`, LANES)
    bins: np.ndarray  # (2 EDGE BINS_A_UNIT,)
    bytes: np.ndarray  # (4, 256)
    runs: np.ndarray  # (LONGEST_RUN + 1,) finished runs of one sign by length, of the first stream
    changes: np.ndarray  # (1,) changes of sign

    @classmethod
    def empty(cls) -> "Tally":
        """Return a tally of zeros."""
        integers = [np.zeros(shape, np.int64) for shape in (2 * EDGE * BINS_A_UNIT, (4, 256), LONGEST_RUN + 1, 1)]
        return cls(np.zeros(1, np.int64), np.zeros((POWERS, LANES)), np.zeros((len(_pairs()), LANES)), *integers)


def _pairs() -> list[str]:
    kinds = [f"lag {k}" for k in range(1, LAGS + 1)] + [f"paths {k} apart" for k in OFFSETS] + ["two streams"]
    return [f"correlation, {kind}" for kind in kinds] + [f"correlation of squares, {kind}" for kind in kinds]


@numba.njit(**_OPTIONS)
def _moments_and_counts(z: Any, words: Any, length: Any, first_stream: bool, tally: Tally) -> None:
    for q in range(4):
        row = z[LAGS + q]
        for j in range(LANES):
            power = 1.0
            for k in range(POWERS):
                power = power * row[j]
                tally.powers[k, j] += power
        for j in range(LANES):
            tally.bins[int((row[j] + EDGE) * BINS_A_UNIT)] += 1
        for j in range(LANES):
            for b in range(4):
                tally.bytes[b, (words[q, j] >> np.uint64(8 * b)) & np.uint64(255)] += 1
        if first_stream:
            for j in range(LANES):
                if (row[j] > 0.0) != (z[LAGS + q - 1, j] > 0.0):
                    tally.changes[0] += 1
                    tally.runs[min(length[j], LONGEST_RUN)] += 1
                    length[j] = 0
                length[j] += 1
    tally.numbers[0] += 4 * LANES


@numba.njit(**_OPTIONS)
def _products(z: Any, other: Any, offsets: Any, products: Any) -> None:
    half = products.shape[0] // 2
    lags = half - 1 - len(offsets)  # not the constant: unrolled loops take seconds to compile
    for q in range(lags, lags + 4):
        for k in range(lags):
            for j in range(LANES):
                a, b = z[q, j], z[q - k - 1, j]
                products[k, j] += a * b
                products[half + k, j] += (a * a - 1.0) * (b * b - 1.0)
        for k in range(len(offsets)):
            for j in range(LANES):
                a, b = z[q, j], z[q, j ^ offsets[k]]
                products[lags + k, j] += a * b
                products[half + lags + k, j] += (a * a - 1.0) * (b * b - 1.0)
        for j in range(LANES):
            a, b = z[q, j], other[q, j]
            products[half - 1, j] += a * b
            products[2 * half - 1, j] += (a * a - 1.0) * (b * b - 1.0)


@lru_cache(maxsize=8)
def collect(source: Source) -> Callable[..., None]:
    """Return run(first_path, seed, first, count, tally): LANES paths, two streams, 4 * count numbers of each."""
    words_into, normals_into, offsets = source.words, source.normals, np.array(OFFSETS)

    @numba.njit(**_OPTIONS)
    def run(first_path: int, seed: Any, first: int, count: int, tally: Tally) -> None:
        z, words = np.zeros((2, LAGS + 4, LANES)), np.empty((4, LANES), np.uint64)
        length = np.ones(LANES, np.int64)
        for n in range(count + LAGS // 4):  # the first ones only fill the history
            for s in range(2):
                for q in range(LAGS):  # a slice assignment would compile numba's text of its error message
                    for j in range(LANES):
                        z[s, q, j] = z[s, q + 4, j]
                normals_into(z[s, LAGS:], first_path, INCREMENT + s, first + n, seed)
            if n >= LAGS // 4:
                for s in range(2):
                    words_into(words, first_path, INCREMENT + s, first + n, seed)
                    _moments_and_counts(z[s], words, length, s == 0, tally)
                    _products(z[s], z[1 - s], offsets, tally.products)

    return run


class Score(NamedTuple):
    """A number that is standard normal for perfect noise, NaN if too few events were expected, and its words."""

    name: str
    z: float
    words: str = ""


def scores(tally: Tally) -> list[Score]:
    """Return every statistic in units of its standard error."""
    return [*_moments(tally), *_correlations(tally), *_tails(tally), *_goodness(tally)]


def failed(found: Sequence[Score], level: float = 1e-6) -> list[Score]:
    """Return the scores that perfect noise would show with less than this probability in the whole battery."""
    scored = [s for s in found if not np.isnan(s.z)]
    return [s for s in scored if 2.0 * norm.sf(abs(s.z)) * len(scored) < level]


def _moments(tally: Tally) -> Iterator[Score]:
    n, means = tally.numbers[0], tally.powers.sum(axis=1) / tally.numbers[0]
    even = [1.0]
    for k in range(1, 2 * POWERS, 2):
        even += [0.0, even[-1] * k]  # E z^(k + 1) = k E z^(k - 1)
        even[-1] = even[-3] * k
    for k, mean in enumerate(means, start=1):
        spread = sqrt((even[2 * k] - even[k] ** 2) / n)
        yield Score(f"moment {k}", (mean - even[k]) / spread, f"{mean:.6g}, exact {even[k]:g}")


def _correlations(tally: Tally) -> Iterator[Score]:
    for name, products in zip(_pairs(), tally.products, strict=True):
        # Neighbouring paths and the two streams are each counted from both sides: the sum has half as many terms, twice.
        twice = 1.0 if "lag" in name else 2.0
        variance = 4.0 if "squares" in name else 1.0
        yield Score(name, products.sum() / sqrt(tally.numbers[0] * variance * twice))


def _tails(tally: Tally) -> Iterator[Score]:
    for bound in TAILS:
        cut = int(bound * BINS_A_UNIT)
        middle = EDGE * BINS_A_UNIT
        for side, count in (("above", tally.bins[middle + cut :].sum()), ("below -", tally.bins[: middle - cut].sum())):
            expected = tally.numbers[0] * norm.sf(bound)
            z = (count - expected) / sqrt(expected) if expected >= FEWEST else np.nan
            yield Score(f"tail {side}{' ' * (side == 'above')}{bound:g}", z, f"{count} draws, expected {expected:.1f}")


def _goodness(tally: Tally) -> Iterator[Score]:
    n = tally.numbers[0]
    edges = np.arange(-EDGE * BINS_A_UNIT, EDGE * BINS_A_UNIT + 1) / BINS_A_UNIT
    # On the side of the tail the distribution function is a difference of ones.
    chances = np.where(edges[:-1] < 0.0, np.diff(norm.cdf(edges)), -np.diff(norm.sf(edges)))
    yield _chi_square("histogram of the normals", tally.bins, n * chances)
    for b, counts in enumerate(tally.bytes):
        yield _chi_square(f"byte {b} of the words", counts, np.full(256, n / 256.0))
    runs = tally.runs[1:].sum()
    shares = 0.5 ** np.arange(1, LONGEST_RUN + 1)
    shares[-1] *= 2.0  # and longer
    yield _chi_square("runs of one sign, by length", tally.runs[1:], runs * shares)
    half = 0.5 * (n // 2)
    yield Score("changes of sign", (tally.changes[0] - half) / sqrt(0.5 * half))


def _chi_square(name: str, counts: np.ndarray, expected: np.ndarray) -> Score:
    """Pool cells of few expected events; Wilson and Hilferty's cube root makes the sum normal."""
    rare = expected < FEWEST
    observed = np.append(counts[~rare], counts[rare].sum())
    expected = np.append(expected[~rare], expected[rare].sum())
    keep = expected >= FEWEST
    total, freedom = float(np.sum((observed - expected)[keep] ** 2 / expected[keep])), int(keep.sum()) - 1
    spread = 2.0 / (9.0 * freedom)
    return Score(name, ((total / freedom) ** (1 / 3) - 1.0 + spread) / sqrt(spread), f"chi2 {total:.1f} on {freedom}")


def _faulty(fault: Any, keyed: Any) -> Any:
    """Return a filler of words whose words went through `fault` and whose counters through `keyed`."""

    @numba.njit(**_OPTIONS)
    def words_into(out: Any, first_path: Any, stream: Any, counter: Any, seed: Any) -> None:
        for j in range(LANES):
            path, key = np.uint64(first_path + j), np.uint64(keyed(counter))
            a, b, c, d = words_of(path, np.uint64(stream), key, np.uint64(seed))
            out[0, j], out[1, j], out[2, j], out[3, j] = fault(a), fault(b), fault(c), fault(d)

    return words_into


def _normals_from(words_into: Any) -> Any:
    @numba.njit(**_OPTIONS)
    def normals_into(out: Any, first_path: Any, stream: Any, counter: Any, seed: Any) -> None:
        words = np.empty((4, LANES), np.uint64)
        words_into(words, first_path, stream, counter, seed)
        for j in range(LANES):
            out[0, j], out[1, j] = normals_of(words[0, j], words[1, j])
            out[2, j], out[3, j] = normals_of(words[2, j], words[3, j])

    return normals_into


@numba.njit(**_OPTIONS)
def _same(x: Any) -> Any:
    return x


@numba.njit(**_OPTIONS)
def _sixteen_bits(word: Any) -> Any:
    return word & np.uint64(0xFFFF0000)


@numba.njit(**_OPTIONS)
def _float_time(counter: Any) -> Any:
    """Return the counter that a time in single precision stands for, at steps of 1e-3."""
    return np.uint64(np.float64(np.float32(counter * 4e-3)) * 2.0**20)


def partners() -> dict[str, Source]:
    """Return sources with a fault that the battery must see: words of 16 bits; noise keyed by a time in float32."""
    coarse, by_time = _faulty(_sixteen_bits, _same), _faulty(_same, _float_time)
    return {
        "sixteen_bits": Source(coarse, _normals_from(coarse)),
        "float_time": Source(by_time, _normals_from(by_time), 25_000_000),  # a clock of 1e5
    }
