"""The solver's own error, beside the statistical one: the same ensemble with steps of dt and of dt / 2.

The two runs see the same Brownian paths (an increment over dt is the sum of two over dt / 2), so their difference is
known far better than either average. With an error of order p in dt, the run at dt is off by
(coarse - fine) 2^p / (2^p - 1), and (2^p fine - coarse) / (2^p - 1) is of the next order: Talay and Tubaro's
2 Euler(dt / 2) - Euler(dt). The order is that of stationary averages: a run must have forgotten its start.

Schemes that choose their steps are run again with half the tolerance and half the longest step; their steps are of the
order of the tolerance, and the two runs are not coupled: whatever the number of paths, their error is known to about 1 to
sqrt(2) 2^p / (2^p - 1) standard errors of the averages (1.9 for order 2, 2.8 for order 1), by what the starts still share.

References
----------
Talay, D. and Tubaro, L. (1990). Expansion of the global error for numerical schemes solving stochastic differential
equations. Stoch. Anal. Appl. 8, 483-509. Lemaire, V., Pages, G. and Panloup, F. (2015). Ann. Inst. H. Poincare Probab.
Statist. 51, 1562-1596 (stationary laws).
"""

import os
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from sde_engine.backends.trace import Trace
from sde_engine.components import add, halves, scale
from sde_engine.errors import Incompatible, SpecError
from sde_engine.kernel import Diffusion, Hyper, Kernel, check_hyper
from sde_engine.model import Model
from sde_engine.observed import Observed, observed
from sde_engine.paths import trace_of
from sde_engine.run import Run
from sde_engine.stats.averages import MIN_UNITS, deviations
from sde_engine.stats.quantity import Quantity, scalar

if TYPE_CHECKING:
    import xarray

_ROOT_HALF = 0.5**0.5


def solver_error(
    model: Model, dynamics: Any, hyper: Hyper, *, threads: int | None = None, backend: str = "numba", **run: Any
) -> "xarray.Dataset":
    """Return stationary averages of a run at dt with both of their errors, and extrapolated to dt -> 0.

    Parameters
    ----------
    model, dynamics, hyper : as in `simulate`; dynamics that are solved with a step dt
    threads : None for all cores; the result does not depend on it
    backend : "numba" or "numpy" (the slow reference); they give the same bits
    **run : paths, seed, updates, time, burn_in, observables, windows, as in `simulate`

    Returns
    -------
    xarray.Dataset
        For every observable f and its variance `f_variance`: the value at dt and its `_stderr`, `_solver_error` (what
        dt adds to it) and `_solver_error_stderr`, `_extrapolated` and `_extrapolated_stderr`; `diverged_fraction`.

    Raises
    ------
    Incompatible : dynamics without a numerical step
    """
    found, attributes = _measured(model, dynamics, hyper, _run(run), threads, backend)
    return _dataset(found, attributes)


def extrapolated(
    model: Model, dynamics: Any, hyper: Hyper, *, threads: int | None = None, backend: str = "numba", **run: Any
) -> "xarray.Dataset":
    """Return averages extrapolated from dt and dt / 2 to dt -> 0: `f`, `f_stderr`, `f_variance`, `f_variance_stderr`.

    One order better than the scheme, at three times its cost. Arguments are those of `solver_error`.
    """
    found, attributes = _measured(model, dynamics, hyper, _run(run), threads, backend)
    end = "_extrapolated"
    better = {name.replace(end, ""): quantity for name, quantity in found.items() if end in name}
    return _dataset(better | {"diverged_fraction": found["diverged_fraction"]}, attributes)


def refined(
    model: Model,
    dynamics: Any,
    hyper: Hyper,
    *,
    halvings: int = 6,
    threads: int | None = None,
    backend: str = "numba",
    **run: Any,
) -> "xarray.Dataset":
    """Halve dt until the solver's error of every average is below its standard error; return the last `solver_error`.

    The attribute `verdict` says whether it got there, and if not, what stands in the way. Schemes that choose their
    steps do not get there: they are halved until their error cannot be told from none. Arguments are those of
    `solver_error`; `halvings` bounds the work.
    """
    _, found, attributes = refinement(model, dynamics, hyper, _run(run), 1.0, halvings, threads, backend)
    return _dataset(found, attributes)


