"""The law of a minibatch mean m_B of one scalar per example, and E ln|a + b m_B| under it.

Near a symmetric point SGD is a product of random scalars a + b m_B, and whether it shrinks is decided by the mean of
their logarithms. A logarithm is singular where the law has atoms, so nothing here samples:

    TwoPoint        the coin: binomial, B + 1 atoms
    Table           a finite table: every multiset (iid) or subset (without replacement) where there are few enough,
                    otherwise the law of the sum by Fourier transform on a grid whose cells are integrated exactly
    GaussianSignal  m_B normal: the central-limit regime, in closed form (Dawson's integral)
    GaussianData    products of Gaussian data at any batch: conditionally normal, one quadrature over a chi law

Any object with `expected_log(offset, slope, batch)` serves in their place. Accuracy: 1e-12 but for the grid, where it
is 1e-7 in general and 1e-6 for a few hundred rows at batch 3 or 4, whose sums are still lumpy.

References
----------
Ziyin, L., Li, B., Galanti, T. and Ueda, M. (2023). arXiv:2303.13093: stability is the sign of a Lyapunov exponent. The
evaluations are derived here.
"""

import math
from functools import lru_cache
from typing import NamedTuple, Protocol

import numpy as np
from numpy.polynomial.legendre import leggauss
from numpy.typing import ArrayLike, NDArray
from scipy.special import binom, dawsn, gammaln, xlogy

from sde_engine.errors import SpecError
from sde_engine.theory.log_potential import Atoms, expected_log, spread

NODES, WEIGHTS = leggauss(8)
ENUMERATED = 4_000_000  # most outcomes of a batch that are listed one by one
EULER = float(np.euler_gamma)


class Signal(Protocol):
    """What a batch law must answer: E ln|offset + slope m_B|, elementwise over two arrays."""

    def expected_log(self, offset: NDArray, slope: NDArray, batch: float) -> NDArray:
        """Return the expectation for each pair of offset and slope."""
        ...


def whole(batch: float) -> int:
    """The batch as an integer >= 1, or a sentence."""
    if batch != int(batch) or batch < 1:
        raise SpecError(f"a batch of real examples is an integer >= 1, but got {batch!r}")
    return int(batch)


class TwoPoint(NamedTuple):
    """The coin: products xy = target +- noise with equal probability."""

    target: float
    noise: float

    def atoms(self, batch: float) -> Atoms:
        """m_B = target + noise (2 K / B - 1), K ~ Binomial(B, 1/2)."""
        size = whole(batch)
        k = np.arange(size + 1)
        log_mass = gammaln(size + 1) - gammaln(k + 1) - gammaln(size - k + 1) - size * math.log(2.0)
        return spread(self.target + self.noise * (2.0 * k / size - 1.0), np.exp(log_mass))

    def expected_log(self, offset: NDArray, slope: NDArray, batch: float) -> NDArray:
        """Sum over the binomial law."""
        return expected_log(self.atoms(batch), offset, slope)


class Table(NamedTuple):
    """A finite table by its products xy, one per example (`of_data` makes them).

    sampling: "iid", "without_replacement", or "epoch", whose exponents are those of "without_replacement" since
    scalars commute (derived here).
    """

    products: tuple[float, ...]
    sampling: str = "iid"

    @classmethod
    def of_data(cls, x: ArrayLike, y: ArrayLike, sampling: str = "iid") -> "Table":
        """Table of the products of N inputs and N labels."""
        products = np.asarray(x, dtype=float) * np.asarray(y, dtype=float)
        return cls(tuple(products.ravel().tolist()), sampling)

    def atoms(self, batch: float) -> Atoms:
        """Law of the mean of a batch: atoms where they can be listed, cells otherwise. Cached."""
        return _table_law(self, whole(batch))

    def expected_log(self, offset: NDArray, slope: NDArray, batch: float) -> NDArray:
        """Sum over the atoms or the cells."""
        return expected_log(self.atoms(batch), offset, slope)


@lru_cache(maxsize=16)
def _table_law(table: Table, batch: int) -> Atoms:
    known = ("iid", "without_replacement", "epoch")
    if table.sampling not in known:
        raise SpecError(f"sampling is one of {', '.join(known)}, but got {table.sampling!r}")
    products = np.array(table.products)
    size = products.size
    if size == 0 or not np.isfinite(products).all():
        raise SpecError(f"a table needs at least one product and all of them finite, but got {size} products")
    if table.sampling == "iid":
        values, counts = np.unique(products, return_counts=True)
        if batch == 1 or binom(values.size + batch - 1, batch) * min(batch, 50) <= ENUMERATED:
            return spread(*_multisets(values, counts / size, batch))
        return _convolved(values, counts / size, batch)
    if batch > size or (table.sampling == "epoch" and size % batch):
        rule = "divides" if table.sampling == "epoch" else "is at most"
        raise SpecError(f"sampling {table.sampling!r} needs a batch that {rule} the {size} examples, but got {batch}")
    if binom(size, batch) > ENUMERATED:
        raise SpecError(
            f"{size} examples have {binom(size, batch):.3g} batches of {batch} without replacement, too many to list "
            f"(at most {ENUMERATED}); use sampling 'iid', a smaller table, or batch 1"
        )
    return spread(_subset_means(products, batch))


