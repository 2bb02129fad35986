"""Which routes lead to the law of a model under its dynamics, and where; each is tried where it applies."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

import numpy as np

from sde_engine.errors import Incompatible, SdeEngineError, SpecError
from sde_engine.fokker_planck.equation import Equation, temperature_of
from sde_engine.fokker_planck.grid import Grid
from sde_engine.kernel import Dynamics, Hyper, Sampling
from sde_engine.model import Model
from sde_engine.stationary_law.by_chain import carried
from sde_engine.stationary_law.closed import Declared, Marginals, closed_law
from sde_engine.stationary_law.discrete import besides, closed_chain_law
from sde_engine.stationary_law.held import held_against
from sde_engine.stationary_law.law import StationaryLaw
from sde_engine.stationary_law.on_grid import find_grid, solved
from sde_engine.stationary_law.support import Support, supports
from sde_engine.stationary_law.tabulated import tabulated

Found = TypeVar("Found")


def exact_routes(
    model: Model,
    hyper: Hyper,
    dynamics: Dynamics,
    places: tuple[Support, ...],
    method: str,
    grid: Grid | None,
    cells: int | None,
    on_grid: bool,
) -> tuple[list[StationaryLaw], tuple[StationaryLaw, ...]]:
    """Return the laws at the first place by every route that draws no random numbers, and the laws beside them."""
    if dynamics.kind != "langevin":
        return _chain_routes(model, hyper, dynamics, places, method, cells)
    sampling: Sampling = getattr(dynamics, "sampling", "iid")
    return _grid_routes(model, hyper, places, method, sampling, grid, cells, on_grid)


def refuse_wrong_route(method: str, dynamics: Dynamics, seed: int | None) -> None:
    """Raise a sentence for a route that is another dynamics' own, or an ensemble without a seed."""
    if dynamics.kind != "langevin" and method == "fokker_planck":
        raise Incompatible(
            f"{method!r} gives the law of the Ito equation, but the dynamics is {dynamics.kind!r}; use "
            f"method={besides(dynamics)}, or dynamics=None"
        )
    if getattr(dynamics, "order", 1) != 1 and method != "ensemble":
        raise Incompatible(
            f"{method!r} gives the law of the equation of order 1 in eta, but the dynamics is of order 2; use "
            "method='ensemble'"
        )
    if dynamics.kind == "langevin" and method == "transfer_operator":
        raise Incompatible(
            f"{method!r} gives the law of discrete SGD, but the dynamics is {dynamics.kind!r}; use dynamics=Sgd(), or "
            "method='fokker_planck'"
        )
    if method in ("ensemble", "all") and seed is None:
        raise SpecError(f"method {method!r} runs an ensemble and has no default seed; give seed=...")


def _chain_routes(
    model: Model, hyper: Hyper, dynamics: Dynamics, places: tuple[Support, ...], method: str, cells: int | None
) -> tuple[list[StationaryLaw], tuple[StationaryLaw, ...]]:
    """Return the laws of discrete dynamics by closed form and transfer operator at the first place, and the others."""
    routes: list[StationaryLaw] = []
    others: list[StationaryLaw] = []
    closed_form = partial(closed_chain_law, model, hyper, dynamics, places[0])
    if method in ("closed_form", "all"):
        routes += _tried(method == "closed_form", closed_form)
    if method in ("transfer_operator", "all"):
        try:
            first, *others = carried(model, hyper, dynamics, places[0], cells)
            routes.append(first)
        except Incompatible as error:
            if method == "transfer_operator":
                raise _naming(closed_form, error) from None
    if method == "transfer_operator":
        for place in places[1:]:
            others += carried(model, hyper, dynamics, place, cells)
    return routes, tuple(others)


