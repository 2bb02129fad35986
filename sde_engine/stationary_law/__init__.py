"""One stationary law by three independent roads: closed form, Fokker-Planck equation, ensemble.

    law = stationary(model, hyper, method="all", seed=1);  law.agreement

The three share nothing but the model's formulas, so their agreement is evidence, and their distances are reported.
"""

from dataclasses import replace
from typing import Literal

from sde_engine.errors import Incompatible, SdeEngineError, SpecError, unknown
from sde_engine.fokker_planck.equation import temperature_of
from sde_engine.fokker_planck.grid import Grid
from sde_engine.kernel import Dynamics, Hyper, Sampling, check_hyper
from sde_engine.kinds import formulas
from sde_engine.model import Model
from sde_engine.stationary_law.agreement import compared as compared
from sde_engine.stationary_law.closed import closed_law
from sde_engine.stationary_law.law import Line as Line
from sde_engine.stationary_law.law import StationaryLaw as StationaryLaw
from sde_engine.stationary_law.on_grid import find_grid, solved, tabulated
from sde_engine.stationary_law.sampled import Ensemble, sampled
from sde_engine.stationary_law.support import Support, supports
from sde_engine.stepping import kernel_of

Method = Literal["closed_form", "fokker_planck", "ensemble", "all"]
METHODS = ("closed_form", "fokker_planck", "ensemble", "all")


def stationary(
    model: Model,
    hyper: Hyper,
    *,
    method: Method = "closed_form",
    dynamics: Dynamics | None = None,
    observable: str | None = None,
    grid: Grid | None = None,
    cells: int | None = None,
    paths: int = 4096,
    time: float = 200.0,
    bins: int = 100,
    seed: int | None = None,
    threads: int | None = None,
) -> StationaryLaw:
    """Return the stationary law of a model, labelled.

    Parameters
    ----------
    method : "closed_form", "fokker_planck", "ensemble", or "all": every route that applies, with their distances
    dynamics : whose law; None is the Ito equation (`Langevin()`). Discrete dynamics have the ensemble route only
    observable : the variable of a law on a line; None is the model's first observable
    grid, cells : for the Fokker-Planck equation: a grid in the coordinates of the line or space, or its resolution;
        None finds a grid that holds the law
    paths, time, bins, seed, threads : of the ensemble, which has no default seed

    Returns
    -------
    StationaryLaw
        The law at the most generic place; `others` holds laws of other signs, collapsed and metastable ones.

    Raises
    ------
    Incompatible : a route that does not serve this model or dynamics, in words
    """
    from sde_engine.dynamics.langevin import Langevin

    if method not in METHODS:
        raise SpecError(unknown("method", method, METHODS))
    model, hyper, dynamics = formulas(model, "this law"), check_hyper(hyper), dynamics or Langevin()
    kernel_of(model, dynamics, hyper)
    if dynamics.kind != "langevin" and method in ("closed_form", "fokker_planck"):
        raise Incompatible(
            f"{method!r} gives the law of the Ito equation, but the dynamics is {dynamics.kind!r}; use "
            "method='ensemble', or dynamics=None"
        )
    if method in ("ensemble", "all") and seed is None:
        raise SpecError(f"method {method!r} runs an ensemble and has no default seed; give seed=...")
    places, on_grid = _places(model, hyper, observable, method)
    routes: list[StationaryLaw] = []
    others: tuple[StationaryLaw, ...] = ()
    if method != "ensemble" and dynamics.kind == "langevin" and on_grid:
        sampling: Sampling = getattr(dynamics, "sampling", "iid")
        routes, others = _grid_routes(model, hyper, places, method, sampling, grid, cells)
    if method in ("ensemble", "all"):
        alive = bool(routes) and not routes[-1].is_point_mass
        ranges = {line.name: _span(line) for line in routes[-1].lines} if alive else None
        long = Ensemble(paths, time, int(seed or 0), bins, threads)
        routes.append(sampled(model, hyper, dynamics, places[0], long, ranges))
    if method != "all":
        return replace(routes[0], others=others)
    distances, sentence = compared(tuple(routes))
    return replace(routes[0], others=others, routes=tuple(routes), agreement=sentence, distances=distances)


def _grid_routes(
    model: Model,
    hyper: Hyper,
    places: tuple[Support, ...],
    method: str,
    sampling: Sampling,
    grid: Grid | None,
    cells: int | None,
) -> tuple[list[StationaryLaw], tuple[StationaryLaw, ...]]:
    """Return the laws by closed form and Fokker-Planck equation at the first place, and the laws beside them."""
    place, routes = places[0], []
    equation = place.equation(model, hyper, sampling)
    found, dies = (grid, True) if grid is not None else find_grid(model, equation, place, cells)
    if method in ("closed_form", "all"):
        try:
            known = closed_law(model, hyper, temperature_of(model, hyper, sampling), place)
            routes.append(tabulated(model, hyper, known, place, found))
        except SdeEngineError:
            if method == "closed_form":
                raise
    if method == "closed_form":
        return routes, ()
    first, *beside = solved(model, hyper, equation, place, found, dies)
    routes.append(first)
    if method == "fokker_planck":
        for other in places[1:]:
            there = other.equation(model, hyper, sampling)
            beside += solved(model, hyper, there, other, *find_grid(model, there, other, cells))
    return routes, tuple(beside)


def _places(model: Model, hyper: Hyper, observable: str | None, method: str) -> tuple[tuple[Support, ...], bool]:
    """Return the places of the laws, and whether a grid can hold them; for an ensemble any model has a place."""
    try:
        return supports(model, hyper, observable), True
    except Incompatible:
        if method not in ("ensemble", "all"):
            raise
        names = (observable,) if observable else tuple(model.observables) or model.components
        return (Support("", names, None, False),), False


def _span(line: Line) -> tuple[float, float]:
    """Return the range of a histogram: the central 90 % of the law and as much again on either side."""
    low, high = float(line.quantiles[0]), float(line.quantiles[-1])
    return low - (high - low), high + (high - low)