def _multisets(values: NDArray, mass: NDArray, batch: int) -> tuple[NDArray, NDArray]:
    """Mean and probability of every multiset of `batch` values: one element appended at a time, in order."""
    total, last, run, weight = np.zeros(1), np.zeros(1, dtype=int), np.zeros(1, dtype=int), np.ones(1)
    for size in range(1, batch + 1):
        copies = values.size - last
        parent = np.repeat(np.arange(total.size), copies)
        element = np.arange(parent.size) - np.repeat(np.cumsum(copies) - copies, copies) + last[parent]
        run = np.where(element == last[parent], run[parent], 0) + 1
        weight = weight[parent] * mass[element] * (size / run)
        total, last = total[parent] + values[element], element
    return total / batch, weight


def _subset_means(values: NDArray, batch: int) -> NDArray:
    """Means of all subsets of `batch` values; large subsets through what they leave out."""
    fewer = min(batch, values.size - batch)
    total, last = np.zeros(1), np.full(1, -1)
    for _ in range(fewer):
        copies = values.size - 1 - last
        parent = np.repeat(np.arange(total.size), copies)
        element = np.arange(parent.size) - np.repeat(np.cumsum(copies) - copies, copies) + last[parent] + 1
        total, last = total[parent] + values[element], element
    return (total if fewer == batch else values.sum() - total) / batch


def _convolved(values: NDArray, mass: NDArray, batch: int) -> Atoms:
    """Law of the mean of `batch` iid values on a grid refined until E ln|z - m_B| has settled to 1e-7.

    What limits it is where atoms lie inside the cell that z is in, so the finest grid is taken as it is if need be.
    """
    mean = float(mass @ values)
    deviation = math.sqrt(float(mass @ (values - mean) ** 2) / batch)
    # Irrational offsets, so that no probe sits on the lattice of the values.
    probes = mean + deviation * (np.linspace(-4.0, 4.0, 129) + math.sqrt(2.0) * 1e-3)
    ones, error = np.ones_like(probes), math.inf
    law = _on_grid(values - mean, mass, batch, mean, 2**16)
    before = expected_log(law, probes, -ones)
    for exponent in range(17, 22):
        law = _on_grid(values - mean, mass, batch, mean, 2**exponent)
        now = expected_log(law, probes, -ones)
        error, before = float(np.abs(now - before).max()), now
        if error < 1e-7:
            break
    if error > 1e-5:
        raise SpecError(
            f"the mean of {batch} of {values.size} products is too lumpy for a grid of 2^21 cells (change {error:.2g} "
            "on the last refinement); use a smaller batch, or GaussianSignal"
        )
    return law