def refinement(
    model: Model,
    dynamics: Any,
    hyper: Hyper,
    run: Run,
    enough: float,
    halvings: int = 6,
    threads: int | None = None,
    backend: str = "numba",
    points: np.ndarray | None = None,
) -> tuple[Any, dict[str, Quantity], dict[str, Any]]:
    """Return dynamics whose solver's errors are below `enough` standard errors, these errors, and what is said of it."""
    for halving in range(halvings + 1):
        found, attributes = _measured(model, dynamics, hyper, run, threads, backend, points)
        kernel = dynamics.kernel(model, check_hyper(hyper))
        verdict, excess = _verdict(found, attributes["dt"], enough, coupled=kernel.size is None)
        if excess <= enough or np.isnan(excess) or halving == halvings:
            break
        dynamics = _halved(dynamics, kernel)
    return dynamics, found, attributes | {"verdict": verdict, "refined": int(excess <= enough)}


def _run(given: dict[str, Any]) -> Run:
    return Run(**(given | {"observables": tuple(given.get("observables", ()))}))


def _verdict(found: dict[str, Quantity], dt: float, enough: float, *, coupled: bool) -> tuple[str, float]:
    """Return in words, and in standard errors, how large the solver's error is; nan if smaller steps will not tell."""
    end = "_solver_error"
    names = [name.removesuffix(end) for name in found if name.endswith(end)]
    ratios = {n: abs(float(found[n + end].value)) / float(found[n + "_stderr"].value) for n in names}
    worst = max(ratios, key=lambda name: ratios[name] if ratios[name] == ratios[name] else np.inf)
    gone = float(found["diverged_fraction"].value)
    if gone > 0.0:
        return (
            f"at dt = {dt:g} a fraction {gone:.2g} of the paths diverged; use a scheme for superlinear growth",
            np.inf,
        )
    if not np.isfinite(ratios[worst]):
        return f"at dt = {dt:g} {worst} has no standard error; run {MIN_UNITS} paths or more", np.inf
    blur = max(float(found[n + end + "_stderr"].value) / float(found[n + "_stderr"].value) for n in names)
    if blur > enough and ratios[worst] <= 2.0 * blur:
        said = f"at dt = {dt:g} the solver's error is known to {blur:.2g} standard errors only"
        if coupled:
            return f"{said}; start from a smaller dt, or use a tolerance above that", np.inf
        return (
            f"{said}, however many the paths, because those that choose their steps are not coupled; use a tolerance above "
            "that, or a scheme of fixed steps",
            np.nan,
        )
    said = f"at dt = {dt:g} the solver's error of {worst} is {ratios[worst]:.2g} standard errors"
    return said if ratios[worst] <= enough else f"{said}; allow more halvings, or run fewer paths", ratios[worst]


@dataclass(frozen=True)
class _Coupled:
    """Steps of dt driven by pairs of increments over dt / 2: as one step of dt, or as two of dt / 2."""

    dynamics: Any
    fine: bool
    kind = "coupled"

    def kernel(self, model: Model, hyper: Hyper) -> Diffusion:
        kernel = self.dynamics.kernel(model, hyper)
        step = _in_two(kernel.step) if self.fine else _in_one(kernel.step)
        return kernel._replace(step=step, columns=2 * kernel.columns)


@lru_cache(maxsize=64)
def _in_two(step: Any) -> Any:
    def two_steps(state: Any, z: Any, dt: Any, root: Any, p: Any, h: Any) -> Any:
        early, late = halves(z)
        half, half_root = 0.5 * dt, _ROOT_HALF * root
        return step(step(state, early, half, half_root, p, h), late, half, half_root, p, h)

    return two_steps


@lru_cache(maxsize=64)
def _in_one(step: Any) -> Any:
    def one_step(state: Any, z: Any, dt: Any, root: Any, p: Any, h: Any) -> Any:
        early, late = halves(z)
        return step(state, scale(_ROOT_HALF, add(early, late)), dt, root, p, h)

    return one_step


def _halved(dynamics: Any, kernel: Kernel) -> Any:
    assert isinstance(kernel, Diffusion)
    finer = {"dt": 0.5 * kernel.dt}
    return replace(
        dynamics, **(finer if kernel.size is None else finer | {"tolerance": 0.5 * kernel.settings.tolerance})
    )


