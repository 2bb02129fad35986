"""Who does discrete SGD: ours and three others on two-point data and on a table, and what ours costs by size."""

import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

import numba
import numpy as np

import sde_engine as sde
from sde_engine.bench.problem import DESCENT, NOISE, START, TARGET, Participant, starts
from sde_engine.bench.timing import rounds
from sde_engine.ensemble import Run, trace_of

H = DESCENT
COIN = sde.load_model("two_layer_scalar", law="two_point", target=TARGET, noise=NOISE)
TABLE = sde.load_model("two_layer_scalar", law="diabetes", feature="bmi")
BATCHES, WIDTHS, PATHS = (1, 4, 16, 64, 256), (1, 2, 4, 8), (2**8, 2**10, 2**12, 2**14, 2**16, 2**18)


def participants(law: str) -> Iterator[Participant]:
    """Yield everybody on "two_point" data or on the "table"."""
    yield ours(law, 4096)
    yield Participant("numba, scalar Generator in the loop", 2048, numba_scalar(law, 2048))
    yield Participant("numpy, arrays over paths", 2048, numpy_arrays(law, 2048))
    yield Participant("jax, lax.scan and vmap", 2048, jax_scan(law, 2048))


def ours(law: str, paths: int, threads: int = 1) -> Participant:
    model, points = (COIN if law == "two_point" else TABLE), np.full((1, 2), START)

    def run(seed: int) -> np.ndarray:
        cell = Run(paths, seed, updates=H.updates, observables=("v",))
        trace, _ = trace_of(model, sde.Sgd(), sde.Hyper(H.eta, H.batch), cell, threads=threads, points=points)
        return trace.final[0] * trace.final[1]

    return Participant("sde_engine, numba lanes", paths, run)


def columns() -> tuple[np.ndarray, np.ndarray]:
    """Return x and y of the table."""
    table = TABLE.examples.table
    assert table is not None
    return np.ascontiguousarray(table[:, 0]), np.ascontiguousarray(table[:, 1])


def numba_scalar(law: str, paths: int) -> Callable[[int], np.ndarray]:
    """Return the loop that one writes with numba, path by path."""
    x_of, y_of = columns()
    is_coin, size, eta, batch, updates = law == "two_point", len(x_of), H.eta, H.batch, H.updates

    @numba.njit(error_model="numpy")
    def loop(u: np.ndarray, w: np.ndarray, generator: Any) -> None:
        for i in range(u.size):
            a, b = u[i], w[i]
            for _ in range(updates):
                slope = 0.0
                for _ in range(batch):
                    if is_coin:
                        two_bits = generator.integers(0, 4)
                        x = 1.0 - 2.0 * (two_bits & 1)
                        y = TARGET * x + NOISE * (1.0 - (two_bits & 2))
                    else:
                        row = generator.integers(0, size)
                        x, y = x_of[row], y_of[row]
                    slope += (a * b * x - y) * x
                step = eta * slope / batch
                a, b = a - step * b, b - step * a
            u[i], w[i] = a, b

    def run(seed: int) -> np.ndarray:
        u, w = starts(paths, seed)
        loop(u, w, np.random.default_rng(seed))
        return u * w

    return run


def numpy_arrays(law: str, paths: int) -> Callable[[int], np.ndarray]:
    """Return the loop over updates with arrays over paths and batch."""
    x_of, y_of = columns()

    def run(seed: int) -> np.ndarray:
        u, w = starts(paths, seed)
        generator = np.random.default_rng(seed)
        for _ in range(H.updates):
            if law == "two_point":
                x, e = 1.0 - 2.0 * generator.integers(0, 2, (2, H.batch, paths), dtype=np.int8)
                y = TARGET * x + NOISE * e
            else:
                rows = generator.integers(0, len(x_of), (H.batch, paths))
                x, y = x_of[rows], y_of[rows]
            step = H.eta * ((u * w * x - y) * x).mean(axis=0)
            u, w = u - step * w, w - step * u
        return u * w

    return run


def jax_scan(law: str, paths: int) -> Callable[[int], np.ndarray]:
    """Return the loop that one writes with JAX: a scan over updates, vmap over paths."""
    import jax

    x_of, y_of = map(jax.numpy.asarray, columns())

    def update(theta: Any, x: Any, y: Any) -> Any:
        u, w = theta
        step = H.eta * ((u * w * x - y) * x).mean()
        return u - step * w, w - step * u

    @jax.jit
    def loop(theta: Any, key: Any) -> Any:
        def body(theta: Any, index: Any) -> Any:
            own = jax.random.fold_in(key, index)
            if law == "two_point":
                x, e = jax.random.rademacher(own, (2, paths, H.batch), "float64")
                y = TARGET * x + NOISE * e
            else:
                rows = jax.random.randint(own, (paths, H.batch), 0, len(x_of))
                x, y = x_of[rows], y_of[rows]
            return jax.vmap(update)(theta, x, y), None

        (u, w), _ = jax.lax.scan(body, theta, jax.numpy.arange(H.updates))
        return u * w

    return lambda seed: np.asarray(loop(tuple(starts(paths, seed)), jax.random.key(seed)))


def cost_by_size(count: int) -> dict[int, dict[int, float]]:
    """Return {parameters: {batch: ns an example}} of our SGD on diagonal networks, two-point data, one thread."""

    def job(width: int, batch: int) -> tuple[Callable[[], object], int]:
        model = sde.load_model("diagonal_network", law="two_point", depth=1, width=width)
        updates, paths = max(32, 8192 // batch), 512
        cell = Run(paths, 1, updates=updates, observables=("v",))
        return lambda: trace_of(model, sde.Sgd(), sde.Hyper(0.05, batch), cell), paths * updates * batch

    sizes = [(width, batch) for width in WIDTHS for batch in BATCHES]
    jobs = {size: job(*size) for size in sizes}
    for run, _ in jobs.values():
        run()
    seconds = rounds([jobs[size][0] for size in sizes], count, time.process_time)
    found = {size: statistics.median(row[k] for row in seconds) / jobs[size][1] * 1e9 for k, size in enumerate(sizes)}
    return {2 * width: {batch: found[width, batch] for batch in BATCHES} for width in WIDTHS}


def cost_by_paths(count: int) -> dict[int, float]:
    """Return {paths: ns an update} of our SGD on the network of the race, batch 8, one thread."""

    def job(paths: int) -> tuple[Callable[[], object], int]:
        updates = max(256, 2**20 // paths)
        cell = Run(paths, 1, updates=updates, observables=("v",))
        return lambda: trace_of(COIN, sde.Sgd(), sde.Hyper(H.eta, H.batch), cell), paths * updates

    jobs = [job(paths) for paths in PATHS]
    jobs[0][0]()
    seconds = rounds([run for run, _ in jobs], count, time.process_time)
    return {paths: statistics.median(row[k] for row in seconds) / jobs[k][1] * 1e9 for k, paths in enumerate(PATHS)}
