"""One cell: an ensemble of paths of one model under one dynamics, and what it says, with errors.

`measure` is the pure function behind it all: the same arguments give the same bits for any number of threads.
"""

import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np

from sde_engine import rng
from sde_engine.backends.trace import LANES, Clock, Job, Trace, empty_trace
from sde_engine.errors import Incompatible, SpecError, unknown
from sde_engine.kernel import Diffusion, Dynamics, Hyper, Kernel, Minibatch, check_hyper
from sde_engine.model import Model
from sde_engine.run import Run as Run
from sde_engine.run import clock_of
from sde_engine.stats.averages import averages
from sde_engine.stats.fate import fate
from sde_engine.stats.histogram import Histogram, densities, layout
from sde_engine.stats.mixing import mixing
from sde_engine.stats.quantity import Quantity

if TYPE_CHECKING:
    import xarray

BACKENDS = ("numba", "numpy", "jax", "diffrax")
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
    hyper = check_hyper(hyper)
    kernel = dynamics.kernel(model, hyper)
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
    _check_backend(backend, kernel, clock)
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


def _check_backend(backend: str, kernel: Kernel, clock: Clock) -> None:
    if backend == "diffrax":
        from sde_engine.backends import solvers

        solvers.check(kernel, clock)
        return
    tolerances = kernel.tolerances if isinstance(kernel, Diffusion) else None
    if tolerances is not None and (tolerances.implicit or tolerances.steady):
        raise Incompatible(
            f"a flow that is implicit or stops at a steady state is solved by backend 'diffrax'; got {backend!r}"
        )


def _block_runner(backend: str, kernel: Kernel) -> tuple[Callable[..., None], int]:
    """Return what runs a block, and the number of paths it takes at a time."""
    if backend == "numpy":
        from sde_engine.backends import reference

        return reference.run_block, LANES
    if backend == "jax":
        from sde_engine.backends.scan import loop

        return loop.run_block, loop.PATHS
    if backend == "diffrax":
        from sde_engine.backends import solvers

        return solvers.run_block, solvers.PATHS
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
        | densities(trace, run.histograms, bins)
    )


def measure(model: Model, dynamics: Dynamics, hyper: Hyper, run: Run, threads: int = 1) -> dict[str, np.ndarray]:
    """Return every statistic of one cell by name, as plain arrays: what a sweep stores."""
    trace, clock = trace_of(model, dynamics, hyper, run, threads=threads)
    found = {name: quantity.value for name, quantity in quantities(model, run, trace, clock).items()}
    return found | {"duration": np.asarray(clock.end)}


def variables(model: Model, run: Run) -> dict[str, Quantity]:
    """Return names, dimensions, units and words of what `measure` returns, with values of no meaning."""
    names = run.names(model)
    bins = layout(run.histograms, names)
    clock = Clock(1.0, 1, 1.0, 0.0, 1.0, 1, 1)
    trace = empty_trace(len(names), model.dim, clock, bins, 2)
    with np.errstate(all="ignore"):
        found = quantities(model, run, trace, clock)
    return found | {"duration": Quantity(np.asarray(np.nan), "length of the run on the clock t, burn-in included")}


def simulate(
    model: Model,
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
    backend: str = "numba",
    threads: int | None = None,
) -> "xarray.Dataset":
    """Run an ensemble of paths and return its statistics, labelled.

    Parameters
    ----------
    model, dynamics, hyper : what moves, how, and at which learning rate, batch size and weight decay
    paths, seed, updates, time, burn_in, observables, windows : see `Run`
    statistics : histograms of observables
    start : one state (d,) or several (M, d) around which the paths start, path i at state i mod M; None: the model's
        overdispersed starts, one or more an orthant
    backend : "numba" or "numpy" (the slow reference), which give the same bits; "jax", which gives the same paths to
        rounding and runs where JAX runs; "diffrax", its solvers on the same paths ("euler_maruyama", "milstein",
        "heun") and adaptive or implicit ones for flows
    threads : None for all cores; the result does not depend on it

    Returns
    -------
    xarray.Dataset
        For every observable f: `f`, `f_variance`, their `_stderr`, `f_ess`, `f_rhat`; fractions diverged and
        collapsed; densities; for every path its `f_final` value and the clock `diverged_at`.

    Raises
    ------
    SpecError, Incompatible : in words, before anything is compiled
    """
    run = Run(paths, seed, updates, time, burn_in, tuple(observables), tuple(statistics), windows)
    points = None if start is None else _start_points(model, start)
    threads = threads or os.cpu_count() or 1
    trace, clock = trace_of(model, dynamics, hyper, run, threads=threads, backend=backend, points=points)
    found = quantities(model, run, trace, clock) | _per_path(model, run, trace)
    return _dataset(found, _attributes(model, dynamics, hyper, run, clock, backend))


def compare(model: Model, dynamics: Sequence[Dynamics], hyper: Hyper, **same_as_simulate: Any) -> "xarray.Dataset":
    """Run several dynamics of one model on the same random numbers and return them along a dimension `dynamics`.

    Keyword arguments are those of `simulate`.
    """
    import xarray

    from sde_engine.dynamics import label

    labels = [label(one) for one in dynamics]
    if not labels or len(set(labels)) < len(labels):
        raise SpecError(f"compare got dynamics {labels}; one or more, all different, are accepted")
    for one in dynamics:
        one.kernel(model, check_hyper(hyper))  # refuse all before running one
    runs = [simulate(model, one, hyper, **same_as_simulate) for one in dynamics]
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
    gone = "clock at which the path diverged, infinite if it did not"
    return values | {"diverged_at": Quantity(trace.diverged_at, gone, "1", ("path",))}


def _dataset(found: dict[str, Quantity], attributes: dict[str, Any]) -> "xarray.Dataset":
    import xarray

    coords = {name: values for quantity in found.values() for name, values in quantity.coords.items()}
    data = {
        name: (quantity.dims, quantity.value, {"long_name": quantity.long_name, "units": quantity.units})
        for name, quantity in found.items()
    }
    return xarray.Dataset(data, coords=coords, attrs=attributes)


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
