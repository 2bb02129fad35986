"""Spectral gap and metastable sets from trajectories: transitions between cells of an observable, counted over a lag.

Works for any dynamics with a fixed step and any number of parameters. Two errors are stated together: that of the
finite number of paths (a jackknife over groups of paths), and that of the cells, which forget where in a cell a path
was and so relax too fast at short lags: the change of a rate from half the lag.
"""

import os
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from sde_engine.conventions import CONVENTIONS
from sde_engine.dynamics import label
from sde_engine.dynamics.langevin import Langevin
from sde_engine.errors import SpecError
from sde_engine.kernel import Dynamics, Hyper, check_hyper
from sde_engine.kinds import formulas
from sde_engine.model import Model
from sde_engine.pairs import states_after, step_of
from sde_engine.run import MAX_PATHS
from sde_engine.transfer_operator.spectrum import relaxation_of
from sde_engine.values import check_whole, is_finite

if TYPE_CHECKING:
    import xarray

SIGNAL = 3.0  # an eigenvalue below so many times sqrt(cells / paths) is noise
GROUPS = 20  # the jackknife leaves out one of so many groups of paths


def relaxation(
    model: Model,
    hyper: Hyper,
    *,
    lag: float,
    seed: int,
    dynamics: Dynamics | None = None,
    observable: str | None = None,
    paths: int = 40_000,
    time: float = 20.0,
    cells: int = 40,
    modes: int = 2,
    threads: int | None = None,
) -> "xarray.Dataset":
    """Return the slowest relaxation rates of an observable and its metastable sets, from an ensemble.

    Parameters
    ----------
    lag : time over which transitions are counted, on the clock t = eta * updates; about the slowest relaxation time
    dynamics : whose; None is the Ito equation (`Langevin()`)
    observable : None is the model's first observable
    time : before the count begins; long enough for a path to forget where in a set it started
    cells : of the observable, each with as many paths
    modes : number of rates

    Returns
    -------
    xarray.Dataset
        `relaxation_rate` (mode) with `relaxation_rate_error`, per unit of t, both infinite where a mode has died out
        within the lag and what is left is noise; `metastable_set` of each cell, whose
        `centres` are the coordinate; `population` of each set, where they come to rest.

    Raises
    ------
    Incompatible : a scheme whose paths choose their own steps
    SpecError : too few paths for the cells, or an observable that does not exist
    """
    model = formulas(model, "a relaxation rate")
    hyper, dynamics = check_hyper(hyper), dynamics or Langevin()
    name = observable or next(iter(model.observables), model.components[0])
    model.observable(name)
    check_whole("paths", paths, 1, MAX_PATHS)
    check_whole("cells", cells, 2, MAX_PATHS)
    if not (is_finite(lag) and is_finite(time) and lag > 0.0 and time > 0.0):
        raise SpecError(f"lag is {lag!r} and time is {time!r}; numbers above 0 are accepted")
    if not 2 <= cells <= paths // 100:
        raise SpecError(f"{paths} paths in {cells} cells; 2 or more cells with 100 paths each are accepted")
    values, span = _followed(model, dynamics, hyper, name, lag, time, paths, seed, threads)
    # An atom of the law fills several quantiles: edges that are the same value are one edge.
    edges = np.unique(np.quantile(values[0], np.linspace(0.0, 1.0, cells + 1), method="lower"))
    cells = len(edges) - 1
    if cells < 2:
        raise SpecError(f"{name!r} takes one value after time {time:g}; choose an observable that moves")
    index = [np.clip(np.searchsorted(edges, part, side="right") - 1, 0, cells - 1) for part in values]
    noise = SIGNAL * np.sqrt(cells / paths)
    whole = relaxation_of(_transitions(index[0], index[2], cells), span, number=max(modes, 2), floor=noise)
    short = relaxation_of(_transitions(index[0], index[1], cells), 0.5 * span, number=max(modes, 2), floor=noise)
    rates, statistical = whole.rates[:modes], _jackknife(index[0], index[2], cells, span, modes)
    with np.errstate(invalid="ignore"):
        change = np.abs(short.rates[:modes] - rates)
    error = np.where(np.isfinite(rates), np.hypot(statistical, change), np.inf)
    data = {
        "relaxation_rate": (("mode",), rates, {"long_name": "relaxation rate per unit of t", "units": "1"}),
        "relaxation_rate_error": (("mode",), error, {"long_name": "error of the relaxation rate", "units": "1"}),
        "relaxation_rate_stderr": (("mode",), statistical, {"long_name": "its part of finite paths", "units": "1"}),
        "metastable_set": ((name,), short.sets, {"long_name": "set that paths rarely leave"}),
        "population": (("set",), _populations(index, short.sets, cells), {"long_name": "weight of each set"}),
    }
    attrs = {"model": model.name, "dynamics": label(dynamics), **hyper._asdict(), "lag": span, "seed": seed}
    import xarray

    centres = 0.5 * (edges[1:] + edges[:-1])
    return xarray.Dataset(data, coords={name: centres}, attrs=attrs | {"paths": paths, **CONVENTIONS})


def _followed(
    model: Model,
    dynamics: Dynamics,
    hyper: Hyper,
    name: str,
    lag: float,
    time: float,
    paths: int,
    seed: int,
    threads: int | None,
) -> tuple[list[NDArray], float]:
    """Return the observable of the same paths after `time`, half a lag later and a lag later, and the lag in whole steps."""
    step = step_of(model, dynamics, hyper)
    half, start = max(1, round(0.5 * lag / step)), max(1, round(time / step))
    threads = threads or os.cpu_count() or 1
    steps = (start, start + half, start + 2 * half)
    states = states_after(model, dynamics, hyper, steps, paths=paths, seed=seed, threads=threads)
    formula = model.observable(name).formula
    return [np.asarray(formula(tuple(state), model.params)) for state in states], 2 * half * step


def _transitions(before: NDArray, after: NDArray, cells: int) -> NDArray:
    """Return the matrix of transition probabilities from column to row; a cell that a subset leaves empty keeps what it has."""
    counts = np.bincount(after * cells + before, minlength=cells * cells).reshape(cells, cells).astype(float)
    empty = np.flatnonzero(counts.sum(axis=0) == 0.0)
    counts[empty, empty] = 1.0
    return counts / counts.sum(axis=0)


def _jackknife(before: NDArray, after: NDArray, cells: int, span: float, modes: int) -> NDArray:
    group = np.arange(before.size) % GROUPS
    left_out = np.array(
        [
            relaxation_of(_transitions(before[group != g], after[group != g], cells), span, number=max(modes, 2)).rates
            for g in range(GROUPS)
        ]
    )[:, :modes]
    return np.sqrt((GROUPS - 1.0) / GROUPS * np.sum((left_out - left_out.mean(axis=0)) ** 2, axis=0))


def _populations(index: list[NDArray], sets: NDArray, cells: int) -> NDArray:
    """Return the weight of each set in the law that the transition matrix leaves as it is."""
    values, vectors = np.linalg.eig(_transitions(index[0], index[2], cells))
    law = np.abs(vectors[:, np.argmax(values.real)].real)
    return np.bincount(sets, law / law.sum())
