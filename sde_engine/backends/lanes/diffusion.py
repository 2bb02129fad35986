"""The loop over fixed steps of a diffusion: noise for four steps, four advances, a guard, a look now and then."""

from functools import lru_cache
from typing import Any

import numba
import numpy as np

from sde_engine.backends.lanes import weave
from sde_engine.backends.lanes.noise import fill_normals
from sde_engine.backends.lanes.primitives import ENTRY
from sde_engine.backends.lanes.record import finish, guard, scratch, shared_look
from sde_engine.backends.trace import LANES, Job, Trace, aligned
from sde_engine.kernel import Diffusion
from sde_engine.rng import INCREMENT


def run_block(job: Job, kernel: Diffusion, first_path: int, th: np.ndarray, trace: Trace) -> None:
    """Advance one block of LANES paths, th (width, LANES), by a part of the run, into its trace."""
    loop = _fixed(kernel.step, kernel.width, kernel.columns, job.dim, job.observables, job.symmetric_origin)
    z = aligned((kernel.columns, 4, LANES), 0.0)
    loop(
        th,
        th.reshape(-1),
        z,
        z.reshape(-1),
        scratch(len(job.observables), job.clock.dt, live=np.isinf(trace.diverged_at)),
        first_path,
        np.uint64(job.seed),
        job.params,
        kernel.settings,
        job.clock,
        job.bins,
        job.symmetric_origin,
        job.first,
        job.last,
        trace,
    )


@lru_cache(maxsize=64)
def _fixed(step: Any, width: int, columns: int, dim: int, observables: tuple[Any, ...], log_distance: bool) -> Any:
    advance = weave.advance(step, width, columns)
    look = shared_look(weave.look(observables, width, dim, log_distance))
    strays = weave.strays(width)

    @numba.njit(**ENTRY)
    def loop(
        th: Any,
        state: Any,
        z: Any,
        normals: Any,
        s: Any,
        first_path: Any,
        seed: Any,
        p: Any,
        h: Any,
        clock: Any,
        bins: Any,
        origin: Any,
        first: Any,
        last: Any,
        trace: Any,
    ) -> None:
        done = first
        while done < last:
            for c in range(columns):
                fill_normals(z[c], first_path, INCREMENT + c, done // 4, seed)
            for q in range(min(4, last - done)):
                look(done + q, state, p, s, clock, bins, trace)
                advance(state, normals, q, s.dt, s.root, p, h)
            done += 4
            if strays(state, trace.exponent) == 0:
                continue
            for j in range(LANES):
                s.t[j] = min(done, clock.steps) * clock.dt
            if guard(th, s.t, s.live, s.square, origin, trace) == 0:
                break
        finish(th, s.live, trace)

    return loop
