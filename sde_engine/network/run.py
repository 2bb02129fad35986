"""Runs of networks: ensembles by vmap, time by lax.scan in jitted blocks, statistics that do not grow with the run.

A run is cut into windows. Within a window nothing leaves the device; after it, its statistics come to the host, the
state can be saved, and the caller is told how far the run is. A path whose parameters leave every bound is frozen,
counted and left out of all averages.
"""

from collections.abc import Callable, Mapping
from math import ceil, inf
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from sde_engine.conventions import CONVENTIONS
from sde_engine.errors import Incompatible, SpecError
from sde_engine.kernel import Hyper, check_dynamics, check_hyper
from sde_engine.network.checkpoints import State, arrays_of, fingerprint, state_of
from sde_engine.network.flow import FAILED, Flow, compiled_flow
from sde_engine.network.given import check_formulas, states_of
from sde_engine.network.looks import Watch, shapes_of
from sde_engine.network.memory import refuse_large_window, refuse_too_many
from sde_engine.network.model import NetworkModel
from sde_engine.network.precision import in_double
from sde_engine.network.record import Means
from sde_engine.network.rule import check_resolved, resolved_step, rule_of
from sde_engine.network.schedule import Schedule, burnt_windows, schedule_of
from sde_engine.network.window import compiled_window
from sde_engine.run import Run
from sde_engine.store import checkpoint as store
from sde_engine.values import check_choice, check_whole

Snapshots = Mapping[str, Callable[[np.ndarray], Any]]
EVALUATIONS = ("data", "batch")
_WATCHED = 200  # steps between two looks at the curvature, each the price of some thirty steps


class Options(NamedTuple):
    """What a run of a network can be told besides what every run is told.

    Parameters
    ----------
    every : updates between two looks; None: about 4096 looks
    evaluate : "data": loss and gradient of all stored examples at each look, or "batch": those of the step only
    snapshots : name -> (theta (P,) -> number or array), evaluated for every path at the end of each window
    checkpoint : file that keeps the state between windows; a run that finds its own goes on from there
    progress : called with (windows done, windows) after each window
    """

    every: int | None = None
    evaluate: str | None = None
    snapshots: Snapshots | None = None
    checkpoint: str | Path | None = None
    progress: Callable[[int, int], Any] | None = None


class Finished(NamedTuple):
    """A run that is done: its last state, when it was looked at, and who counts."""

    run: Run
    watch: Watch
    schedule: Schedule
    burnt: int
    group: np.ndarray  # (paths,) number of the start of each path
    state: State
    attributes: dict[str, Any]

    @property
    def alive(self) -> np.ndarray:
        """(paths,) whether the path did not diverge."""
        return self.state.exited < 0

    def means(self, name: str) -> Means:
        """Return the means of all windows and paths of one observable."""
        return Means(self.state.first[name], self.state.spread[name], self.schedule.counts)


@in_double
def run_network(
    net: NetworkModel, dynamics: Any, hyper: Hyper, run: Run, *, start: Any = None, options: Options | None = None
) -> Finished:
    """Run an ensemble of a network to its end.

    Raises
    ------
    SpecError, Incompatible : in words, before anything is compiled
    Unresolved : the default step of Langevin() has become too long for a path, see `_watch_step`
    StoreError, CorruptData : a checkpoint of another run, or an unreadable one
    """
    options = options or Options()
    check_dynamics(dynamics)
    hyper = check_hyper(hyper)
    moved = rule_of(net, dynamics, hyper)
    _check_snapshots(net, options.snapshots)
    watch = watched(net, run, options.evaluate)
    refuse_too_many(net, run, watch, net.dim if isinstance(moved, Flow) else moved.step.width)
    theta, group = _starts(net, run, start)
    schedule = _scheduled(net, dynamics, hyper, run, moved, theta, options.every)
    burnt = burnt_windows(run, schedule, hyper.eta)
    attributes = _attributes(net, dynamics, hyper, run, schedule, burnt)
    if isinstance(moved, Flow):
        attributes = {k: v for k, v in attributes.items() if k != "dt"} | {"backend": "diffrax"}
    state = _fresh(theta, moved, net, watch)
    if options.checkpoint is not None:
        identity = attributes | fingerprint(net, theta, watch, tuple(options.snapshots or {}))
        kept = store.restored(Path(options.checkpoint), identity)
        state = state if kept is None else state_of(kept)
    advance, settings = _compiled(net, moved, schedule, run.paths, watch)
    refuse_large_window(net, run, advance, state, settings)
    while state.step < schedule.total:
        state = _advanced(state, advance, settings, schedule, net, run.seed, burnt)
        _watch_step(net, dynamics, hyper, schedule, state)
        state = _with_snapshots(state, net, options.snapshots or {})
        if options.checkpoint is not None:
            store.save(Path(options.checkpoint), identity, arrays_of(state))
        if options.progress is not None:
            options.progress(ceil(state.step / schedule.steps), schedule.windows)
    return Finished(run, watch, schedule, burnt, group, state, attributes)


