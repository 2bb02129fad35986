"""Looking at a block of lanes: guards, weighted sums and histograms. Shared by every compiled run."""

from typing import Any, NamedTuple

import numba
import numpy as np
from numpy.typing import ArrayLike

from sde_engine.backends.lanes.primitives import INLINED, INNER
from sde_engine.backends.trace import (
    BLOWN_UP,
    LANES,
    RESCALE,
    SMALL_SQUARE,
    TINY_SQUARE,
    aligned_zeros,
)
from sde_engine.elementary import log


class Scratch(NamedTuple):
    """What a block works with beside its states, (LANES,) each unless said; numpy allocates in no time to compile."""

    t: np.ndarray  # clock
    dt: np.ndarray  # step
    root: np.ndarray  # its square root
    live: np.ndarray  # 1 for a path that runs, 0 for one that has left
    square: np.ndarray
    share: np.ndarray
    values: np.ndarray  # (observables, LANES)


def scratch(observables: int, dt: float, live: ArrayLike) -> Scratch:
    """Return the arrays of a block whose paths are alive where `live` says so."""
    room = Scratch(*aligned_zeros(*[(LANES,)] * 6, (observables, LANES)))
    room.dt[...], room.root[...], room.live[...] = dt, np.sqrt(dt), live
    return room


_LIMIT = BLOWN_UP * BLOWN_UP
_DOWN = 1.0 / RESCALE


@numba.njit(**INNER)
def guard(th: Any, t: Any, live: Any, square: Any, rescale: bool, trace: Any) -> int:
    """Freeze the paths that have left, rescale those that collapse; return how many are alive."""
    for j in range(LANES):
        square[j] = th[0, j] * th[0, j]
    for i in range(1, th.shape[0]):
        for j in range(LANES):
            square[j] += th[i, j] * th[i, j]
    # Integer sums and bitwise operators vectorize; the branches below run only for a block that needs them.
    count: Any = 0
    odd: Any = 0
    for j in range(LANES):
        count += np.int64(live[j] > 0.0)
        left = np.int64(not (square[j] < _LIMIT))
        small = np.int64(square[j] < TINY_SQUARE) & np.int64(square[j] > 0.0)
        back = np.int64(trace.exponent[j] < 0.0) & np.int64(square[j] > SMALL_SQUARE)
        odd += left | small | back
    if odd > 0:
        for j in range(LANES):
            if live[j] > 0.0 and not square[j] < _LIMIT:
                _freeze(j, th, t, live, trace)
                count -= 1
            elif live[j] > 0.0 and rescale:
                _rescale(j, th, square[j], trace)
    return count


@numba.njit(**INNER)
def _freeze(j: int, th: Any, t: Any, live: Any, trace: Any) -> None:
    live[j] = 0.0
    trace.diverged_at[j] = t[j]
    for i in range(th.shape[0]):
        trace.final[i, j] = th[i, j]
        th[i, j] = 0.0


@numba.njit(**INNER)
def _rescale(j: int, th: Any, square: float, trace: Any) -> None:
    factor = 1.0
    if square < TINY_SQUARE and square > 0.0:
        trace.exponent[j] -= 1.0
        factor = RESCALE
    elif trace.exponent[j] < 0.0 and square > SMALL_SQUARE:
        trace.exponent[j] += 1.0
        factor = _DOWN
    for i in range(th.shape[0]):
        th[i, j] *= factor


@numba.njit(**INNER)
def finish(th: Any, live: Any, trace: Any) -> None:
    """Store the state of the paths that reached the end."""
    for j in range(LANES):
        if live[j] > 0.0:
            for i in range(th.shape[0]):
                trace.final[i, j] = th[i, j]


@numba.njit(**INLINED)
def window_at(t: float, clock: Any) -> int:
    """Return the window of the record that a clock time lies in, -1 before the record."""
    early = clock.burn_in * (1.0 - 1e-12)
    return min(max(int((t - early) / clock.window), 0), clock.windows - 1) if t >= early else -1


def shared_look(look: Any) -> Any:
    """Return at(step, state, p, s, clock, bins, trace): a look of lanes that are all at the same step, if it is due."""

    @numba.njit(**INLINED)
    def at(step: Any, state: Any, p: Any, s: Any, clock: Any, bins: Any, trace: Any) -> None:
        if step % clock.every == 0:
            t = step * clock.dt
            window = window_at(t, clock)
            if window >= 0:
                look(state, p, t, clock.dt, window, s.live, s.values, s.share, trace)
                count_all(s.values, s.share, bins, trace)

    return at


def own_look(look: Any) -> Any:
    """Return at(state, p, lengths, window, s, clock, bins, trace): a look of lanes that are each at a time of their own.

    A state counts for lengths[j]. Most looks fall into one window, some into two.
    """

    @numba.njit(**INLINED)
    def at(state: Any, p: Any, lengths: Any, window: Any, s: Any, clock: Any, bins: Any, trace: Any) -> None:
        first, last = clock.windows, -1
        for j in range(LANES):
            window[j] = window_at(s.t[j], clock) if s.live[j] > 0.0 and lengths[j] > 0.0 else -1
            if window[j] >= 0:
                first, last = min(first, window[j]), max(last, window[j])
        for w in range(first, last + 1):
            for j in range(LANES):
                s.square[j] = lengths[j] if window[j] == w else 0.0
            look(state, p, s.t, s.square, w, s.live, s.values, s.share, trace)
            count_all(s.values, s.share, bins, trace)

    return at


@numba.njit(**INNER)
def count_all(values: Any, weight: Any, bins: Any, trace: Any) -> None:
    """Add one look to every histogram."""
    for b in range(bins.observable.shape[0]):
        _count(values[bins.observable[b]], trace.reference[bins.observable[b]], weight, bins, b, trace.histogram)


@numba.njit(**INNER)
def _count(deviation: Any, reference: Any, weight: Any, bins: Any, b: int, histogram: Any) -> None:
    low, per_unit, count = bins.low[b], bins.per_unit[b], bins.number[b]
    for j in range(LANES):
        x = deviation[j] + reference[j]
        if bins.logarithmic[b]:
            # A value that is not positive has no logarithm: it belongs to the underflow bin.
            x = log(x) if x > 0.0 else low - 1.0
        place = (x - low) * per_unit
        # Comparisons are false for NaN, which so ends in the overflow bin.
        column = count + 1
        if place < count:
            column = 1 + int(place) if place >= 0.0 else 0
        histogram[bins.first[b] + column, j] += weight[j]
