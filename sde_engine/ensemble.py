"""One cell: an ensemble of paths of one model under one dynamics, and what it says, with errors.

`measure` is the pure function behind it all: the same arguments give the same bits for any number of threads.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sde_engine.backends import choice
from sde_engine.backends.trace import Clock, Trace, empty_trace
from sde_engine.convergence import refinement
from sde_engine.errors import SpecError
from sde_engine.kernel import Dynamics, Hyper, Motion
from sde_engine.kinds import is_network
from sde_engine.model import Model
from sde_engine.observed import observed, velocities
from sde_engine.paths import trace_of
from sde_engine.run import Run
from sde_engine.stats.averages import averages
from sde_engine.stats.fate import exits, fate
from sde_engine.stats.histogram import Histogram, densities, layout
from sde_engine.stats.mixing import mixing
from sde_engine.stats.motion import kinetic_temperature
from sde_engine.stats.quantity import Quantity, dataset
from sde_engine.stepping import kernel_of, refuse_for_formulas
from sde_engine.store.single import refuse_unwritable
from sde_engine.values import check_positive_or_none, check_whole, listed, path_of

if TYPE_CHECKING:
    import xarray

    from sde_engine.network.model import NetworkModel


def quantities(
    model: Model,
    run: Run,
    trace: Trace,
    clock: Clock,
    motion: Motion | None = None,
    points: np.ndarray | None = None,
) -> dict[str, Quantity]:
    """Return every statistic of a trace by name; the paths started around `points` (M, d), None: the model's own."""
    seen = observed(model, run, len(trace.final), motion)
    names = tuple(one.name for one in seen)
    units = tuple(one.observable.units for one in seen)
    bins = layout(run.histograms, names)
    starts = np.array(model.starts(model.params)) if points is None else points
    places = () if motion is None else tuple(names.index(name) for name in velocities(model) if name in names)
    whole = motion is not None and len(places) == model.dim
    return (
        averages(trace, clock, names, units)
        | mixing(trace, names, len(starts))
        | fate(trace, clock, model.dim, model.symmetric_origin, starts)
        | densities(trace.diverged_at, trace.histogram, run.histograms, bins)
        | (kinetic_temperature(trace, places, motion.masses) if motion is not None and whole else {})
    )