def watched(net: NetworkModel, run: Run, evaluate: str | None) -> Watch:
    """Return what a run looks at, checked."""
    evaluate = evaluate or ("batch" if net.size is None else "data")
    check_choice("evaluation", evaluate, EVALUATIONS)
    if evaluate == "data" and net.size is None:
        raise Incompatible(f"{net.name!r} draws fresh examples; evaluate='batch' looks at those of the step")
    names = run.observables or tuple(n for n in net.observable_names if evaluate == "data" or not _needs_data(n))
    names += tuple(h.observable for h in run.histograms if h.observable not in names)
    for name in names:
        net.observable(name)
        if evaluate == "batch" and _needs_data(name):
            raise Incompatible(f"observable {name!r} is of all stored examples; evaluate='data' looks at them")
    watch = Watch(names, run.histograms, evaluate)
    shapes = shapes_of(net, watch)
    for h in run.histograms:
        if shapes[h.observable]:
            raise Incompatible(
                f"observable {h.observable!r} is an array of shape {shapes[h.observable]}; histograms are of numbers"
            )
    return watch


def _needs_data(name: str) -> bool:
    return name == "gradient_square" or name.startswith("gradient_square_")


def _starts(net: NetworkModel, run: Run, start: Any) -> tuple[jax.Array, np.ndarray]:
    """Return (paths, P) initial states and the number of the start of each path: path i begins at start i mod M."""
    index = np.arange(run.paths)
    if start is None and net.draws_starts:
        return jax.vmap(lambda path: net.flatten(net.start(run.seed, path)))(jnp.asarray(index)), index
    states, _ = states_of(net, net.start(run.seed) if start is None else start, "start")
    return states[index % len(states)], index % len(states)


def _scheduled(
    net: NetworkModel, dynamics: Any, hyper: Hyper, run: Run, moved: Any, theta: jax.Array, every: int | None
) -> Schedule:
    if every is not None:
        check_whole("every", every, 1, 2**62)
    if isinstance(moved, Flow):
        return schedule_of(run, hyper.eta, inf, is_discrete=False, every=every)
    dt = moved.dt
    if dynamics.kind == "langevin" and dynamics.dt is None:
        dt = resolved_step(net, hyper, theta)
    return schedule_of(run, hyper.eta, dt, is_discrete=moved.is_discrete, period=moved.period, every=every)


def _watch_step(net: NetworkModel, dynamics: Any, hyper: Hyper, schedule: Schedule, state: State) -> None:
    """Stop where the default step of an SDE is too long: every window that ends 200 steps after, and the last.

    A step that followed the curvature in both directions would have to know the end of a window at its beginning, or
    select the paths that are easy; so a step that was wrong ends the run, in words.
    """
    if dynamics.kind != "langevin" or dynamics.dt is not None:
        return
    is_last = state.step == schedule.total
    if is_last or state.step // _WATCHED > (state.step - schedule.steps) // _WATCHED:
        check_resolved(
            net, hyper, state.theta, state.exited, schedule.dt, float(schedule.clock(np.asarray(state.step)))
        )


def _compiled(
    net: NetworkModel, moved: Any, schedule: Schedule, paths: int, watch: Watch
) -> tuple[Callable[..., Any], dict[str, Any]]:
    """Return what advances the ensemble by a window, and the numbers it takes."""
    numbers = {name: np.asarray(v, dtype=net.dtype) for name, v in (moved.settings | {"dt": schedule.dt}).items()}
    numbers["total"] = np.asarray(schedule.total)
    if isinstance(moved, Flow):
        return compiled_flow(net, moved.solver, schedule.looks, watch), numbers
    return compiled_window(net, moved.step, schedule.looks, schedule.every, paths, watch), numbers


