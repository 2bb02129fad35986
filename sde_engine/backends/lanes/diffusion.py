"""The loop over steps for a diffusion: noise for four steps, four advances, a guard, and a look now and then."""

from functools import lru_cache
from typing import Any

import numba
import numpy as np

from sde_engine.backends.lanes import weave
from sde_engine.backends.lanes.compiled import OPTIONS
from sde_engine.backends.lanes.noise import fill_normals
from sde_engine.backends.lanes.record import add_up, finish, guard
from sde_engine.backends.trace import LANES, Job, Trace
from sde_engine.kernel import Diffusion
from sde_engine.rng import INCREMENT


def run_block(job: Job, kernel: Diffusion, first_path: int, th: np.ndarray, trace: Trace) -> None:
    """Advance one block of LANES paths, th (width, LANES), from the start to the end, into its trace."""
    if kernel.size is None:
        loop = _fixed(kernel.step, kernel.width, kernel.columns, job.dim, job.observables)
    else:
        loop = _adaptive(kernel.step, kernel.size, kernel.width, kernel.columns, job.dim, job.observables)
    loop(
        th, first_path, job.seed, job.params, kernel.settings, job.clock, job.bins, job.dim, job.symmetric_origin, trace
    )


@lru_cache(maxsize=64)
def _fixed(step: Any, width: int, columns: int, dim: int, observables: tuple[Any, ...]) -> Any:
    advance = weave.advance(step, width, columns)
    observe = weave.observe(observables, dim)
    count = len(observables)

    @numba.njit(nogil=True, **OPTIONS)
    def loop(th: Any, first_path: Any, seed: Any, p: Any, h: Any, clock: Any, bins: Any, dim: Any, origin: Any,
             trace: Any) -> None:
        z = np.empty((columns, 4, LANES))
        values = np.empty((count, LANES))
        t, dt, root, live = np.zeros(LANES), np.empty(LANES), np.empty(LANES), np.ones(LANES)
        square, weight, window = np.empty(LANES), np.empty(LANES), np.empty(LANES, np.int64)
        dt[:] = clock.dt
        root[:] = np.sqrt(clock.dt)
        observe(th, trace.reference, p)
        done = 0
        while done < clock.steps:
            for c in range(columns):
                fill_normals(z[c], first_path, INCREMENT + c, done // 4, seed)
            for q in range(min(4, clock.steps - done)):
                if (done + q) % clock.every == 0:
                    t[:] = (done + q) * clock.dt
                    observe(th, values, p)
                    add_up(values, th, dim, t, dt, live, clock, bins, origin, square, window, weight, trace)
                advance(th, z, q, dt, root, p, h)
            done += 4
            t[:] = min(done, clock.steps) * clock.dt
            if guard(th, t, live, square, origin, trace) == 0:
                break
        finish(th, live, trace)

    return loop


@lru_cache(maxsize=64)
def _adaptive(step: Any, size: Any, width: int, columns: int, dim: int, observables: tuple[Any, ...]) -> Any:
    advance = weave.advance(step, width, columns)
    step_sizes = weave.step_sizes(size, width)
    observe = weave.observe(observables, dim)
    count = len(observables)

    @numba.njit(**OPTIONS)
    def choose(dt: Any, root: Any, t: Any, live: Any, longest: Any, end: Any) -> None:
        """Cut the proposed steps to the longest one and to what is left of the run; a path that is done rests."""
        for j in range(LANES):
            left = (end - t[j]) * live[j]
            own = dt[j] if dt[j] < longest else longest
            dt[j] = own if own < left else left
            root[j] = np.sqrt(dt[j])

    @numba.njit(**OPTIONS)
    def anyone_left(t: Any, live: Any, end: Any) -> bool:
        for j in range(LANES):
            if live[j] > 0.0 and t[j] < end:
                return True
        return False

    @numba.njit(nogil=True, **OPTIONS)
    def loop(th: Any, first_path: Any, seed: Any, p: Any, h: Any, clock: Any, bins: Any, dim: Any, origin: Any,
             trace: Any) -> None:
        z = np.empty((columns, 4, LANES))
        values = np.empty((count, LANES))
        t, dt, root, live = np.zeros(LANES), np.empty(LANES), np.empty(LANES), np.ones(LANES)
        square, weight, window = np.empty(LANES), np.empty(LANES), np.empty(LANES, np.int64)
        observe(th, trace.reference, p)
        end = clock.end * (1.0 - 1e-12)  # what rounding leaves of the run is not a step
        done = 0
        while anyone_left(t, live, end):
            for c in range(columns):
                fill_normals(z[c], first_path, INCREMENT + c, done // 4, seed)
            for q in range(4):
                step_sizes(th, dt, p, h)
                choose(dt, root, t, live, clock.dt, clock.end)
                if (done + q) % clock.every == 0:
                    observe(th, values, p)
                    add_up(values, th, dim, t, dt, live, clock, bins, origin, square, window, weight, trace)
                advance(th, z, q, dt, root, p, h)
                for j in range(LANES):
                    t[j] += dt[j]
            done += 4
            guard(th, t, live, square, origin, trace)
        finish(th, live, trace)

    return loop
