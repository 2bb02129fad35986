"""The loop over updates for discrete SGD: draw a minibatch for every lane, add up its gradients, update."""

from functools import lru_cache
from typing import Any, NamedTuple

import numba
import numpy as np

from sde_engine.backends.lanes import weave
from sde_engine.backends.lanes.noise import draw_distinct, fill_normals, fill_rows, fill_signs
from sde_engine.backends.lanes.primitives import ENTRY, INNER
from sde_engine.backends.lanes.record import finish, guard, scratch, shared_look
from sde_engine.backends.trace import LANES, Job, Trace, aligned, aligned_zeros
from sde_engine.kernel import Minibatch
from sde_engine.rng import BATCH, EPOCH, EXAMPLE, MOST_PATTERNS, SIGNS, sign_patterns

_ALL = np.uint64(2**64 - 1)
_GUARD_EVERY = 4
_GROUP = 4  # examples whose gradients are added in one pass over the lanes


def run_block(job: Job, kernel: Minibatch, first_path: int, th: np.ndarray, trace: Trace) -> None:
    """Advance one block of LANES paths, th (width, LANES), by a part of the run, into its trace."""
    add_batch = _batch_sum(job.examples.kind, kernel.sampling, job.example_gradient, job.dim, job.examples.draws)
    loop = _loop(kernel.step, kernel.width, job.dim, job.observables, job.symmetric_origin, add_batch)
    table = np.empty((1, 1)) if job.examples.table is None else job.examples.table
    work = _work(job.examples.kind, job.examples.draws, kernel.batch, kernel.sampling, len(table))
    loop(
        th,
        th.reshape(-1),
        aligned((job.dim * LANES,), 0.0),
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
        kernel.batch,
        np.array(kernel.weights),
        np.ravel(table),
        work,
        trace,
    )


class _Work(NamedTuple):
    """Buffers of one block, reused for every update."""

    counted: bool  # whether signs are summed pattern by pattern
    examples: np.ndarray  # (draws, 4, LANES) what examples are made of: numbers, or (draws, 2, LANES) words of 64 signs
    flat: np.ndarray  # the same memory in one dimension
    held: np.ndarray  # (patterns * LANES,) how often each pattern of signs has occurred
    words: np.ndarray  # (4, LANES)
    lane_words: np.ndarray  # (LANES, drawn) the words of one shuffle a lane
    rows: np.ndarray  # (drawn, LANES) rows of the table
    swaps: np.ndarray  # (2, drawn) one shuffle's
    order: np.ndarray  # (N,) the rows in order


def _work(kind: str, draws: int, batch: int, sampling: str, examples: int) -> _Work:
    drawn = {"iid": 4, "without_replacement": batch, "epoch": examples}[sampling]
    patterns = sign_patterns(draws, batch) if kind == "sign" else ()
    made_of, held, words, lane_words, rows, swaps = aligned_zeros(
        (draws, 2 if kind == "sign" else 4, LANES),
        (len(patterns) * LANES,),
        (4, LANES),
        (LANES, drawn),
        (drawn, LANES),
        (2, drawn),
    )
    made_of = made_of.view(np.uint64) if kind == "sign" else made_of
    return _Work(
        len(patterns) > 0,
        made_of,
        made_of.reshape(-1),
        held.view(np.uint64),
        words.view(np.uint64),
        lane_words.view(np.uint64),
        rows.view(np.int64),
        swaps.view(np.int64),
        np.arange(examples),
    )


@lru_cache(maxsize=64)
def _batch_sum(kind: str, sampling: str, example_gradient: Any, dim: int, draws: int) -> Any:
    """Return add(th, total, batch, update, first_path, seed, p, table, work), the sum of a minibatch's gradients."""
    some, one = (weave.add_gradients(example_gradient, dim, draws, kind, count) for count in (_GROUP, 1))
    patterns = sign_patterns(draws, MOST_PATTERNS) if kind == "sign" else ()
    if patterns:
        last = weave.add_patterns(example_gradient, dim, patterns)
        return _signs(one, weave.count_patterns(patterns), last, draws)
    if kind != "table":
        return _fresh(
            some, one, fill_normals if kind == "normal" else fill_signs, SIGNS if kind == "sign" else 4, draws
        )
    return {"iid": _with_replacement, "without_replacement": _distinct, "epoch": _epoch}[sampling](
        some, one, weave.gather(draws)
    )


