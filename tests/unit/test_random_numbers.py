"""Philox against its published vectors, on three machines; normals and draws against their laws."""

from itertools import permutations

import numpy as np
import pytest
from scipy.stats import chi2, kstest

from sde_engine import rng
from sde_engine.backends.lanes import noise
from sde_engine.backends.lanes.compiled import entered
from sde_engine.backends.reference import _distinct
from sde_engine.backends.trace import LANES

ONES = (1 << 32) - 1
# Counter, key and result of Philox4x32-10 in the known-answer file of Random123 (Salmon et al. 2011).
KNOWN = [
    ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((ONES,) * 4, (ONES,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
]
PATHS = np.arange(4096)


@pytest.mark.parametrize(("counter", "key", "answer"), KNOWN)
def test_philox_gives_the_published_answers(counter, key, answer):
    words = rng.philox(*(np.array([x], dtype=np.uint64) for x in (*counter, *key)))
    assert tuple(int(word[0]) for word in words) == answer


@pytest.mark.parametrize(("counter", "key", "answer"), KNOWN)
def test_words_of_a_path_are_philox_of_path_stream_index_and_seed(counter, key, answer):
    """Counter words: path, stream, low and high half of the counter; key: low and high half of the seed."""
    path, stream, low, high = (np.array([x], dtype=np.uint64) for x in counter)
    thirty_two = np.uint64(32)
    seed = np.uint64(key[0]) | (np.uint64(key[1]) << thirty_two)
    words = rng.words_of(path, stream, low | (high << thirty_two), seed)
    assert tuple(int(word[0]) for word in words) == answer


@pytest.mark.parametrize("counter", [0, 1, 10**9, 2**32 - 1, 2**32, 2**40 + 3])
def test_lanes_make_the_bits_of_the_reference(counter):
    seed, stream, first = 2**63 + 12345, rng.EXAMPLE + 1, 3 * LANES
    words, normals = np.empty((4, LANES), np.uint64), np.empty((4, LANES))
    entered(noise.fill_words)(words, first, stream, counter, seed)
    entered(noise.fill_normals)(normals, first, stream, counter, seed)
    paths = first + np.arange(LANES)
    for q in range(4):
        assert np.array_equal(words[q], rng.words(seed, paths, stream, 4 * counter + q))
        assert np.array_equal(normals[q], rng.normals(seed, paths, stream, 4 * counter + q))


def test_lanes_with_paths_and_counters_of_their_own_make_the_same_bits():
    slots, counters = np.arange(LANES)[::-1] * 7, np.arange(LANES) * 10**7
    out = np.empty((4, LANES))
    entered(noise.fill_normals_of)(out, 5, slots, rng.INCREMENT, counters, 9)
    for j in (0, 1, 77, LANES - 1):
        for q in range(4):
            assert out[q, j] == rng.normals(9, np.array([5 + slots[j]]), rng.INCREMENT, 4 * int(counters[j]) + q)[0]


def test_jax_makes_the_integers_of_the_reference():
    import jax

    with jax.enable_x64(True):
        paths = jax.numpy.asarray(PATHS.astype(np.uint64))
        words = jax.jit(rng.words_of)(paths, np.uint64(rng.BATCH), np.uint64(2**33 + 5), np.uint64(2**40 + 7))
        found = [np.asarray(word) for word in words]
    for q in range(4):
        assert np.array_equal(found[q], rng.words(2**40 + 7, PATHS, rng.BATCH, 4 * (2**33 + 5) + q))


def _box_muller(radius, angle):
    """Box and Muller in extended precision: two bits of a word are signs, the others an angle of the first quadrant."""
    u, low = (radius.astype(np.longdouble) + 0.5) / 2.0**32, angle & np.uint64(2**30 - 1)
    # pi to more digits than a double has
    phi = (low.astype(np.longdouble) + 0.5) / 2.0**31 * (np.longdouble(np.pi) + np.longdouble(1.2246467991473532e-16))
    signs = (1.0 - 2.0 * (angle >> np.uint64(k) & np.uint64(1)).astype(np.longdouble) for k in (31, 30))
    return [sign * np.sqrt(-2.0 * np.log(u)) * f(phi) for sign, f in zip(signs, (np.cos, np.sin), strict=True)]


EDGES = np.array([0, 1, 2, 2**29, 2**30 - 1, 2**30, 2**31 - 1, 2**31, 2**32 - 2, 2**32 - 1], dtype=np.uint64)


def _error_of_normals(scale=1.0):
    drawn = np.concatenate([rng.words(2, PATHS, rng.EXAMPLE, n) for n in range(8)])
    radius, angle = np.r_[np.repeat(EDGES, EDGES.size), drawn], np.r_[np.tile(EDGES, EDGES.size), drawn[::-1]]
    pairs = zip(rng.normals_of(radius, angle), _box_muller(radius, angle), strict=True)
    return max(float(np.abs(scale * one - other).max()) for one, other in pairs)


def test_normals_are_those_of_box_and_muller_to_2e_11():
    assert 1e-13 < _error_of_normals() < 2e-11
    assert np.abs(rng.normals_of(EDGES, EDGES[::-1])).max() < 6.77


def test_normals_off_by_one_part_in_1e10_are_not_those_of_box_and_muller():
    assert _error_of_normals(1.0 + 1e-10) > 2e-11


def _moments_are_normal(z):
    """Mean, variance, third and fourth moment within four standard errors, and a Kolmogorov distance."""
    n = z.size
    for power, exact, variance in ((1, 0.0, 1.0), (2, 1.0, 2.0), (3, 0.0, 15.0), (4, 3.0, 96.0)):
        assert abs(np.mean(z**power) - exact) < 4.0 * np.sqrt(variance / n)
    assert kstest(z.ravel()[:200_000], "norm").pvalue > 1e-4


@pytest.mark.parametrize("index", [0, 4 * 10**9, 2**40])
def test_noise_at_step_4e9_is_as_good_as_at_step_0(index):
    """Noise keyed by a float time repeats after some 8e6 steps; an integer index does not."""
    z = np.array([rng.normals(17, PATHS, rng.INCREMENT, index + n) for n in range(256)])
    _moments_are_normal(z)
    pairs = z[:-1] * z[1:]
    assert abs(pairs.mean()) < 4.0 / np.sqrt(pairs.size)
    assert np.unique(z).size > 0.9995 * z.size  # 32 bits make few coincidences, and no repetition


def test_a_scale_wrong_by_two_per_cent_is_not_normal():
    z = np.array([rng.normals(17, PATHS, rng.INCREMENT, n) for n in range(256)])
    with pytest.raises(AssertionError):
        _moments_are_normal(1.02 * z)


def _ornstein_uhlenbeck_variance(counters):
    """Variance of x' = 0.9 x + sqrt(0.19) z, exactly 1, over LANES paths driven by the normals of these counters."""
    x, square, z = np.zeros(LANES), 0.0, np.empty((4, LANES))
    for n, counter in enumerate(counters):
        entered(noise.fill_normals)(z, 0, rng.INCREMENT, counter, 17)
        for row in z:
            x = 0.9 * x + np.sqrt(0.19) * row
            square += np.mean(x * x) if n >= 32 else 0.0
    return square / (4 * (len(counters) - 32))


@pytest.mark.parametrize("step", [0, 10**9, 2**42])
def test_an_ornstein_uhlenbeck_variance_is_right_at_any_step(step):
    """Standard error 0.003: squares are correlated over (1 + 0.81) / (1 - 0.81) steps."""
    assert abs(_ornstein_uhlenbeck_variance(step // 4 + np.arange(4000)) - 1.0) < 4.0 * 0.003


def test_the_variance_is_wrong_where_noise_is_keyed_by_a_float_time():
    """The partner: at a clock of 1e6 many steps of 1e-3 share one number of single precision."""
    times = np.float32((10**9 + 4 * np.arange(4000)) * 1e-3)
    assert abs(_ornstein_uhlenbeck_variance((times * 2.0**10).astype(np.int64)) - 1.0) > 1.0


def test_indices_do_not_wrap_around():
    """Neither the 32-bit word of a counter nor four words a counter bring back an earlier number."""
    first = [rng.normals(3, PATHS, rng.INCREMENT, n) for n in range(8)]
    for period in (2**30, 2**31, 2**32, 2**33, 2**34, 2**36):
        for n, z in enumerate(first):
            assert np.mean(z == rng.normals(3, PATHS, rng.INCREMENT, n + period)) < 0.01


def _largest_correlation(z):
    """Largest off-diagonal correlation of the rows, and their mean square in units of its expectation."""
    rows, columns = z.shape
    correlation = np.corrcoef(z)[np.triu_indices(rows, 1)]
    return np.abs(correlation).max() * np.sqrt(columns), np.mean(correlation**2) * columns, correlation.size


def test_paths_are_pairwise_uncorrelated():
    paths = np.r_[0:256, 10**6 : 10**6 + 64, 2**31 : 2**31 + 64, 2**32 - 64 : 2**32]
    z = np.array([rng.normals(5, paths, rng.INCREMENT, n) for n in range(2048)]).T
    largest, square, pairs = _largest_correlation(z)
    assert largest < 6.0
    assert abs(square - 1.0) < 4.0 * np.sqrt(2.0 / pairs)
    z[1] = z[0] + 10.0 * z[1]  # a tenth of one path in another is seen
    assert _largest_correlation(z)[0] > 4.4


def test_seeds_and_streams_are_uncorrelated():
    streams = [rng.INCREMENT, rng.INCREMENT + 1, rng.EXAMPLE, rng.EXAMPLE + 1, rng.BATCH, rng.EPOCH, rng.START]
    seeds = [0, 1, 2, 2**32, 2**33, 2**63]
    z = np.array(
        [
            np.ravel([rng.normals(seed, PATHS[:512], stream, n) for n in range(16)])
            for seed in seeds
            for stream in streams
        ]
    )
    largest, square, pairs = _largest_correlation(z)
    assert largest < 5.5
    assert abs(square - 1.0) < 4.0 * np.sqrt(2.0 / pairs)


def test_signs_are_the_bits_of_their_words_in_order_and_fair():
    signs = np.array([rng.signs(8, PATHS, rng.EXAMPLE, n) for n in range(300)])
    assert set(np.unique(signs)) == {-1.0, 1.0}
    words = np.array([rng.words(8, PATHS, rng.EXAMPLE, n) for n in range(12)])
    bits = (words[:, None] >> np.arange(32, dtype=np.uint64)[:, None]) & np.uint64(1)
    assert np.array_equal(signs, 1.0 - 2.0 * bits.reshape(-1, len(PATHS))[:300])
    assert abs(signs.mean()) < 4.0 / np.sqrt(signs.size)
    for lag in (1, 31, 32, 128):
        assert abs((signs[lag:] * signs[:-lag]).mean()) < 4.0 / np.sqrt(signs[lag:].size)


def test_indices_are_uniform():
    for count in (1, 3, 442):
        words = np.array([rng.words(8, PATHS, rng.BATCH, n) for n in range(64)])
        index = rng.index_below(words, np.uint64(count))
        found = np.bincount(index.ravel(), minlength=count)
        expected = index.size / count
        assert len(found) == count
        assert np.sum((found - expected) ** 2) / expected <= chi2.isf(1e-4, max(count - 1, 1))


@pytest.mark.parametrize(("size", "taken"), [(4, 4), (5, 2)])
def test_draws_without_replacement_give_every_order_the_same_chance(size, taken):
    orders = {order: k for k, order in enumerate(permutations(range(size), taken))}
    counts = np.zeros(len(orders))
    for draw in range(8):
        for row in _distinct(4, PATHS, rng.EPOCH, draw, size, taken).T:
            counts[orders[tuple(int(i) for i in row)]] += 1
    expected = counts.sum() / len(orders)
    assert np.sum((counts - expected) ** 2) / expected < chi2.isf(1e-4, len(orders) - 1)


def test_lanes_draw_the_rows_of_the_reference():
    size, taken = 7, 5
    rows, words, order = np.empty((taken, LANES), np.int64), np.empty((LANES, taken), np.uint64), np.arange(size)
    for draw in (0, 1, 2, 10**9):
        quad, swaps = np.empty((4, LANES), np.uint64), np.empty((2, taken), np.int64)
        entered(noise.draw_distinct)(LANES, rng.BATCH, draw, 6, order, quad, words, swaps, rows)
        assert np.array_equal(rows, _distinct(6, LANES + np.arange(LANES), rng.BATCH, draw, size, taken))
    assert np.array_equal(order, np.arange(size))