def _on_grid(centred: NDArray, mass: NDArray, batch: int, mean: float, cells: int) -> Atoms:
    """B-fold convolution by Fourier transform.

    Each value is shared among its three nearest nodes so that mass, mean and variance are kept exactly; the window is
    where Bernstein's inequality leaves less than 1e-17 outside.
    """
    reach, variance = np.abs(centred).max(), float(mass @ centred**2)
    bound = 40.0 * reach / 3.0
    bound += math.sqrt(bound * bound + 80.0 * batch * variance)
    low, high = max(-bound, batch * centred.min()), min(bound, batch * centred.max())
    step = (high - low) / (cells - 4 * batch if cells > 8 * batch else cells // 2)
    node = np.rint(centred / step).astype(int)
    t = centred / step - node
    single = np.zeros(cells)
    for shift, part in ((-1, 0.5 * t * (t - 1.0)), (0, 1.0 - t * t), (1, 0.5 * t * (t + 1.0))):
        np.add.at(single, (node + shift) % cells, mass * part)
    total = np.fft.irfft(np.fft.rfft(single) ** batch, cells)
    start = math.floor(low / step) - (cells - math.ceil((high - low) / step)) // 2
    total = np.roll(total, -start)
    kept = np.flatnonzero(total > 1e-14 * total.max())
    inside = slice(kept[0], kept[-1] + 1)
    points = mean + (start + np.arange(cells)[inside]) * (step / batch)
    return spread(points, total[inside], width=step / batch)


class GaussianSignal(NamedTuple):
    """m_B ~ N(mean, variance / B); `variance` (a3) belongs to one example. Exact for many examples per batch."""

    mean: float
    variance: float

    def expected_log(self, offset: NDArray, slope: NDArray, batch: float) -> NDArray:
        """Closed form, see `normal_expected_log`."""
        return normal_expected_log(offset + slope * self.mean, np.abs(slope) * math.sqrt(self.variance / batch))


class GaussianData(NamedTuple):
    """Products xy of x ~ N(0, scale^2), y = target x + noise e: exact at every batch, noise = 0 included."""

    target: float
    noise: float
    scale: float = 1.0

    def expected_log(self, offset: NDArray, slope: NDArray, batch: float) -> NDArray:
        """Given Q = sum x^2 / scale^2 (chi-squared with B degrees) m_B is normal; one quadrature over sqrt Q."""
        size, square = whole(batch), self.scale**2
        offset, slope = (part[..., None] for part in np.broadcast_arrays(offset, slope))
        low, high = max(0.0, math.sqrt(size) - 9.0), math.sqrt(size) + 9.0
        # Nodes crowd (as a cube) at the root of the conditional mean, where the logarithm is nearly singular.
        pull = slope * self.target * square / size
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            root = np.sqrt(np.where(offset * pull < 0.0, -offset / pull, 0.0))
        root = np.clip(root, low, high)
        panels = 48
        u = ((np.arange(panels)[:, None] + 0.5 * (1.0 + NODES)) / panels).ravel()
        weight = np.tile(0.5 * WEIGHTS / panels, panels) * 3.0 * u * u
        value = 0.0
        for length in (low - root, high - root):
            r = root + length * u**3
            log_chi = xlogy(size - 1, r) - 0.5 * r * r + (1.0 - 0.5 * size) * math.log(2.0) - gammaln(0.5 * size)
            centre, width = offset + pull * r * r, np.abs(slope) * (self.noise * self.scale / size) * r
            inner = normal_expected_log(np.where(length == 0.0, 1.0, centre), width)
            value = value + (np.abs(length) * weight * np.exp(log_chi) * inner).sum(axis=-1)
        return np.asarray(value)


@lru_cache(maxsize=1)
def _dawson_table() -> tuple[NDArray, NDArray, NDArray]:
    """Phi, Phi', Phi'' at mu = 0, 1/64, ..., 12: Phi(0) = -(gamma + ln 2)/2, Phi' = sqrt(2) Dawson(mu/sqrt 2)."""
    mu = np.arange(12 * 64 + 1) / 64.0
    t = mu[:-1, None] + (1.0 + NODES) / 128.0
    pieces = (WEIGHTS / 128.0 * math.sqrt(2.0) * dawsn(t / math.sqrt(2.0))).sum(axis=1)
    value = np.concatenate(([0.0], np.cumsum(pieces))) - 0.5 * (EULER + math.log(2.0))
    slope = math.sqrt(2.0) * dawsn(mu / math.sqrt(2.0))
    return value, slope, 1.0 - mu * slope


def _phi(mu: NDArray) -> NDArray:
    """Phi(mu) = E ln|mu + z|, 0 <= mu <= 12, to 1e-14: the quintic through Phi, Phi' and Phi'' of the table."""
    value, slope, bend = _dawson_table()
    k = np.minimum((mu * 64.0).astype(int), value.size - 2)
    h, s = 1.0 / 64.0, mu * 64.0 - k
    f, d, c = value[k], slope[k] * h, 0.5 * bend[k] * h * h
    rest = value[k + 1] - f - d - c
    rest_slope = slope[k + 1] * h - d - 2.0 * c
    rest_bend = bend[k + 1] * h * h - 2.0 * c
    p = 10.0 * rest - 4.0 * rest_slope + 0.5 * rest_bend
    q = -15.0 * rest + 7.0 * rest_slope - rest_bend
    r = 6.0 * rest - 3.0 * rest_slope + 0.5 * rest_bend
    return f + s * (d + s * (c + s * (p + s * (q + s * r))))


def normal_expected_log(centre: ArrayLike, width: ArrayLike) -> NDArray:
    """E ln|centre + width z|, z ~ N(0, 1): ln width + Phi(|centre| / width). Derived here; absolute error 1e-14.

    Phi(mu) = -(gamma + ln 2)/2 + integral_0^mu sqrt(2) Dawson(t/sqrt 2) dt. Beyond |centre| = 12 width the moment
    series of ln|1 + z/mu| is exact to rounding, so width = 0 is served as well.
    """
    centre, width = np.broadcast_arrays(np.abs(np.asarray(centre, dtype=float)), np.asarray(width, dtype=float))
    far = centre > 12.0 * width
    ratio = np.where(far, width, 0.0) / np.where(far, centre, 1.0)
    square, series, coefficient = ratio * ratio, np.zeros_like(ratio), 1.0
    terms = []
    for k in range(1, 13):
        coefficient *= 2 * k - 1
        terms.append(coefficient / (2 * k))
    for term in reversed(terms):
        series = square * (series + term)
    bulk = np.where(far | (width == 0.0), 1.0, width)
    near = np.log(bulk) + _phi(np.where(far | (width == 0.0), 0.0, centre) / bulk)
    near = np.where((centre == 0.0) & (width == 0.0), -np.inf, near)
    return np.where(far, np.log(np.where(far, centre, 1.0)) - series, near)