def measure(
    model: "Model | NetworkModel", dynamics: Dynamics, hyper: Hyper, run: Run, threads: int = 1
) -> dict[str, np.ndarray]:
    """Return every statistic of one cell by name, as plain arrays: what a sweep stores."""
    if is_network(model):
        from sde_engine.network.results import measure_network

        return measure_network(model, dynamics, hyper, run)
    run = replace(run, observables=run.names(model))  # a sweep stores the same of all its dynamics
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
    tolerance: float | None = None,
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
    backend : "numba" (None) or "numpy" (the slow reference), which give the same bits; "jax", which gives the same
        paths to rounding and runs where JAX runs; "diffrax", its solvers on the same paths ("euler_maruyama",
        "milstein", "heun") and adaptive or implicit ones for flows. For a network "jax" (None)
    threads : None for all cores; the result does not depend on it. A network runs on the threads of JAX
    every, evaluate, snapshots : for networks only, see `sde_engine.network.run.Options`
    tolerance : halve the solver's step until its error is below so many standard errors of every average; the attribute
        `verdict` says so, or what stood in the way. 1 is a good choice where the step is fixed; schemes that choose their
        steps know their error to 1 to 3 standard errors only, so 2 is for order 2 and 4 for order 1; below what they know
        they are halved until their error cannot be told from none. Not for networks, nor for discrete dynamics
    checkpoint : file that keeps what is done, written every 20 seconds; a run that finds its own goes on from there, to the
        same bits. Paths that choose their own steps, and flows on "diffrax", begin a block anew that was under way
    progress : called with the parts of the run that are done and all of them

    Returns
    -------
    xarray.Dataset
        For every observable f: `f`, `f_variance`, their `_stderr`, `f_ess`, `f_rhat`, and of every two the covariance;
        dynamics with momentum add every `velocity_<component>` to them, and `kinetic_temperature` (unless `observables`
        names what is followed; velocities may be named there); fractions diverged and collapsed; densities; with a
        tolerance `f_solver_error` and its `_stderr`; for every path its `f_final` value and the clock `diverged_at`. A
        network's observables are loss, gradient and norm squares, charges and their parts,
        and its own, each also over time (`f_trace`); `theta_final` (paths, P) are its parameters.

    Raises
    ------
    SpecError, Incompatible : in words, before anything is compiled
    StoreError, CorruptData : a checkpoint of another run, or an unreadable one
    """
    kernel = kernel_of(model, dynamics, hyper)
    run = Run(
        paths,
        seed,
        updates,
        time,
        burn_in,
        listed("observables", observables, str),
        listed("statistics", statistics, Histogram),
        windows,
    )
    of_networks: dict[str, Any] = {"every": every, "evaluate": evaluate, "snapshots": snapshots}
    keeping: dict[str, Any] = {"checkpoint": None, "progress": progress}
    if checkpoint is not None:
        keeping["checkpoint"] = path_of("checkpoint", checkpoint)
        refuse_unwritable(keeping["checkpoint"])
    check_positive_or_none("tolerance", tolerance)
    if threads is not None:
        check_whole("threads", threads, 1, 4096)
    if progress is not None and not callable(progress):
        raise SpecError(f"progress is {progress!r}; a function of the parts that are done and of all is accepted")
    if is_network(model):
        from sde_engine.network.results import simulate_network

        _refuse_for_networks(backend=None if backend == "jax" else backend, threads=threads, tolerance=tolerance)
        return simulate_network(model, dynamics, hyper, start=start, **of_networks, **keeping, **vars(run))
    refuse_for_formulas(**of_networks)
    backend = choice.BACKENDS[0] if backend is None else backend
    threads = threads or os.cpu_count() or 1
    points = None if start is None else _start_points(model, start)
    errors: dict[str, Quantity] = {}
    said: dict[str, Any] = {}
    if tolerance is not None:
        dynamics, refined, said = refinement(
            model, dynamics, hyper, run, tolerance, threads=threads, backend=backend, points=points
        )
        errors = {name: quantity for name, quantity in refined.items() if "_solver_error" in name}
    trace, clock = trace_of(model, dynamics, hyper, run, threads=threads, backend=backend, points=points, **keeping)
    motion = kernel.motion
    found = quantities(model, run, trace, clock, motion, points) | errors | _per_path(model, run, trace, motion)
    return dataset(found, said | _attributes(model, dynamics, hyper, run, clock, backend))


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
    joined = xarray.concat(runs, dim=xarray.Variable("dynamics", labels), join="outer", combine_attrs="drop_conflicts")
    joined["dynamics"].attrs["long_name"] = "what moves the parameters"
    return joined


def _refuse_for_networks(**given: Any) -> None:
    for name, value in given.items():
        if value is not None:
            raise SpecError(
                f"{name} is {value!r}, but a network runs on 'jax' and its threads, with the step that it is given; "
                f"leave {name} out"
            )


def _per_path(model: Model, run: Run, trace: Trace, motion: Motion | None) -> dict[str, Quantity]:
    state = tuple(trace.final)
    values = {}
    with np.errstate(all="ignore"):
        for name, observable, scale in observed(model, run, len(state), motion):
            values[f"{name}_final"] = Quantity(
                scale * observable.formula(state, model.params) + np.zeros(run.paths),
                f"{name} at the end, or at the exit of a path",
                observable.units,
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
    if points.ndim != 2 or points.shape[1] != model.dim or not len(points) or not np.isfinite(points).all():
        raise SpecError(f"start has shape {points.shape}; finite states of {model.dim} numbers each are accepted")
    return points
