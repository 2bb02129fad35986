"""Paths of one model under one dynamics, run by a backend in blocks: the same bits for any number of threads.

A block is the unit of work: blocks are of one size on every machine and each is a function of its own paths. A run that
was stopped goes on with those that are missing, and with those that were under way from where they were; paths that
choose their own steps, and flows that diffrax solves, begin their block anew.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np

from sde_engine import rng
from sde_engine.backends import choice
from sde_engine.backends.trace import Clock, Job, Trace, aligned, empty_trace, in_units
from sde_engine.capacity import refuse_beyond_memory
from sde_engine.kernel import Dynamics, Hyper, at_step, check_hyper
from sde_engine.model import Model
from sde_engine.observed import bins_of, observed
from sde_engine.resume import Kept, advance
from sde_engine.run import Run, clock_of
from sde_engine.stepping import kernel_of
from sde_engine.store import checkpoint as store

START_SPREAD = 0.1  # standard deviation of a start around its point, relative to the point's largest component
_COPIES = 2  # of the records that are in memory at least: blocks as they come, and all of them joined
_HEARING = 2**14  # steps before a block without a checkpoint looks up for the first time

Progress = Callable[[int, int], Any]


def start_states(model: Model, run: Run, first_path: int, paths: int, points: np.ndarray) -> np.ndarray:
    """Return (d, paths) initial states: path i starts near point i mod M, its own distance away."""
    index = first_path + np.arange(paths)
    centre = points[index % len(points)].T
    spread = START_SPREAD * np.abs(centre).max(axis=0)
    noise = [rng.normals(run.seed, index, rng.START + i, 0) for i in range(model.dim)]
    return np.ascontiguousarray(centre + spread * np.array(noise))


def trace_of(
    model: Model,
    dynamics: Dynamics,
    hyper: Hyper,
    run: Run,
    *,
    threads: int = 1,
    backend: str = "numba",
    points: np.ndarray | None = None,
    checkpoint: Path | None = None,
    progress: Progress | None = None,
) -> tuple[Trace, Clock]:
    """Run the ensemble and return its trace.

    Parameters
    ----------
    points : (M, d) around which the paths start; None: the model's own
    checkpoint : file that keeps what is done, at most `resume.SECONDS` old; a run that finds its own goes on from there
    progress : called with the number of blocks that are done and of all

    Raises
    ------
    StoreError, CorruptData : a checkpoint of another run, or an unreadable one
    """
    choice.check_name(backend)
    kernel = kernel_of(model, dynamics, hyper)
    hyper = check_hyper(hyper)
    seen = observed(model, run, kernel.width, kernel.motion)
    clock, bins = clock_of(run, kernel, hyper.eta), bins_of(run, seen)
    job = Job(
        model.params,
        tuple(one.observable.formula for one in seen),
        model.dim,
        model.symmetric_origin,
        model.examples,
        model.example_gradient,
        clock,
        bins,
        run.seed,
        0,
        clock.steps,
    )
    kernel = at_step(kernel, clock.dt)
    choice.check(backend, kernel, clock)
    _refuse_too_many(run, empty_trace(len(seen), kernel.width, clock, bins, 1))
    points = np.array(model.starts(model.params)) if points is None else points
    block, size = choice.block_runner(backend, kernel)
    first_paths = range(0, run.paths, size)
    starts = start_states(model, run, 0, len(first_paths) * size, points)

    steps, unit = clock.steps, choice.cut(backend, kernel, clock)
    if checkpoint is None:  # between two parts of a compiled block a Ctrl-C is heard
        unit = ceil(_HEARING / unit) * unit if backend == "numba" and unit > 0 else 0
    whose = (
        {} if checkpoint is None else _identity(model, dynamics, hyper, run, backend, points) | {"paths a block": size}
    )
    kept = Kept(checkpoint, whose, first_paths, steps)

    def one(first_path: int) -> int:
        state = aligned((kernel.width, size), 0.0)
        state[: model.dim] = starts[:, first_path : first_path + size]
        trace = empty_trace(len(seen), kernel.width, clock, bins, size)

        def part(state: np.ndarray, trace: Trace, first: int, last: int) -> None:
            block(job._replace(first=first, last=last), kernel, first_path, state, trace)

        advance(kept, first_path, state, trace, unit, part)
        return first_path

    done = kept.finished
    left = [first_path for first_path in first_paths if kept.found.get(first_path, (None, 0))[1] < steps]
    for _ in _mapped(one, left, threads, kept):
        done += 1
        if progress is not None:
            progress(done, len(first_paths))
    whole = in_units(kept.whole(), [one.scale for one in seen])
    return Trace(*(part[..., : run.paths] for part in whole)), clock


def _refuse_too_many(run: Run, trace_of_one: Trace) -> None:
    """Refuse, before anything is compiled, more paths than the memory can hold the records of."""
    size = sum(part.nbytes for part in trace_of_one)
    refuse_beyond_memory(run.paths, run.paths * size * _COPIES, "fewer observables, bins or windows")


def _identity(
    model: Model, dynamics: Dynamics, hyper: Hyper, run: Run, backend: str, points: np.ndarray
) -> dict[str, Any]:
    """Return all that the paths depend on, as plain data."""
    from sde_engine.dynamics import to_spec

    examples, table = model.examples, model.examples.table
    return {
        "model": model.name,
        "parameters": model.params._asdict(),
        "examples": [examples.kind, examples.draws, None if table is None else store.digest(table)],
        "formulas": store.digest(_formula_values(model, run, points)),
        "dynamics": to_spec(dynamics),
        "hyper": hyper._asdict(),
        "run": vars(run) | {"histograms": [vars(histogram) for histogram in run.histograms]},
        "backend": backend,
        "starts": store.digest(points),
    }


def _formula_values(model: Model, run: Run, points: np.ndarray) -> np.ndarray:
    """Return what the formulas of a model give at the starts and beside them: a model that was edited is another one."""
    theta = tuple(np.concatenate([points, 1.1 * points + 0.1]).T)
    draw = tuple((0.7, -0.4, 0.3)[k % 3] for k in range(model.examples.draws))
    seen = [model.observable(name).formula for name in (*model.observables, *model.components)]
    with np.errstate(all="ignore"):
        values = [
            *model.gradient(theta, model.params),
            *(entry for row in model.noise_factor(theta, model.params) for entry in row),
            *model.example_gradient(theta, draw, model.params),
            *(formula(theta, model.params) for formula in seen),
        ]
    return np.array([np.broadcast_to(np.asarray(value, dtype=float), theta[0].shape) for value in values])


def _mapped(function: Callable[[int], int], items: Sequence[int], threads: int, kept: Kept) -> Iterator[int]:
    """Yield the results in order."""
    if threads == 1 or len(items) < 2:
        yield from map(function, items)
        return
    yield function(items[0])  # compiles once, outside the pool
    with ThreadPoolExecutor(threads) as pool:
        try:
            yield from pool.map(function, items[1:])
        finally:
            kept.stopped = True  # a block that is running ends with its part
            pool.shutdown(cancel_futures=True)
