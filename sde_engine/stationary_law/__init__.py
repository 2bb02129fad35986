"""One stationary law by independent roads: closed form, Fokker-Planck equation or transfer operator, ensemble.

    law = stationary(model, hyper, method="all", seed=1);  law.agreement

The Ito equation has a Fokker-Planck equation, discrete SGD a transfer operator. The roads share nothing but the model's
formulas, so their agreement is evidence, and their distances are reported.
"""

from dataclasses import replace
from typing import Literal

from sde_engine.errors import SpecError
from sde_engine.fokker_planck.generator import MOST_CELLS
from sde_engine.fokker_planck.grid import Grid
from sde_engine.kernel import Dynamics, Hyper, check_hyper
from sde_engine.kinds import formulas
from sde_engine.model import Model
from sde_engine.run import MAX_PATHS
from sde_engine.stationary_law.agreement import compared as compared
from sde_engine.stationary_law.collapse import with_rates
from sde_engine.stationary_law.law import Line as Line
from sde_engine.stationary_law.law import StationaryLaw as StationaryLaw
from sde_engine.stationary_law.routes import (
    alike_with,
    exact_routes,
    histogram_ranges,
    places_of,
    refuse_wrong_route,
)
from sde_engine.stationary_law.sampled import Ensemble, sampled
from sde_engine.stationary_law.stored import law_of as law_of
from sde_engine.stationary_law.temperature import law_temperature, with_dynamics
from sde_engine.stepping import kernel_of
from sde_engine.values import check_choice, check_whole

Method = Literal["closed_form", "fokker_planck", "transfer_operator", "ensemble", "all"]
_MOST_OF_A_CHAIN = 100_000  # cells of a transfer operator
METHODS = ("closed_form", "fokker_planck", "transfer_operator", "ensemble", "all")


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
    method : "closed_form", "fokker_planck" (of the Ito equation), "transfer_operator" (of discrete SGD on a line with
        finite examples), "ensemble", or "all": every route that applies, with their distances
    dynamics : whose law; None is the Ito equation (`Langevin()`)
    observable : the variable of a law on a line; None is the model's first observable
    grid, cells : for the Fokker-Planck equation: a grid in the coordinates of the line or space, or its resolution;
        None finds a grid that holds the law. `cells` is also the resolution of the transfer operator
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

    check_choice("method", method, METHODS)
    model, hyper, dynamics = formulas(model, "this law"), check_hyper(hyper), dynamics or Langevin()
    kernel_of(model, dynamics, hyper)
    temperature = law_temperature(model, hyper, dynamics)
    refuse_wrong_route(method, dynamics, seed)
    if grid is not None and not isinstance(grid, Grid):
        raise SpecError(f"grid is {grid!r}; a Grid of sde_engine.fokker_planck is accepted, or None")
    if cells is not None:
        check_whole("cells", cells, 4, MOST_CELLS if dynamics.kind == "langevin" else _MOST_OF_A_CHAIN)
    places, on_grid = places_of(model, hyper, observable, method)
    routes: list[StationaryLaw] = []
    others: tuple[StationaryLaw, ...] = ()
    if method != "ensemble":
        routes, others = exact_routes(model, hyper, dynamics, places, method, grid, cells, on_grid)
    if method in ("ensemble", "all"):
        check_whole("paths", paths, 1, MAX_PATHS)
        check_whole("seed", seed, 0, 2**64 - 1)
        long = Ensemble(paths, time, int(seed or 0), bins, threads)
        first, *beside = sampled(model, hyper, dynamics, places[0], long, histogram_ranges(routes, places[0]))
        if method == "ensemble":
            beside += [
                law
                for place in places[1:]
                for law in sampled(model, hyper, dynamics, place, long, {})
                if place.holds(model, law.lines[0].quantiles[2])
            ]
        routes, others = [*routes, first], (*others, *beside)
    if method != "ensemble":
        routes = with_rates(routes, model, hyper, dynamics, places[0], int(seed or 0))
    law = replace(routes[0], others=others)
    if method == "all":
        law = replace(law, routes=tuple(routes), **compared(tuple(alike_with(routes, others)))._asdict())
    return with_dynamics(law, temperature, dynamics)
