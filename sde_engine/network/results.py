"""What a run of a network says: the same labelled numbers as of a small model, and traces over time beside them."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sde_engine.errors import Unresolved
from sde_engine.kernel import Hyper
from sde_engine.network.checkpoints import State
from sde_engine.network.looks import final_looks, shapes_of
from sde_engine.network.model import NetworkModel
from sde_engine.network.observed import words_for
from sde_engine.network.precision import in_double
from sde_engine.network.record import averaged, axes_of, traced
from sde_engine.network.run import Finished, Options, Snapshots, run_network, watched
from sde_engine.network.schedule import Schedule
from sde_engine.run import Run
from sde_engine.stats.fate import divergence, exits
from sde_engine.stats.histogram import densities, layout
from sde_engine.stats.quantity import Quantity, dataset

if TYPE_CHECKING:
    import xarray


def statistics(done: Finished) -> dict[str, Quantity]:
    """Return means, variances and their errors, R-hat, densities and the fate of the paths."""
    alive, schedule = done.alive, done.schedule
    recorded = (schedule.end - done.burnt * schedule.window) * int(alive.sum())
    found: dict[str, Quantity] = {}
    for name in done.watch.names:
        found |= averaged(name, done.means(name).kept(alive, done.burnt), done.group[alive], recorded)
    diverged_at = _diverged_at(done)
    scalars = tuple(name for name in done.watch.names if done.state.first[name].ndim == 2)
    bins = layout(done.run.histograms, scalars)
    return found | divergence(diverged_at) | densities(diverged_at, done.state.histogram, done.run.histograms, bins)


def labelled(net: NetworkModel, done: Finished) -> dict[str, Quantity]:
    """Return what is not one number a cell: traces over time, snapshots, and every path at its end."""
    schedule, state = done.schedule, done.state
    ends = schedule.ends
    middles = 0.5 * (ends + np.append(0.0, ends[:-1]))
    found: dict[str, Quantity] = {}
    for name in done.watch.names:
        found |= traced(name, done.means(name).kept(done.alive, 0), middles)
    for name, values in state.snapshots.items():
        dims, coords = axes_of(name, values.shape[2:])
        coords = {"window_end": ends} | coords
        words = f"{name} of every path at the end of a window"
        found[name] = Quantity(values, words, "1", ("window_end", "path", *dims), coords)
    theta = state.theta[:, : net.dim]
    for name, values in final_looks(net, done.watch, theta).items():
        dims, coords = axes_of(name, values.shape[1:])
        words = f"{words_for(name)}, at the end, or at the exit of a path"
        found[f"{name}_final"] = Quantity(values, words, "1", ("path", *dims), coords)
    words = "parameters at the end, in the order of net.flatten"
    found["theta_final"] = Quantity(theta, words, "1", ("path", "parameter"))
    return found | exits(_diverged_at(done))


def _diverged_at(done: Finished) -> np.ndarray:
    return np.where(done.alive, np.inf, done.schedule.clock(done.state.exited))


@in_double
def simulate_network(
    net: NetworkModel,
    dynamics: Any,
    hyper: Hyper,
    *,
    start: Any = None,
    every: int | None = None,
    evaluate: str | None = None,
    snapshots: Snapshots | None = None,
    checkpoint: str | Path | None = None,
    progress: Callable[[int, int], Any] | None = None,
    windows: int = 64,
    **run: Any,
) -> "xarray.Dataset":
    """Run an ensemble of a network and return its statistics, labelled.

    What `sde_engine.simulate` does with a network, in smaller windows: settings are those of `Options` and, as further
    keywords, of `Run`. The default step of Langevin() is eta, or less so that dt times the largest curvature of the
    starts is at most 0.1; a run in which it exceeds 0.5 later on is stopped in words (`Unresolved`), for its paths may
    diverge where those of the equation do not. Give Langevin(dt=...) then; a step that is given is not watched.
    """
    options = Options(every, evaluate, snapshots, checkpoint, progress)
    done = run_network(net, dynamics, hyper, Run(windows=windows, **run), start=start, options=options)
    return dataset(statistics(done) | labelled(net, done), done.attributes)


def measure_network(net: NetworkModel, dynamics: Any, hyper: Hyper, run: Run) -> dict[str, np.ndarray]:
    """Return every statistic of one cell by name, as plain arrays: what a sweep stores.

    Raises
    ------
    ArithmeticError : instead of `Unresolved`, for a sweep flags such a cell and goes on
    """
    try:
        done = run_network(net, dynamics, hyper, run)
    except Unresolved as error:
        raise ArithmeticError(str(error)) from error
    found = {name: quantity.value for name, quantity in statistics(done).items()}
    return found | {"duration": np.asarray(done.schedule.end)}


@in_double
def network_variables(net: NetworkModel, run: Run) -> dict[str, Quantity]:
    """Return names, dimensions and words of what `measure_network` returns, with values of no meaning."""
    watch = watched(net, run, None)
    empty = {name: np.zeros((1, 2, *shape)) for name, shape in shapes_of(net, watch).items()}
    columns = sum(int(h.bins) + 2 for h in run.histograms)
    state = State(np.zeros((2, net.dim)), 1, np.full(2, -1), np.zeros((columns, 2)), empty, empty, {})
    return statistics(Finished(run, watch, Schedule(1, 1, 1.0, 1.0, 1, 1.0, 1.0), 0, np.arange(2), state, {}))
