"""The reference backend: numpy arrays over trajectories, one Python step at a time, the same bits as the lanes.

It is slow and plain on purpose. What it shares with the compiled backend are the formulas of models and schemes and
of `sde_engine.rng`; the loops, the sampling of minibatches and the bookkeeping are written a second time, so that a
comparison of the two backends tests them.
"""

from typing import Any

import numpy as np

from sde_engine import rng
from sde_engine.backends.trace import (
    BLOWN_UP,
    LOG_RESCALE,
    RESCALE,
    SMALL_SQUARE,
    TINY_SQUARE,
    Job,
    Trace,
)
from sde_engine.components import log
from sde_engine.kernel import Diffusion, Kernel, Minibatch


def run_block(job: Job, kernel: Kernel, first_path: int, th: np.ndarray, trace: Trace) -> None:
    """Advance the paths th (width, P) by a part of the run, into their trace."""
    with np.errstate(all="ignore"):
        run = _Run(job, first_path, th, trace)
        if isinstance(kernel, Minibatch):
            _minibatch(run, kernel)
        elif kernel.size is None:
            _fixed(run, kernel)
        else:
            _adaptive(run, kernel)
        trace.final[:, run.live] = run.th[:, run.live]


class _Run:
    """The moving state of a run and what is done to it between steps."""

    def __init__(self, job: Job, first_path: int, th: np.ndarray, trace: Trace) -> None:
        self.job, self.th, self.trace = job, th, trace
        self.paths = first_path + np.arange(th.shape[1])
        self.live = np.isinf(trace.diverged_at)

    @property
    def theta(self) -> tuple[Any, ...]:
        return tuple(self.th[: self.job.dim])

    def values(self) -> np.ndarray:
        state = tuple(self.th)
        rows = [formula(state, self.job.params) + np.zeros(len(self.paths)) for formula in self.job.observables]
        return np.array(rows).reshape(len(rows), len(self.paths))

    def normals(self, stream: int, count: int, index: int) -> tuple[np.ndarray, ...]:
        return tuple(rng.normals(self.job.seed, self.paths, stream + c, index) for c in range(count))

    def look(self, t: np.ndarray, dt: np.ndarray) -> None:
        """Add the present state to the trace, weighted by the time dt that the path spends in it."""
        clock, bins, trace = self.job.clock, self.job.bins, self.trace
        early = clock.burn_in * (1.0 - 1e-12)
        weight = np.where(t >= early, dt * self.live, 0.0)
        window = np.clip(((t - early) / clock.window).astype(np.int64), 0, clock.windows - 1)
        path = np.arange(len(self.paths))
        values = self.values()
        recorded = weight > 0.0
        fresh = recorded & np.isnan(trace.reference)
        trace.reference[fresh] = values[fresh]
        d = np.where(recorded, values - trace.reference, 0.0)
        slots = [*d, *(d[k] * d[m] for k in range(len(d)) for m in range(k, len(d)))]
        if self.job.symmetric_origin:
            slots += [log(_square(self.th[: self.job.dim])) + 2.0 * LOG_RESCALE * trace.exponent, t]
        trace.weight[window, path] += weight
        for k, slot in enumerate(slots):
            trace.sums[window, k, path] += np.where(recorded, weight * slot, 0.0)
        for b, k in enumerate(bins.observable):
            x = d[k] + trace.reference[k]
            if bins.logarithmic[b]:
                x = np.where(x > 0.0, log(np.where(x > 0.0, x, 1.0)), bins.low[b] - 1.0)
            place = (x - bins.low[b]) * bins.per_unit[b]
            inside = np.where(place >= 0.0, 1 + np.where(place < bins.number[b], place, 0.0).astype(np.int64), 0)
            column = np.where(place < bins.number[b], inside, bins.number[b] + 1)
            trace.histogram[bins.first[b] + column, path] += weight

    def guard(self, t: np.ndarray) -> bool:
        """Freeze the paths that have left, rescale those that collapse; return whether any is alive."""
        square = _square(self.th)
        left = self.live & ~(square < BLOWN_UP * BLOWN_UP)
        self.trace.diverged_at[left] = t[left]
        self.trace.final[:, left] = self.th[:, left]
        self.th[:, left] = 0.0
        self.live &= ~left
        if self.job.symmetric_origin:
            tiny = self.live & (square < TINY_SQUARE) & (square > 0.0)
            back = self.live & ~tiny & (self.trace.exponent < 0.0) & (square > SMALL_SQUARE)
            self.th[:, tiny] *= RESCALE
            self.th[:, back] *= 1.0 / RESCALE
            self.trace.exponent[:] += back * 1.0 - tiny * 1.0
        return bool(self.live.any())


def _square(th: np.ndarray) -> np.ndarray:
    total = th[0] * th[0]
    for row in th[1:]:
        total = total + row * row
    return total


