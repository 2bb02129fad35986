"""What a run leaves behind: a fixed amount of numbers a path, whatever the length of the run.

A path's record is divided into `windows` of equal clock time after the burn-in. In each window the backend adds up
weight (time spent), weighted deviations of the observables from the path's own first value, and their products; the
logarithm of the distance from the symmetric origin, where the model has one; and histograms over the whole record.
"""

from collections.abc import Callable, Sequence
from itertools import accumulate
from math import prod
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

LANES = 128  # trajectories in a block; fixed, so that block boundaries never depend on the machine
_CACHE_LINE = 64  # bytes
BLOWN_UP = 1e12  # a path whose |state| passes this, or is not a number, is frozen and counted
# A state collapsing onto a symmetric origin is linear long before it underflows: at |theta| < 2**-300 it is scaled up
# by 2**250, exactly, and the exponent remembered; at |theta| > 2**-40 it is scaled back.
TINY_SQUARE = 2.0**-600
SMALL_SQUARE = 2.0**-80
RESCALE = 2.0**250
LOG_RESCALE = 250.0 * float(np.log(2.0))


class Clock(NamedTuple):
    """When a run ends and when it is looked at. Times are on the clock t = eta * updates."""

    dt: float  # step, or longest step
    steps: int  # number of steps (fixed dt); adaptive runs end by time
    end: float
    burn_in: float
    window: float  # length of a window
    windows: int
    every: int  # steps between two looks


class Bins(NamedTuple):
    """Histograms, one entry each: observable, lower edge, bins a unit, number, first column, logarithmic or not."""

    observable: np.ndarray
    low: np.ndarray
    per_unit: np.ndarray
    number: np.ndarray
    first: np.ndarray
    logarithmic: np.ndarray

    @property
    def columns(self) -> int:
        """Bins of all histograms, with an underflow and an overflow bin each."""
        return int(np.sum(self.number + 2))


class Trace(NamedTuple):
    """The record of P paths with K observables in W windows, M = K + K (K + 1) / 2 + 2 sums.

    Sums are, in order: deviations d_k, products d_k d_l (k <= l), logarithm of the squared distance from the origin,
    and the clock of the looks, for a slope needs to know when they were.
    """

    reference: np.ndarray  # (K, P) observables at the first look after the burn-in; NaN before it
    weight: np.ndarray  # (W, P)
    sums: np.ndarray  # (W, M, P)
    histogram: np.ndarray  # (columns, P)
    diverged_at: np.ndarray  # (P,) clock, infinite for a path that did not
    final: np.ndarray  # (width, P) state at the end, or at the exit
    exponent: np.ndarray  # (P,) the state is final * 2**(250 * exponent)


def aligned_zeros(*shapes: tuple[int, ...]) -> list[np.ndarray]:
    """Return arrays of zeros, of doubles, that each begin on a cache line: no vector of lanes lies across two.

    They share one piece of memory, because a block of a short run takes little longer than a few allocations.
    """
    line = _CACHE_LINE // 8
    sizes = [prod(shape) for shape in shapes]
    ends = list(accumulate(-(-size // line) * line for size in sizes))
    raw = np.zeros(ends[-1] + line)
    shift = -raw.ctypes.data % _CACHE_LINE // 8
    begins = (shift, *(shift + end for end in ends))
    return [raw[at : at + size].reshape(shape) for at, size, shape in zip(begins, sizes, shapes, strict=False)]


def aligned(shape: tuple[int, ...], value: ArrayLike, dtype: Any = np.float64) -> np.ndarray:
    """Return np.full(shape, value, dtype) that begins on a cache line; its items have 8 bytes."""
    array = aligned_zeros(shape)[0].view(dtype)
    array[...] = value
    return array


def empty_trace(observables: int, width: int, clock: Clock, bins: Bins, paths: int) -> Trace:
    """Return a trace of zeros."""
    sums = observables + observables * (observables + 1) // 2 + 2
    parts = ((observables,), (clock.windows,), (clock.windows, sums), (bins.columns,), (), (width,), ())
    trace = Trace(*aligned_zeros(*((*part, paths) for part in parts)))
    trace.reference[...] = np.nan
    trace.diverged_at[...] = np.inf
    return trace


def in_units(trace: Trace, scales: Sequence[float]) -> Trace:
    """Return the trace of observables that are these multiples of the ones in it. States and histograms stay."""
    if all(scale == 1.0 for scale in scales):
        return trace
    pairs = [one * other for k, one in enumerate(scales) for other in scales[k:]]
    sums = np.array([*scales, *pairs, 1.0, 1.0])[:, None] * trace.sums
    return trace._replace(reference=np.array(scales)[:, None] * trace.reference, sums=sums)


class Job(NamedTuple):
    """Everything that a backend needs to know of one run beside the kernel."""

    params: Any
    observables: tuple[Callable[..., Any], ...]  # of (state, p)
    dim: int  # components of theta; the state may be wider
    symmetric_origin: bool
    examples: Any
    example_gradient: Callable[..., Any]
    clock: Clock
    bins: Bins
    seed: int
    first: int  # steps of this part of the run: from the first to before the last; runs that cannot be cut are whole
    last: int