def _grid_routes(
    model: Model,
    hyper: Hyper,
    places: tuple[Support, ...],
    method: str,
    sampling: Sampling,
    grid: Grid | None,
    cells: int | None,
    on_grid: bool,
) -> tuple[list[StationaryLaw], tuple[StationaryLaw, ...]]:
    """Return the laws by closed form and Fokker-Planck equation at the first place, and the laws beside them."""
    place, temperature = places[0], temperature_of(model, hyper, sampling)
    only, routes = method == "closed_form", list[StationaryLaw]()
    known = [] if method == "fokker_planck" else _tried(only, closed_law, model, hyper, temperature, place)
    if not on_grid or (only and isinstance(known[0], Marginals)):
        return [law for one in known for law in _tried(only, tabulated, model, hyper, one, place)], ()
    equation = place.equation(model, hyper, sampling)
    found, dies = (grid, True) if grid is not None else find_grid(model, equation, place, cells)
    for one in known:
        routes += _tried(only, _held, model, hyper, one, place, equation, found)
    beside: list[StationaryLaw] = []
    if method != "closed_form":
        first, *beside = solved(model, hyper, equation, place, found, dies)
        routes.append(first)
    for other in places[1:]:
        there = other.equation(model, hyper, sampling)
        elsewhere, alive = find_grid(model, there, other, cells)
        if method != "closed_form":
            beside += solved(model, hyper, there, other, elsewhere, alive)
        elif "law_on_ray" in model.closed_forms:
            beside.append(_held(model, hyper, closed_law(model, hyper, temperature, other), other, there, elsewhere))
    return routes, tuple(beside)


def _tried(must: bool, route: Callable[..., Found], *given: Any) -> list[Found]:
    """Return what a route gives, nothing where it does not serve and need not."""
    try:
        return [route(*given)]
    except SdeEngineError:
        if must:
            raise
        return []


def _held(model: Model, hyper: Hyper, known: Declared, place: Support, equation: Equation, grid: Grid) -> StationaryLaw:
    return tabulated(model, hyper, known, place, grid, held_against(model, equation, known, place, grid))


def _naming(closed_form: Callable[[], Any], error: Incompatible) -> Incompatible:
    """Return the refusal of another exact route; it names the closed form where there is one."""
    return Incompatible(f"{error}, or method='closed_form'") if _tried(False, closed_form) else error


def places_of(model: Model, hyper: Hyper, observable: str | None, method: str) -> tuple[tuple[Support, ...], bool]:
    """Return the places of the laws, and whether a grid can hold them; any model has a place in its own space."""
    try:
        places = supports(model, hyper, observable)
    except Incompatible as error:
        names = (observable,) if observable else tuple(model.observables) or model.components
        anywhere = Support("", names, None, False)
        if method == "fokker_planck":
            raise _naming(partial(closed_law, model, hyper, hyper.temperature, anywhere), error) from None
        return (anywhere,), False
    if method == "fokker_planck" and not places[0].names:
        raise Incompatible(
            f"{', '.join(places[0].still)} does not fluctuate in the Ito equation of {model.name!r}, so it has no "
            "density; use method='closed_form' or 'ensemble'"
        )
    return places, bool(places[0].names)


def alike_with(routes: list[StationaryLaw], others: tuple[StationaryLaw, ...]) -> list[StationaryLaw]:
    """Return what the last route, an ensemble, is to be compared with.

    Paths that have not collapsed have the metastable law beside a collapsed one, where there is one at that place.
    """
    *exact, ensemble = routes
    if ensemble.is_point_mass or not all(route.is_point_mass for route in exact):
        return routes
    stays = [other for other in others if other.escape_rate > 0.0 and other.label.startswith(ensemble.label)]
    return [*stays[:1], replace(ensemble, escape_rate=np.nan)] if stays else routes


def histogram_ranges(routes: list[StationaryLaw], place: Support) -> dict[str, tuple[float, float]]:
    """Return ranges of histograms: the central 90 % of a known law and as much again on either side, where known."""
    if not routes or routes[-1].is_point_mass or not np.isfinite([x.quantiles for x in routes[-1].lines]).all():
        return {}
    ends = {line.name: (float(line.quantiles[0]), float(line.quantiles[-1])) for line in routes[-1].lines}
    return {name: place.reach(low, high, 1.0) for name, (low, high) in ends.items() if low < high}
