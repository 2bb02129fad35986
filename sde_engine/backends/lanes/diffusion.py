"""The loop over fixed steps of a diffusion: noise for four steps, four advances, a guard, a look now and then."""

from functools import lru_cache
from typing import Any

import numba
import numpy as np

from sde_engine.backends.lanes import weave
from sde_engine.backends.lanes.compiled import OPTIONS
from sde_engine.backends.lanes.noise import fill_normals
from sde_engine.backends.lanes.record import count_all, finish, guard, window_at
from sde_engine.backends.trace import LANES, Job, Trace
from sde_engine.kernel import Diffusion
from sde_engine.rng import INCREMENT


def run_block(job: Job, kernel: Diffusion, first_path: int, th: np.ndarray, trace: Trace) -> None:
    """Advance one block of LANES paths, th (width, LANES), by a part of the run, into its trace."""
    loop = _fixed(kernel.step, kernel.width, kernel.columns, job.dim, job.observables, job.symmetric_origin)
    loop(
        th,
        first_path,
        np.uint64(job.seed),
        job.params,
        kernel.settings,
        job.clock,
        job.bins,
        job.dim,
        job.symmetric_origin,
        job.first,
        job.last,
        trace,
    )


@lru_cache(maxsize=64)
def _fixed(step: Any, width: int, columns: int, dim: int, observables: tuple[Any, ...], log_distance: bool) -> Any:
    advance = weave.advance(step, width, columns)
    look, strays = weave.look(observables, width, dim, log_distance), weave.strays(width)
    count = len(observables)

    @numba.njit(nogil=True, **OPTIONS)
    def loop(
        th: Any,
        first_path: Any,
        seed: Any,
        p: Any,
        h: Any,
        clock: Any,
        bins: Any,
        dim: Any,
        origin: Any,
        first: Any,
        last: Any,
        trace: Any,
    ) -> None:
        z = np.empty((columns, 4, LANES))
        state, normals = th.reshape(th.size), z.reshape(z.size)
        values = np.empty((count, LANES))
        t, dt, root, live = np.zeros(LANES), np.empty(LANES), np.empty(LANES), 1.0 * np.isinf(trace.diverged_at)
        square, share = np.empty(LANES), np.empty(LANES)
        dt[:] = clock.dt
        root[:] = np.sqrt(clock.dt)
        done = first
        while done < last:
            for c in range(columns):
                fill_normals(z[c], first_path, INCREMENT + c, done // 4, seed)
            for q in range(min(4, last - done)):
                if (done + q) % clock.every == 0:
                    window = window_at((done + q) * clock.dt, clock)
                    if window >= 0:
                        look(
                            state,
                            p,
                            clock.dt,
                            window,
                            live,
                            trace.reference,
                            trace.weight,
                            trace.sums,
                            trace.exponent,
                            values,
                            share,
                        )
                        count_all(values, share, bins, trace)
                advance(state, normals, q, dt, root, p, h)
            done += 4
            if strays(state, trace.exponent) == 0:
                continue
            t[:] = min(done, clock.steps) * clock.dt
            if guard(th, t, live, square, origin, trace) == 0:
                break
        finish(th, live, trace)

    return loop
