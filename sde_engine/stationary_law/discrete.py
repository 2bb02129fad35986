"""Closed forms of the stationary laws of discrete SGD, as the model declares them (see `closed`)."""

from sde_engine.errors import Incompatible
from sde_engine.kernel import Dynamics, Hyper, Sampling, sampling_factor
from sde_engine.model import Model
from sde_engine.stationary_law.closed import declared
from sde_engine.stationary_law.law import StationaryLaw
from sde_engine.stationary_law.support import Support
from sde_engine.stationary_law.tabulated import tabulated


def closed_chain_law(model: Model, hyper: Hyper, dynamics: Dynamics, place: Support) -> StationaryLaw:
    """Return the closed form of discrete dynamics.

    Raises
    ------
    Incompatible : the model declares none for these dynamics
    """
    sampling: Sampling = getattr(dynamics, "sampling", "iid")
    maker = model.closed_forms.get(f"{dynamics.kind}_law")
    if maker is None or sampling == "epoch":
        raise Incompatible(
            f"no closed form of the law of {', '.join(place.every)} is known for {model.name!r} under {dynamics.kind!r} "
            f"with this sampling; use method={besides(dynamics)}"
        )
    share = sampling_factor(sampling, hyper.batch, model.examples.size)
    momentum, factors = getattr(dynamics, "momentum", 0.0), getattr(dynamics, "preconditioner", None)
    found = maker(model.params, hyper, momentum, factors, share)
    return tabulated(model, hyper, declared(model, place, found, repr(dynamics.kind), besides(dynamics)), place)


def besides(dynamics: Dynamics) -> str:
    """Return the methods that serve discrete dynamics besides closed forms, for a sentence."""
    settings = (getattr(dynamics, "momentum", 0.0), getattr(dynamics, "sampling", "iid"))
    is_of_batches = dynamics.kind == "sgd" and settings[0] == 0.0 and settings[1] != "epoch"
    return "'transfer_operator' or 'ensemble'" if is_of_batches else "'ensemble'"