def _measured(
    model: Model,
    dynamics: Any,
    hyper: Hyper,
    run: Run,
    threads: int | None,
    backend: str,
    points: np.ndarray | None = None,
) -> tuple[dict[str, Quantity], dict[str, Any]]:
    from sde_engine.dynamics import label

    if not hasattr(dynamics, "accuracy"):
        raise Incompatible(
            f"{label(dynamics)} is not solved with a numerical step of known order; accepted: langevin, underdamped"
        )
    if run.histograms:
        raise SpecError("histograms have no solver error here; give observables")
    hyper = check_hyper(hyper)
    kernel, order = dynamics.kernel(model, hyper), dynamics.accuracy(model)
    if np.isinf(order):
        raise Incompatible(
            f"{label(dynamics)} is exact in law at every dt, so there is no solver's error to measure or to lower; use "
            "simulate without a tolerance"
        )
    coupled = kernel.size is None
    pair = (_Coupled(dynamics, False), _Coupled(dynamics, True)) if coupled else (dynamics, _halved(dynamics, kernel))
    threads = threads or os.cpu_count() or 1
    (coarse, clock), (fine, _) = (
        trace_of(model, one, hyper, run, threads=threads, backend=backend, points=points) for one in pair
    )
    attributes = {"model": model.name, "dynamics": label(dynamics), "dt": clock.dt, "order": order, "time": clock.end}
    seen = observed(model, run, kernel.width, kernel.motion)
    return _compared(seen, coarse, fine, order), attributes


class _PathMeans(NamedTuple):
    """Time averages of every path, (K, P): of the observables, and of their squares about the common mean."""

    first: np.ndarray
    second: np.ndarray


def _path_means(trace: Trace) -> _PathMeans:
    sums = deviations(trace)
    weight = sums.weight.sum(axis=0)
    first = sums.first.sum(axis=0) / weight
    count = len(first)
    square = sums.second.sum(axis=0)[range(count), range(count)] / weight
    centre = first.mean(axis=1, keepdims=True) if first.shape[1] else np.zeros((count, 1))
    return _PathMeans(sums.origin[:, None] + first, square - 2.0 * centre * first + centre * centre)


def _compared(seen: tuple[Observed, ...], coarse: Trace, fine: Trace, order: float) -> dict[str, Quantity]:
    exit_time = np.minimum(coarse.diverged_at, fine.diverged_at)  # a pair counts if both of its paths survive
    at_dt, at_half = (_path_means(trace._replace(diverged_at=exit_time)) for trace in (coarse, fine))
    share = 2.0**order / (2.0**order - 1.0)
    found: dict[str, Quantity] = {}
    for k, (name, observable, _) in enumerate(seen):
        unit = observable.units
        found |= _with_errors(name, unit, at_dt.first[k], share * (at_dt.first[k] - at_half.first[k]))
        square = f"{unit}2" if unit != "1" else "1"
        found |= _with_errors(
            f"{name}_variance", square, at_dt.second[k], share * (at_dt.second[k] - at_half.second[k])
        )
    gone = float(np.isfinite(exit_time).mean())
    return found | {"diverged_fraction": scalar(gone, "fraction of pairs of paths of which one diverged")}


def _with_errors(name: str, unit: str, values: np.ndarray, errors: np.ndarray) -> dict[str, Quantity]:
    found: dict[str, Quantity] = {}
    for label, words, sample in (
        (name, f"{name} at dt", values),
        (f"{name}_solver_error", f"what dt adds to {name}", errors),
        (f"{name}_extrapolated", f"{name} extrapolated to dt -> 0", values - errors),
    ):
        enough = len(sample) >= MIN_UNITS
        error = float(sample.std(ddof=1) / np.sqrt(len(sample))) if enough else float("nan")
        found[label] = scalar(float(sample.mean()) if len(sample) else float("nan"), words, unit)
        found[f"{label}_stderr"] = scalar(error, f"standard error of {words}", unit)
    return found


def _dataset(found: dict[str, Quantity], attributes: dict[str, Any]) -> "xarray.Dataset":
    import xarray

    data = {n: (q.dims, q.value, {"long_name": q.long_name, "units": q.units}) for n, q in found.items()}
    return xarray.Dataset(data, attrs=attributes)
