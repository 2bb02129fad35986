"""Closed forms of stationary laws, as a model declares them in its `closed_forms`. None is known by a model's name.

    "law"          (p, hyper) -> the law of the Ito equation at the temperature `hyper.temperature`
    "law_on_ray"   (p, hyper, direction) -> the same where the model comes to rest on rays theta = r direction, r > 0
    "sgd_law", "gaussian_sgd_law"   (p, hyper, momentum, factors, share) -> the law of that discrete dynamics: factors
                   of the step by component (None: all 1), share of an iid batch's noise that the sampling leaves

What they return is an object with pdf, cdf, mean and var (and perhaps `collapsed`) of the model's first observable; a
dict of variables, each with such an object or with moments only (`theory.density.Known`); or, in any dimension, a
`theory.density.Joint` law of all components. A density is held against the equation before it is called exact.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from sde_engine.errors import Incompatible
from sde_engine.kernel import Hyper
from sde_engine.model import Model
from sde_engine.stationary_law.support import Support
from sde_engine.theory.density import ClosedLaw, Joint, Known


class Marginals(NamedTuple):
    """What is known of each variable by itself: its law, or two moments where the density has no closed form."""

    laws: dict[str, Any]

    @property
    def verdict(self) -> str:
        """How far the numbers can be trusted, in words."""
        moments = [law for law in self.laws.values() if isinstance(law, Known) and law.var > 0.0]
        if any(law.mean_error or law.var_error for law in moments):
            return "moments as a series, errors the size of the next order; the density has no closed form"
        return "exact moments; the density has no closed form" if moments else "exact"


Declared = ClosedLaw | Joint | Marginals


def closed_law(model: Model, hyper: Hyper, temperature: float, place: Support) -> Declared:
    """Return the closed form of the law of the Ito equation at a place.

    Raises
    ------
    Incompatible : the model declares none for this variable
    """
    at, key, found = hyper._replace(eta=temperature * hyper.batch), key_of(model, place), {}
    if key in model.closed_forms:
        found = model.closed_forms[key](model.params, at, *((place.direction,) if key == "law_on_ray" else ()))
    return declared(model, place, found, "the Ito equation", "'fokker_planck' or 'ensemble'")


def key_of(model: Model, place: Support) -> str:
    """Return which of a model's closed forms is that of the Ito equation at a place."""
    return "law_on_ray" if place.is_ray and "law_on_ray" in model.closed_forms else "law"


def declared(model: Model, place: Support, found: Any, whose: str, methods: str) -> Declared:
    """Return what a model says of the variables of a place; `methods` serve whose law it is besides.

    Raises
    ------
    Incompatible : it says nothing of one of them
    """
    if isinstance(found, Joint) and place.names == model.components and model.dim > 1:
        return found
    if isinstance(found, Joint):
        found = {name: _alone(found, k) for k, name in enumerate(model.components)}
    elif not isinstance(found, Mapping):
        found = {next(iter((*model.observables, *model.components))): found}
    missing = [name for name in place.every if name not in found]
    if missing:
        known = f"known: {', '.join(found)}; ask for one of them, or " if found else ""
        raise Incompatible(
            f"no closed form of the law of {', '.join(missing)} is known for {model.name!r} under {whose}; {known}use "
            f"method={methods}"
        )
    if len(place.every) == 1 and not isinstance(found[place.every[0]], Known):
        law = found[place.every[0]]
        return ClosedLaw(law.pdf, law.cdf, float(law.mean), float(law.var), bool(getattr(law, "collapsed", False)))
    return Marginals({name: found[name] for name in place.every})


def _alone(law: Joint, k: int) -> Any:
    return law.lines[k] if law.lines else Known(float(law.mean[k]), float(law.covariance[k, k]))
