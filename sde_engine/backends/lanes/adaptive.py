"""The loop for paths that choose their own steps: a lane that is done takes up the next path.

Paths of heavy-tailed laws differ widely in how many steps they need. If a block waited for its slowest path, most lanes
would idle; so each lane carries its own path number, clock and step count, and is refilled between groups of four
steps. A path's noise is keyed by its own number and step, so its bits do not depend on the lane or on its neighbours.
"""

from functools import lru_cache
from typing import Any, NamedTuple

import numba
import numpy as np

from sde_engine.backends.lanes import weave
from sde_engine.backends.lanes.noise import fill_normals_of
from sde_engine.backends.lanes.primitives import ENTRY, INNER
from sde_engine.backends.lanes.record import guard, own_look, scratch
from sde_engine.backends.trace import LANES, Job, Trace, aligned, empty_trace
from sde_engine.kernel import Diffusion
from sde_engine.rng import INCREMENT


def run_block(job: Job, kernel: Diffusion, first_path: int, th: np.ndarray, trace: Trace) -> None:
    """Advance any number of paths, th (width, paths), from the start to the end, into their trace."""
    loop = _loop(kernel.step, kernel.size, kernel.width, kernel.columns, job.dim, job.observables, job.symmetric_origin)
    lanes = empty_trace(len(job.observables), kernel.width, job.clock, job.bins, LANES)
    z, state = aligned((kernel.columns, 4, LANES), 0.0), aligned((kernel.width, LANES), 0.0)
    loop(
        th,
        state,
        state.reshape(-1),
        z,
        z.reshape(-1),
        scratch(len(job.observables), np.nan, live=False),
        _turns(),
        first_path,
        np.uint64(job.seed),
        job.params,
        kernel.settings,
        job.clock,
        job.bins,
        job.symmetric_origin,
        lanes,
        trace,
    )


class _Turns(NamedTuple):
    """Which path a lane runs, and how far it is: (LANES,) each."""

    slot: np.ndarray  # its number among the paths of the block, -1 for none
    quad: np.ndarray  # groups of four steps taken
    last: np.ndarray  # length of the last step
    length: np.ndarray  # time that a state counts for at a look
    window: np.ndarray  # of the record, -1 for none


def _turns() -> _Turns:
    slot, quad, window = (aligned((LANES,), x, np.int64) for x in (-1, 0, -1))
    return _Turns(slot, quad, aligned((LANES,), 0.0), aligned((LANES,), 0.0), window)


@numba.njit(**INNER)
def _cut(dt: Any, root: Any, t: Any, live: Any, longest: Any, end: Any) -> None:
    """Cut the proposed steps to the longest one and to what is left of the run; a path that is done rests."""
    for j in range(LANES):
        left = (end - t[j]) * live[j]
        own = dt[j] if dt[j] < longest else longest
        dt[j] = own if own < left else left
        root[j] = np.sqrt(dt[j])


@numba.njit(**INNER)
def _hand_over(j: int, slot: int, state: Any, lanes: Any, trace: Any) -> None:
    """Move what lane j has recorded to its path's place, and clear the lane."""
    for k in range(lanes.reference.shape[0]):
        trace.reference[k, slot] = lanes.reference[k, j]
        lanes.reference[k, j] = np.nan
    for w in range(lanes.weight.shape[0]):
        trace.weight[w, slot] = lanes.weight[w, j]
        lanes.weight[w, j] = 0.0
        for k in range(lanes.sums.shape[1]):
            trace.sums[w, k, slot] = lanes.sums[w, k, j]
            lanes.sums[w, k, j] = 0.0
    for b in range(lanes.histogram.shape[0]):
        trace.histogram[b, slot] = lanes.histogram[b, j]
        lanes.histogram[b, j] = 0.0
    alive = np.isinf(lanes.diverged_at[j])
    for i in range(state.shape[0]):
        trace.final[i, slot] = state[i, j] if alive else lanes.final[i, j]
    trace.diverged_at[slot] = lanes.diverged_at[j]
    trace.exponent[slot] = lanes.exponent[j]
    lanes.diverged_at[j] = np.inf
    lanes.exponent[j] = 0.0


@lru_cache(maxsize=64)
def _loop(
    step: Any, size: Any, width: int, columns: int, dim: int, observables: tuple[Any, ...], log_distance: bool
) -> Any:
    advance = weave.advance(step, width, columns)
    step_sizes = weave.step_sizes(size, width)
    look = own_look(weave.look(observables, width, dim, log_distance, own=True))

    @numba.njit(**ENTRY)
    def loop(
        start: Any,
        state: Any,
        flat: Any,
        z: Any,
        normals: Any,
        s: Any,
        turns: Any,
        first_path: Any,
        seed: Any,
        p: Any,
        h: Any,
        clock: Any,
        bins: Any,
        origin: Any,
        lanes: Any,
        trace: Any,
    ) -> None:
        paths = start.shape[1]
        t, dt, root, live, slot, quad, last = s.t, s.dt, s.root, s.live, turns.slot, turns.quad, turns.last
        lengths = turns.length
        waiting, open_paths = 0, paths
        while open_paths > 0:
            for j in range(LANES):
                if slot[j] >= 0 and (live[j] == 0.0 or t[j] >= clock.end):
                    _hand_over(j, slot[j], state, lanes, trace)
                    slot[j], live[j] = -1, 0.0
                    open_paths -= 1
                if slot[j] < 0 and waiting < paths:
                    slot[j], live[j], t[j], quad[j], last[j] = waiting, 1.0, 0.0, 0, 0.0
                    for i in range(width):  # a slice assignment would compile numba's text of its error message
                        state[i, j] = start[i, waiting]
                    waiting += 1
            for c in range(columns):
                fill_normals_of(z[c], first_path, slot, INCREMENT + c, quad, seed)
            for q in range(4):
                step_sizes(flat, dt, p, h)
                _cut(dt, root, t, live, clock.dt, clock.end)
                if q == 0:
                    # Trapezoidal weights: the step's own length alone is correlated with where the state goes next.
                    for j in range(LANES):
                        looking = 1.0 if (4 * quad[j]) % clock.every == 0 else 0.0
                        lengths[j] = looking * (0.5 * (last[j] + dt[j]))
                    look(flat, p, lengths, turns.window, s, clock, bins, lanes)
                advance(flat, normals, q, dt, root, p, h)
                for j in range(LANES):
                    # The last step ends at the end, not at what rounding makes of the sum.
                    t[j] = clock.end if dt[j] >= clock.end - t[j] else t[j] + dt[j]
                    last[j] = dt[j]
            for j in range(LANES):
                quad[j] += 1
            guard(state, t, live, s.square, origin, lanes)

    return loop
