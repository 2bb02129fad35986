"""Where stationary laws live: a line, half lines or a sphere that no path leaves, or the space of the parameters."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from sde_engine.errors import Incompatible
from sde_engine.fokker_planck import (
    Equation,
    is_scale_invariant,
    meridian,
    of_model,
    on_line,
    on_sphere,
    resting_radius,
)
from sde_engine.kernel import Hyper, Sampling
from sde_engine.model import Model


@dataclass(frozen=True, eq=False)
class Support:
    """One place: the ray theta = r direction with r > 0, a line, a sphere, or all parameters.

    Attributes
    ----------
    names : the variables of the law
    direction : of a line or ray, None for the space of all parameters
    is_ray : True if r > 0 only
    radius : of a sphere, on which the law is one of the polar angle; None elsewhere
    still : variables that do not fluctuate there, with their values
    """

    label: str
    names: tuple[str, ...]
    direction: NDArray | None
    is_ray: bool
    radius: float | None = None
    still: dict[str, float] = field(default_factory=dict)

    @property
    def every(self) -> tuple[str, ...]:
        """The variables of the law and those that do not fluctuate."""
        return (*self.names, *self.still)

    def equation(self, model: Model, hyper: Hyper, sampling: Sampling) -> Equation:
        """Return the Ito equation on it."""
        if self.radius is not None:
            return on_sphere(model, hyper, self.radius, sampling=sampling)
        if self.direction is None or model.dim == 1:
            return of_model(model, hyper, sampling=sampling)
        return on_line(model, hyper, self.direction, sampling=sampling)

    def values(self, model: Model, r: NDArray) -> NDArray:
        """Return the variable of a line at the points r, of a sphere at the polar angles r."""
        if self.radius is not None:
            theta = meridian(self.radius, r, model.dim)
        elif self.direction is None:
            raise Incompatible("a law in the space of all parameters has no single variable")
        else:
            theta = tuple(c * r for c in self.direction)
        return np.asarray(model.observable(self.names[0]).formula(theta, model.params) + 0.0 * r)

    def refuse_folded(self, values: NDArray) -> None:
        """Refuse a variable whose values, at points one after the other, rise and fall, or do neither."""
        steps = np.diff(values)
        if (steps > 0.0).any() == (steps < 0.0).any():
            raise Incompatible(
                f"{self.names[0]} does not change monotonically along {self.label or 'the line'}, so a "
                "density of it is not a density of the parameters; ask for another observable"
            )

    def reach(self, low: float, high: float, room: float) -> tuple[float, float]:
        """Return an interval of the variable with so many times its width on either side.

        Towards the end of a ray that is its width in ln x, or no more than what lies below 0: no mass lies beyond.
        """
        wide = room * (high - low)
        if self.is_ray and low > 0.0:
            return low * (low / high) ** room, high + wide
        return low - wide, min(high + wide, 0.0) if self.is_ray and high <= 0.0 else high + wide

    def holds(self, model: Model, value: float) -> bool:
        """Return whether the variable of a ray has the sign of this value there, or collapses: paths may leave a ray."""
        return not self.is_ray or value * float(self.values(model, np.ones(1))[0]) >= 0.0


def supports(model: Model, hyper: Hyper, observable: str | None) -> tuple[Support, ...]:
    """Return the places where this model can come to rest, the most generic first.

    Raises
    ------
    Incompatible : more than three parameters and no invariant line
    """
    name = observable or next(iter(model.observables), model.components[0])
    model.observable(name)
    if model.dim == 1:
        return _on_the_line(model, name)
    if is_scale_invariant(model):
        return (_sphere(model, hyper, observable),)
    rays = _rays(model, hyper, name)
    if rays:
        return rays
    if model.dim > 3:
        raise Incompatible(
            f"{model.name!r} has {model.dim} parameters and no invariant line was found; the Fokker-Planck equation is "
            "solved in up to 3, so use method='ensemble'"
        )
    return (Support("", model.components, None, False),)


def _on_the_line(model: Model, name: str) -> tuple[Support, ...]:
    one = np.ones(1)
    if model.log_chart is None and not model.symmetric_origin:
        return (Support("", (name,), one, False),)
    component = model.components[0]
    return Support(f"{component} > 0", (name,), one, True), Support(f"{component} < 0", (name,), -one, True)


def _sphere(model: Model, hyper: Hyper, observable: str | None) -> Support:
    """Return the sphere on which a scale-invariant model comes to rest: its first variable that fluctuates there.

    Variables that do not fluctuate go with it; None but those if one of them is asked for.
    """
    radius = resting_radius(model, hyper)
    on_sphere(model, hyper, radius)
    s = np.linspace(0.2, 3.0, 9)
    still, moving = {}, []
    for name in (observable,) if observable else (*model.observables, model.components[0]):
        formula = model.observable(name).formula
        here, there = (
            formula(meridian(radius, s, model.dim, turn=turn), model.params) + 0.0 * s for turn in (False, True)
        )
        size = np.abs(here).max()
        if np.abs(here - there).max() > 1e-9 * size:
            if observable:
                raise Incompatible(
                    f"{name} of {model.name!r} is no function of the polar angle on the sphere |theta| = {radius:.6g}, so the "
                    "Fokker-Planck equation does not serve it; use method='ensemble'"
                )
        elif np.ptp(here) <= 1e-9 * size:
            still[name] = float(here[0])
        else:
            moving.append(name)
    return Support("on a sphere", tuple(moving[:1]), None, False, radius, still)


def _rays(model: Model, hyper: Hyper, name: str) -> tuple[Support, ...]:
    """Return the invariant rays of a model with a symmetric origin and one noise, those of growing size first."""
    if not model.symmetric_origin or model.columns != 1:
        return ()
    if model.log_chart is not None:
        columns = np.linalg.inv(np.array(model.log_chart)).T
        directions = [column / np.abs(column).max() for column in columns]
    else:
        signs = {tuple(np.sign(point)) for point in model.starts(model.params)}
        directions = [np.array(sign) for sign in sorted(signs, reverse=True)]
    found = []
    for direction in directions:
        for side in (1.0, -1.0):
            ray = Support(_words(model, side * direction), (name,), side * direction, True)
            try:
                ray.equation(model, hyper, "iid")
            except Incompatible:
                continue
            found.append(ray)
    # Near zero the force along the ray is -r * slope: the ray that leads away from zero fastest is the generic one.
    return tuple(sorted(found, key=lambda ray: -_growth(model, hyper, ray)))


def _growth(model: Model, hyper: Hyper, ray: Support) -> float:
    r = np.array([1e-4])
    drift, _ = ray.equation(model, hyper, "iid").evaluate((r,))
    return float(np.round(drift[0, 0] / r[0], 9))


def _words(model: Model, direction: NDArray) -> str:
    first = model.components[0]
    terms = [f"{c:g} r" if abs(c) != 1.0 else ("r" if c > 0.0 else "-r") for c in direction + 0.0]
    return (
        f"({first}, ...) = ({', '.join(terms)}), r > 0"
        if model.dim > 4
        else (f"({', '.join(model.components)}) = ({', '.join(terms)}), r > 0")
    )
