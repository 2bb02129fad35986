"""Looking at a block of lanes: guards, weighted sums and histograms. Shared by every compiled run."""

from typing import Any

import numba
import numpy as np

from sde_engine.backends.lanes.compiled import OPTIONS
from sde_engine.backends.trace import (
    BLOWN_UP,
    LANES,
    LOG_RESCALE,
    RESCALE,
    SMALL_SQUARE,
    TINY_SQUARE,
)
from sde_engine.elementary import log

_LIMIT = BLOWN_UP * BLOWN_UP
_DOWN = 1.0 / RESCALE


@numba.njit(**OPTIONS)
def square_distance(th: Any, dim: int, out: Any) -> None:
    """Fill out (LANES,) with the sum of the squares of the first `dim` components."""
    for j in range(LANES):
        out[j] = th[0, j] * th[0, j]
    for i in range(1, dim):
        for j in range(LANES):
            out[j] += th[i, j] * th[i, j]


@numba.njit(**OPTIONS)
def guard(th: Any, t: Any, live: Any, square: Any, rescale: bool, trace: Any) -> int:
    """Freeze the paths that have left, rescale those that collapse; return how many are alive."""
    square_distance(th, th.shape[0], square)
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


@numba.njit(**OPTIONS)
def _freeze(j: int, th: Any, t: Any, live: Any, trace: Any) -> None:
    live[j] = 0.0
    trace.diverged_at[j] = t[j]
    for i in range(th.shape[0]):
        trace.final[i, j] = th[i, j]
        th[i, j] = 0.0


@numba.njit(**OPTIONS)
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


@numba.njit(**OPTIONS)
def finish(th: Any, live: Any, trace: Any) -> None:
    """Store the state of the paths that reached the end."""
    for j in range(LANES):
        if live[j] > 0.0:
            for i in range(th.shape[0]):
                trace.final[i, j] = th[i, j]


@numba.njit(**OPTIONS)
def _deposit(sums: Any, same: bool, window: Any, share: Any) -> None:
    """Add each lane's share to its window; where all lanes are in one window, as one vector."""
    if same:
        for j in range(LANES):
            sums[window[0], j] += share[j]
    else:
        for j in range(LANES):
            sums[window[j], j] += share[j]


@numba.njit(**OPTIONS)
def add_up(
    values: Any,
    th: Any,
    dim: int,
    t: Any,
    dt: Any,
    live: Any,
    clock: Any,
    bins: Any,
    log_distance: bool,
    square: Any,
    window: Any,
    weight: Any,
    trace: Any,
) -> None:
    """Add one look at the block to the trace; a state counts for the time `dt` that its path spends in it."""
    early = clock.burn_in * (1.0 - 1e-12)
    first, last = clock.windows, -1
    recorded: Any = 0
    for j in range(LANES):
        weight[j] = dt[j] * live[j] if t[j] >= early else 0.0
        window[j] = min(max(int((t[j] - early) / clock.window), 0), clock.windows - 1)
        first, last = min(first, window[j]), max(last, window[j])
        recorded += np.int64(weight[j] > 0.0)
    if recorded == 0:
        return
    same = first == last
    _deposit(trace.weight, same, window, weight)
    observables = values.shape[0]
    for k in range(observables):
        for j in range(LANES):
            known = trace.reference[k, j] == trace.reference[k, j]
            if weight[j] > 0.0 and not known:
                trace.reference[k, j] = values[k, j]
            values[k, j] = values[k, j] - trace.reference[k, j] if weight[j] > 0.0 else 0.0
            square[j] = weight[j] * values[k, j]
        _deposit(trace.sums[:, k], same, window, square)
    slot = observables
    for k in range(observables):
        for m in range(k, observables):
            for j in range(LANES):
                square[j] = weight[j] * (values[k, j] * values[m, j])
            _deposit(trace.sums[:, slot], same, window, square)
            slot += 1
    if log_distance:
        square_distance(th, dim, square)
        for j in range(LANES):
            distance = log(square[j]) + 2.0 * LOG_RESCALE * trace.exponent[j]
            square[j] = weight[j] * distance if weight[j] > 0.0 else 0.0
        _deposit(trace.sums[:, slot], same, window, square)
    count_all(values, weight, bins, trace)


@numba.njit(forceinline=True, **OPTIONS)
def window_at(t: float, clock: Any) -> int:
    """Return the window of the record that a clock time lies in, -1 before the record."""
    early = clock.burn_in * (1.0 - 1e-12)
    return min(max(int((t - early) / clock.window), 0), clock.windows - 1) if t >= early else -1


@numba.njit(**OPTIONS)
def count_all(values: Any, weight: Any, bins: Any, trace: Any) -> None:
    """Add one look to every histogram."""
    for b in range(bins.observable.shape[0]):
        _count(values[bins.observable[b]], trace.reference[bins.observable[b]], weight, bins, b, trace.histogram)


@numba.njit(**OPTIONS)
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
