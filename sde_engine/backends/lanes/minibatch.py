"""The loop over updates for discrete SGD: draw a minibatch for every lane, add up its gradients, update."""

from functools import lru_cache
from typing import Any, NamedTuple

import numba
import numpy as np

from sde_engine.backends.lanes import weave
from sde_engine.backends.lanes.compiled import OPTIONS
from sde_engine.backends.lanes.noise import below, draw_distinct, fill_normals, fill_signs, fill_words
from sde_engine.backends.lanes.record import count_all, finish, guard, window_at
from sde_engine.backends.trace import LANES, Job, Trace
from sde_engine.kernel import Minibatch
from sde_engine.rng import BATCH, EPOCH, EXAMPLE

_GUARD_EVERY = 4


def run_block(job: Job, kernel: Minibatch, first_path: int, th: np.ndarray, trace: Trace) -> None:
    """Advance one block of LANES paths, th (width, LANES), from the start to the end, into its trace."""
    add_batch = _batch_sum(job.examples.kind, kernel.sampling, job.example_gradient, job.dim, job.examples.draws)
    loop = _loop(kernel.step, kernel.width, job.dim, job.observables, job.symmetric_origin, add_batch)
    table = np.empty((1, 1)) if job.examples.table is None else job.examples.table
    work = _work(job.examples.draws, kernel.batch, kernel.sampling, len(table))
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
        kernel.batch,
        np.array(kernel.weights),
        table,
        work,
        trace,
    )


class _Work(NamedTuple):
    """Buffers of one block, reused for every update."""

    normals: np.ndarray  # (draws, 4, LANES) random numbers of four fresh examples
    flat: np.ndarray  # the same memory in one dimension
    words: np.ndarray  # (4, LANES)
    lane_words: np.ndarray  # (LANES, drawn) the words of one shuffle a lane
    rows: np.ndarray  # (drawn, LANES) rows of the table
    order: np.ndarray  # (N,) the rows in order


def _work(draws: int, batch: int, sampling: str, examples: int) -> _Work:
    drawn = {"iid": 4, "without_replacement": batch, "epoch": examples}[sampling]
    normals = np.empty((draws, 4, LANES))
    return _Work(
        normals,
        normals.reshape(-1),
        np.empty((4, LANES), np.uint64),
        np.empty((LANES, drawn), np.uint64),
        np.empty((drawn, LANES), np.int64),
        np.arange(examples),
    )


@lru_cache(maxsize=64)
def _batch_sum(kind: str, sampling: str, example_gradient: Any, dim: int, draws: int) -> Any:
    """Return add(th, total, batch, update, first_path, seed, p, table, work), the sum of a minibatch's gradients."""
    if kind != "table":
        return _fresh(fill_normals if kind == "normal" else fill_signs, example_gradient, dim, draws)
    return {"iid": _with_replacement, "without_replacement": _distinct, "epoch": _epoch}[sampling](
        weave.add_stored_gradient(example_gradient, dim, draws)
    )


def _fresh(fill: Any, example_gradient: Any, dim: int, draws: int) -> Any:
    add_gradient = weave.add_fresh_gradient(example_gradient, dim, draws)

    @numba.njit(**OPTIONS)
    def add(
        th: Any, total: Any, batch: Any, update: Any, first_path: Any, seed: Any, p: Any, table: Any, work: Any
    ) -> None:
        z, normals = work.normals, work.flat
        for b in range(batch):
            example = update * batch + b
            if example % 4 == 0 or example == 0:
                for c in range(draws):
                    fill(z[c], first_path, EXAMPLE + c, example // 4, seed)
            add_gradient(th, normals, example % 4, total, p)

    return add


def _with_replacement(add_gradient: Any) -> Any:
    @numba.njit(**OPTIONS)
    def add(
        th: Any, total: Any, batch: Any, update: Any, first_path: Any, seed: Any, p: Any, table: Any, work: Any
    ) -> None:
        for b in range(batch):
            example = update * batch + b
            if example % 4 == 0 or example == 0:
                fill_words(work.words, first_path, BATCH, example // 4, seed)
                below(work.words, table.shape[0], work.rows)
            add_gradient(th, table, work.rows[example % 4], total, p)

    return add


def _distinct(add_gradient: Any) -> Any:
    @numba.njit(**OPTIONS)
    def add(
        th: Any, total: Any, batch: Any, update: Any, first_path: Any, seed: Any, p: Any, table: Any, work: Any
    ) -> None:
        draw_distinct(first_path, BATCH, update, seed, work.order, work.lane_words, work.rows)
        for b in range(batch):
            add_gradient(th, table, work.rows[b], total, p)

    return add


def _epoch(add_gradient: Any) -> Any:
    @numba.njit(**OPTIONS)
    def add(
        th: Any, total: Any, batch: Any, update: Any, first_path: Any, seed: Any, p: Any, table: Any, work: Any
    ) -> None:
        batches = table.shape[0] // batch
        part = update % batches
        if part == 0:
            draw_distinct(first_path, EPOCH, update // batches, seed, work.order, work.lane_words, work.rows)
        for b in range(batch):
            add_gradient(th, table, work.rows[part * batch + b], total, p)

    return add


@lru_cache(maxsize=64)
def _loop(step: Any, width: int, dim: int, observables: tuple[Any, ...], log_distance: bool, add_batch: Any) -> Any:
    update = weave.update(step, width, dim)
    look, strays = weave.look(observables, dim, log_distance), weave.strays(width)
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
        batch: Any,
        weights: Any,
        table: Any,
        work: Any,
        trace: Any,
    ) -> None:
        values = np.empty((count, LANES))
        state, total = th.reshape(th.size), np.empty(dim * LANES)
        t, dt, live = np.zeros(LANES), np.empty(LANES), np.ones(LANES)
        square, weight = np.empty(LANES), np.empty(LANES)
        dt[:] = clock.dt
        parts = weights.shape[0]
        share = weights[parts - 1] / batch
        for done in range(clock.steps):
            if done % clock.every == 0:
                window = window_at(done * clock.dt, clock)
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
                        weight,
                    )
                    count_all(values, weight, bins, trace)
            total[:] = 0.0
            for part in range(parts):
                if part > 0:
                    total *= weights[part - 1] / weights[part]
                add_batch(state, total, batch, done * parts + part, first_path, seed, p, table, work)
            update(state, total, share, p, h)
            if ((done + 1) % _GUARD_EVERY == 0 or done + 1 == clock.steps) and strays(state, trace.exponent) > 0:
                t[:] = (done + 1) * clock.dt
                if guard(th, t, live, square, origin, trace) == 0:
                    break
        finish(th, live, trace)

    return loop
