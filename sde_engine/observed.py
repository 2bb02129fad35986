"""What is followed along a run: the model's observables and, of dynamics that have one, the velocity.

The backends hand every formula the whole state of a path, and a state may be wider than theta.
"""

from dataclasses import replace
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from sde_engine.backends.trace import Bins
from sde_engine.kernel import Motion
from sde_engine.model import Formula, Model, Observable, component
from sde_engine.run import Run
from sde_engine.stats.histogram import layout


class Observed(NamedTuple):
    """A number that is followed: `scale` times the observable, which is a formula (state, p)."""

    name: str
    observable: Observable
    scale: float


def observed(model: Model, run: Run, width: int, motion: Motion | None = None) -> tuple[Observed, ...]:
    """Return what the run names, else the model's own observables and every velocity.

    Parameters
    ----------
    width : components of a state; theta comes first
    motion : of dynamics with a velocity, which is right behind theta
    """
    moving = {} if motion is None else velocities(model)
    scale = 1.0 if motion is None else motion.per_clock
    found = []
    for name in run.names(model, tuple(moving)):
        if name in moving:
            found.append(Observed(name, moving[name], scale))
            continue
        own = model.observable(name)
        wide = own if width == model.dim else replace(own, formula=_of_theta(own.formula, model.dim))
        found.append(Observed(name, wide, 1.0))
    return tuple(found)


def velocities(model: Model) -> dict[str, Observable]:
    """Return the components of the velocity by name, as formulas of the state; names that the model uses stay its own."""
    taken = {*model.components, *model.observables}
    return {
        f"velocity_{name}": Observable(component(model.dim + i), f"velocity d {name} / dt on the clock t")
        for i, name in enumerate(model.components)
        if f"velocity_{name}" not in taken
    }


def bins_of(run: Run, seen: tuple[Observed, ...]) -> Bins:
    """Return the histograms of a run, in terms of formulas without their scale."""
    bins = layout(run.histograms, tuple(one.name for one in seen))
    scale = np.array([seen[k].scale for k in bins.observable])
    low = np.where(bins.logarithmic, bins.low - np.log(scale), bins.low / scale)
    return bins._replace(low=low, per_unit=np.where(bins.logarithmic, bins.per_unit, bins.per_unit * scale))


@lru_cache(maxsize=256)
def _of_theta(formula: Formula, dim: int) -> Formula:
    def of_state(state: Any, p: Any) -> Any:
        return formula(state[:dim], p)

    return of_state
