"""One cell: an ensemble of paths of one model under one dynamics, and what it says, with errors.

`measure` is the pure function behind it all: the same arguments give the same bits for any number of threads.
"""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sde_engine import rng
from sde_engine.backends.trace import LANES, Clock, Job, Trace, empty_trace
from sde_engine.errors import SpecError, unknown
from sde_engine.kernel import Dynamics, Hyper, Kernel, Minibatch, check_hyper
from sde_engine.kinds import is_network
from sde_engine.model import Model
from sde_engine.run import Run as Run
from sde_engine.run import clock_of
from sde_engine.stats.averages import averages
from sde_engine.stats.fate import exits, fate
from sde_engine.stats.histogram import Histogram, densities, layout
from sde_engine.stats.mixing import mixing
from sde_engine.stats.quantity import Quantity, dataset
from sde_engine.stepping import kernel_of, refuse_for_formulas

if TYPE_CHECKING:
    import xarray

    from sde_engine.network.model import NetworkModel

BACKENDS = ("numba", "numpy")
START_SPREAD = 0.1  # standard deviation of a start around its point, relative to the point's largest component
_CHUNK = 8 * LANES  # paths a compiled loop is given where lanes are refilled


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
) -> tuple[Trace, Clock]:
    """Run the ensemble and return its trace; the same bits for any number of threads."""
    if backend not in BACKENDS:
        raise SpecError(unknown("backend", backend, BACKENDS))
    kernel = kernel_of(model, dynamics, hyper)
    hyper = check_hyper(hyper)
    names = run.names(model)
    clock, bins = clock_of(run, kernel, hyper.eta), layout(run.histograms, names)
    formulas = tuple(model.observable(name).formula for name in names)
    job = Job(
        model.params,
        formulas,
        model.dim,
        model.symmetric_origin,
        model.examples,
        model.example_gradient,
        clock,
        bins,
        run.seed,
    )
    points = np.array(model.starts(model.params)) if points is None else points
    block, size = _block_runner(backend, kernel)
    first_paths = range(0, run.paths, size)
    starts = start_states(model, run, 0, len(first_paths) * size, points)

    def one(first_path: int) -> Trace:
        state = np.zeros((kernel.width, size))
        state[: model.dim] = starts[:, first_path : first_path + size]
        trace = empty_trace(len(names), kernel.width, clock, bins, size)
        block(job, kernel, first_path, state, trace)
        return trace

    blocks = _mapped(one, first_paths, threads)
    joined = (np.concatenate(parts, axis=-1)[..., : run.paths] for parts in zip(*blocks, strict=True))
    return Trace(*joined), clock


def _block_runner(backend: str, kernel: Kernel) -> tuple[Callable[..., None], int]:
    """Return what runs a block, and the number of paths it takes at a time."""
    if backend == "numpy":
        from sde_engine.backends import reference

        return reference.run_block, LANES
    from sde_engine.backends.lanes import adaptive, diffusion, minibatch

    if isinstance(kernel, Minibatch):
        return minibatch.run_block, LANES
    return (diffusion.run_block, LANES) if kernel.size is None else (adaptive.run_block, _CHUNK)


def _mapped(function: Callable[[int], Trace], items: Iterable[int], threads: int) -> list[Trace]:
    items = list(items)
    if threads == 1 or len(items) == 1:
        return [function(item) for item in items]
    first = function(items[0])  # compiles once, outside the pool
    with ThreadPoolExecutor(threads) as pool:
        return [first, *pool.map(function, items[1:])]


def quantities(model: Model, run: Run, trace: Trace, clock: Clock) -> dict[str, Quantity]:
    """Return every statistic of a trace by name."""
    names = run.names(model)
    units = tuple(model.observable(name).units for name in names)
    bins = layout(run.histograms, names)
    return (
        averages(trace, clock, names, units)
        | mixing(trace, names, len(model.starts(model.params)))
        | fate(trace, clock, model.dim, model.symmetric_origin)
        | densities(trace.diverged_at, trace.histogram, run.histograms, bins)
    )


def measure(
    model: "Model | NetworkModel", dynamics: Dynamics, hyper: Hyper, run: Run, threads: int = 1
) -> dict[str, np.ndarray]:
    """Return every statistic of one cell by name, as plain arrays: what a sweep stores."""
    if is_network(model):
        from sde_engine.network.results import measure_network

        return measure_network(model, dynamics, hyper, run)
    trace, clock = trace_of(model, dynamics, hyper, run, threads=threads)
    found = {name: quantity.value for name, quantity in quantities(model, run, trace, clock).items()}
    return found | {"duration": np.asarray(clock.end)}


def variables(model: "Model | NetworkModel", run: Run) -> dict[str, Quantity]:
    """Return names, dimensions, units and words of what `measure` returns, with values of no meaning."""
    if is_network(model):
        from sde_engine.network.results import network_variables

        found = network_variables(model, run)
    else:
        names = run.names(model)
        bins = layout(run.histograms, names)
        clock = Clock(1.0, 1, 1.0, 0.0, 1.0, 1, 1)
        trace = empty_trace(len(names), model.dim, clock, bins, 2)
        with np.errstate(all="ignore"):
            found = quantities(model, run, trace, clock)
    return found | {"duration": Quantity(np.asarray(np.nan), "length of the run on the clock t, burn-in included")}


