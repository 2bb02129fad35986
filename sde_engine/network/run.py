"""Runs of networks: ensembles by vmap, time by lax.scan in jitted blocks, statistics that do not grow with the run.

A run is cut into `windows`. Within a window nothing leaves the device; after it, its means come to the host, the state
can be saved, and the caller is told how far the run is. A path whose parameters leave every bound is frozen, counted
and left out of all averages.
"""

from collections.abc import Callable
from functools import lru_cache
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from sde_engine.conventions import CONVENTIONS
from sde_engine.errors import Incompatible, SpecError
from sde_engine.kernel import Hyper, check_hyper
from sde_engine.network import checkpoints
from sde_engine.network.checkpoints import State
from sde_engine.network.model import NetworkModel
from sde_engine.network.precision import in_double
from sde_engine.network.record import averaged
from sde_engine.network.rule import STOCHASTIC, Rule, resolved_step, rule_of
from sde_engine.network.window import Plan, compiled_window
from sde_engine.stats.quantity import Quantity, scalar

if TYPE_CHECKING:
    import xarray

_LOOKS = 4096  # looks at a run, unless told otherwise


@in_double
def simulate_network(
    net: NetworkModel,
    dynamics: Any,
    hyper: Hyper,
    *,
    paths: int,
    updates: int,
    seed: int,
    burn_in: float = 0.5,
    start: Any = None,
    windows: int = 64,
    every: int | None = None,
    evaluate: str | None = None,
    checkpoint: str | Path | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> "xarray.Dataset":
    """Run an ensemble of a network and return its statistics, labelled.

    Parameters
    ----------
    net, dynamics, hyper : what moves, how (`Sgd`, `GaussianSgd`, `Langevin`, `GradientFlow`, `EntropicFlow`), and at
        which learning rate, batch size and weight decay
    paths, updates, seed : number of networks, length of the run on the clock t = eta * updates, key of all noise
    burn_in : fraction of the run (below 1) or number of updates that is not averaged, rounded up to whole windows
    start : parameters from which every path starts, or (paths, P) of them; None: `net.init`, another draw for each path
    windows : number of parts of the run, each a point of the traces
    every : steps between looks; None: about 4096 looks
    evaluate : "data": loss and gradient of all stored examples at each look, or "batch": those of the step only
    checkpoint : file that keeps the state between windows; a run that finds its own goes on from there
    progress : called with (steps done, steps) after each window

    Returns
    -------
    xarray.Dataset
        For `loss`, `gradient_square`, `step_gradient_square` (each also by leaf), `norm_square_<leaf>`, for the
        charges and their two parts, and for every observable f: `f`, `f_stderr`, `f_variance`, `f_trace` over `time`;
        `diverged_fraction`, `diverged_at`, and `theta_final` (paths, P).

    Raises
    ------
    SpecError, Incompatible : in words, before anything is compiled
    StoreError, CorruptData : a checkpoint of another run, or an unreadable one
    """
    hyper = check_hyper(hyper)
    kind = getattr(dynamics, "kind", None)
    for name, value in (("paths", paths), ("updates", updates), ("windows", windows), ("every", every or 1)):
        if not (isinstance(value, int | np.integer) and value >= 1):
            raise SpecError(f"{name} is {value!r}; a whole number, 1 or more, is accepted")
    theta = _starts(net, paths, seed, start)
    if kind not in STOCHASTIC:
        from sde_engine.network.flow import flow_dataset

        return flow_dataset(net, dynamics, hyper, theta, updates=updates, windows=windows)
    evaluate = _evaluation(net, evaluate)
    rule = _rule(net, dynamics, hyper, theta)
    plan = _plan(ceil(updates * hyper.eta / rule.dt * (1.0 - 1e-9)), windows, every)
    burnt = _burnt(burn_in, plan, updates)
    attributes = _attributes(net, dynamics, hyper, paths, seed, rule, plan, burnt)
    advance = compiled_window(net, rule, plan, paths, evaluate)
    still = np.zeros((paths, rule.width - net.dim), dtype=net.dtype)  # velocities start from rest
    state = State(np.concatenate([theta, still], axis=1), 0, np.full(paths, -1), {}, {})
    if checkpoint is not None:
        state = checkpoints.restored(Path(checkpoint), attributes, state)
    while state.step < plan.window * plan.windows:
        state = _advanced(state, advance, plan, net, seed)
        if checkpoint is not None:
            checkpoints.save(Path(checkpoint), attributes, state)
        if progress is not None:
            progress(state.step, plan.window * plan.windows)
    return _dataset(net, rule, plan, burnt, state, attributes)


def _starts(net: NetworkModel, paths: int, seed: int, start: Any) -> jax.Array:
    if start is None:
        index = jnp.arange(paths)
        return jax.vmap(lambda path: net.flatten(net.start(seed, path)))(index)
    if isinstance(start, np.ndarray | jax.Array) and start.shape == (paths, net.dim):
        return jnp.asarray(start, dtype=net.dtype)
    return jnp.tile(net.flatten(start), (paths, 1))


def _evaluation(net: NetworkModel, evaluate: str | None) -> str:
    evaluate = evaluate or ("batch" if net.size is None else "data")
    if evaluate not in ("data", "batch"):
        raise SpecError(f"evaluate is {evaluate!r}; accepted: 'data', 'batch'")
    if evaluate == "data" and net.size is None:
        raise Incompatible(f"{net.name!r} draws fresh examples; evaluate='batch' looks at those of the step")
    return evaluate


@lru_cache(maxsize=64)
def _cached_rule(net: NetworkModel, dynamics: Any, hyper: Hyper) -> Rule:
    return rule_of(net, dynamics, hyper)


def _rule(net: NetworkModel, dynamics: Any, hyper: Hyper, theta: jax.Array) -> Rule:
    if dynamics.kind == "langevin" and dynamics.dt is None and net.size is not None:
        from dataclasses import replace

        _cached_rule(net, dynamics, hyper)  # refuse before the curvature is computed
        dynamics = replace(dynamics, dt=resolved_step(net, hyper, theta[0]))
    return _cached_rule(net, dynamics, hyper)


def _plan(steps: int, windows: int, every: int | None) -> Plan:
    every = every or max(1, steps // _LOOKS)
    windows = max(1, min(windows, steps // every))
    window = every * ceil(steps / (windows * every))
    return Plan(every, window, ceil(steps / window))


def _burnt(burn_in: float, plan: Plan, updates: int) -> int:
    fraction = burn_in / updates if burn_in >= 1.0 else burn_in
    burnt = ceil(fraction * plan.windows - 1e-9)
    if burn_in < 0.0 or burnt >= plan.windows:
        raise SpecError(f"burn_in is {burn_in!r} of {updates} updates; leave some windows of the run to average")
    return burnt


def _advanced(state: State, advance: Callable[..., Any], plan: Plan, net: NetworkModel, seed: int) -> State:
    examples = () if net.size is None else net.examples
    out = advance(jnp.asarray(state.theta), jnp.asarray(state.exited), state.step, jnp.uint64(seed), examples)
    theta, exited, first, second = jax.device_get(out)
    return State(theta, state.step + plan.window, exited, _joined(state.first, first), _joined(state.second, second))


def _joined(done: dict[str, np.ndarray], new: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {k: np.concatenate([done[k], v[None]]) if k in done else v[None] for k, v in new.items()}


def _attributes(
    net: NetworkModel, dynamics: Any, hyper: Hyper, paths: int, seed: int, rule: Rule, plan: Plan, burnt: int
) -> dict[str, Any]:
    from sde_engine.dynamics import label

    length = plan.window * rule.dt
    return {
        "model": net.name,
        "dynamics": label(dynamics),
        "eta": hyper.eta,
        "batch": hyper.batch,
        "weight_decay": hyper.weight_decay,
        "temperature": hyper.temperature,
        "parameters": net.dim,
        "examples": net.size or 0,
        "paths": paths,
        "seed": seed,
        "time": plan.windows * length,
        "burn_in_time": burnt * length,
        "dt": rule.dt,
        "steps_between_looks": plan.every,
        "steps_in_window": plan.window,
        "backend": "jax",
        **CONVENTIONS,
        "precision": np.dtype(net.dtype).name,
        "loss": "of one example, as the network defines it",
    }


def _dataset(
    net: NetworkModel, rule: Rule, plan: Plan, burnt: int, state: State, attributes: dict[str, Any]
) -> "xarray.Dataset":
    import xarray

    alive = state.exited < 0
    clock = (np.arange(plan.windows) + 0.5) * plan.window * rule.dt
    found: dict[str, Quantity] = {}
    for name, first in state.first.items():
        found |= averaged(name, first, state.second[name], alive, burnt, clock)
    gone = np.where(alive, np.inf, state.exited * rule.dt)
    first_gone = gone.min() if not alive.all() else np.nan
    found |= {
        "diverged_fraction": scalar(1.0 - alive.mean(), "fraction of paths that left every bound or were not a number"),
        "t_first_diverged": scalar(first_gone, "clock at which the first path diverged"),
        "diverged_at": Quantity(gone, "clock at which the path diverged, infinite if it did not", dims=("path",)),
        "theta_final": Quantity(
            state.theta[:, : net.dim], "parameters at the end, in the order of net.flatten", dims=("path", "parameter")
        ),
    }
    coords = {name: values for quantity in found.values() for name, values in quantity.coords.items()}
    data = {k: (q.dims, q.value, {"long_name": q.long_name, "units": q.units}) for k, q in found.items()}
    return xarray.Dataset(data, coords=coords, attrs=attributes)