def _fixed(run: _Run, kernel: Diffusion) -> None:
    clock, p, h = run.job.clock, run.job.params, kernel.settings
    dt, root = np.full(len(run.paths), clock.dt), np.full(len(run.paths), np.sqrt(clock.dt))
    for done in range(run.job.first, run.job.last):
        if done % clock.every == 0:
            run.look(np.full(len(run.paths), done * clock.dt), dt)
        z = run.normals(rng.INCREMENT, kernel.columns, done)
        run.th = np.array(kernel.step(tuple(run.th), z, dt, root, p, h))
        if (done % 4 == 3 or done + 1 == clock.steps) and not run.guard(np.full(len(dt), (done + 1) * clock.dt)):
            return


def _adaptive(run: _Run, kernel: Diffusion) -> None:
    clock, p, h = run.job.clock, run.job.params, kernel.settings
    assert kernel.size is not None
    t, done, last = np.zeros(len(run.paths)), 0, np.zeros(len(run.paths))
    while np.any(run.live & (t < clock.end)):
        active = run.live & (t < clock.end)
        for step in range(done, done + 4):
            dt = np.asarray(kernel.size(tuple(run.th), p, h))
            dt = np.where(dt < clock.dt, dt, clock.dt)
            left = (clock.end - t) * run.live
            dt = np.where(dt < left, dt, left)
            if step % clock.every == 0:
                run.look(t, np.where(t < clock.end, 0.5 * (last + dt), 0.0))
            z = run.normals(rng.INCREMENT, kernel.columns, step)
            # A path that is done takes no steps of length zero beyond its group of four: they would round its state.
            stepped = np.array(kernel.step(tuple(run.th), z, dt, np.sqrt(dt), p, h))
            run.th = np.where(active, stepped, run.th)
            t, last = np.where(dt >= clock.end - t, clock.end, t + dt), dt
        done += 4
        run.guard(t)


def _minibatch(run: _Run, kernel: Minibatch) -> None:
    clock, p, h = run.job.clock, run.job.params, kernel.settings
    dt = np.full(len(run.paths), clock.dt)
    draw = _batches(run, kernel)
    for done in range(run.job.first, run.job.last):
        if done % clock.every == 0:
            run.look(np.full(len(dt), done * clock.dt), dt)
        total = [np.zeros(len(run.paths)) for _ in range(run.job.dim)]
        for part, weight in enumerate(kernel.weights):
            if part > 0:
                total = [g * (kernel.weights[part - 1] / weight) for g in total]
            for number, example in draw(done * len(kernel.weights) + part):
                for i, g in enumerate(run.job.example_gradient(run.theta, example, p)):
                    total[i] = total[i] + number * g
        share = kernel.weights[-1] / kernel.batch
        run.th = np.array(kernel.step(tuple(run.th), tuple(g * share for g in total), p, h))
        if (done % 4 == 3 or done + 1 == clock.steps) and not run.guard(np.full(len(dt), (done + 1) * clock.dt)):
            return


def _batches(run: _Run, kernel: Minibatch) -> Any:
    """Return update -> the examples of that update's minibatch: how often each, and a tuple of `draws` numbers."""
    examples, batch, seed = run.job.examples, kernel.batch, run.job.seed
    patterns = rng.sign_patterns(examples.draws, batch) if examples.kind == "sign" else ()

    def fresh(update: int) -> Any:
        source = rng.normals if examples.kind == "normal" else rng.signs
        for example in range(update * batch, (update + 1) * batch):
            yield 1.0, tuple(source(seed, run.paths, rng.EXAMPLE + c, example) for c in range(examples.draws))

    def counted(update: int) -> Any:
        drawn = [example for _, example in fresh(update)]
        for pattern in patterns:
            yield (
                sum(np.all([x == y for x, y in zip(one, pattern, strict=True)], axis=0) * 1.0 for one in drawn),
                pattern,
            )

    def with_replacement(update: int) -> Any:
        for example in range(update * batch, (update + 1) * batch):
            word = rng.words(seed, run.paths, rng.BATCH, example)
            yield 1.0, tuple(examples.table[rng.index_below(word, np.uint64(examples.size))].T)

    def distinct(update: int) -> Any:
        for row in _distinct(seed, run.paths, rng.BATCH, update, examples.size, batch):
            yield 1.0, tuple(examples.table[row].T)

    def epoch(update: int) -> Any:
        batches = examples.size // batch
        order = _distinct(seed, run.paths, rng.EPOCH, update // batches, examples.size, examples.size)
        for row in order[update % batches * batch :][:batch]:
            yield 1.0, tuple(examples.table[row].T)

    if examples.kind != "table":
        return counted if patterns else fresh
    return {"iid": with_replacement, "without_replacement": distinct, "epoch": epoch}[kernel.sampling]


def _distinct(seed: int, paths: np.ndarray, stream: int, draw: int, size: int, taken: int) -> np.ndarray:
    """Return (taken, P) distinct rows for each path: Fisher and Yates from the front of the ordered rows."""
    order = np.tile(np.arange(size), (len(paths), 1))
    row = np.arange(len(paths))
    for i in range(taken):
        word = rng.words(seed, paths, stream, draw * taken + i)
        k = i + rng.index_below(word, np.uint64(size - i))
        order[row, i], order[row, k] = order[row, k].copy(), order[row, i].copy()
    return order[:, :taken].T