def simulate(
    model: "Model | NetworkModel",
    dynamics: Dynamics,
    hyper: Hyper,
    *,
    paths: int,
    seed: int,
    updates: int | None = None,
    time: float | None = None,
    burn_in: float = 0.5,
    observables: Sequence[str] = (),
    statistics: Sequence[Histogram] = (),
    windows: int = 8,
    start: Any = None,
    backend: str | None = None,
    threads: int | None = None,
    every: int | None = None,
    evaluate: str | None = None,
    snapshots: Mapping[str, Callable[[np.ndarray], Any]] | None = None,
    checkpoint: str | Path | None = None,
    progress: Callable[[int, int], Any] | None = None,
) -> "xarray.Dataset":
    """Run an ensemble of paths and return its statistics, labelled.

    Parameters
    ----------
    model, dynamics, hyper : what moves, how, and at which learning rate, batch size and weight decay
    paths, seed, updates, time, burn_in, observables, windows : see `Run`
    statistics : histograms of observables
    start : one state (d,) or several (M, d) around which the paths start, path i at state i mod M; None: the model's
        overdispersed starts, one or more an orthant. A network starts exactly there (parameters, a vector or several),
        and for None at another draw of its `init` for each path
    backend : "numba" or "numpy" (the slow reference), which give the same bits; for a network "jax". None: the first
    threads : None for all cores; the result does not depend on it. A network runs on the threads of JAX
    every, evaluate, snapshots, checkpoint, progress : for networks only, see `sde_engine.network.run.Options`

    Returns
    -------
    xarray.Dataset
        For every observable f: `f`, `f_variance`, their `_stderr`, `f_ess`, `f_rhat`; fractions diverged and
        collapsed; densities; for every path its `f_final` value and the clock `diverged_at`. A network's observables
        are loss, gradient and norm squares, charges and their parts, and its own, each also over time (`f_trace`);
        `theta_final` (paths, P) are its parameters.

    Raises
    ------
    SpecError, Incompatible : in words, before anything is compiled
    StoreError, CorruptData : a checkpoint of another run, or an unreadable one
    """
    kernel_of(model, dynamics, hyper)
    run = Run(paths, seed, updates, time, burn_in, tuple(observables), tuple(statistics), windows)
    of_networks: dict[str, Any] = {"every": every, "evaluate": evaluate, "snapshots": snapshots}
    of_networks |= {"checkpoint": checkpoint, "progress": progress}
    if is_network(model):
        from sde_engine.network.results import simulate_network

        if backend not in (None, "jax") or threads is not None:
            raise SpecError(
                f"backend is {backend!r} and threads is {threads!r}; a network runs on 'jax' and its own threads"
            )
        return simulate_network(model, dynamics, hyper, start=start, **of_networks, **vars(run))
    refuse_for_formulas(**of_networks)
    backend, threads = backend or BACKENDS[0], threads or os.cpu_count() or 1
    points = None if start is None else _start_points(model, start)
    trace, clock = trace_of(model, dynamics, hyper, run, threads=threads, backend=backend, points=points)
    found = quantities(model, run, trace, clock) | _per_path(model, run, trace)
    return dataset(found, _attributes(model, dynamics, hyper, run, clock, backend))


def compare(
    model: "Model | NetworkModel", dynamics: Sequence[Dynamics], hyper: Hyper, **same_as_simulate: Any
) -> "xarray.Dataset":
    """Run several dynamics of one model on the same random numbers and return them along a dimension `dynamics`.

    Keyword arguments are those of `simulate`.
    """
    import xarray

    from sde_engine.dynamics import label

    movers: list[Any] = list(dynamics) if isinstance(dynamics, list | tuple) else [dynamics]
    for one in movers:
        kernel_of(model, one, hyper)  # refuse all before running one
    labels = [label(one) for one in movers]
    if not labels or len(set(labels)) < len(labels):
        raise SpecError(f"compare got dynamics {labels}; one or more, all different, are accepted")
    if same_as_simulate.get("checkpoint") is not None:
        raise SpecError("compare runs several dynamics and a checkpoint is that of one; use simulate for each")
    runs = [simulate(model, one, hyper, **same_as_simulate) for one in movers]
    joined = xarray.concat(runs, dim=xarray.Variable("dynamics", labels), combine_attrs="drop_conflicts")
    joined["dynamics"].attrs["long_name"] = "what moves the parameters"
    return joined


def _per_path(model: Model, run: Run, trace: Trace) -> dict[str, Quantity]:
    theta = tuple(trace.final[: model.dim])
    values = {}
    with np.errstate(all="ignore"):
        for name in run.names(model):
            formula = model.observable(name).formula
            values[f"{name}_final"] = Quantity(
                formula(theta, model.params) + np.zeros(run.paths),
                f"{name} at the end, or at the exit of a path",
                model.observable(name).units,
                ("path",),
            )
    return values | exits(trace.diverged_at)


def _attributes(model: Model, dynamics: Dynamics, hyper: Hyper, run: Run, clock: Clock, backend: str) -> dict[str, Any]:
    from sde_engine.conventions import CONVENTIONS
    from sde_engine.dynamics import label

    return {
        "model": model.name,
        "dynamics": label(dynamics),
        "eta": hyper.eta,
        "batch": hyper.batch,
        "weight_decay": hyper.weight_decay,
        "temperature": hyper.temperature,
        "paths": run.paths,
        "seed": run.seed,
        "time": clock.end,
        "burn_in_time": clock.burn_in,
        "dt": clock.dt,
        "backend": backend,
        **CONVENTIONS,
    }


def _start_points(model: Model, start: Any) -> np.ndarray:
    try:
        points = np.atleast_2d(np.asarray(start, dtype=np.float64))
    except (TypeError, ValueError):
        raise SpecError(
            f"start is {start!r}; one state of {model.dim} numbers or a list of states is accepted"
        ) from None
    if points.ndim != 2 or points.shape[1] != model.dim or not np.isfinite(points).all():
        raise SpecError(f"start has shape {points.shape}; finite states of {model.dim} numbers each are accepted")
    return points