def _fresh(theta: jax.Array, moved: Any, net: NetworkModel, watch: Watch) -> State:
    paths, dim = theta.shape
    width = dim if isinstance(moved, Flow) else moved.step.width
    still = np.zeros((paths, width - dim), dtype=net.dtype)  # velocities start from rest
    columns = sum(int(h.bins) + 2 for h in watch.histograms)
    state = np.concatenate([theta, still], axis=1)
    return State(state, 0, np.full(paths, -1), np.zeros((columns, paths)), {}, {}, {})


def _advanced(
    state: State,
    advance: Callable[..., Any],
    settings: dict[str, Any],
    schedule: Schedule,
    net: NetworkModel,
    seed: int,
    burnt: int,
) -> State:
    examples = () if net.size is None else net.examples
    settings = settings | {"dt": np.asarray(schedule.dt_from(state.step), dtype=net.dtype)}
    out = advance(jnp.asarray(state.theta), jnp.asarray(state.exited), state.step, jnp.uint64(seed), examples, settings)
    theta, exited, seen = jax.device_get(out)
    if np.any(exited == FAILED):
        raise Incompatible(
            f"the solver of the flow gave up on path {int(np.argmax(exited == FAILED))}; use implicit=False, or larger "
            "rtol and atol"
        )
    window = state.step // schedule.steps
    spread = {name: square / schedule.counts[window] for name, square in seen.square.items()}
    return State(
        theta,
        min(state.step + schedule.steps, schedule.total),
        exited,
        state.histogram + (window >= burnt) * seen.histogram.T,
        _joined(state.first, seen.mean),
        _joined(state.spread, spread),
        state.snapshots,
    )


def _with_snapshots(state: State, net: NetworkModel, snapshots: Snapshots) -> State:
    new = {name: _snapshot(name, formula, state.theta[:, : net.dim]) for name, formula in snapshots.items()}
    return state._replace(snapshots=_joined(state.snapshots, new))


def _check_snapshots(net: NetworkModel, snapshots: Any) -> None:
    """Refuse snapshots of the wrong kind, and what they return at one start."""
    if snapshots is None:
        return
    check_formulas("snapshots", snapshots, "theta (P,) -> number or array")
    for name, formula in snapshots.items():
        if name in net.observable_names:
            raise SpecError(f"the snapshot {name!r} has the name of an observable; give it another one")
        _snapshot(name, formula, np.asarray(net.flatten(net.start(0)))[None])


def _snapshot(name: str, formula: Callable[[np.ndarray], Any], states: np.ndarray) -> np.ndarray:
    """Return what a formula says of every state (M, P), (M, ...)."""
    found = [formula(theta) for theta in states]
    try:
        return np.array([np.asarray(value, dtype=float) if value is not None else "None" for value in found]) * 1.0
    except (TypeError, ValueError):
        raise SpecError(
            f"the snapshot {name!r} returns {found[0]!r}; a number, or an array of one shape for all parameters, is "
            "accepted"
        ) from None


def _joined(done: dict[str, np.ndarray], new: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {k: np.concatenate([done[k], v[None]]) if k in done else v[None] for k, v in new.items()}


def _attributes(
    net: NetworkModel, dynamics: Any, hyper: Hyper, run: Run, schedule: Schedule, burnt: int
) -> dict[str, Any]:
    from sde_engine.dynamics import label

    return {
        "model": net.name,
        "dynamics": label(dynamics),
        "eta": hyper.eta,
        "batch": hyper.batch,
        "weight_decay": hyper.weight_decay,
        "temperature": hyper.temperature,
        "parameters": net.dim,
        "examples": net.size or 0,
        "paths": run.paths,
        "seed": run.seed,
        "time": schedule.end,
        "burn_in_time": burnt * schedule.window,
        "dt": schedule.dt,
        "steps_between_looks": schedule.every,
        "steps_in_window": schedule.steps,
        "backend": "jax",
        **CONVENTIONS,
        "precision": np.dtype(net.dtype).name,
        "loss": "of one example, as the network defines it",
    }