def _fresh(some: Any, one: Any, fill: Any, served: int, draws: int) -> Any:
    @numba.njit(**INNER)
    def add(
        th: Any, total: Any, batch: Any, update: Any, first_path: Any, seed: Any, p: Any, table: Any, work: Any
    ) -> None:
        example, end = update * batch, update * batch + batch
        while example < end:
            if example % served == 0:
                for c in range(draws):
                    fill(work.examples[c], first_path, EXAMPLE + c, example // served, seed)
            if example % _GROUP == 0 and example + _GROUP <= end:
                some(th, work.flat, example, total, p)
                example += _GROUP
            else:
                one(th, work.flat, example, total, p)
                example += 1

    return add


def _signs(one: Any, count: Any, last: Any, draws: int) -> Any:
    """Return add for signs of few patterns, the 64 examples of a word at a time: their bits are counted.

    A batch that is too small for that adds its gradients one by one.
    """

    @numba.njit(**INNER)
    def add(
        th: Any, total: Any, batch: Any, update: Any, first_path: Any, seed: Any, p: Any, table: Any, work: Any
    ) -> None:
        example, end, keep = update * batch, update * batch + batch, np.uint64(0)
        while example < end:
            if example % SIGNS == 0:
                for c in range(draws):
                    fill_signs(work.examples[c], first_path, EXAMPLE + c, example // SIGNS, seed)
            until = min(end, (example | 63) + 1)
            mask = (_ALL >> np.uint64(64 - (until - example))) << np.uint64(example & 63)
            if not work.counted:
                for k in range(example, until):
                    one(th, work.flat, k, total, p)
            elif until == end:
                last(th, work.flat, example, mask, work.held, keep, batch, total, p)
            else:
                count(work.flat, example, mask, work.held, keep)
            example, keep = until, _ALL

    return add


def _with_replacement(some: Any, one: Any, gather: Any) -> Any:
    @numba.njit(**INNER)
    def add(
        th: Any, total: Any, batch: Any, update: Any, first_path: Any, seed: Any, p: Any, table: Any, work: Any
    ) -> None:
        example, end = update * batch, update * batch + batch
        while example < end:
            if example % _GROUP == 0:
                fill_rows(work.rows, first_path, BATCH, example // 4, seed, work.order.shape[0])
                gather(table, work.rows, 0, _GROUP, work.flat)
            if example % _GROUP == 0 and example + _GROUP <= end:
                some(th, work.flat, 0, total, p)
                example += _GROUP
            else:
                one(th, work.flat, example, total, p)
                example += 1

    return add


def _chosen(some: Any, one: Any, gather: Any) -> Any:
    """Return add(th, total, first, batch, p, table, work): the gradients on the rows from `first` on."""

    @numba.njit(**INNER)
    def add(th: Any, total: Any, first: Any, batch: Any, p: Any, table: Any, work: Any) -> None:
        for b in range(0, batch, _GROUP):
            count = min(_GROUP, batch - b)
            gather(table, work.rows, first + b, count, work.flat)
            if count == _GROUP:
                some(th, work.flat, 0, total, p)
            else:
                for k in range(count):
                    one(th, work.flat, k, total, p)

    return add


def _distinct(some: Any, one: Any, gather: Any) -> Any:
    add_chosen = _chosen(some, one, gather)

    @numba.njit(**INNER)
    def add(
        th: Any, total: Any, batch: Any, update: Any, first_path: Any, seed: Any, p: Any, table: Any, work: Any
    ) -> None:
        draw_distinct(first_path, BATCH, update, seed, work.order, work.words, work.lane_words, work.swaps, work.rows)
        add_chosen(th, total, 0, batch, p, table, work)

    return add


def _epoch(some: Any, one: Any, gather: Any) -> Any:
    add_chosen = _chosen(some, one, gather)

    @numba.njit(**INNER)
    def add(
        th: Any, total: Any, batch: Any, update: Any, first_path: Any, seed: Any, p: Any, table: Any, work: Any
    ) -> None:
        batches = work.order.shape[0] // batch
        part = update % batches
        if part == 0:
            draw_distinct(
                first_path,
                EPOCH,
                update // batches,
                seed,
                work.order,
                work.words,
                work.lane_words,
                work.swaps,
                work.rows,
            )
        add_chosen(th, total, part * batch, batch, p, table, work)

    return add


@lru_cache(maxsize=64)
def _loop(step: Any, width: int, dim: int, observables: tuple[Any, ...], log_distance: bool, add_batch: Any) -> Any:
    update = weave.update(step, width, dim)
    look = shared_look(weave.look(observables, width, dim, log_distance))
    strays = weave.strays(width)

    @numba.njit(**ENTRY)
    def loop(
        th: Any,
        state: Any,
        total: Any,
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
        batch: Any,
        weights: Any,
        table: Any,
        work: Any,
        trace: Any,
    ) -> None:
        parts = weights.shape[0]
        share = weights[parts - 1] / batch
        for done in range(first, last):
            look(done, state, p, s, clock, bins, trace)
            for i in range(total.size):
                total[i] = 0.0
            for part in range(parts):
                if part > 0:
                    for i in range(total.size):
                        total[i] *= weights[part - 1] / weights[part]
                add_batch(state, total, batch, done * parts + part, first_path, seed, p, table, work)
            update(state, total, share, p, h)
            if ((done + 1) % _GUARD_EVERY == 0 or done + 1 == clock.steps) and strays(state, trace.exponent) > 0:
                for j in range(LANES):
                    s.t[j] = (done + 1) * clock.dt
                if guard(th, s.t, s.live, s.square, origin, trace) == 0:
                    break
        finish(th, s.live, trace)

    return loop
